// Candles of a symbol with its signals, trades and stops.
import { useMemo, useState } from "preact/hooks";
import { road } from "../api.js";
import { Chart } from "../chart.jsx";
import { amount, millis, plus, when, whole, words } from "../format.js";
import { Answer, Card, Field, side, Table, tone } from "../parts.jsx";
import { useLoad, useStore } from "../store.js";

const LENGTHS = [["1m", 1], ["5m", 5], ["15m", 15], ["30m", 30], ["1h", 60], ["4h", 240], ["1d", 1440]];
const COUNTS = [250, 500, 1000, 2500, 5000];
const USUAL_MIN = 240;

export function Market({ values, theme }) {
  const { status, beat } = useStore();
  const found = useLoad("models");
  const symbols = [...new Set([...(found.data?.state?.models ?? []).flatMap((one) => one.symbols), ...(status?.positions ?? []).map((one) => one.symbol)])].sort();
  const [picked, pick] = useState(values.symbol ?? "");
  const symbol = picked || symbols[0] || "";
  return (
    <>
      <h1>Market</h1>
      {!symbol && (found.data ? <p class="empty">The run names no symbol yet.</p> : <p class="empty" role="status">Reading …</p>)}
      {symbol && <Symbol key={symbol} symbol={symbol} symbols={symbols} pick={pick} status={status} theme={theme} beat={Math.floor(beat / 5)} />}
    </>
  );
}

function Symbol({ symbol, symbols, pick, status, theme, beat }) {
  const base = useLoad(road("candles", { symbol, limit: 1 }));
  const base_min = base.data ? base.data.length_ns / 60e9 : null;
  const usable = LENGTHS.filter(([, minutes]) => base_min && minutes % base_min === 0);
  const [length, setLength] = useState("");
  const [count, setCount] = useState(1000);
  const now = length || (usable.find(([, minutes]) => minutes >= USUAL_MIN) ?? usable.at(-1))?.[0];
  const candles = useLoad(now ? road("candles", { symbol, timeframe: now, limit: count }) : null, beat);
  const trades = useLoad(road("trades", { symbol, limit: 1000 }), beat);
  const held = status?.positions.find((one) => one.symbol === symbol) ?? null;
  return (
    <>
      <form class="filters" aria-label="What is shown" onSubmit={(event) => event.preventDefault()}>
        <Field label="Symbol"><select value={symbol} onChange={(event) => pick(event.target.value)}>{[...new Set([symbol, ...symbols])].sort().map((one) => <option key={one} value={one}>{one}</option>)}</select></Field>
        <Field label="Candle"><select value={now ?? ""} onChange={(event) => setLength(event.target.value)}>{usable.map(([name]) => <option key={name} value={name}>{name}</option>)}</select></Field>
        <Field label="Candles"><select value={count} onChange={(event) => setCount(Number(event.target.value))}>{COUNTS.map((one) => <option key={one} value={one}>{whole(one)}</option>)}</select></Field>
      </form>
      <div class="cards">
        <Card title={`${symbol}, USDT`} size="wide" note="UTC; drag to zoom, double click to go back">
          {base.error ? <Answer of={base}>{() => null}</Answer> : (
            <Answer of={candles}>{(data) => <Answer of={trades}>{(page) => <Candles data={data} trades={page.rows} held={held} theme={theme} symbol={symbol} />}</Answer>}</Answer>
          )}
          <p class="note">Triangles: signals that were allowed, up for long. Lines: trades from entry to exit, green with a profit; dashed: their stops{held?.stop ? `; across the end: the stop of the open position, ${amount(held.stop)}` : ""}.</p>
        </Card>
        <Card title="Trades" size="wide">
          <Answer of={trades}>{({ rows }) => (
            <Table label={`Trades in ${symbol}`} rows={rows.slice(0, 50)} keyOf={(one) => `${one.producer}.${one.seq}`} empty="No trade in it has ended." columns={TRADES} />
          )}</Answer>
        </Card>
      </div>
    </>
  );
}

