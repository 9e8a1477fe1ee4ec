// STOP: one click, one question that says what will happen, then the steps as they are taken.
import { useEffect, useState } from "preact/hooks";
import { ask } from "./api.js";
import { question } from "./dialog.jsx";
import { amount, fix, when } from "./format.js";
import { Badge, Trouble } from "./parts.jsx";
import { atVenue, hasEnded } from "./state.js";
import { store, useStore } from "./store.js";

const POLL_MS = 500;
const TITLE = "Stop everything?";
const REQUESTED = "Requested. A running process acts on it within a second; otherwise its next start does.";

/** What STOP does for a run of this status. */
export function whatStopDoes(status) {
  if (!status) return "The state of the run is not known. Every position is closed and every order of the run cancelled: by its process, or at the venue from this server where the process hangs or is dead. Nothing new is opened until it is resumed.";
  if (status.alive && atVenue(status)) return "The process is asked to close every position at the market and to cancel its orders. If it takes no request and shows no life for 10 s, it is killed and everything is closed at the venue from this server. Nothing new is opened until it is resumed.";
  if (status.alive) return "The process closes every position on paper at its next bar and cancels its orders. Nothing new is opened until it is resumed.";
  if (atVenue(status)) return "No process runs. This server closes every position at the venue at the market and cancels the orders of the run, with the API keys it was given. Nothing new is opened until it is resumed.";
  return "No process runs, and the account is on paper: there is nothing at a venue. The request waits; the next start closes every position first and opens nothing until it is resumed.";
}

function Consequence() {
  const { status } = useStore();
  return (
    <>
      <p>{whatStopDoes(status)}</p>
      {status?.positions.length > 0 && (
        <ul class="plain-list">
          {status.positions.map((one) => <li key={one.symbol}><b>{one.symbol}</b> {one.side} {amount(one.qty)}</li>)}
        </ul>
      )}
      {status && !status.positions.length && <p>No position is open as far as this page knows.</p>}
    </>
  );
}

const TONES = { running: "warn", done: "good", requested: "warn", failed: "bad", none: "" };

/** The steps of the stop, read until it has ended. */
export function Progress() {
  const [found, set] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    let timer = 0, over = false;
    const read = async () => {
      try {
        const now = await ask("flatten");
        if (over) return;
        set(now);
        setError(null);
        if (now.state === "running") timer = setTimeout(read, POLL_MS);
      } catch (problem) {
        if (over) return;
        setError(problem);
        timer = setTimeout(read, POLL_MS * 4);
      }
    };
    read();
    return () => { over = true; clearTimeout(timer); };
  }, []);
  if (!found) return error ? <Trouble error={error} /> : <p role="status">Reading …</p>;
  return (
    <div class="progress" aria-live="polite">
      <p><Badge tone={TONES[found.state]}>{found.state}</Badge> {found.text} <span class="note">{fix(found.took_s, 1)} s</span></p>
      <ol class="steps">
        {found.steps.map((step, index) => <li key={index}><time>{when(step.ts_ns, true).slice(11)}</time> {step.text}</li>)}
      </ol>
      {found.state === "running" && <p class="note">It goes on when this window is closed.</p>}
      {error && <Trouble error={error} />}
    </div>
  );
}

const send = ({ reason, as }) => ask("flatten", { method: "POST", body: { reason: reason || "STOP" }, as });

const Nothing = () => <p>This replay has finished: no process runs, its orders and positions were on paper, and nothing more will happen. There is nothing to stop, to halt or to close. STOP is for a run in progress.</p>;

export function askToStop() {
  if (store.status && hasEnded(store.status)) question({ title: "Nothing to stop", begun: true, after: Nothing, reason: null });
  else question({
    title: TITLE, children: <Consequence />, confirm: "Stop everything now", danger: true, reason: null,
    run: (given) => send({ ...given, reason: "STOP from the dashboard" }), after: Progress,
  });
}

/** Shows a stop that is in progress already, from this page or another. */
export async function resumeProgress() {
  try {
    const found = await ask("flatten");
    if (found.state === "running" && !store.dialog) question({ title: "Stopping", begun: true, after: Progress, reason: null });
  } catch {
    // the page says by itself that the server does not answer
  }
}

export function askToHalt() {
  question({
    title: "Halt new entries?", confirm: "Halt", reason: "halt from the dashboard",
    children: <p>No new position is opened until it is resumed. Positions stay, with their stops; they are still reduced and closed.</p>,
    run: ({ reason, as }) => ask("halt", { method: "POST", body: { reason }, as }),
    done: REQUESTED,
  });
}

export function askToResume() {
  question({
    title: "Resume?", confirm: "Resume", reason: "resume from the dashboard",
    children: <p>The halt, an EMERGENCY of the governor and a stop after a losing streak end. New positions may be opened again.</p>,
    run: ({ reason, as }) => ask("resume", { method: "POST", body: { reason }, as }),
    done: REQUESTED,
  });
}

export function askToClose(symbol) {
  question({
    title: `Close ${symbol}?`, confirm: "Close the position", reason: "closed from the dashboard", danger: true,
    children: <p>The running process closes the position in {symbol} at the market and cancels its stop. The others stay.</p>,
    run: ({ reason, as }) => ask(`positions/${encodeURIComponent(symbol)}/close`, { method: "POST", body: { reason }, as }),
    done: "Asked. The position disappears from the list once it is closed.",
  });
}

/** *hours*: how long nothing is opened in *symbol*, counted from the confirmation. */
export function askToLock(symbol, hours, text) {
  question({
    title: `Lock ${symbol}?`, confirm: "Lock it", reason: "locked from the dashboard",
    children: <p>Nothing is opened in {symbol} for {text}; an open position is still managed and closed. A lock that {symbol} has already is replaced. It ends with the first bars at its time.</p>,
    run: ({ reason, as }) => ask(`symbols/${encodeURIComponent(symbol)}/lock`, { method: "POST", body: { reason, until: new Date(Date.now() + hours * 3_600_000).toISOString() }, as }),
    done: REQUESTED,
  });
}

export function askToUnlock(symbol) {
  question({
    title: `Unlock ${symbol}?`, confirm: "Unlock it", reason: "unlocked from the dashboard",
    children: <p>Positions in {symbol} may be opened again.</p>,
    run: ({ reason, as }) => ask(`symbols/${encodeURIComponent(symbol)}/unlock`, { method: "POST", body: { reason }, as }),
    done: REQUESTED,
  });
}
