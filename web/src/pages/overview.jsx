// What the run is, what it holds, and why it does what it does.
import { useMemo, useState } from "preact/hooks";
import { road } from "../api.js";
import { Chart } from "../chart.jsx";
import { amount, fix, millis, parsed, plus, span, UNKNOWN, when, whole, words } from "../format.js";
import { Answer, Badge, Card, Facts, Field, side, Table, Tile, tone } from "../parts.jsx";
import { ageOf, lackWords, stateOf } from "../state.js";
import { askToClose, askToHalt, askToLock, askToResume, askToUnlock } from "../stop.jsx";
import { useLoad, useStore } from "../store.js";

export function Overview({ theme }) {
  const { status, read_ms, beat, events } = useStore();
  if (!status) return <p class="empty" role="status">Reading the state of the run …</p>;
  return (
    <>
      <h1>Overview</h1>
      {status.problems.length > 0 && (
        <section class="problems" aria-label="Needs a person">
          <h2>Needs a person</h2>
          <ul>{status.problems.map((one) => <li key={one}>{one}</li>)}</ul>
        </section>
      )}
      <Tiles status={status} />
      <div class="cards">
        <StateCard status={status} read_ms={read_ms} />
        <LastTrade beat={beat} />
        <Idle status={status} />
        <Safety status={status} />
        <Equity beat={status.equity_ns} theme={theme} />
        <Positions status={status} />
        <Funnel status={status} beat={beat} />
        <PolicyCard beat={beat} />
        {events.length > 0 && <Events events={events} />}
      </div>
    </>
  );
}

function Tiles({ status }) {
  const { result } = status;
  return (
    <div class="tiles">
      <Tile name="Equity" value={fix(status.equity)} unit="USDT" note={status.equity_ns ? `at ${when(status.equity_ns)} UTC` : null} />
      <Tile name="Profit since the start" value={plus(result?.profit)} unit="USDT" tone={tone(result?.profit)} note={result ? `${plus(result.return_pct)} % of ${fix(result.start_equity, 0)} USDT` : null} />
      <Tile name="Drawdown now" value={fix(result?.drawdown_pct)} unit="%" note={result ? `deepest ${fix(result.deepest_drawdown_pct)} %` : null} />
      <Tile name="Open positions" value={whole(status.positions.length)} note={`${whole(status.orders.length)} orders at rest`} />
      <Tile name="Governor" value={status.governor ?? UNKNOWN} tone={status.governor === "NORMAL" ? "" : "warn"} note={status.entries_halted ? "entries are halted" : "entries may be opened"} />
    </div>
  );
}

function StateCard({ status, read_ms }) {
  const { tone: mood, text } = stateOf(status);
  const age = ageOf(status, read_ms);
  return (
    <Card title="State">
      <p class="lead"><Badge tone={mood}>{text}</Badge> {sentence(status)}</p>
      <Facts of={[
        ["Kind", `${status.kind}, ${status.mode}`], ["Venue", status.endpoint || UNKNOWN],
        ["Process", status.alive ? `alive${status.pid ? `, pid ${status.pid}` : ""}` : "none"],
        ["Figures from", `${status.source}, ${when(status.as_of_ns)} UTC`],
        age !== null && ["Written", `${span(age)} ago`],
        status.last_event_age_s !== null && ["Last market event", `${span(status.last_event_age_s)} ago`],
        status.pilot && ["Pilot", status.pilot],
        status.pending_requests.length > 0 && ["Requests waiting", status.pending_requests.map((one) => `${one.action} (${one.actor})`).join(", ")],
        ["Folder", status.state],
      ]} />
    </Card>
  );
}

function sentence(status) {
  if (status.alive) return status.kind === "replay" ? "A replay runs." : "The process is alive.";
  if (status.kind === "nothing") return "Nothing has run in this folder yet.";
  return status.kind === "replay" ? `The replay has ended; its market time stands at ${when(status.as_of_ns)} UTC.` : "No process runs on this folder.";
}

function LastTrade({ beat }) {
  const found = useLoad("trades?limit=1", beat);
  return (
    <Card title="Last trade">
      <Answer of={found}>{({ rows: [one] }) => (one ? (
        <>
          <p class="lead"><b>{one.symbol}</b> {side(one.side)} <span class={tone(one.pnl)}>{plus(one.pnl)} USDT</span> {one.r_multiple !== null && <span class={tone(one.pnl)}>({plus(one.r_multiple)} R)</span>}</p>
          <Facts of={[
            ["Closed", `${when(one.exit_ns)} UTC, by ${words(one.exit_reason)}`], ["Opened", `${when(one.entry_ns)} UTC`],
            ["Price", `${amount(one.entry_price)} → ${amount(one.exit_price)} USDT`],
            ["Fees, funding", `${fix(one.fees)} and ${plus(one.funding)} USDT`], ["Market at entry", words(one.regime_entry)],
          ]} />
          {one.trace_id && <p><a href={`#/decisions/${encodeURIComponent(one.trace_id)}`}>Why it was opened</a></p>}
        </>
      ) : <p class="empty">No trade has ended yet.</p>)}</Answer>
    </Card>
  );
}

