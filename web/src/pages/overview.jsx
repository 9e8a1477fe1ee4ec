// What the run is, what it holds, and why it does what it does.
import { useMemo, useState } from "preact/hooks";
import { road } from "../api.js";
import { Chart } from "../chart.jsx";
import { amount, fix, lackWords, millis, parsed, plus, reasonWords, span, UNKNOWN, when, whole, words } from "../format.js";
import { Answer, Badge, Card, Facts, Field, Metric, side, Table, Tile, tone } from "../parts.jsx";
import { ageOf, hasEnded, stateOf } from "../state.js";
import { askToClose, askToHalt, askToLock, askToResume, askToUnlock } from "../stop.jsx";
import { isReadOnly, useLoad, useStore } from "../store.js";
import { address } from "../time.js";

export function Overview({ theme, at }) {
  const { status, read_ms, beat, events } = useStore();
  if (at) return <><h1>Overview</h1><Past at={at} theme={theme} /></>;
  if (!status) return <p class="empty" role="status">Reading the state of the run …</p>;
  return (
    <>
      <h1>Overview</h1>
      {status.problems.length > 0 && (
        <section class="problems" aria-label="Problems">
          <h2>Problems</h2>
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
        <Positions positions={status.positions} as_of={status.as_of_ns} status={status} />
        <Funnel beat={beat} />
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
      <Tile name="Equity" metric="status_equity" value={fix(status.equity)} unit="USDT" note={status.equity_ns ? `at ${when(status.equity_ns)} UTC` : null} />
      <Tile name="Profit since the start" metric="status_profit" value={plus(result?.profit)} unit="USDT" tone={tone(result?.profit)} note={result ? `${plus(result.return_pct)} % of ${fix(result.start_equity, 0)} USDT` : null} />
      <Tile name="Drawdown now" metric="status_drawdown" value={fix(result?.drawdown_pct)} unit="%" note={result ? `deepest ${fix(result.deepest_drawdown_pct)} %` : null} />
      <Tile name="Open positions" metric="status_position_quantity" value={whole(status.positions.length)} note={`${whole(status.orders.length)} orders at rest`} />
      <Tile name="Governor" value={status.governor ?? UNKNOWN} tone={status.governor === "NORMAL" ? "" : "warn"} note={status.entries_halted ? "entries are halted" : "entries may be opened"} />
    </div>
  );
}

/** The run as it was at a time: from its journal, the same now and next year. */
function Past({ at, theme }) {
  const found = useLoad(road("past", { at }));
  return (
    <Answer of={found}>{(past) => {
      const { equity, start_equity: start } = past;
      const profit = equity && start ? equity.equity - start : null;
      return (
        <>
          {(past.at_ns < past.first_ns || past.at_ns > past.last_ns) && <p class="note">The journal goes from {when(past.first_ns)} to {when(past.last_ns)} UTC: {past.at_ns < past.first_ns ? "the run had not begun." : "this is its end."}</p>}
          <div class="tiles">
            <Tile name="Equity" metric="status_equity" value={fix(equity?.equity)} unit="USDT" note={equity ? `at ${when(equity.ts_ns)} UTC` : "the books had not begun"} />
            <Tile name="Profit since the start" metric="status_profit" value={plus(profit)} unit="USDT" tone={tone(profit)} note={profit === null ? null : `${plus((profit / start) * 100)} % of ${fix(start, 0)} USDT`} />
            <Tile name="Drawdown in that hour" metric="status_drawdown" value={equity ? fix(equity.drawdown * 100) : UNKNOWN} unit="%" note={past.deepest_drawdown === null ? null : `deepest until then ${fix(past.deepest_drawdown * 100)} %`} />
            <Tile name="Open positions" metric="status_position_quantity" value={whole(past.positions.length)} note={past.positions.length ? past.positions.map((one) => one.symbol).join(", ") : "none was held"} />
            <Tile name="Halts in force" metric="halts" value={whole(past.halts.length)} tone={past.halts.length ? "warn" : ""} note={past.halts.length ? past.halts.map((one) => words(one.kind)).join(", ") : "none"} />
          </div>
          <div class="cards">
            <Equity beat={0} theme={theme} at={at} />
            <Positions positions={past.positions} as_of={past.at_ns} />
            <PolicyThen policy={past.policy} rollout={past.rollout} />
            <LastTrade beat={0} at={at} />
            <WhyNot symbols={Object.keys(past.regimes)} at={at} />
            <Card title="Market states" size="quarter">
              <Facts of={Object.entries(past.regimes).map(([symbol, regime]) => [symbol, <a href={`#/${address("market", { symbol, t: at })}`}>{words(regime)}</a>])} />
              {!Object.keys(past.regimes).length && <p class="empty">No market state was on record yet.</p>}
            </Card>
            {past.halts.length > 0 && <Card title="Halts in force" size="wide"><Halts halts={past.halts} /></Card>}
          </div>
        </>
      );
    }}</Answer>
  );
}

function StateCard({ status, read_ms }) {
  const { tone: mood, text } = stateOf(status);
  const age = ageOf(status, read_ms);
  return (
    <Card title="State" size="quarter">
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
  if (hasEnded(status)) return `The replay has finished, at ${when(status.as_of_ns)} UTC of its market. Everything here can be read; nothing runs that could be stopped.`;
  return status.kind === "replay" ? `The replay has ended; its market time stands at ${when(status.as_of_ns)} UTC.` : "No process runs on this folder.";
}

function LastTrade({ beat, at = "" }) {
  const found = useLoad(road("trades", { limit: 1, as_of: at }), beat);
  return (
    <Card title="Last trade" size="quarter">
      <Answer of={found}>{({ rows: [one] }) => (one ? (
        <>
          <p class="lead"><b>{one.symbol}</b> {side(one.side)} <span class={tone(one.pnl)}>{plus(one.pnl)} USDT</span> {one.r_multiple !== null && <span class={tone(one.pnl)}>({plus(one.r_multiple)} R)</span>}</p>
          <Facts of={[
            ["Closed", `${when(one.exit_ns)} UTC: ${reasonWords(one.exit_reason)}`], ["Opened", `${when(one.entry_ns)} UTC`],
            ["Price", `${amount(one.entry_price)} → ${amount(one.exit_price)} USDT`],
            ["Fees, funding", `${fix(one.fees)} and ${plus(one.funding)} USDT`], ["Market at entry", words(one.regime_entry)],
          ]} />
          {one.trace_id && <p><a href={`#/decisions/${encodeURIComponent(one.trace_id)}`}>Why it was opened</a> · <a href={`#/journal?q=${encodeURIComponent(`select * from trades where trade_id = '${one.trade_id.replaceAll("'", "''")}'`)}`}>These figures in SQL</a></p>}
        </>
      ) : <p class="empty">No trade has ended{at ? " by then" : " yet"}: a trade is on record once its position is closed.</p>)}</Answer>
    </Card>
  );
}

function Equity({ beat, theme, at = "" }) {
  const found = useLoad(road("equity", { points: 2000, as_of: at }), beat);
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
      <Luck of={data.sharpe} />
      <Chart label={`Equity from ${whole(data.start_equity)} to ${whole(last.equity)} USDT`} data={equity} series={EQUITY} format={asMoney} sync="equity" theme={theme} height={230} />
      <Chart label={`Drawdown, at the end ${fix(last.drawdown * 100)} %`} data={drawdown} series={DRAWDOWN} format={asShare} sync="equity" theme={theme} height={130} />
    </>
  );
}

/** Whether what was earned can be told from luck, by the Sharpe ratio of daily returns. */
function Luck({ of: one }) {
  if (!one) return null;
  return (
    <p class="lead">Is it luck? {one.verdict} {one.low !== null && <span class="note">Sharpe <Metric id="equity_sharpe">{fix(one.sharpe)}</Metric> a year, 95 %: {fix(one.low)} to {fix(one.high)}</span>}</p>
  );
}

/** *status*: of the run now, where a position may be closed; left out for a time that is past. */
function Positions({ positions, as_of, status }) {
  const columns = [
    { name: "Symbol", cell: (one) => <b>{one.symbol}</b> },
    { name: "Side", cell: (one) => side(one.side) },
    { name: "Quantity", num: true, cell: (one) => <Metric id="status_position_quantity">{amount(one.qty)}</Metric> },
    { name: "Entry", unit: "USDT", num: true, cell: (one) => <Metric id="status_position_entry">{amount(one.entry_price)}</Metric> },
    { name: "Mark", unit: "USDT", num: true, cell: (one) => (one.mark_price ? <Metric id="status_position_mark">{amount(one.mark_price)}</Metric> : UNKNOWN) },
    { name: "Stop", unit: "USDT", num: true, cell: (one) => (one.stop ? <Metric id="status_position_stop">{amount(one.stop)}</Metric> : UNKNOWN) },
    { name: "To the stop", unit: "%", num: true, cell: (one) => toStop(one) },
    { name: "Protected", cell: (one) => (one.protected ? "yes" : <Badge tone="bad">no stop</Badge>) },
    { name: "Why", cell: (one) => (one.trace_id ? <a href={`#/decisions/${encodeURIComponent(one.trace_id)}`}>decision</a> : UNKNOWN) },
    status && !isReadOnly() && { name: "Action", cell: (one) => (one.traded ? <button type="button" class="small" disabled={!status.alive} title={status.alive ? "" : "No process runs"} aria-label={`Close ${one.symbol}`} onClick={() => askToClose(one.symbol)}>Close</button> : "not ours") },
  ].filter(Boolean);
  return (
    <Card title="Positions" size="wide" note={`as of ${when(as_of)} UTC`}>
      <Table label="Positions" columns={columns} rows={positions} empty={status ? "No position is open." : "No position was open."} keyOf={(one) => one.symbol} />
      {positions.some((one) => !one.mark_price) && <p class="note">Where the mark price is not known, the distance to the stop is that from the entry.</p>}
    </Card>
  );
}

function toStop(one) {
  const from = one.mark_price || one.entry_price;
  return one.stop && from ? fix((Math.abs(from - one.stop) / from) * 100, 1) : UNKNOWN;
}

const WINDOWS = [["All", 0], ["30 days", 30], ["7 days", 7], ["1 day", 1]];

function Funnel({ beat }) {
  const [days, setDays] = useState(7);
  const found = useLoad(road("funnel", { days }), Math.floor(beat / 5)); // counts are read every ten seconds at most
  const choose = <span class="choice" role="group" aria-label="Time">{WINDOWS.map(([name, value]) => <button type="button" key={name} class="small" aria-pressed={days === value} onClick={() => setDays(value)}>{name}</button>)}</span>;
  return (
    <Card title="From signals to trades" size="half" actions={choose}>
      <Answer of={found}>{(one) => {
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
          <>
            <ol class="funnel">
              {steps.map(([name, value, note]) => (
                <li key={name}>
                  <span class="name">{name}<small>{note}</small></span>
                  <span class="bar" aria-hidden="true"><i style={{ width: `${(Math.max(0, value) / most) * 100}%` }} /></span>
                  <span class="count">{whole(value)}</span>
                </li>
              ))}
            </ol>
            <p><a href={`#/journal?q=${encodeURIComponent(one.sql)}`}>The question in SQL</a>, <span class="note">counted at {when(one.as_of_ns)} UTC</span></p>
          </>
        );
      }}</Answer>
    </Card>
  );
}

function PolicyThen({ policy, rollout }) {
  const enforced = rollout && Array.isArray(rollout.enforced) ? rollout.enforced : null;
  return (
    <Card title="Policy in force" size="quarter" actions={enforced && <Badge tone={enforced.length ? "good" : ""}>{enforced.length ? `enforced: ${enforced.map(words).join(", ")}` : "observes, enforces nothing"}</Badge>}>
      <PolicyFacts policy={policy} />
    </Card>
  );
}

function PolicyFacts({ policy: one }) {
  if (!one) return <p class="empty">No policy was on record: the first stands there after the first bar.</p>;
  return (
    <>
      <p class="lead"><Badge tone={one.allow_new_trades ? "good" : "warn"}>{one.allow_new_trades ? "new trades allowed" : "no new trades"}</Badge> {words(one.risk_profile) !== "no new trades" && words(one.risk_profile)}</p>
      <Facts of={[
        ["Since", `${when(one.ts_ns)} UTC`], ["Risk a trade", <><Metric id="policy_risk">{fix(one.risk_pct)}</Metric> % of equity</>], ["Least confidence", <Metric id="policy_min_confidence">{fix(one.min_confidence)}</Metric>],
        ["Entry, exit", `${words(one.entry_mode)}, ${words(one.exit_mode)}`], ["Most positions", whole(one.max_open_positions)],
      ]} />
      <h3>Why</h3>
      {parsed(one.rules, []).length === 0 && <p class="empty">No rule changed the profile's values.</p>}
      <ul class="plain-list">{parsed(one.rules, []).map((rule, index) => <li key={index}><b>{rule.rule}</b> {rule.why}: {words(rule.field)} {rule.before} → {rule.after}</li>)}</ul>
    </>
  );
}

function PolicyCard({ beat }) {
  const found = useLoad("policy", beat);
  const rollout = useLoad("rollout", Math.floor(beat / 5));
  return (
    <Card title="Policy in force" size="half" actions={rollout.data && <Badge tone={rollout.data.enforced.length ? "good" : ""}>{rollout.data.enforced.length ? `enforced: ${rollout.data.enforced.map(words).join(", ")}` : "observes, enforces nothing"}</Badge>}>
      <Answer of={found}>{({ policy }) => <PolicyFacts policy={policy} />}</Answer>
    </Card>
  );
}

function Safety({ status }) {
  return (
    <Card title="Governor and halts" size="quarter" note={hasEnded(status) ? "the replay has finished: there is nothing to halt" : null} actions={hasEnded(status) || isReadOnly() ? null : <><button type="button" class="small" onClick={askToHalt}>Halt</button> <button type="button" class="small" onClick={askToResume}>Resume</button></>}>
      <p class="lead"><Badge tone={status.governor === "NORMAL" ? "good" : "warn"}>{status.governor ?? "not known"}</Badge> {status.entries_halted ? `No new position: ${status.entries_halted}` : "No halt keeps new positions from being opened."}</p>
      <Halts halts={status.halts} unlocks={!hasEnded(status) && !isReadOnly()} />
      {!hasEnded(status) && !isReadOnly() && <LockForm symbols={symbolsOf(status)} />}
    </Card>
  );
}

/** Halts in force; with *unlocks* each lock has a button that ends it. */
function Halts({ halts, unlocks = false }) {
  const locks = unlocks && halts.some((one) => one.kind.startsWith(LOCK));
  return (
    <Table label="Halts in force" rows={halts} empty="No halt is in force." columns={[
      { name: "Halt", cell: (one) => <b>{words(one.kind)}</b> }, { name: "Why", cell: (one) => one.reason },
      { name: "Since (UTC)", cell: (one) => when(one.since_ns) }, { name: "How it ends", cell: (one) => one.exit_path || UNKNOWN },
      ...(locks ? [{ name: "Action", cell: (one) => one.kind.startsWith(LOCK) && <button type="button" class="small" aria-label={`Unlock ${one.kind.slice(LOCK.length)}`} onClick={() => askToUnlock(one.kind.slice(LOCK.length))}>Unlock</button> }] : []),
    ]} />
  );
}

const LOCK = "lock "; // a halt of one symbol is of the kind "lock BTCUSDT"
const HOURS = [[1, "1 hour"], [4, "4 hours"], [24, "1 day"], [168, "7 days"]];
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
    for (const one of models.models) if (one.lacks.length) found.push(`Model ${one.name} has no view yet: it knows ${lackWords(one.lacks)}.`);
    if (models.silence) found.push(`No signal since ${when(models.last_signal_ns)} UTC: ${models.silence}.`);
    const small = models.least_equity.filter(([, least]) => models.equity && least > models.equity).map(([symbol]) => symbol);
    if (small.length) found.push(`The equity is too small for ${small.join(", ")}.`);
  }
  return found;
}

function Idle({ status }) {
  const symbols = symbolsOf(status);
  const at = millis(status.equity_ns || status.as_of_ns);
  const list = reasons(status);
  return (
    <Card title="Why is nothing happening?" size="quarter">
      {list.length ? <ul class="plain-list">{list.map((one) => <li key={one}>{one}</li>)}</ul> : <p>Nothing keeps the run from trading: it waits for the next signal.</p>}
      {symbols.length > 0 && Number.isFinite(at) && <Ask symbols={symbols} at={new Date(Math.floor(at / 1000) * 1000).toISOString()} />}
    </Card>
  );
}

function WhyNot({ symbols, at }) {
  return (
    <Card title="Why was nothing traded?" size="quarter">
      {symbols.length ? <><p>Ask of a symbol:</p><Ask symbols={symbols} at={at} /></> : <p class="empty">No symbol was on record yet.</p>}
    </Card>
  );
}

/** Why nothing was traded in a symbol that is picked, at *at* (UTC, ISO 8601). */
function Ask({ symbols, at }) {
  const [symbol, setSymbol] = useState("");
  const found = useLoad(symbol ? road("why-not", { symbol, at }) : null);
  return (
    <>
      <div class="choice" role="group" aria-label="Ask of a symbol">{symbols.map((one) => <button type="button" key={one} class="small" aria-pressed={symbol === one} onClick={() => setSymbol(one === symbol ? "" : one)}>{one}</button>)}</div>
      {symbol && <Answer of={found}>{(why) => <><p>{why.summary}</p>{why.what_to_change.length > 0 && <ul class="plain-list">{why.what_to_change.slice(0, 5).map((one) => <li key={one}>{one}</li>)}</ul>}</>}</Answer>}
    </>
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
