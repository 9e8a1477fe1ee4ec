// Every decision on a signal, newest first.
import { useEffect, useState } from "preact/hooks";
import { ask, road } from "../api.js";
import { fix, reasonWords, when, words } from "../format.js";
import { Badge, Card, Field, Pager, Rows, side, Table, Trouble } from "../parts.jsx";
import { useStore } from "../store.js";

const SHOWN = 50;
const READ = 200; // of a page of the server, where its rows are filtered here
const PAGES = 10; // are read at most for one page that is shown

/** Rows that *keep* keeps, from the cursor *before* on; enough for a page, or what ten pages of the server hold. */
async function filtered(values, before, keep, signal) {
  let rows = [], next = before, read = 0;
  do {
    const page = await ask(road("decisions", { ...values, before: next, limit: keep ? READ : SHOWN }), { signal });
    rows = rows.concat(keep ? page.rows.filter(keep) : page.rows);
    next = page.next;
  } while (rows.length < SHOWN && next && keep && ++read < PAGES);
  return { rows, next };
}

const OUTCOMES = { "": null, ALLOWED: (one) => one.decision === "ALLOWED", BLOCKED: (one) => one.decision !== "ALLOWED" };

export function Decisions({ values, at }) {
  const { beat } = useStore();
  const [form, setForm] = useState({ symbol: "", since: "", until: "", outcome: "", ...values });
  const [asked, ask_] = useState(form);
  const [trail, go] = useState([]);
  const [found, set] = useState({ data: null, error: null });
  const key = JSON.stringify([asked, trail, at]);
  useEffect(() => {
    const control = new AbortController();
    const { outcome, t: _, ...rest } = asked;
    const times = { since: rest.since && `${rest.since}:00Z`, until: rest.until && `${rest.until}:00Z` };
    filtered({ symbol: rest.symbol.trim(), ...times, as_of: at }, trail.at(-1) ?? "", OUTCOMES[outcome], control.signal).then(
      (data) => set({ key, data, error: null }),
      (error) => { if (error.name !== "AbortError") set((old) => ({ ...old, key, error })); },
    );
    return () => control.abort();
  }, [key, trail.length || at ? 0 : beat]);
  useEffect(() => go([]), [at]);
  const change = (name) => (event) => setForm({ ...form, [name]: event.target.value });
  const apply = (event) => { event.preventDefault(); go([]); ask_(form); };
  return (
    <>
      <h1>Decisions</h1>
      <form class="filters" onSubmit={apply} aria-label="Filter">
        <Field label="Symbol"><input value={form.symbol} onInput={change("symbol")} placeholder="all" maxLength={100} spellcheck={false} /></Field>
        <Field label="Outcome"><select value={form.outcome} onChange={change("outcome")}><option value="">all</option><option value="ALLOWED">allowed</option><option value="BLOCKED">blocked</option></select></Field>
        <Field label="From (UTC)"><input type="datetime-local" value={form.since} onInput={change("since")} /></Field>
        <Field label="Before (UTC)"><input type="datetime-local" value={form.until} onInput={change("until")} /></Field>
        <button type="submit" class="main">Show</button>
      </form>
      <Card title={null}>
        {found.error && <Trouble error={found.error} />}
        {!found.data && !found.error && <p class="empty" role="status">Reading …</p>}
        {found.data && (
          <>
            <Table label="Decisions" rows={found.data.rows} keyOf={(one) => `${one.producer}.${one.seq}`} empty={empty(asked, at)} columns={COLUMNS} />
            <Pager trail={trail} next={found.data.next} go={go} />
            <Rows query="select * from decisions order by ts_ns desc limit 200" />
          </>
        )}
      </Card>
    </>
  );
}

function empty(asked, at) {
  if (asked.symbol || asked.since || asked.until || asked.outcome) return "No decision matches the filter.";
  return at ? `No signal had been decided on by ${when(at)} UTC.` : "No signal has been decided on yet: the overview says why.";
}

const COLUMNS = [
  { name: "Time (UTC)", cell: (one) => when(one.ts_ns) },
  { name: "Signal", cell: (one) => <a href={`#/decisions/${encodeURIComponent(one.signal_id || one.trace_id)}`}>{one.signal_id || one.trace_id}</a> },
  { name: "Symbol", cell: (one) => <b>{one.symbol}</b> },
  { name: "Side", cell: (one) => side(one.action) },
  { name: "Outcome", cell: (one) => <Badge tone={one.decision === "ALLOWED" ? "good" : "warn"}>{words(one.decision)}</Badge> },
  { name: "Reason", cell: (one) => (one.reason ? reasonWords(one.reason) : "") },
  { name: "Observed", num: true, cell: (one) => (one.observed || one.limit ? fix(one.observed, 4) : "") },
  { name: "Limit", num: true, cell: (one) => (one.observed || one.limit ? fix(one.limit, 4) : "") },
  { name: "Confidence", num: true, cell: (one) => fix(one.confidence) },
  { name: "Least asked", num: true, cell: (one) => fix(one.min_confidence_used) },
  { name: "Risk", unit: "% of equity", num: true, cell: (one) => fix(one.risk_pct_used) },
];
