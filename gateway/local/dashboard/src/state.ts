// What the page knows: signals that net.ts fills and the components show.
import { batch, computed, signal, type Signal } from "@preact/signals";

export interface Update {
  device_id: string;
  quantity: string;
  value: number | null;
  unit: string;
  timestamp: string;
  quality: string;
  lost?: number;
}

export interface Condition {
  code: string;
  subject?: string;
  severity: "warning" | "error";
  sentence: string;
  since: string;
}

export interface Device {
  id: string;
  driver: string;
  bus?: string;
  state: "ok" | "absent" | "failing" | "starting";
  error?: string;
  interval_s?: number;
  channels: { quantity: string; unit: string; max_silence_s?: number }[];
}

export interface RefusedConfig {
  version: number;
  state: "rejected" | "rolled_back";
  errors: string[];
}

export interface Status {
  gateway_id: string;
  version: string;
  time: string;
  uptime_s: number;
  uplink: {
    state: "online" | "paused" | "draining" | "connecting" | "waiting" | "no_credential" | "refused" | "off";
    endpoint?: string;
    since?: string;
    next_try?: string;
    last_error?: string;
    rtt_ms?: number;
    paused_by?: string;
  };
  store: {
    unacked: number;
    oldest_unacked_s: number;
    bytes: number;
    loss_window_s: number;
    gaps: number;
    head: number;
    journal_bytes: number;
    stored: number;
    thinned: number;
    time_to_full_s?: number;
    written_bytes_per_day: number;
    card_life_years?: number;
    gap_readings: Record<string, number>;
    openings_24h: number;
    brownouts_24h: number;
  };
  clock: { quality: string; time: string };
  config?: { version: number; on_trial?: boolean; refused?: RefusedConfig };
  devices: Device[];
  health: Condition[];
}

// A Reading is an update with the moment of measuring on this browser's
// clock, which the gateway's clock may differ from by years.
export interface Reading {
  update: Update;
  born: number;
  trail: readonly number[]; // the last values, oldest first, for the sparkline
}

export type Link = "connecting" | "live" | "lost" | "login";

// A Refusal is what the gateway said when it did not answer.
export interface Refusal {
  sentence: string;
  code: string;
}

const trailLength = 60;

export const link = signal<Link>("connecting");
export const lostAt = signal(0); // Date.now() when the connection was lost
export const login = signal<Refusal>({ sentence: "", code: "" });
export const status = signal<Status | null>(null);
export const statusAt = signal(0); // Date.now() when the status came
export const now = signal(Date.now()); // goes on once a second while the page is seen

const readings = new Map<string, Signal<Reading | null>>();
const known = signal(0); // counts channels that are not in the status

export const key = (device: string, quantity: string): string => device + " " + quantity;

// reading gives the signal of a channel, made when first asked for.
export function reading(device: string, quantity: string): Signal<Reading | null> {
  const k = key(device, quantity);
  let s = readings.get(k);
  if (!s) {
    s = signal(null);
    readings.set(k, s);
  }
  return s;
}

// gatewayNow is the gateway's wall time at Date.now() = at.
export function gatewayNow(at: number): number {
  const s = status.value;
  return s ? Date.parse(s.time) + at - statusAt.value : at;
}

// shownAt is the Date.now() for which the status holds: now while the gateway
// is heard, else when it came last. What is not known does not count on.
export const shownAt = (): number => (link.value === "live" ? now.value : statusAt.value);

const farBehind = { seconds: 60, readings: 100_000 };

// behind tells whether a cloud that is set up lacks more than what is on its way.
export function behind(s: Status): boolean {
  const { unacked, oldest_unacked_s } = s.store;
  if (s.uplink.state === "off" || unacked === 0) return false;
  return oldest_unacked_s > farBehind.seconds || unacked >= farBehind.readings;
}

// takeUpdates shows what came since the last frame.
export function takeUpdates(updates: { update: Update; at: number }[]): void {
  batch(() => {
    for (const { update, at } of updates) take(update, at);
  });
}

function take(update: Update, at: number): void {
  const fresh = !readings.has(key(update.device_id, update.quantity));
  const s = reading(update.device_id, update.quantity);
  const age = Math.max(0, gatewayNow(at) - Date.parse(update.timestamp));
  const last = s.peek();
  let trail = last?.trail ?? [];
  if (update.value !== null && last?.update.timestamp !== update.timestamp) trail = [...trail, update.value].slice(-trailLength);
  s.value = { update, born: at - age, trail };
  if (fresh) known.value++;
}

export function takeStatus(next: Status, at: number): void {
  batch(() => {
    statusAt.value = at;
    status.value = next;
  });
}

// devices are those of the status, and any that only spoke up.
export const devices = computed<Device[]>(() => {
  known.value; // read it: a new channel makes a new list
  const list = (status.value?.devices ?? []).map((d) => ({ ...d, channels: [...d.channels] }));
  for (const s of readings.values()) {
    const r = s.peek();
    if (r) addChannel(list, r.update);
  }
  return list;
});

function addChannel(list: Device[], u: Update): void {
  let d = list.find((d) => d.id === u.device_id);
  if (!d) {
    d = { id: u.device_id, driver: "", state: "ok", channels: [] };
    list.push(d);
  }
  if (!d.channels.some((c) => c.quantity === u.quantity)) {
    d.channels.push({ quantity: u.quantity, unit: u.unit });
  }
}
