// The models that give the signals, and the pilot: what it may do, and what it did.
import { useState } from "preact/hooks";
import { ask, road } from "../api.js";
import { question } from "../dialog.jsx";
import { amount, fix, parsed, plain, UNKNOWN, when, whole, words } from "../format.js";
import { Answer, Badge, Card, Facts, Field, Pager, Table } from "../parts.jsx";
import { lackWords } from "../state.js";
import { useLoad, useStore } from "../store.js";

export function Models() {
  const { beat } = useStore();
  const [changed, again] = useState(0);
  const fresh = Math.floor(beat / 3) + changed * 1000;
  const models = useLoad("models", fresh);
  return (
    <>
      <h1>Models and pilot</h1>
      <div class="cards">
        <Card title="Models of the signals" size="half"><Answer of={models}>{(data) => <InForce data={data} />}</Answer></Card>
        <Pilot fresh={fresh} reload={() => again((n) => n + 1)} />
        <History />
      </div>
    </>
  );
}

function InForce({ data }) {
  const { state, in_force: one, refused } = data;
  const ids = Object.fromEntries((one?.names ?? []).map((name, index) => [name, one.ids?.[index] ?? ""]));
  const same = new Set((state?.models ?? []).map((row) => row.symbols.join(", "))).size === 1;
  return (
    <>
      {one ? <p>In force since {when(one.ts_ns)} UTC{one.alias && `, by the alias ${one.alias}`}.</p> : <p class="empty">No model is recorded in force.</p>}
      {refused && <p class="trouble">Refused at {when(refused.ts_ns)} UTC: {refused.reason || plain(refused.names)}</p>}
      <Table label="Models" rows={state?.models ?? []} keyOf={(row) => row.name} empty="The state of the models is not known." columns={[
        { name: "Model", cell: (row) => <b>{row.name}</b> },
        { name: "State", cell: (row) => (row.lacks.length ? <><Badge tone="warn">lacks</Badge> {lackWords(row)}</> : <Badge tone="good">ready</Badge>) },
        ...(same ? [] : [{ name: "Symbols", cell: (row) => row.symbols.join(", ") }]), { name: "Id", cell: (row) => <code title={ids[row.name]}>{(ids[row.name] ?? "").slice(0, 12) || UNKNOWN}</code> },
      ]} />
      {state && (
        <Facts of={[
          same && ["Symbols", state.models[0].symbols.join(", ")],
          ["Last signal", `${when(state.last_signal_ns)} UTC`], state.silence && ["No signal since, because", state.silence],
          state.failed_ns > 0 && ["Failed", `${when(state.failed_ns)} UTC`],
        ]} />
      )}
      {state?.least_equity?.length > 0 && (
        <>
          <h3>Least equity for one position of the least size</h3>
          <Table label="Least equity" rows={state.least_equity} keyOf={([symbol]) => symbol} columns={[
            { name: "Symbol", cell: ([symbol]) => <b>{symbol}</b> }, { name: "Least equity", unit: "USDT", num: true, cell: ([, least]) => fix(least) },
            { name: "Equity now", cell: ([, least]) => <Badge tone={least > state.equity ? "warn" : "good"}>{least > state.equity ? "too small" : "suffices"}</Badge> },
          ]} />
        </>
      )}
    </>
  );
}

const MODES = ["OFF", "SHADOW", "HYBRID", "PRIMARY"];

function Pilot({ fresh, reload }) {
  const settings = useLoad("pilot", fresh);
  const live = useLoad("rl-v3/dashboard/live-status", fresh);
  return (
    <Card title="Pilot" size="half">
      <Answer of={settings}>{(data) => (
        <>
          <p class="lead"><Badge tone={data.mode_in_force === "SHADOW" || data.mode_in_force === "OFF" ? "" : "good"}>{data.mode_in_force}</Badge> {data.sentence || "This run has no pilot; the settings hold for one that is started with it."}</p>
          {data.trouble && <p class="trouble">{data.trouble}</p>}
          {data.notice && <p class="note">{data.notice}</p>}
          <Answer of={live}>{(now) => (
            <Facts of={[
              ["Shadow decisions", whole(now.shadow_decisions)], ["Intents", `${whole(now.trade_intents_total)}, ${whole(now.trade_intents_executed)} executed`],
              ["Last decision", now.last_decision_at ? `${when(now.last_decision_at)} UTC` : "none"], ["Last intent", now.last_trade_intent_at ? `${when(now.last_trade_intent_at)} UTC` : "none"],
            ]} />
          )}</Answer>
          <h3>Settings</h3>
          <Table label="Settings of the pilot" rows={Object.entries(data.settings ?? {}).flatMap(([group, values]) => Object.entries(values).map(([name, value]) => [name, value, data.sources?.[`${group}.${name}`] ?? UNKNOWN]))} keyOf={([name]) => name} columns={[
            { name: "Setting", cell: ([name]) => words(name) }, { name: "Value", cell: ([, value]) => plain(value) },
            { name: "From", cell: ([, , source]) => source },
          ]} />
          <Change key={data.version} data={data} reload={reload} />
        </>
      )}</Answer>
    </Card>
  );
}