function Equity({ beat, theme }) {
  const found = useLoad("equity?points=2000", beat);
  return (
    <Card title="Equity and drawdown" size="wide" note="UTC; drag to zoom, double click to go back">
      <Answer of={found}>{(data) => <EquityCharts data={data} theme={theme} />}</Answer>
    </Card>
  );
}

const asMoney = (value) => whole(value);
const asShare = (value) => `${fix(value, 1)} %`;
const EQUITY = [{ label: "Equity, USDT", colour: "--accent", fill: "--accent-wash" }];
const DRAWDOWN = [{ label: "Drawdown, %", colour: "--down", fill: "--down-wash" }];

function EquityCharts({ data, theme }) {
  const [equity, drawdown] = useMemo(() => {
    const seconds = data.points.map((one) => Math.round(millis(one.ts_ns) / 1000));
    return [[seconds, data.points.map((one) => one.equity)], [seconds, data.points.map((one) => one.drawdown * 100)]];
  }, [data]);
  if (data.points.length < 2) return <p class="empty">The books have no history yet: a point is kept every hour.</p>;
  const last = data.points.at(-1);
  return (
    <>
      <Chart label={`Equity from ${whole(data.start_equity)} to ${whole(last.equity)} USDT`} data={equity} series={EQUITY} format={asMoney} sync="equity" theme={theme} height={230} />
      <Chart label={`Drawdown, at the end ${fix(last.drawdown * 100)} %`} data={drawdown} series={DRAWDOWN} format={asShare} sync="equity" theme={theme} height={130} />
    </>
  );
}

function Positions({ status }) {
  const columns = [
    { name: "Symbol", cell: (one) => <b>{one.symbol}</b> },
    { name: "Side", cell: (one) => side(one.side) },
    { name: "Quantity", num: true, cell: (one) => amount(one.qty) },
    { name: "Entry", unit: "USDT", num: true, cell: (one) => amount(one.entry_price) },
    { name: "Mark", unit: "USDT", num: true, cell: (one) => (one.mark_price ? amount(one.mark_price) : UNKNOWN) },
    { name: "Stop", unit: "USDT", num: true, cell: (one) => (one.stop ? amount(one.stop) : UNKNOWN) },
    { name: "To the stop", unit: "%", num: true, cell: (one) => toStop(one) },
    { name: "Protected", cell: (one) => (one.protected ? "yes" : <Badge tone="bad">no stop</Badge>) },
    { name: "Action", cell: (one) => (one.traded ? <button type="button" class="small" disabled={!status.alive} title={status.alive ? "" : "No process runs"} aria-label={`Close ${one.symbol}`} onClick={() => askToClose(one.symbol)}>Close</button> : "not ours") },
  ];
  return (
    <Card title="Positions" size="wide" note={`as of ${when(status.as_of_ns)} UTC`}>
      <Table label="Positions" columns={columns} rows={status.positions} empty="No position is open." keyOf={(one) => one.symbol} />
      {status.positions.some((one) => !one.mark_price) && <p class="note">Where the mark price is not known, the distance to the stop is that from the entry.</p>}
    </Card>
  );
}

function toStop(one) {
  const from = one.mark_price || one.entry_price;
  return one.stop && from ? fix((Math.abs(from - one.stop) / from) * 100, 1) : UNKNOWN;
}

const DAY_NS = 86_400_000_000_000n;
const WINDOWS = [["All", 0n], ["30 days", 30n], ["7 days", 7n], ["1 day", 1n]];

function funnelQuery(since) {
  const after = since ? ` and ts_ns >= ${since}` : "";
  const count = (view, where) => `(select count(*) from ${view} where ${where}${after})`;
  return `select ${count("signals", "true")} as signals,
  (select count(*) from signal_gates where len(list_filter(from_json(gates, '[{"passed":"BOOLEAN","measured":"BOOLEAN"}]'), lambda g: g.measured and not g.passed)) = 0${after}) as gates,
  ${count("verdicts", "verdict = 'ALLOW'")} as policy,
  ${count("decisions", "decision = 'ALLOWED'")} as allowed,
  ${count("intents", "not reduce_only")} as intents,
  ${count("refusals", "true")} as refused,
  ${count("orders", "kind = 'order.submitted' and not reduce_only")} as orders,
  ${count("trades", "true")} as trades`;
}

