// How figures are said to people.

const numbers = new Map<string, Intl.NumberFormat>();

// fixed writes a number with that many decimals; thousands are grouped from
// 10,000 on.
export function fixed(v: number, decimals: number): string {
  const useGrouping = Math.abs(v) >= 10000;
  const key = decimals + String(useGrouping);
  let f = numbers.get(key);
  if (!f) {
    f = new Intl.NumberFormat("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals, useGrouping });
    numbers.set(key, f);
  }
  return f.format(v).replace("-", "\u2212");
}

// significant writes a number in about four digits, as many as fit a tile and
// always the same number of them, so that it does not jump about.
export function significant(v: number): string {
  const size = Math.abs(v);
  if (Number.isInteger(v) && size < 1e7) return fixed(v, 0);
  if (size >= 1e7 || size < 1e-3) return v.toExponential(2).replace(/-/g, "\u2212");
  return fixed(v, size < 10 ? 3 : size < 100 ? 2 : size < 1000 ? 1 : 0);
}

// units of the SenML registry that people know by another sign, and decimals.
const units: Record<string, [sign: string, decimals: number]> = {
  Cel: ["°C", 2],
  "%RH": ["% RH", 1],
  "%": ["%", 1],
  V: ["V", 3],
  A: ["A", 3],
  W: ["W", 1],
  lx: ["lx", 0],
  Ohm: ["Ω", 1],
  deg: ["°", 1],
  "m/s2": ["m/s²", 2],
};

// shown gives a value and its unit as a tile shows them.
export function shown(v: number | null, unit: string, quantity: string): [value: string, unit: string] {
  if (v === null) return ["–", ""];
  if (unit === "/" && quantity === "level") return [v === 0 ? "off" : "on", ""];
  const u = units[unit];
  if (u) return [fixed(v, u[1]), u[0]];
  if (unit === "Pa") return v >= 10000 ? [fixed(v / 100, 1), "hPa"] : [fixed(v, 0), "Pa"];
  if (unit === "/") return [significant(v), ""];
  if (unit === "B") return bytes(v);
  if (unit === "s" && v >= 120) {
    const [most, ...rest] = span(v).split(" ");
    return [most ?? "", rest.join(" ")];
  }
  return [significant(v), unit];
}

// sentence begins with a capital, as the journal's lines need not.
export const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

// bytes gives a size in a unit that keeps it short.
export function bytes(n: number): [value: string, unit: string] {
  const steps = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; n >= 1024 && i < steps.length - 1; i++) n /= 1024;
  return [fixed(n, i === 0 || n >= 100 ? 0 : n >= 10 ? 1 : 2), steps[i] ?? ""];
}

// span says a duration in its two largest units.
export function span(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

// short says a duration in its largest unit.
export function short(seconds: number): string {
  return span(seconds).split(" ").slice(0, 2).join(" ");
}

// label makes a name of the configuration readable.
export function label(name: string): string {
  const s = name.replace(/[_-]+/g, " ").replace(/\bcpu\b/, "CPU").replace(/^load1$/, "load, 1 min");
  return s.charAt(0).toUpperCase() + s.slice(1);
}

export const qualityWords: Record<string, string> = {
  suspect: "suspect",
  stale: "stale",
  out_of_range: "out of range",
  simulated: "simulated",
};

export const clockWords: Record<string, string> = {
  ntp: "set by the network (NTP)",
  session: "set by the cloud",
  rtc: "from the battery-backed clock",
  none: "never set: times are a guess",
};

// lossWords say why readings will never come.
export const lossWords: Record<string, string> = {
  unclean_stop: "in power cuts",
  card_failed: "while the card took nothing",
  dropped: "for want of room",
  rejected: "refused by the cloud",
  unknown: "to damage",
};