const TRADES = [
  { name: "Opened (UTC)", cell: (one) => when(one.entry_ns) }, { name: "Closed (UTC)", cell: (one) => when(one.exit_ns) },
  { name: "Side", cell: (one) => side(one.side) }, { name: "Quantity", num: true, cell: (one) => amount(one.qty) },
  { name: "Entry", unit: "USDT", num: true, cell: (one) => amount(one.entry_price) }, { name: "Exit", unit: "USDT", num: true, cell: (one) => amount(one.exit_price) },
  { name: "Stop", unit: "USDT", num: true, cell: (one) => amount(one.stop_price) },
  { name: "Result", unit: "USDT", num: true, cell: (one) => <span class={tone(one.pnl)}>{plus(one.pnl)}</span> }, { name: "R", num: true, cell: (one) => plus(one.r_multiple) },
  { name: "Closed by", cell: (one) => words(one.exit_reason) },
  { name: "Why", cell: (one) => (one.trace_id ? <a href={`#/decisions/${encodeURIComponent(one.trace_id)}`}>decision</a> : "") },
];

const SERIES = [{ label: "Open" }, { label: "High" }, { label: "Low" }, { label: "Close" }].map((one) => ({ ...one, colour: "--none" }));

function Candles({ data, trades, held, theme, symbol }) {
  const [shown, hooks] = useMemo(() => {
    const column = (name) => data.candles.map((one) => one[name]);
    const seconds = column("ts_ns").map((ns) => Math.round(ns / 1e9));
    const bars = ["open", "high", "low", "close"].map(column);
    const marks = { up: column("long"), down: column("short") };
    return [[seconds, ...bars], { draw: [(chart) => draw(chart, seconds, bars, marks, trades, held, data.length_ns / 1e9)] }];
  }, [data, trades, held?.stop]);
  if (!data.candles.length) return <p class="empty">There are no candles yet.</p>;
  return <Chart label={`${whole(data.candles.length)} candles of ${symbol} from ${when(data.candles[0].ts_ns)} to ${when(data.candles.at(-1).ts_ns)} UTC`} data={shown} series={SERIES} hooks={hooks} format={amount} theme={theme} height={430} />;
}

/** Bodies and wicks, then trades, stops and signals, within the plot. */
function draw(chart, seconds, [open, high, low, close], marks, trades, held, length_s) {
  const { ctx, bbox } = chart;
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const up = colour("--up"), down = colour("--down"), accent = colour("--accent"), text = colour("--text");
  const x = (second) => chart.valToPos(second, "x", true), y = (price) => chart.valToPos(price, "y", true);
  const { min, max } = chart.scales.x;
  const wide = Math.max(1, (x(min + length_s) - x(min)) * 0.7), thin = Math.max(1, devicePixelRatio);
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (let at = 0; at < seconds.length; at++) {
    if (seconds[at] < min - length_s || seconds[at] > max) continue;
    const middle = x(seconds[at] + length_s / 2), top = y(Math.max(open[at], close[at]));
    ctx.fillStyle = close[at] >= open[at] ? up : down;
    ctx.fillRect(middle - thin / 2, y(high[at]), thin, y(low[at]) - y(high[at]));
    ctx.fillRect(middle - wide / 2, top, wide, Math.max(thin, y(Math.min(open[at], close[at])) - top));
  }
  const line = (from, to, begins, ends, stroke, dash) => {
    ctx.strokeStyle = stroke;
    ctx.lineWidth = 1.5 * thin;
    ctx.setLineDash(dash.map((one) => one * thin));
    ctx.beginPath();
    ctx.moveTo(x(from), y(begins));
    ctx.lineTo(x(to), y(ends));
    ctx.stroke();
  };
  for (const one of trades) {
    const from = millis(one.entry_ns) / 1000, to = millis(one.exit_ns) / 1000;
    if (to < min || from > max) continue;
    line(from, to, one.entry_price, one.exit_price, one.pnl > 0 ? up : down, []);
    if (one.stop_price > 0) line(from, to, one.stop_price, one.stop_price, text, [2, 4]);
  }
  if (held?.stop) line(max - (max - min) / 8, max, held.stop, held.stop, accent, [6, 3]);
  ctx.setLineDash([]);
  ctx.fillStyle = accent;
  const size = 5 * thin;
  for (let at = 0; at < seconds.length; at++) {
    if (seconds[at] < min || seconds[at] > max) continue;
    for (const [name, sign, price] of [["up", 1, low[at]], ["down", -1, high[at]]]) {
      if (!marks[name][at]) continue;
      const middle = x(seconds[at] + length_s / 2), tip = y(price) + sign * 4 * thin;
      ctx.beginPath();
      ctx.moveTo(middle, tip);
      ctx.lineTo(middle - size, tip + sign * size * 1.6);
      ctx.lineTo(middle + size, tip + sign * size * 1.6);
      ctx.fill();
    }
  }
  ctx.restore();
}
