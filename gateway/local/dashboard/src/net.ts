// The connection to the gateway: log in if need be, stay connected, and notice
// soon when it is gone or when the phone has slept.
import { link, login, lostAt, now, takeStatus, takeUpdates, type Refusal, type Status, type Update } from "./state";

const retryFirst = 500; // ms
const retryMax = 5000;
const silence = 4000; // the gateway says something every two seconds
const askEvery = 2000; // where no WebSocket comes through
const askTimes = 15; // then a WebSocket is tried again
const slept = 5000; // hidden for longer than this, the page starts afresh

const tokenKey = "fieldgate.token";

let socket: WebSocket | null = null;
let attempt = 0; // numbers the tries: answers to an older one are ignored
let retry = retryFirst;
let timer = 0;
let heard = 0; // Date.now() of the last message
let deaf = 0; // WebSockets in a row over which nothing came
let hiddenAt = 0;
let frame = 0;
const pending = new Map<string, { update: Update; at: number }>();

// start connects and keeps connected for as long as the page lives.
export function start(): void {
  document.addEventListener("visibilitychange", visibility);
  window.addEventListener("online", reconnect);
  window.addEventListener("pageshow", (e) => e.persisted && reconnect());
  window.addEventListener("hashchange", () => tokenFromAddress() && reconnect());
  setInterval(tick, 500);
  tokenFromAddress();
  void connect();
}

// reconnect tries at once.
export function reconnect(): void {
  retry = retryFirst;
  void connect();
}

// enter keeps a token and tries it.
export function enter(token: string): void {
  remember(cleaned(token));
  reconnect();
}

function visibility(): void {
  if (document.hidden) {
    hiddenAt = Date.now();
    return;
  }
  now.value = Date.now();
  const old = Date.now() - hiddenAt > slept;
  if (old && link.value === "live") link.value = "connecting"; // nobody watched: it is not known
  if (old || link.value === "lost") reconnect();
}

function tick(): void {
  if (document.hidden) return;
  now.value = Date.now();
  if (link.value === "live" && Date.now() - heard > silence) lost();
}

async function connect(): Promise<void> {
  const mine = ++attempt;
  clearTimeout(timer);
  drop();
  const refusal = await knock();
  if (mine !== attempt) return;
  if (refusal === "retry") {
    lost();
  } else if (refusal) {
    refused(refusal);
  } else if (deaf < 2) {
    open(mine);
  } else {
    void ask(mine, askTimes);
  }
}

// refused shows why; where a token does not help, the gateway is asked again.
function refused(why: Refusal): void {
  login.value = why;
  link.value = "login";
  if (why.code === "token_wrong") remember("");
  if (!wantsToken(why)) timer = setTimeout(connect, retryMax);
}

// wantsToken tells whether another token would help.
export const wantsToken = (why: Refusal): boolean => ["token_required", "token_wrong", "too_many_tries"].includes(why.code);

// knock asks for the status: unlike a WebSocket, fetch says why it is refused.
async function knock(): Promise<"retry" | Refusal | null> {
  try {
    const answer = await get("api/v1/status");
    const body = await answer.json();
    if (answer.ok) {
      takeStatus(body as Status, Date.now());
      return null;
    }
    return body.type === "error" ? { sentence: String(body.message), code: String(body.code) } : "retry";
  } catch {
    return "retry"; // nobody there, or a proxy that answers in its own words
  }
}

async function get(path: string): Promise<Response> {
  const token = remembered();
  const abort = new AbortController();
  const limit = setTimeout(() => abort.abort(), 5000);
  try {
    const headers: HeadersInit = token ? { Authorization: bearer(token) } : {};
    return await fetch(path, { headers, cache: "no-store", signal: abort.signal });
  } finally {
    clearTimeout(limit);
  }
}

// bearer writes a token into a header: bytes of UTF-8, no control characters.
function bearer(token: string): string {
  return "Bearer " + String.fromCharCode(...new TextEncoder().encode(token));
}

