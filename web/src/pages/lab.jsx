// Every metric of a day or of the whole run; each opens its id, its meaning and the SQL that computes it.
import { useMemo, useState } from "preact/hooks";
import { road } from "../api.js";
import { amount, fix, when, whole, words } from "../format.js";
import { Answer, Badge, Card, Facts, Field, Table } from "../parts.jsx";
import { useLoad } from "../store.js";

export function Lab({ rest: [id], values }) {
  const [day, setDay] = useState(values.day ?? "last");
  const [typed, type] = useState(values.day ?? "");
  const [filter, setFilter] = useState("");
  const found = useLoad(road("metrics", { day }));
  return (
    <>
      <h1>Lab</h1>
      <form class="filters" aria-label="Filter" onSubmit={(event) => { event.preventDefault(); if (typed) setDay(typed); }}>
        <div class="field"><span>Time</span><div class="choice" role="group" aria-label="Time">{[["last", "Last day"], ["all", "Whole run"]].map(([value, title]) => <button type="button" key={value} aria-pressed={day === value} onClick={() => setDay(value)}>{title}</button>)}</div></div>
        <Field label="A day (UTC)"><input type="date" value={typed} onInput={(event) => { type(event.target.value); if (event.target.value) setDay(event.target.value); }} /></Field>
        <Field label="Find"><input value={filter} placeholder="metric" spellcheck={false} onInput={(event) => setFilter(event.target.value)} /></Field>
      </form>
      <div class="cards">
        {id && <One key={id} id={id} day={day} of={found} />}
        <Card title={day === "all" ? "Metrics of the whole run" : `Metrics of ${day === "last" ? found.data?.day ?? "the last day" : day}`} size="wide" note={found.data ? `${whole(found.data.values.length)} figures, computed at ${when(found.data.as_of_ns)} UTC` : null}>
          <Answer of={found}>{(data) => <List data={data} filter={filter.trim().toLowerCase()} />}</Answer>
        </Card>
      </div>
    </>
  );
}

const link = (row, text, label) => <a href={`#/lab/${encodeURIComponent(row.metric)}`} aria-label={label}>{text}</a>;
function bounds(row) {
  if (row.low === null || row.high === null) return "";
  return row.text.endsWith("%") ? `${fix(row.low * 100, 1)} … ${fix(row.high * 100, 1)} %` : `${amount(row.low)} … ${amount(row.high)}`;
}
const VALUES = [
  { name: "Value", num: true, cell: (row) => (row.value === null ? <span class="note">no data</span> : link(row, row.text)) },
  { name: "95 % interval", num: true, cell: bounds }, { name: "Samples", num: true, cell: (row) => whole(row.samples) },
];

function List({ data, filter }) {
  const rows = useMemo(() => data.values.filter((row) => !Object.keys(row.where).length && (!filter || row.metric.includes(filter) || words(row.metric).includes(filter))), [data, filter]);
  const parts = useMemo(() => {
    const found = new Map();
    for (const row of data.values) if (Object.keys(row.where).length) found.set(row.metric, (found.get(row.metric) ?? 0) + 1);
    return found;
  }, [data]);
  return <Table label="Metrics" rows={rows} keyOf={(row) => row.metric} empty="No metric matches." columns={[
    { name: "Metric", cell: (row) => link(row, words(row.metric)) }, ...VALUES,
    { name: "Split", num: true, cell: (row) => (parts.get(row.metric) ? link(row, `${whole(parts.get(row.metric))} parts`, `${whole(parts.get(row.metric))} parts of ${words(row.metric)}`) : "") },
  ]} />;
}

function One({ id, day, of }) {
  const found = useLoad(road(`metrics/${encodeURIComponent(id)}`, { day }));
  const rows = (of.data?.values ?? []).filter((row) => row.metric === id);
  return (
    <Card title={found.data?.metric.title ?? id} size="wide" actions={<a href="#/lab">Close</a>}>
      <Answer of={found}>{({ metric, sql, computation }) => (
        <>
          <p>{metric.meaning}</p>
          <Facts of={[
            ["Metric id", <code>{metric.id}</code>], ["Group", metric.group], ["Unit", metric.unit || "none"], ["Better when", words(metric.direction)],
            ["Interval", metric.interval ? `${metric.interval}, 95 %` : "none"], metric.target !== null && ["Target", fix(metric.target)],
          ]} />
          {sql ? (
            <>
              <h3>SQL that computes it</h3>
              <pre tabIndex={0}><code>{sql}</code></pre>
              <p><a href={`#/journal?q=${encodeURIComponent(sql)}`}>Ask it in the journal</a></p>
            </>
          ) : (
            <>
              <h3>Function that computes it</h3>
              <p>No SQL gives it: {computation.computes.replaceAll("*", "")}</p>
              <Facts of={[["Function", <code>{computation.function}</code>], ["Works on", computation.source], ["Computed again by", <code>{computation.command}</code>]]} />
            </>
          )}
        </>
      )}</Answer>
      {rows.length > 0 && (
        <>
          <h3>Figures</h3>
          <Table label={`Figures of ${id}`} rows={rows} keyOf={(row) => JSON.stringify(row.where)} columns={[
            { name: "Of", cell: (row) => { const parts = Object.entries(row.where); return parts.length ? parts.map(([name, value]) => `${name} ${value}`).join(", ") : <Badge>all</Badge>; } },
            { name: "Value", num: true, cell: (row) => (row.value === null ? "no data" : row.text) }, ...VALUES.slice(1),
          ]} />
        </>
      )}
    </Card>
  );
}