function Change({ data, reload }) {
  const now = data.settings?.["rl_v3.live"] ?? {};
  const [mode, setMode] = useState(now.mode ?? "SHADOW");
  const [least, setLeast] = useState(String(now.min_confidence ?? ""));
  const body = {};
  if (mode !== now.mode) body.mode = mode;
  if (least !== "" && Number(least) !== now.min_confidence) body.min_confidence = Number(least);
  const send = (event) => {
    event.preventDefault();
    question({
      title: "Change the pilot?", role: "owner", confirm: "Change it", danger: mode === "PRIMARY" || mode === "HYBRID", reason: "", then: reload,
      children: <>
        <ul class="plain-list">{Object.entries(body).map(([name, value]) => <li key={name}>{words(name)}: {plain(now[name])} → <b>{plain(value)}</b></li>)}</ul>
        {body.mode && (body.mode === "PRIMARY" || body.mode === "HYBRID") && <p>The pilot then trades with real orders of this run. It is recorded as done without evidence.</p>}
      </>,
      run: ({ reason, as }) => ask("pilot", { method: "PUT", body: { ...body, reason, version: data.version }, as }),
      done: "Changed. A running process takes it over at its next decision.",
    });
  };
  return (
    <form class="filters" onSubmit={send} aria-label="Change the pilot">
      <Field label="Mode"><select value={mode} onChange={(event) => setMode(event.target.value)}>{[...new Set([...MODES, now.mode].filter(Boolean))].map((one) => <option key={one}>{one}</option>)}</select></Field>
      <Field label="Least confidence (0 to 1)"><input type="number" min="0" max="1" step="0.01" value={least} onInput={(event) => setLeast(event.target.value)} /></Field>
      <button type="submit" disabled={!Object.keys(body).length}>Change …</button>
    </form>
  );
}

const LISTS = { models: ["models/history", "Models in force"], pilot: ["pilot/decisions", "Pilot's decisions"] };

function History() {
  const [list, pick] = useState("models");
  const [trail, go] = useState([]);
  const found = useLoad(road(LISTS[list][0], { limit: 25, before: trail.at(-1) }));
  const choose = <span class="choice" role="group" aria-label="History of">{Object.entries(LISTS).map(([name, [, title]]) => <button type="button" key={name} class="small" aria-pressed={list === name} onClick={() => { pick(name); go([]); }}>{title}</button>)}</span>;
  return (
    <Card title="History" size="wide" actions={choose}>
      <Answer of={found}>{({ rows, next }) => (
        <>
          <Table label="History" rows={rows} keyOf={(one) => `${one.producer}.${one.seq}`} empty={list === "models" ? "No model is recorded." : "The pilot has decided nothing in this run."} columns={list === "models" ? MODELS : PILOT} />
          {(next || trail.length > 0) && <Pager trail={trail} next={next} go={go} />}
        </>
      )}</Answer>
    </Card>
  );
}

const MODELS = [
  { name: "From (UTC)", cell: (one) => when(one.ts_ns) }, { name: "Role", cell: (one) => one.role },
  { name: "Models", cell: (one) => (one.names ?? []).join(", ") }, { name: "Before", cell: (one) => (one.before ?? []).join(", ") || UNKNOWN },
  { name: "Who", cell: (one) => one.actor || UNKNOWN }, { name: "Why", cell: (one) => one.reason || UNKNOWN },
];
const SKIPPED = new Set(["ts", "kind", "symbol", "trace_id", "day", "ts_ns", "received_ns", "producer", "seq", "event_id"]);
const PILOT = [
  { name: "Time (UTC)", cell: (one) => when(one.ts_ns) },
  { name: "What", cell: (one) => Object.entries(one).filter(([name, value]) => !SKIPPED.has(name) && value !== null).map(([name, value]) => `${words(name)}: ${typeof value === "number" ? amount(value) : plain(parsed(value, value))}`).join("; ") },
];