function open(mine: number): void {
  const url = new URL("ws", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const token = remembered();
  if (token) url.searchParams.set("token", token);
  const ws = (socket = new WebSocket(url));
  heard = Date.now();
  deaf++;
  const guard = setTimeout(() => mine === attempt && link.value !== "live" && lost(), silence);
  ws.onmessage = (e) => mine === attempt && receive(e.data as string);
  ws.onclose = () => {
    clearTimeout(guard);
    if (mine === attempt) lost();
  };
}

// ask takes the place of a WebSocket where a proxy lets none through, or the
// gateway has no room for one: it fetches the status and the last readings.
async function ask(mine: number, left: number): Promise<void> {
  try {
    const { channels } = await (await get("api/v1/channels")).json();
    if (mine !== attempt) return;
    heard = Date.now();
    for (const u of channels as Update[]) if (u.timestamp) keep(u);
    link.value = "live";
    retry = retryFirst;
  } catch {
    if (mine === attempt) lost();
    return;
  }
  if (left === 0) {
    deaf = 1; // one try
    timer = setTimeout(connect, askEvery);
    return;
  }
  timer = setTimeout(async () => {
    const refusal = await knock();
    if (mine !== attempt) return;
    if (refusal) void connect();
    else void ask(mine, left - 1);
  }, askEvery);
}

function receive(text: string): void {
  heard = Date.now();
  deaf = 0;
  const message = JSON.parse(text);
  if (message.type === "status") {
    takeStatus(message as Status, heard);
    link.value = "live";
    retry = retryFirst;
  } else if (message.type === "update") {
    keep(message as Update);
  }
}

function keep(u: Update): void {
  pending.set(u.device_id + " " + u.quantity, { update: u, at: heard });
  if (!frame) frame = requestAnimationFrame(show);
}

// show passes on what came since the last frame: a fast sensor costs no more
// than a frame shows, and a hidden page nothing.
function show(): void {
  frame = 0;
  takeUpdates([...pending.values()]);
  pending.clear();
}

function drop(): void {
  if (!socket) return;
  socket.onclose = socket.onmessage = null;
  socket.close();
  socket = null;
}

function lost(): void {
  attempt++;
  drop();
  if (link.value !== "lost") {
    lostAt.value = heard || Date.now();
    link.value = "lost";
  }
  clearTimeout(timer);
  timer = setTimeout(connect, retry * (0.5 + Math.random()));
  retry = Math.min(retryMax, retry * 2);
}

// tokenFromAddress takes a token out of #token=… or ?token=… and removes it
// from the address at once: there it would be seen, copied and kept.
function tokenFromAddress(): boolean {
  const found: string[] = [];
  const without = (part: string): string =>
    part
      .slice(1)
      .split("&")
      .filter((p) => !(p.startsWith("token=") && found.push(p.slice(6))))
      .join("&");
  const search = without(location.search);
  const hash = without(location.hash);
  const last = found.pop();
  if (last === undefined) return false;
  history.replaceState(null, "", location.pathname + (search && "?" + search) + (hash && "#" + hash));
  const text = plain(last);
  if (text) remember(text);
  return text !== "";
}

// plain undoes %XX where that can be undone.
function plain(text: string): string {
  try {
    return cleaned(decodeURIComponent(text));
  } catch {
    return cleaned(text);
  }
}

// cleaned leaves out what no token has, but copying brings along.
const cleaned = (text: string): string => text.replace(/[\u0000-\u001f\u007f\u200b\ufeff]/g, "").trim();

// The token stays on this device only; where storing is forbidden, it lasts
// as long as the page.
let token = "";

function remember(t: string): void {
  token = t;
  try {
    if (t) localStorage.setItem(tokenKey, t);
    else localStorage.removeItem(tokenKey);
  } catch {
    // private browsing: kept in memory above
  }
}

function remembered(): string {
  if (token) return token;
  try {
    token = cleaned(localStorage.getItem(tokenKey) ?? "");
  } catch {
    // private browsing: none
  }
  return token;
}
