// The devices and a live tile for each of their channels.
import { useComputed } from "@preact/signals";
import { type Device, devices, link, now, reading } from "./state";
import { label, qualityWords, short, shown } from "./words";

export function Devices() {
  return (
    <div class="devices">
      {devices.value.map((d) => (
        <DeviceGroup key={d.id} device={d} />
      ))}
    </div>
  );
}

const stateWords = { ok: "", absent: "does not answer", failing: "failing", starting: "starting" };

function DeviceGroup({ device }: { device: Device }) {
  const where = [device.driver, device.bus].filter(Boolean).join(" on ");
  const state = stateWords[device.state];
  return (
    <section class="device" aria-label={`Device ${device.id}`}>
      <header>
        <h2>{device.id}</h2>
        <span class={state ? `pill ${device.state}` : "where"}>{state || where}</span>
      </header>
      <ul class="tiles">
        {device.channels.map((c) => (
          <Tile key={c.quantity} device={device} quantity={c.quantity} unit={c.unit} silence={c.max_silence_s ?? 0} />
        ))}
      </ul>
    </section>
  );
}

interface TileProps {
  device: Device;
  quantity: string;
  unit: string;
  silence: number; // seconds for which a deadband may leave readings out
}

function Tile({ device, quantity, unit, silence }: TileProps) {
  const r = reading(device.id, quantity).value;
  const old = Math.max(10, silence + 3 * (device.interval_s ?? 0));
  const age = useComputed(() => {
    const r = reading(device.id, quantity).value;
    return r ? Math.max(0, Math.floor((now.value - r.born) / 1000)) : -1;
  }).value;
  const [value, sign] = shown(r ? r.update.value : null, r ? r.update.unit : unit, quantity);
  const quality = r ? (qualityWords[r.update.quality] ?? "") : "";
  const stale = link.value !== "live" || age > old || r?.update.quality === "stale";
  return (
    <li class={stale ? "tile stale" : "tile"} data-channel={`${device.id}/${quantity}`}>
      <h3>{label(quantity)}</h3>
      <p class="value">
        {value}
        {sign && <small> {sign}</small>}
      </p>
      <Sparkline values={r?.trail ?? []} />
      <p class="foot">
        <span class="age">{ageWords(age, quality === "")}</span>
        {quality && <span class={`quality ${r?.update.quality}`}> · {quality}</span>}
      </p>
    </li>
  );
}

function ageWords(age: number, alone: boolean): string {
  if (age < 0) return "no reading yet";
  if (age < 1) return alone ? "just now" : "now";
  return alone ? `${short(age)} ago` : short(age);
}

// A Sparkline shows where the last values went; the tile tells the last one in
// figures, so it is left out for screen readers.
function Sparkline({ values }: { values: readonly number[] }) {
  const width = 120;
  const height = 28;
  const min = Math.min(...values);
  const max = Math.max(...values);
  const rise = max - min || 1;
  const step = width / Math.max(1, values.length - 1);
  const y = (v: number) => (max === min ? height / 2 : height - 2 - ((v - min) / rise) * (height - 4));
  const points = values.map((v, i) => `${(i * step).toFixed(1)},${y(v).toFixed(1)}`).join(" ");
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
      {values.length > 1 && <polyline points={points} />}
    </svg>
  );
}