function Funnel({ status, beat }) {
  const [days, setDays] = useState(0n);
  const slow = Math.floor(beat / 5); // counts over the whole journal are read every ten seconds at most
  const now = status.equity_ns || status.as_of_ns;
  const since = days ? BigInt(Math.floor(now / 1e9)) * 1_000_000_000n - days * DAY_NS : 0n;
  const query = funnelQuery(days ? since - (since % 3_600_000_000_000n) : 0n);
  const found = useLoad("journal/sql", slow, { method: "POST", body: { query } });
  const choose = <span class="choice" role="group" aria-label="Time">{WINDOWS.map(([name, value]) => <button type="button" key={name} class="small" aria-pressed={days === value} onClick={() => setDays(value)}>{name}</button>)}</span>;
  return (
    <Card title="From signals to trades" size="half" actions={choose}>
      <Answer of={found}>{({ rows: [one] }) => {
        const steps = [
          ["Signals", one.signals, "forecasts of the models"],
          ["Gates passed", one.gates, "every measured gate, also those that only observe"],
          ["Policy would allow", one.policy, "if all of it were enforced"],
          ["Allowed", one.allowed, "by what is enforced now"],
          ["Guard passed", one.intents - one.refused, "opening intents less refusals"],
          ["Orders", one.orders, "opening orders sent"],
          ["Trades", one.trades, "round trips that have ended"],
        ];
        const most = Math.max(1, ...steps.map(([, value]) => value));
        return (
          <ol class="funnel">
            {steps.map(([name, value, note]) => (
              <li key={name}>
                <span class="name">{name}<small>{note}</small></span>
                <span class="bar" aria-hidden="true"><i style={{ width: `${(Math.max(0, value) / most) * 100}%` }} /></span>
                <span class="count">{whole(value)}</span>
              </li>
            ))}
          </ol>
        );
      }}</Answer>
      <p><a href={`#/journal?q=${encodeURIComponent(query)}`}>The question in SQL</a></p>
    </Card>
  );
}

function PolicyCard({ beat }) {
  const found = useLoad("policy", beat);
  const rollout = useLoad("rollout", Math.floor(beat / 5));
  return (
    <Card title="Policy in force" size="half" actions={rollout.data && <Badge tone={rollout.data.enforced.length ? "good" : ""}>{rollout.data.enforced.length ? `enforced: ${rollout.data.enforced.map(words).join(", ")}` : "observes, enforces nothing"}</Badge>}>
      <Answer of={found}>{({ policy: one }) => (one ? (
        <>
          <p class="lead"><Badge tone={one.allow_new_trades ? "good" : "warn"}>{one.allow_new_trades ? "new trades allowed" : "no new trades"}</Badge> {words(one.risk_profile) !== "no new trades" && words(one.risk_profile)}</p>
          <Facts of={[
            ["Since", `${when(one.ts_ns)} UTC`], ["Risk a trade", `${fix(one.risk_pct)} % of equity`], ["Least confidence", fix(one.min_confidence)],
            ["Entry, exit", `${words(one.entry_mode)}, ${words(one.exit_mode)}`], ["Most positions", whole(one.max_open_positions)],
          ]} />
          <h3>Why</h3>
          <ul class="plain-list">{parsed(one.rules, []).map((rule, index) => <li key={index}><b>{rule.rule}</b> {rule.why}: {words(rule.field)} {rule.before} → {rule.after}</li>)}</ul>
        </>
      ) : <p class="empty">No policy has been recorded yet.</p>)}</Answer>
    </Card>
  );
}

function Safety({ status }) {
  return (
    <Card title="Governor and halts" actions={<><button type="button" class="small" onClick={askToHalt}>Halt</button> <button type="button" class="small" onClick={askToResume}>Resume</button></>}>
      <p class="lead"><Badge tone={status.governor === "NORMAL" ? "good" : "warn"}>{status.governor ?? "not known"}</Badge> {status.entries_halted ? `No new position: ${status.entries_halted}` : "No halt keeps new positions from being opened."}</p>
      <Table label="Halts in force" rows={status.halts} empty="No halt is in force." columns={[
        { name: "Halt", cell: (one) => <b>{words(one.kind)}</b> }, { name: "Why", cell: (one) => one.reason },
        { name: "Since (UTC)", cell: (one) => when(one.since_ns) }, { name: "How it ends", cell: (one) => one.exit_path || UNKNOWN },
        ...(locked(status).length ? [{ name: "Action", cell: (one) => one.kind.startsWith(LOCK) && <button type="button" class="small" aria-label={`Unlock ${one.kind.slice(LOCK.length)}`} onClick={() => askToUnlock(one.kind.slice(LOCK.length))}>Unlock</button> }] : []),
      ]} />
      <LockForm symbols={symbolsOf(status)} />
    </Card>
  );
}

