// A client made with ws: it says each line of its input, if there is anything
// in it, and prints one answer to each.   usage: node client.mjs URL [CA TOKEN]
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import WebSocket from "ws";

const [url, ca, token] = process.argv.slice(2);
const heard = [], waiting = [];
const ws = token
  ? new WebSocket(url, "fieldgate.v1.json", { ca: readFileSync(ca), headers: { Authorization: `Bearer ${token}` } })
  : new WebSocket(url);
ws.on("message", (data) => (waiting.length ? waiting.shift()(String(data)) : heard.push(String(data))));
await new Promise((open, fail) => ws.on("open", open).on("error", fail));
for await (const line of createInterface({ input: process.stdin })) {
  if (line) ws.send(line);
  console.log(heard.length ? heard.shift() : await new Promise((say) => waiting.push(say)));
}
ws.close(1000);
