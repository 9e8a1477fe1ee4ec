// SQL over the journal, questions that are kept in this browser, and the views that can be asked.
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, sql } from "../api.js";
import { plain, span, whole } from "../format.js";
import { Answer, Card, Table, Trouble } from "../parts.jsx";
import { useLoad } from "../store.js";

const KEPT = "quantum-trader-questions";
const SHOWN = 100;
const QUESTIONS = [
  ["Profit of each symbol", "select symbol, count(*) as trades, round(sum(pnl), 2) as pnl_usdt, round(avg(r_multiple), 3) as mean_r\nfrom trades group by symbol order by pnl_usdt desc"],
  ["Why signals were blocked", "select reason, count(*) as signals from decisions where decision = 'BLOCKED' group by reason order by signals desc"],
  ["Months", "select strftime(ts, '%Y-%m') as month, count(*) as trades, round(sum(pnl), 2) as pnl_usdt, round(sum(fees), 2) as fees_usdt\nfrom trades group by month order by month"],
  ["How trades ended", "select exit_reason, count(*) as trades, round(avg(pnl), 2) as mean_pnl_usdt, round(avg(r_multiple), 3) as mean_r\nfrom trades group by exit_reason order by trades desc"],
  ["Fees, funding, slippage", "select symbol, round(sum(fees), 2) as fees_usdt, round(sum(funding), 2) as funding_usdt, round(avg(slippage_bps), 2) as slippage_bps\nfrom trades group by symbol order by symbol"],
  ["Longest losing trades", "select ts, symbol, side, round(pnl, 2) as pnl_usdt, round(r_multiple, 2) as r, bars_held from trades where pnl < 0 order by bars_held desc limit 20"],
  ["Events of each kind", "select kind, count(*) as events, min(ts) as first, max(ts) as last from events group by kind order by events desc"],
];

function saved() {
  try {
    const found = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => typeof one?.[0] === "string" && typeof one?.[1] === "string") : [];
  } catch {
    return [];
  }
}

export function Journal({ values }) {
  const [query, setQuery] = useState(values.q || QUESTIONS[0][1]);
  const [state, set] = useState({ busy: false, answer: null, error: null, took: 0 });
  const [kept, keep] = useState(saved());
  const [name, setName] = useState("");
  const [page, setPage] = useState(0);
  const running = useRef(null);
  useEffect(() => {
    if (values.q) { setQuery(values.q); run(values.q); }
    return () => running.current?.abort();
  }, [values.q]);

  async function run(text) {
    running.current?.abort();
    const control = new AbortController();
    running.current = control;
    set({ busy: true, answer: null, error: null, took: 0 });
    setPage(0);
    const began = performance.now();
    try {
      const answer = await sql(text, { signal: control.signal });
      set({ busy: false, answer, error: null, took: (performance.now() - began) / 1000 });
    } catch (error) {
      if (error.name !== "AbortError") set({ busy: false, answer: null, error, took: 0 });
    }
  }

  function store(list) {
    try {
      localStorage.setItem(KEPT, JSON.stringify(list));
    } catch {
      // they stay until the page is closed
    }
    keep(list);
  }
  const pick = (text) => { setQuery(text); run(text); };
  const keys = (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(query); } };
  return (
    <>
      <h1>Journal</h1>
      <div class="cards">
        <Card title="Ask in SQL" size="wide" note="one SELECT; it changes nothing; at most 30 s and 1,000 rows">
          <form onSubmit={(event) => { event.preventDefault(); run(query); }}>
            <label class="field"><span>Query</span><textarea class="code" rows={Math.min(16, Math.max(5, query.split("\n").length + 1))} value={query} spellcheck={false} onInput={(event) => setQuery(event.target.value)} onKeyDown={keys} /></label>
            <div class="buttons left">
              <button type="submit" class="main" disabled={state.busy || !query.trim()}>{state.busy ? "Running …" : "Run"}</button>
              {state.busy && <button type="button" onClick={() => { running.current?.abort(); set({ busy: false, answer: null, error: null, took: 0 }); }}>Cancel</button>}
              <span class="note">Ctrl + Enter runs it.</span>
            </div>
          </form>
          {state.error && <Trouble error={state.error} />}
          {state.answer && <Rows answer={state.answer} took={state.took} page={page} setPage={setPage} />}
        </Card>
        <Card title="Questions">
          <ul class="questions">{QUESTIONS.map(([title, text]) => <li key={title}><button type="button" class="link-button" onClick={() => pick(text)}>{title}</button></li>)}</ul>
          <h3>Kept in this browser</h3>
          {kept.length === 0 && <p class="empty">None yet.</p>}
          <ul class="questions">{kept.map(([title, text], index) => (
            <li key={index}><button type="button" class="link-button" onClick={() => pick(text)}>{title}</button> <button type="button" class="small" aria-label={`Forget ${title}`} onClick={() => store(kept.filter((_, at) => at !== index))}>Forget</button></li>
          ))}</ul>
          <form class="inline" onSubmit={(event) => { event.preventDefault(); if (name.trim()) { store([...kept, [name.trim(), query]]); setName(""); } }}>
            <input aria-label="Name of the question" placeholder="name" value={name} maxLength={80} onInput={(event) => setName(event.target.value)} /> <button type="submit" disabled={!name.trim()}>Keep this query</button>
          </form>
        </Card>
        <Views use={pick} />
      </div>
    </>
  );
}

