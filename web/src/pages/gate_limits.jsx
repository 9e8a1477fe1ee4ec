// The limits of the gates: what a change would have done to the signals on record, then the change.
import { useState } from "preact/hooks";
import { ask } from "../api.js";
import { question } from "../dialog.jsx";
import { fix, plus, UNKNOWN, whole, words } from "../format.js";
import { Answer, Card, Field, Table, Trouble } from "../parts.jsx";
import { isReadOnly, useLoad } from "../store.js";

const MODES = ["auto", "scalp", "runner", "trend"];
const LIMITS = [ // of a mode: key, words, unit
  ["max_spread_bps", "Most spread", "basis points"], ["min_volume_ratio", "Least volume", "of the 24-hour average"],
  ["regimes", "Market states", "TRENDING, RANGING, UNKNOWN; or ANY"], ["margin_bps", "Return after costs, at least", "basis points"],
  ["min_confidence", "Least confidence", "0 to 1"], ["min_win_probability", "Least probability of a win", "0 to 1; 0 is break-even"],
];
const text = (value) => (Array.isArray(value) ? value.join(", ") : value === null || value === undefined ? "" : String(value));

/** Every setting that may be changed here, as text, by its dotted key. */
function flat(settings, modes) {
  const found = { mode: settings.mode, high_volatility_factor: text(settings.high_volatility_factor) };
  for (const mode of modes) for (const [key] of LIMITS) found[`${mode}.${key}`] = text(settings[mode][key]);
  return found;
}

export function GateLimits() {
  const [changed, again] = useState(0);
  const found = useLoad("gates", changed);
  return (
    <Card title="Limits of the gates" size="wide" note="what each gate lets through; whether it refuses is changed under Policy">
      <Answer of={found}>{(data) => <Limits key={data.revision} data={data} reload={() => again((n) => n + 1)} />}</Answer>
    </Card>
  );
}

function Limits({ data, reload }) {
  const now = flat(data.settings, data.modes);
  const [form, setForm] = useState(now);
  const [shown, show] = useState({ preview: null, of: "", error: null, busy: false });
  const values = Object.fromEntries(Object.entries(form).filter(([key, value]) => value.trim() !== now[key]));
  const key = JSON.stringify(values), count = Object.keys(values).length;
  const preview = shown.of === key ? shown.preview : null; // of other values it says nothing
  const errors = shown.preview?.errors ?? {};
  async function look(event) {
    event.preventDefault();
    show({ ...shown, error: null, busy: true });
    try {
      show({ preview: await ask("gates/preview", { method: "POST", body: { values } }), of: key, error: null, busy: false });
    } catch (error) {
      show({ preview: null, of: key, error, busy: false });
    }
  }
  const apply = () => question({
    title: "Change the limits of the gates?", role: "owner", confirm: "Change them", reason: "", then: reload,
    children: <>
      <p>From the next decision on these limits judge every signal. A gate that only observes refuses nothing by them.</p>
      <Changes preview={preview} />
    </>,
    run: ({ reason, as }) => ask("gates", { method: "PUT", body: { values, reason }, as }),
    done: "Changed, and recorded with who and why. A running process takes it over at its next look.",
  });
  const control = (name, label, hint, input) => {
    const error = errors[name];
    const Input = input ?? <input value={form[name]} inputMode="decimal" spellcheck={false} />;
    return (
      <div class={`limit${error ? " wrong" : ""}`} key={name}>
        <Field label={label} hint={error ?? hint}>{{ ...Input, props: { ...Input.props, "aria-invalid": error ? "true" : undefined, disabled: isReadOnly(), onInput: (event) => setForm({ ...form, [name]: event.target.value }) } }}</Field>
      </div>
    );
  };
  return (
    <form onSubmit={look} aria-label="Limits of the gates">
      <div class="limits">
        {control("mode", "Mode", "auto: trend for models whose score holds positions, else scalp", <select value={form.mode}>{MODES.map((one) => <option key={one}>{one}</option>)}</select>)}
        {control("high_volatility_factor", "Margin in high volatility", "times the return asked for, 1 to 10")}
      </div>
      {data.modes.map((mode) => (
        <fieldset key={mode}>
          <legend>{`Mode ${mode}`}</legend>
          <div class="limits">{LIMITS.map(([name, label, hint]) => control(`${mode}.${name}`, label, hint))}</div>
        </fieldset>
      ))}
      {shown.error && <Trouble error={shown.error} />}
      {Object.keys(errors).length > 0 && <p class="trouble" role="alert">{whole(Object.keys(errors).length)} {Object.keys(errors).length === 1 ? "setting is" : "settings are"} not usable; what is wrong stands below its field.</p>}
      {preview && !Object.keys(errors).length && <Effect preview={preview} />}
      {isReadOnly() ? <p class="note">Changing them needs a token of an owner.</p> : (
        <div class="buttons left">
          <button type="submit" disabled={!count || shown.busy}>{shown.busy ? "Counting …" : "Show the effect"}</button>
          <button type="button" class="main" disabled={!preview || Object.keys(errors).length > 0} onClick={apply}>Change …</button>
          {count > 0 && <button type="button" onClick={() => { setForm(now); show({ preview: null, of: "", error: null, busy: false }); }}>Undo</button>}
          {!count && <span class="note">Change a value to see its effect.</span>}
        </div>
      )}
    </form>
  );
}

