// One decision: why, what would have changed it, what the gates saw, its steps, and what came of it.
import { useState } from "preact/hooks";
import { road } from "../api.js";
import { amount, parsed, plain, plus, reasonWords, span, UNKNOWN, when, words } from "../format.js";
import { Answer, Badge, Card, Facts, side, Table, tone } from "../parts.jsx";
import { useLoad } from "../store.js";

export function Decision({ rest: [id] }) {
  const path = encodeURIComponent(id);
  const why = useLoad(`signals/${path}`);
  const trace = useLoad(`traces/${path}`);
  const trace_id = trace.data?.trace_id ?? null;
  return (
    <>
      <p><a href="#/decisions">← All decisions</a></p>
      <h1>Decision {id}</h1>
      <div class="cards">
        <Card title="Why" size="wide"><Answer of={why}>{(found) => <Why found={found} />}</Answer></Card>
        <Card title="Steps" size="wide" note={trace.data ? `${trace.data.spans.length} steps, ${span(trace.data.total_ns / 1e9)} in all` : null}>
          <Answer of={trace}>{(found) => <Waterfall trace={found} />}</Answer>
        </Card>
        {trace_id && <Gates trace_id={trace_id} />}
        {trace_id && <Outcome trace_id={trace_id} />}
      </div>
    </>
  );
}

function Why({ found }) {
  const one = found.explanation ?? {};
  const changes = one.changes ?? [];
  const [all, showAll] = useState(false);
  return (
    <>
      <p class="lead"><b>{one.symbol}</b> {side(one.side)} <Badge tone={one.decision === "ALLOWED" ? "good" : "warn"}>{words(one.decision)}</Badge> {one.reason && reasonWords(one.reason)} <span class="note">{when(found.time)} UTC</span></p>
      <p>{one.summary}</p>
      {changes.length > 0 && (
        <>
          <h3>What would have changed it, nearest first</h3>
          <Table label="What would have changed it" rows={all ? changes : changes.slice(0, 8)} keyOf={(row) => `${row.input}${row.reason}`} columns={[
            { name: "Change", cell: (row) => row.sentence },
            { name: "Then", cell: (row) => reasonWords(row.reason) || "allowed" },
          ]} />
          {changes.length > 8 && <button type="button" class="small" onClick={() => showAll(!all)}>{all ? "Fewer" : `All ${changes.length}`}</button>}
        </>
      )}
    </>
  );
}

function Waterfall({ trace }) {
  const spans = trace.spans;
  const first = Math.min(...spans.map((one) => one.start_ns)), total = Math.max(...spans.map((one) => one.end_ns)) - first;
  return (
    <>
      <ol class="waterfall">
        {spans.map((one, index) => {
          const from = total > 0 ? ((one.start_ns - first) / total) * 100 : 0, width = total > 0 ? ((one.end_ns - one.start_ns) / total) * 100 : 0;
          return (
            <li key={index}>
              <details>
                <summary>
                  <span class="name">{one.name}</span>
                  <Badge tone={one.outcome === "OK" || one.outcome === "ALLOWED" || one.outcome === "FILLED" ? "good" : one.outcome === "BLOCK" || one.outcome === "BLOCKED" || one.outcome === "REJECTED" ? "warn" : ""}>{one.outcome}</Badge>
                  {total > 0 ? <span class="bar" aria-hidden="true"><i style={{ left: `${Math.min(from, 99)}%`, width: `${Math.max(width, 1)}%` }} /></span> : <span />}
                  <span class="note">{when(one.start_ns, true).slice(0, 19)} · {span((one.end_ns - one.start_ns) / 1e9)}</span>
                </summary>
                <Facts of={Object.entries(one.facts).map(([name, fact]) => [words(name), plain(fact)])} />
              </details>
            </li>
          );
        })}
      </ol>
      {trace.sentence && <p class="note">{trace.sentence}</p>}
    </>
  );
}

const STATES = ["unknown", "trending", "ranging"]; // by their number; a limit has a bit for each

/** A figure of a gate: of the regime gate the market state in words. */
function figure(gate, value, isLimit) {
  if (gate.gate !== "regime") return amount(value);
  if (!isLimit) return STATES[value] ?? UNKNOWN;
  return value === 7 ? "any" : STATES.filter((_, at) => (value >> at) & 1).join(", ");
}

function Gates({ trace_id }) {
  const found = useLoad(road("gates/results", { trace_id, limit: 1 }));
  return (
    <Card title="Gates">
      <Answer of={found}>{({ rows: [one] }) => (one ? (
        <>
          <Table label="Gates" rows={parsed(one.gates, [])} keyOf={(gate) => gate.gate} columns={[
            { name: "Gate", cell: (gate) => <b>{words(gate.gate)}</b> },
            { name: "Result", cell: (gate) => (gate.measured ? <Badge tone={gate.passed ? "good" : "warn"}>{gate.passed ? "passed" : "refused"}</Badge> : <Badge>not measured</Badge>) },
            { name: "Observed", num: true, cell: (gate) => figure(gate, gate.observed, false) }, { name: "Limit", num: true, cell: (gate) => figure(gate, gate.limit, true) },
            { name: "Acts", cell: (gate) => (gate.enforced ? "enforced" : "observes") },
          ]} />
          <p class="note">Mode {one.mode}; market {words(one.regime)}; price {amount(one.price)} USDT.</p>
        </>
      ) : <p class="empty">The gates recorded nothing for it.</p>)}</Answer>
    </Card>
  );
}

function Outcome({ trace_id }) {
  const trades = useLoad(road("trades", { trace_id, limit: 5 }));
  const shadows = useLoad(road("shadows", { trace_id, limit: 5 }));
  return (
    <Card title="What came of it">
      <Answer of={trades}>{({ rows }) => (rows.length ? rows.map((one) => (
        <Facts key={one.trade_id} of={[
          ["Trade", one.trade_id], ["Result", <span class={tone(one.pnl)}>{plus(one.pnl)} USDT{one.r_multiple !== null && `, ${plus(one.r_multiple)} R`}</span>],
          ["Closed", `${when(one.exit_ns)} UTC: ${reasonWords(one.exit_reason)}`], ["Price", `${amount(one.entry_price)} → ${amount(one.exit_price)} USDT`],
        ]} />
      )) : <p class="empty">No trade of its own has ended.</p>)}</Answer>
      <h3>Shadow trade</h3>
      <Answer of={shadows}>{({ rows }) => (rows.length ? rows.map((one, index) => (
        <p key={index}>{one.r === null ? "without a result" : <><span class={tone(one.r)}>{plus(one.r)} R</span>, {plus(one.net_bps, 1)} bps after costs</>}, ended {when(one.ts_ns)} UTC by {words(one.exit)}</p>
      )) : <p class="empty">Its paper copy has not ended.</p>)}</Answer>
    </Card>
  );
}