const LOCK = "lock "; // a halt of one symbol is of the kind "lock BTCUSDT"
const HOURS = [[1, "1 hour"], [4, "4 hours"], [24, "1 day"], [168, "7 days"]];
const locked = (status) => status.halts.filter((one) => one.kind.startsWith(LOCK));
const symbolsOf = (status) => [...new Set([...(status.models?.models ?? []).flatMap((one) => one.symbols), ...status.positions.filter((one) => one.traded).map((one) => one.symbol)])].sort();

function LockForm({ symbols }) {
  const [picked, pick] = useState("");
  const [hours, setHours] = useState(HOURS[0][0]);
  const symbol = symbols.includes(picked) ? picked : symbols[0];
  if (!symbol) return null;
  return (
    <form class="filters" aria-label="Lock a symbol" onSubmit={(event) => { event.preventDefault(); askToLock(symbol, hours, HOURS.find(([one]) => one === hours)[1]); }}>
      <Field label="Open nothing in"><select value={symbol} onChange={(event) => pick(event.target.value)}>{symbols.map((one) => <option key={one}>{one}</option>)}</select></Field>
      <Field label="For"><select value={hours} onChange={(event) => setHours(Number(event.target.value))}>{HOURS.map(([one, text]) => <option key={one} value={one}>{text}</option>)}</select></Field>
      <button type="submit">Lock …</button>
    </form>
  );
}

/** Why nothing is happening, from the nearest cause to the farthest. */
function reasons(status) {
  const found = [];
  if (!status.alive) found.push(status.kind === "replay" ? "No process runs: the replay has ended." : "No process runs on this folder. Start it with `quantum-trader live` or `run`.");
  if (status.entries_halted) found.push(`New entries are halted: ${status.entries_halted}.`);
  if (status.governor && status.governor !== "NORMAL") found.push(`The safety governor is at ${status.governor}.`);
  const models = status.models;
  if (models) {
    if (models.failed_ns) found.push(`The models failed at ${when(models.failed_ns)} UTC.`);
    for (const one of models.models) if (one.lacks.length) found.push(`Model ${one.name} has ${lackWords(one)}.`);
    if (models.silence) found.push(`No signal since ${when(models.last_signal_ns)} UTC: ${models.silence}.`);
    const small = models.least_equity.filter(([, least]) => models.equity && least > models.equity).map(([symbol]) => symbol);
    if (small.length) found.push(`The equity is too small for ${small.join(", ")}.`);
  }
  return found;
}

function Idle({ status }) {
  const symbols = symbolsOf(status);
  const [symbol, setSymbol] = useState("");
  const at = millis(status.equity_ns || status.as_of_ns);
  const path = symbol && Number.isFinite(at) ? road("why-not", { symbol, at: new Date(Math.floor(at / 1000) * 1000).toISOString() }) : null;
  const found = useLoad(path);
  const list = reasons(status);
  return (
    <Card title="Why is nothing happening?">
      {list.length ? <ul class="plain-list">{list.map((one) => <li key={one}>{one}</li>)}</ul> : <p>Nothing keeps the run from trading: it waits for the next signal.</p>}
      {symbols.length > 0 && (
        <>
          <div class="choice" role="group" aria-label="Ask of a symbol">{symbols.map((one) => <button type="button" key={one} class="small" aria-pressed={symbol === one} onClick={() => setSymbol(one === symbol ? "" : one)}>{one}</button>)}</div>
          {path && <Answer of={found}>{(why) => <><p>{why.summary}</p>{why.what_to_change.length > 0 && <ul class="plain-list">{why.what_to_change.slice(0, 5).map((one) => <li key={one}>{one}</li>)}</ul>}</>}</Answer>}
        </>
      )}
    </Card>
  );
}

function Events({ events }) {
  return (
    <Card title="What just happened" size="wide">
      <Table label="Newest events" rows={events.slice(0, 12)} keyOf={(one) => `${one.producer}.${one.seq}`} columns={[
        { name: "Time (UTC)", cell: (one) => when(one.ts_ns, true) }, { name: "Event", cell: (one) => one.kind },
        { name: "Symbol", cell: (one) => one.symbol || UNKNOWN },
        { name: "Decision", cell: (one) => (one.trace_id ? <a href={`#/decisions/${encodeURIComponent(one.trace_id)}`}>{one.trace_id}</a> : UNKNOWN) },
      ]} />
    </Card>
  );
}