function Changes({ preview }) {
  return <ul class="plain-list">{Object.keys(preview.after).map((key) => <li key={key}>{words(key.replaceAll(".", ": "))}: {text(preview.before[key]) || "none"} → <b>{text(preview.after[key]) || "none"}</b></li>)}</ul>;
}

const share = (one) => (one?.value === null || one?.value === undefined ? UNKNOWN : `${fix(one.value * 100, 1)} %`);
const inR = (one) => (one?.value === null || one?.value === undefined ? UNKNOWN : `${plus(one.value, 3)} R`);
const bps = (value) => (value === null || value === undefined ? UNKNOWN : plus(value, 1));

/** What the change would have done: by all enforced gates, by each gate, and by each threshold alone. */
function Effect({ preview }) {
  const { effect, thresholds } = preview;
  return (
    <section class="effect" aria-label="Effect of the change">
      <h3>The change</h3>
      <Changes preview={preview} />
      {!effect ? <p class="empty">No signal is on record yet, so its effect cannot be counted.</p> : (
        <>
          <h3>What it would have done to the {whole(effect.signals)} signals on record</h3>
          <Table label="Effect on the signals" rows={[["All enforced gates", effect], ...effect.by_gate.map((one) => [words(one.gate), one])]} keyOf={([name]) => name} columns={[
            { name: "Gate", cell: ([name]) => <b>{name}</b> },
            { name: "Passed before", num: true, cell: ([, one]) => share(one.before.passed) }, { name: "Passed after", num: true, cell: ([, one]) => share(one.after.passed) },
            { name: "Mean before", num: true, cell: ([, one]) => inR(one.before.mean_r) }, { name: "Mean after", num: true, cell: ([, one]) => inR(one.after.mean_r) },
          ]} />
          {effect.by_gate.length === 0 && <p class="note">No gate would have judged any of them otherwise.</p>}
          {thresholds.length > 0 && (
            <>
              <h3>Each threshold by itself, as <code>gates advice</code> counts it</h3>
              <Table label="Effect of each threshold" rows={thresholds} keyOf={(one) => `${one.gate}${one.before.value}`} columns={[
                { name: "Gate", cell: (one) => <b>{words(one.gate)}</b> }, { name: "Limit", cell: (one) => `${one.before.value} → ${one.after.value}` },
                { name: "Signals", num: true, cell: (one) => whole(one.after.signals) }, { name: "Passed", num: true, cell: (one) => `${whole(one.before.passed)} → ${whole(one.after.passed)}` },
                { name: "Mean of the passed", unit: "bps", num: true, cell: (one) => `${bps(one.before.mean_bps)} → ${bps(one.after.mean_bps)}` },
                { name: "Difference a signal", unit: "bps", num: true, cell: (one) => `${bps(one.after.difference_bps)}${one.after.low_bps === null ? "" : ` (${bps(one.after.low_bps)} … ${bps(one.after.high_bps)})`}` },
              ]} />
              <p class="note">After costs and funding, of shadow trades. The interval is one of 95 %; without one there are too few signals, and the difference may be luck.</p>
            </>
          )}
        </>
      )}
    </section>
  );
}
