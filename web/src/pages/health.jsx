// Whether the run is well, and what needs a person.
import { useState } from "preact/hooks";
import { road } from "../api.js";
import { amount, plain, span, UNKNOWN, when, whole, words } from "../format.js";
import { Answer, Badge, Card, Facts, Metric, Pager, Table } from "../parts.jsx";
import { ageOf, stateOf } from "../state.js";
import { useLoad, useStore } from "../store.js";

export function Health() {
  const { status, read_ms, link } = useStore();
  if (!status) return <><h1>Health</h1><p class="empty" role="status">Reading …</p></>;
  const mood = stateOf(status);
  const unknown = status.kind === "live" ? "not known" : "none: a replay has no feed";
  return (
    <>
      <h1>Health</h1>
      <div class="cards">
        <Card title="Now" size="half">
          {status.problems.length ? (
            <><p class="lead"><Badge tone="bad">{mood.text}</Badge></p><ul class="plain-list">{status.problems.map((one) => <li key={one}>{one}</li>)}</ul></>
          ) : <p class="lead"><Badge tone="good">healthy</Badge> Nothing needs a person.</p>}
          <Facts of={[
            ["Process", status.alive ? `alive, pid ${status.pid || UNKNOWN}` : `none (${status.stage || "not started"})`],
            ["Status written", `${span(ageOf(status, read_ms))} ago`], ["Checkpoint written", `${span(status.checkpoint_age_s)} ago`],
            ["Last market event", status.last_event_age_s === null ? unknown : <><Metric id="status_event_age">{span(status.last_event_age_s)}</Metric> ago</>],
            ["Lag of the engine", status.lag_s === null ? unknown : <Metric id="status_lag">{span(status.lag_s)}</Metric>],
            ["Queue in use", status.queue_fill === null ? unknown : <Metric id="status_queue_fill">{whole(status.queue_fill * 100)} %</Metric>],
            ["Books not compared with the venue", status.unreconciled_s === null ? unknown : <>for <Metric id="status_unreconciled">{span(status.unreconciled_s)}</Metric></>],
            ["Orders in doubt", <Metric id="status_in_doubt">{whole(status.in_doubt)}</Metric>], ["Journal events dropped", <Metric id="status_dropped">{whole(status.dropped_events)}</Metric>],
            ["Handlers of the bus that failed", status.bus || "none"], ["This page", { live: "the stream is open", connecting: "the stream is being opened", lost: "the stream is closed and tried again" }[link]],
          ]} />
        </Card>
        <Card title="Waiting requests" size="half">
          <Table label="Waiting requests" rows={status.pending_requests} empty="No request waits." columns={[
            { name: "Time (UTC)", cell: (one) => when(one.ts_ns, true) }, { name: "Request", cell: (one) => <b>{one.action}</b> },
            { name: "Who", cell: (one) => one.actor }, { name: "Why", cell: (one) => one.reason },
          ]} />
          <h3>Orders at rest</h3>
          <Table label="Orders at rest" rows={status.orders} keyOf={(one) => one.client_order_id} empty="No order rests." columns={[
            { name: "Symbol", cell: (one) => <b>{one.symbol}</b> }, { name: "Purpose", cell: (one) => words(one.purpose) },
            { name: "Quantity", num: true, cell: (one) => <Metric id="status_order_quantity">{amount(one.qty)}</Metric> }, { name: "Price", unit: "USDT", num: true, cell: (one) => (one.price > 0 ? <Metric id="status_order_price">{amount(one.price)}</Metric> : "at the market") },
          ]} />
          {status.by_others.length > 0 && <><h3>Others on the account</h3><ul class="plain-list">{status.by_others.map((one, index) => <li key={index}>{plain(one)}</li>)}</ul></>}
        </Card>
        <Record />
      </div>
    </>
  );
}

const LISTS = { halts: ["halts/history", "Halts"], requests: ["requests", "Requests"], failures: ["failures", "Outside intents that failed"], regimes: ["regimes", "Market states"] };

function Record() {
  const { beat } = useStore();
  const [list, pick] = useState("halts");
  const [trail, go] = useState([]);
  const found = useLoad(road(LISTS[list][0], { limit: 25, before: trail.at(-1) }), trail.length ? 0 : beat);
  const choose = <span class="choice" role="group" aria-label="Record of">{Object.entries(LISTS).map(([name, [, title]]) => <button type="button" key={name} class="small" aria-pressed={list === name} onClick={() => { pick(name); go([]); }}>{title}</button>)}</span>;
  return (
    <Card title="Record" size="wide" actions={choose}>
      <Answer of={found}>{({ rows, next }) => (
        <>
          <Table label={LISTS[list][1]} rows={rows} keyOf={(one) => `${one.producer}.${one.seq}`} empty={`${LISTS[list][1]}: none is on record, so there was none.`} columns={COLUMNS[list]} />
          {(next || trail.length > 0) && <Pager trail={trail} next={next} go={go} />}
        </>
      )}</Answer>
    </Card>
  );
}

const TIME = { name: "Time (UTC)", cell: (one) => when(one.ts_ns, true) };
const SYMBOL = { name: "Symbol", cell: (one) => <b>{one.symbol || UNKNOWN}</b> };
const text = (name, key) => ({ name, cell: (one) => (one[key] === null || one[key] === "" || one[key] === undefined ? UNKNOWN : plain(one[key])) });
const COLUMNS = {
  halts: [TIME, { name: "Event", cell: (one) => <Badge tone={one.kind === "halt.raised" ? "warn" : "good"}>{one.kind === "halt.raised" ? "raised" : "cleared"}</Badge> }, text("Halt", "halt_kind"), text("Why", "reason"), text("How it ends", "exit_path")],
  requests: [TIME, text("Request", "action"), text("Who", "actor"), text("Why", "reason")],
  failures: [TIME, SYMBOL, text("Intent", "intent_id"), text("Why", "reason")],
  regimes: [TIME, SYMBOL, text("Before", "before"), text("After", "after")],
};
