// The parts that pages are made of. Text of data is always a text node: nothing here sets HTML.
import { cloneElement } from "preact";
import { useId } from "preact/hooks";
import { UNKNOWN, plain } from "./format.js";

const SHORT = 24; // characters of a cell that is not wrapped
const LONG = 40; // characters of a cell that is wrapped anywhere
const width = (cell) => (typeof cell !== "string" ? "" : cell.length > LONG ? "long" : cell.length <= SHORT ? "short" : "");

/** *size*: "", "half" or "wide", the whole width. */
export function Card({ title, note, size = "", children, actions }) {
  return (
    <section class={`card ${size}`}>
      {title && (
        <header>
          <h2>{title}</h2>
          {note && <span class="note">{note}</span>}
          {actions && <span class="actions">{actions}</span>}
        </header>
      )}
      {children}
    </section>
  );
}

/** A figure that opens its metric: id, meaning, and the SQL or the function that computes it. */
export function Metric({ id, children }) {
  return <a class="metric" href={`#/lab/${encodeURIComponent(id)}`} title="What this figure is, and how it is computed">{children}</a>;
}

/** A link to the rows of the journal that a card is made of. */
export const Rows = ({ query, children = "These rows in SQL" }) => <p class="note"><a href={`#/journal?q=${encodeURIComponent(query)}`}>{children}</a></p>;

/** Pairs of name and value. */
export function Facts({ of }) {
  return (
    <dl class="facts">
      {of.filter(Boolean).map(([name, value]) => (
        <div key={name}><dt>{name}</dt><dd>{value ?? UNKNOWN}</dd></div>
      ))}
    </dl>
  );
}

/** *metric*: the id that its value opens. */
export function Tile({ name, value, unit, tone, note, metric }) {
  return (
    <div class="tile">
      <div class="name">{name}{unit && `, ${unit}`}</div>
      <div class={`value ${tone ?? ""}`}>{metric ? <Metric id={metric}>{value}</Metric> : value}</div>
      {note && <div class="note">{note}</div>}
    </div>
  );
}

/** A table; *columns* are {name, cell(row), num, unit}. It scrolls sideways by itself. */
export function Table({ label, columns, rows, empty = "Nothing.", keyOf }) {
  if (!rows.length) return <p class="empty">{empty}</p>;
  return (
    <div class="scroll" role="group" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>{columns.map((one) => (
            <th key={one.name} scope="col" class={one.num ? "num" : ""}>{one.name}{one.unit && <small> {one.unit}</small>}</th>
          ))}</tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={keyOf ? keyOf(row) : index}>
              {columns.map((one) => {
                const cell = one.cell(row);
                return <td key={one.name} class={one.num ? "num" : width(cell)}>{cell}</td>;
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** What is shown while an answer is awaited, or instead of it. */
export function Answer({ of, children }) {
  if (of.error && !of.data) return <Trouble error={of.error} />;
  if (!of.data) return <p class="empty" role="status">Reading …</p>;
  return <>{of.error && <Trouble error={of.error} />}{children(of.data)}</>;
}

export function Trouble({ error }) {
  return <p class="trouble" role="alert">{error.message ?? String(error)}</p>;
}

export function Badge({ tone = "", children }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

export const side = (name) => <Badge tone={name === "LONG" || name === "BUY" ? "up" : name ? "down" : ""}>{plain(name)}</Badge>;
export const tone = (value) => (value > 0 ? "up" : value < 0 ? "down" : "");

/** "older" and "newer" of a list that is paged by cursors; *trail* holds those of the pages before. */
export function Pager({ trail, next, go }) {
  return (
    <nav class="pager" aria-label="Pages of the list">
      <button type="button" disabled={!trail.length} onClick={() => go(trail.slice(0, -1))}>Newer</button>
      <span>Page {trail.length + 1}</span>
      <button type="button" disabled={!next} onClick={() => go([...trail, next])}>Older</button>
    </nav>
  );
}

/** A control with its label; *hint* says more of it. */
export function Field({ label, hint, children }) {
  const id = useId();
  if (!hint) return <label class="field"><span>{label}</span>{children}</label>;
  return (
    <div class="field">
      <label class="field"><span>{label}</span>{cloneElement(children, { "aria-describedby": id })}</label>
      <small id={id}>{hint}</small>
    </div>
  );
}