const isNumber = (value) => typeof value === "number";
const csv = (value) => { const text = value === null || value === undefined ? "" : plain(value); return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };

function Rows({ answer, took, page, setPage }) {
  const [copied, setCopied] = useState("");
  const pages = Math.max(1, Math.ceil(answer.rows.length / SHOWN));
  const rows = answer.rows.slice(page * SHOWN, (page + 1) * SHOWN);
  const columns = answer.columns.map((name) => ({ name, num: answer.rows.length > 0 && answer.rows.every((row) => row[name] === null || isNumber(row[name])), cell: (row) => plain(row[name]) }));
  async function copy() {
    const text = [answer.columns, ...answer.rows.map((row) => answer.columns.map((name) => row[name]))].map((line) => line.map(csv).join(",")).join("\n");
    try {
      await navigator.clipboard.writeText(text);
      setCopied("Copied.");
    } catch {
      setCopied("The browser does not allow it here.");
    }
  }
  return (
    <div class="answer">
      <p class="note" role="status">{whole(answer.total)} rows in {span(took)}{answer.total > answer.rows.length && `; the first ${whole(answer.rows.length)} are here`}. <button type="button" class="small" onClick={copy}>Copy as CSV</button> {copied}</p>
      <Table label="Answer" rows={rows} columns={columns} empty="No rows." />
      {pages > 1 && (
        <nav class="pager" aria-label="Rows">
          <button type="button" disabled={page === 0} onClick={() => setPage(page - 1)}>Before</button>
          <span>{page + 1} of {pages}</span>
          <button type="button" disabled={page + 1 >= pages} onClick={() => setPage(page + 1)}>After</button>
        </nav>
      )}
    </div>
  );
}

function Views({ use }) {
  const found = useLoad("journal/views");
  return (
    <Card title="Views">
      <Answer of={found}>{(views) => <ul class="views">{views.map((one) => <li key={one.view}><View one={one} use={use} /></li>)}</ul>}</Answer>
    </Card>
  );
}

function View({ one, use }) {
  const [columns, set] = useState(null);
  async function open(event) {
    if (!event.currentTarget.open || columns) return;
    try {
      set((await ask(`journal/views/${encodeURIComponent(one.view)}`)).columns);
    } catch (error) {
      set(error);
    }
  }
  return (
    <details onToggle={open}>
      <summary><code>{one.view}</code> <span class="note">{one.description}</span></summary>
      <button type="button" class="small" onClick={() => use(`select * from ${one.view} order by ts_ns desc limit 100`)}>Newest 100</button>
      {columns instanceof Error ? <Trouble error={columns} /> : columns && (
        <Table label={`Columns of ${one.view}`} rows={columns} keyOf={(row) => row.name} columns={[
          { name: "Column", cell: (row) => <code>{row.name}</code> }, { name: "Type", cell: (row) => row.type },
          { name: "Unit", cell: (row) => row.unit }, { name: "Meaning", cell: (row) => row.description },
        ]} />
      )}
    </details>
  );
}
