// The time that is shown: a slider over the run's history, a field, and the way back to now.
import { useEffect, useRef, useState } from "preact/hooks";
import { when } from "./format.js";
import { change, HOUR_MS, ofMillis, spanOf, timeOf } from "./time.js";

const WAIT_MS = 250; // after the last movement of the slider

/** *at*: the time that is shown, empty for now. */
export function TimeBar({ at, status }) {
  const span = spanOf(status);
  const [moving, move] = useState(null); // milliseconds while the slider is moved
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  useEffect(() => move(null), [at]);
  if (!span) return at ? <p class="timebar as-of" role="status">As of {when(at)} UTC. <Now /></p> : null;
  const shown = moving ?? (at ? Date.parse(`${at}Z`) : span.last);
  const go = (ms, wait) => {
    const to = Math.min(span.last, Math.max(span.first, ms));
    move(to);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => change({ t: ofMillis(to) }), wait);
  };
  const steps = [["Week back", -168], ["Day back", -24], ["Hour back", -1], ["Hour on", 1], ["Day on", 24], ["Week on", 168]];
  return (
    <section class={`timebar${at ? " as-of" : ""}`} aria-label="Time that is shown">
      <p role="status">{at ? <><b>As of {when(at)} UTC</b>, from the journal. STOP acts on now. <Now /></> : <>Now. Move the slider to see the run as it was.</>}</p>
      <label class="scrub"><span>{when(span.first * 1e6)}</span>
        <input type="range" min={span.first} max={span.last} step={HOUR_MS} value={shown} aria-label="Time of the market (UTC)" aria-valuetext={`${when(shown * 1e6)} UTC`} onInput={(event) => go(Number(event.target.value), WAIT_MS)} />
        <span>{when(span.last * 1e6)}</span>
      </label>
      <div class="choice" role="group" aria-label="Move the time">
        {steps.map(([name, hours]) => <button type="button" class="small" key={name} disabled={hours < 0 ? shown <= span.first : shown >= span.last} onClick={() => go(shown + hours * HOUR_MS, 0)}>{name}</button>)}
        <label class="at"><span>Time (UTC)</span><input type="datetime-local" value={ofMillis(shown)} min={ofMillis(span.first)} max={ofMillis(span.last)} onChange={(event) => { if (timeOf(event.target.value)) go(Date.parse(`${timeOf(event.target.value)}Z`), 0); }} /></label>
      </div>
    </section>
  );
}

const Now = () => <button type="button" class="small main" onClick={() => change({ t: "" })}>Back to now</button>;
