// What a day taught: sentences whose figures open their metric.
import { useState } from "preact/hooks";
import { road } from "../api.js";
import { plain, UNKNOWN, words } from "../format.js";
import { Answer, Card, Field, Table } from "../parts.jsx";
import { useLoad } from "../store.js";

export function Insights({ values }) {
  const [day, setDay] = useState(values.day ?? "");
  const [window_, setWindow] = useState("30");
  const found = useLoad(road("insights", { day: day || "last", window: window_ }));
  return (
    <>
      <h1>Insights</h1>
      <form class="filters" aria-label="Day" onSubmit={(event) => event.preventDefault()}>
        <Field label="Day (UTC); empty: the last"><input type="date" value={day} onInput={(event) => setDay(event.target.value)} /></Field>
        <Field label="Blocks are judged by"><select value={window_} onChange={(event) => setWindow(event.target.value)}>{["7", "30", "90", "365"].map((days) => <option key={days} value={days}>{days} days</option>)}</select></Field>
      </form>
      <Answer of={found}>{(data) => <Insight data={data} pick={setDay} />}</Answer>
    </>
  );
}

function Insight({ data, pick }) {
  const step = (days) => { const at = new Date(`${data.day}T00:00:00Z`); at.setUTCDate(at.getUTCDate() + days); pick(at.toISOString().slice(0, 10)); };
  return (
    <div class="cards">
      <Card title={data.day} size="wide" actions={/^\d{4}-\d\d-\d\d$/.test(data.day) && <><button type="button" class="small" onClick={() => step(-1)}>Day before</button> <button type="button" class="small" onClick={() => step(1)}>Day after</button></>}>
        <p class="lead">{data.summary}</p>
        {data.recommendations.length > 0 && (
          <>
            <h3>What to do</h3>
            <ol class="plain-list">{data.recommendations.map((one, index) => <li key={index}>{typeof one === "string" ? one : one.text ?? one.action ?? plain(one)}</li>)}</ol>
          </>
        )}
      </Card>
      {data.sections.filter((one) => one.sentences.length).map((one) => (
        <Card key={one.title} title={one.title}>
          <ul class="plain-list">{one.sentences.map((sentence, index) => <li key={index}>{sentence.text} {sentence.figures.map((key) => <Figure key={key} of={key} figures={data.figures} day={data.day} />)}</li>)}</ul>
        </Card>
      ))}
      {data.tables.map((one) => (
        <Card key={one.title} title={one.title} size="wide">
          <Table label={one.title} rows={one.rows.map((cells, index) => [...cells, one.verdicts?.[index] ?? ""])} columns={one.columns.map((name, at) => ({
            name, cell: (row) => (data.figures[row[at]] ? <Figure of={row[at]} figures={data.figures} day={data.day} text /> : at === 0 ? <b>{words(row[at])}</b> : row[at] ? plain(row[at]) : UNKNOWN),
          }))} />
        </Card>
      ))}
    </div>
  );
}

/** A link to the metric of a figure; its text is the figure where *text*, a mark otherwise. */
function Figure({ of, figures, day, text }) {
  const found = figures[of];
  const id = of.split("@")[0];
  const said = found ? `${found.title}: ${found.text}${found.bounds ? ` (${found.bounds})` : ""}, ${found.samples} samples` : id;
  return <a class={text ? "" : "figure"} href={`#/lab/${encodeURIComponent(id)}?day=${encodeURIComponent(day)}`} title={said}>{text ? found?.text ?? id : found?.title ?? id}</a>;
}
