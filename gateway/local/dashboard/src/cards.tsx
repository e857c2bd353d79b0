// The state of the gateway itself: what is wrong, the uplink, the buffer.
import { useSignal } from "@preact/signals";
import { behind, type Condition, gatewayNow, link, lostAt, now, type RefusedConfig, shownAt, status, statusAt, type Status } from "./state";
import { bytes, clockWords, fixed, lossWords, sentence, short, span } from "./words";
import { reconnect } from "./net";

type Mood = "good" | "wait" | "bad" | "off";

// sinceStatus is how old the status is, in seconds; now lags behind it at times.
const sinceStatus = (): number => Math.max(0, shownAt() - statusAt.value) / 1000;

// since gives how long ago a gateway's wall time was, in seconds.
const since = (t: string): number => (gatewayNow(shownAt()) - Date.parse(t)) / 1000;

// Health keeps its height: it shows as much of the worst condition as fits,
// and everything when asked to.
export function Health() {
  const open = useSignal(false);
  const list = status.value?.health ?? [];
  const worst = list[0];
  const [mood, words] = healthWords();
  return (
    <section class={`health ${mood}`} aria-label="Health">
      <div class="worst">
        <i class={`dot ${mood}`} />
        <p role="status">{words}</p>
        {worst && (
          <button type="button" aria-expanded={open.value} onClick={() => (open.value = !open.value)}>
            {open.value ? "Less" : list.length > 1 ? `All ${list.length}` : "More"}
          </button>
        )}
      </div>
      {open.value && worst && (
        <ul>
          {list.map((c) => (
            <li key={c.code + c.subject}>
              <i class={`dot ${link.value === "live" ? moodOf(c) : "off"}`} />
              <p>
                {sentence(c.sentence)} <span class="muted">For {span(since(c.since))}.</span>
              </p>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

// healthWords say that all is well only when that is known now: the gateway is
// heard, it complains of nothing, and a cloud that is set up has the readings.
function healthWords(): [Mood, string] {
  const s = status.value;
  if (link.value === "lost") return ["off", "The gateway is not heard."];
  if (!s || link.value !== "live") return ["off", "Asking the gateway …"];
  const worst = s.health[0];
  if (worst) return [moodOf(worst), sentence(worst.sentence)];
  if (behind(s)) return ["wait", `${waitingWords(s)} for the cloud. The oldest was measured ${span(s.store.oldest_unacked_s + sinceStatus())} ago.`];
  if (!["online", "off"].includes(s.uplink.state)) return ["wait", uplinkWords(s.uplink)[1]];
  return ["good", "All is well."];
}

const waitingWords = (s: Status): string => `${fixed(s.store.unacked, 0)} ${s.store.unacked === 1 ? "reading" : "readings"} waiting`;

const moodOf = (c: Condition): Mood => (c.severity === "error" ? "bad" : "wait");

export function Uplink() {
  const s = status.value;
  const [mood, head, detail] = s ? uplinkWords(s.uplink) : (["off", "Uplink", "…"] as const);
  return <Card name="Uplink" mood={mood} head={head} detail={detail} />;
}

function uplinkWords(u: Status["uplink"]): readonly [Mood, string, string] {
  const host = u.endpoint ? new URL(u.endpoint).host : "the cloud";
  const lasted = u.since ? `for ${span(since(u.since))}` : "";
  switch (u.state) {
    case "online":
      return ["good", "Connected to the cloud", [host, lasted, u.rtt_ms ? `answers in ${fixed(Math.ceil(u.rtt_ms), 0)} ms` : ""].filter(Boolean).join(", ")];
    case "paused":
      return ["wait", "The cloud takes no readings for now", [u.paused_by === "storage" ? "It cannot store them." : "", "They are kept here and sent when it can again."].filter(Boolean).join(" ")];
    case "draining":
      return ["wait", "The cloud asked to connect again later", "Readings are kept here until then."];
    case "connecting":
      return ["wait", "Connecting to the cloud …", sentence(u.last_error ?? "")];
    case "waiting":
      return ["wait", "No connection to the cloud", [nextTry(u.next_try), sentence(u.last_error ?? "")].filter(Boolean).join(" ")];
    case "no_credential":
      return ["off", "Not enrolled in a cloud yet", "Readings are kept here until it is."];
    case "refused":
      return ["bad", "The cloud refuses this gateway", [sentence(u.last_error ?? ""), nextTry(u.next_try)].filter(Boolean).join(" ")];
    default:
      return ["off", "No cloud is set up", "Readings are kept here."];
  }
}

function nextTry(t?: string): string {
  if (!t) return "";
  const left = Math.ceil(-since(t));
  return left > 0 ? `Next try in ${span(left)}.` : "Trying now.";
}

export function Buffer() {
  const s = status.value;
  if (!s) return <Card name="Buffer" mood="off" head="Buffer" detail="…" />;
  const { unacked, oldest_unacked_s, loss_window_s } = s.store;
  const waiting = unacked > 0 && (s.uplink.state !== "online" || behind(s));
  const oldest = oldest_unacked_s + sinceStatus();
  const head = unacked === 0 ? "Nothing waits for the cloud" : waitingWords(s);
  const detail = [
    waiting ? `Oldest ${span(oldest)}.` : "",
    `A power cut loses at most ${fixed(loss_window_s, loss_window_s < 10 ? 1 : 0)} s.`,
  ];
  return <Card name="Buffer" mood={waiting ? "wait" : "good"} head={head} detail={detail.filter(Boolean).join(" ")} />;
}

// Storage says how the memory card is doing: what is on it, how long there is
// room and how long it lasts, and what was lost.
export function Storage() {
  const s = status.value;
  if (!s) return <Card name="Storage" mood="off" head="Storage" detail="…" />;
  const st = s.store;
  const failing = s.health.some((c) => c.code === "store_card");
  const lost = Object.entries(st.gap_readings ?? {}).filter(([, n]) => n > 0);
  const head = failing
    ? "The memory card takes no readings"
    : st.time_to_full_s
      ? `Room for ${short(st.time_to_full_s)} without the cloud`
      : `${fixed(st.stored + st.head, 0)} readings kept here`;
  const detail = [
    st.brownouts_24h > 0 ? `${times(st.brownouts_24h)} started after a power cut since yesterday.` : "",
    lost.length > 0 ? `Lost at most ${lost.map(([why, n]) => `${fixed(n, 0)} ${lossWords[why] ?? why}`).join(", ")}.` : "",
    st.thinned > 0 ? `Of ${fixed(st.thinned, 0)} only a summary is left.` : "",
    `${bytes(st.bytes + st.journal_bytes).join(" ")} on the card${
      s.uptime_s < 600 ? "" : `, ${bytes(st.written_bytes_per_day).join(" ")} written a day` // before, it is too early to tell
    }${st.card_life_years ? `: it lasts ${years(st.card_life_years)}` : ""}.`,
  ];
  const mood: Mood = failing ? "bad" : st.brownouts_24h > 0 || lost.length > 0 || st.thinned > 0 ? "wait" : "good";
  return <Card name="Storage" mood={mood} head={head} detail={detail.filter(Boolean).join(" ")} />;
}

const times = (n: number): string => (n === 1 ? "Once" : n === 2 ? "Twice" : `${fixed(n, 0)} times`);

const years = (n: number): string => (n >= 100 ? "over a hundred years" : n >= 2 ? `about ${fixed(n, 0)} years` : `about ${fixed(n * 12, 0)} months`);

function Card({ name, mood, head, detail }: { name: string; mood: Mood; head: string; detail: string }) {
  return (
    <section class={link.value === "live" ? "card" : "card old"} aria-label={name}>
      <i class={`dot ${link.value === "live" ? mood : "off"}`} />
      <div>
        <h2>{head}</h2>
        <p>{detail}</p>
      </div>
    </section>
  );
}

// The Banner lies over the page, so that nothing moves when it comes and goes.
export function Banner() {
  return (
    <div class={link.value === "lost" ? "banner shown" : "banner"}>
      <p>
        <span role="status">{link.value === "lost" ? "No connection to the gateway. These are the last values." : ""}</span>{" "}
        <span class="since">{link.value === "lost" ? `Lost ${span((now.value - lostAt.value) / 1000)} ago.` : ""}</span>
      </p>
      <button type="button" onClick={reconnect}>
        Try now
      </button>
    </div>
  );
}

function refusedWords(r: RefusedConfig): string {
  const [first = "", ...more] = r.errors;
  const why = sentence(first) + (more.length === 0 ? "" : more.length === 1 ? " (and one more problem)" : ` (and ${more.length} more problems)`);
  return `Configuration ${r.version} of the cloud ${r.state === "rolled_back" ? "was rolled back" : "was rejected"}, the one before it counts: ${why}`;
}

export function Footer() {
  const s = status.value;
  return (
    <footer>
      {s && (
        <p>
          Clock {clockWords[s.clock.quality] ?? s.clock.quality}. fieldgate {s.version}, up for{" "}
          {span(s.uptime_s + sinceStatus())}.{s.config?.version ? ` Configuration ${s.config.version} of the cloud${s.config.on_trial ? ", on trial" : ""}.` : ""}
        </p>
      )}
      {s?.config?.refused && <p class="refused">{refusedWords(s.config.refused)}</p>}
      <a href="assets/licenses.txt">Licences of the libraries in this page</a>
    </footer>
  );
}
