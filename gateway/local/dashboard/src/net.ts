// The connection to the gateway: log in if need be, stay connected, and notice
// soon when it is gone or when the phone has slept.
import { link, login, lostAt, now, takeStatus, takeUpdates, type Status, type Update } from "./state";

const retryFirst = 500; // ms
const retryMax = 5000;
const silence = 12000; // the gateway says something every five seconds
const slept = 5000; // hidden for longer than this, the page starts afresh

const tokenKey = "fieldgate.token";

let socket: WebSocket | null = null;
let attempt = 0; // numbers the tries: answers to an older one are ignored
let retry = retryFirst;
let timer = 0;
let heard = 0; // Date.now() of the last message
let hiddenAt = 0;
let frame = 0;
const pending = new Map<string, { update: Update; at: number }>();

// start connects and keeps connected for as long as the page lives.
export function start(): void {
  document.addEventListener("visibilitychange", visibility);
  window.addEventListener("online", reconnect);
  window.addEventListener("pageshow", (e) => e.persisted && reconnect());
  setInterval(tick, 1000);
  void connect();
}

// reconnect tries at once.
export function reconnect(): void {
  retry = retryFirst;
  void connect();
}

// enter keeps a token and tries it.
export function enter(token: string): void {
  remember(token);
  reconnect();
}

function visibility(): void {
  if (document.hidden) {
    hiddenAt = Date.now();
    return;
  }
  now.value = Date.now();
  if (Date.now() - hiddenAt > slept || link.value === "lost") reconnect();
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
    return;
  }
  if (refusal) {
    login.value = refusal;
    link.value = "login";
    return;
  }
  open(mine);
}

// knock asks for the status: unlike a WebSocket, fetch says why it is refused.
async function knock(): Promise<"retry" | { sentence: string; code: string } | null> {
  const token = remembered();
  const abort = new AbortController();
  const limit = setTimeout(() => abort.abort(), 5000);
  try {
    const headers: HeadersInit = token ? { Authorization: "Bearer " + token } : {};
    const answer = await fetch("api/v1/status", { headers, cache: "no-store", signal: abort.signal });
    const body = await answer.json();
    if (answer.ok) {
      takeStatus(body as Status, Date.now());
      return null;
    }
    if (answer.status === 401 || answer.status === 429) return { sentence: body.message, code: body.code };
    return "retry";
  } catch {
    return "retry";
  } finally {
    clearTimeout(limit);
  }
}

function open(mine: number): void {
  const url = new URL("ws", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const token = remembered();
  if (token) url.searchParams.set("token", token);
  const ws = (socket = new WebSocket(url));
  heard = Date.now();
  const guard = setTimeout(() => mine === attempt && link.value !== "live" && lost(), silence);
  ws.onmessage = (e) => mine === attempt && receive(e.data as string);
  ws.onclose = () => {
    clearTimeout(guard);
    if (mine === attempt) lost();
  };
}

function receive(text: string): void {
  heard = Date.now();
  const message = JSON.parse(text);
  if (message.type === "status") {
    takeStatus(message as Status, heard);
    link.value = "live";
    retry = retryFirst;
  } else if (message.type === "update") {
    const u = message as Update;
    pending.set(u.device_id + " " + u.quantity, { update: u, at: heard });
    if (!frame) frame = requestAnimationFrame(show);
  }
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
    lostAt.value = Date.now();
    link.value = "lost";
  }
  clearTimeout(timer);
  timer = setTimeout(connect, retry * (0.5 + Math.random()));
  retry = Math.min(retryMax, retry * 2);
}

// The token stays on this device only; where storing is forbidden, it lasts
// as long as the page.
let token = "";

function remember(t: string): void {
  token = t;
  try {
    localStorage.setItem(tokenKey, t);
  } catch {
    // private browsing: kept in memory above
  }
}

function remembered(): string {
  if (token) return token;
  try {
    token = localStorage.getItem(tokenKey) ?? "";
  } catch {
    // private browsing: none
  }
  return token;
}
