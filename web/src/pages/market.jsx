// Candles of a symbol with its signals, trades and stops, and its market states behind them.
import { useMemo } from "preact/hooks";
import { road } from "../api.js";
import { Chart } from "../chart.jsx";
import { amount, millis, plus, reasonWords, when, whole, words } from "../format.js";
import { Answer, Card, Field, Rows, side, Table, tone } from "../parts.jsx";
import { useLoad, useStore } from "../store.js";
import { change, ofMillis, spanOf } from "../time.js";

const LENGTHS = [["1m", 1], ["5m", 5], ["15m", 15], ["30m", 30], ["1h", 60], ["4h", 240], ["1d", 1440]];
const COUNTS = [100, 250, 500, 1000, 2500, 5000];
const USUAL_MIN = 240, USUAL = 500;
const READ = { data: true }; // of now the status tells what is held

/** The address holds what is shown: symbol, candle, candles and t. */
export function Market({ values, at, theme }) {
  const { status, beat } = useStore();
  const found = useLoad("models");
  const symbols = [...new Set([...(found.data?.state?.models ?? []).flatMap((one) => one.symbols), ...(status?.positions ?? []).map((one) => one.symbol)])].sort();
  const symbol = values.symbol || symbols[0] || "";
  return (
    <>
      <h1>Market</h1>
      {!symbol && (found.data ? <p class="empty">The run names no symbol yet: it does once its models are loaded.</p> : <p class="empty" role="status">Reading …</p>)}
      {symbol && <Symbol key={symbol} symbol={symbol} symbols={symbols} values={values} at={at} status={status} theme={theme} beat={at ? 0 : Math.floor(beat / 5)} />}
    </>
  );
}

function Symbol({ symbol, symbols, values, at, status, theme, beat }) {
  const base = useLoad(road("candles", { symbol, limit: 1 }));
  const base_min = base.data ? base.data.length_ns / 60e9 : null;
  const usable = LENGTHS.filter(([, minutes]) => base_min && minutes % base_min === 0);
  const count = COUNTS.includes(Number(values.candles)) ? Number(values.candles) : USUAL;
  const length = (usable.find(([name]) => name === values.candle) ?? usable.find(([, minutes]) => minutes >= USUAL_MIN) ?? usable.at(-1))?.[0];
  const candles = useLoad(length ? road("candles", { symbol, timeframe: length, limit: count, as_of: at }) : null, beat);
  const trades = useLoad(road("trades", { symbol, limit: 1000, as_of: at }), beat);
  const past = useLoad(at ? road("past", { at }) : null);
  const held = ((at ? past.data : status)?.positions ?? []).find((one) => one.symbol === symbol) ?? null;
  return (
    <>
      <form class="filters" aria-label="What is shown" onSubmit={(event) => event.preventDefault()}>
        <Field label="Symbol"><select value={symbol} onChange={(event) => change({ symbol: event.target.value })}>{[...new Set([symbol, ...symbols])].sort().map((one) => <option key={one} value={one}>{one}</option>)}</select></Field>
        <Field label="Candle"><select value={length ?? ""} onChange={(event) => change({ candle: event.target.value })}>{usable.map(([name]) => <option key={name} value={name}>{name}</option>)}</select></Field>
        <Field label="Candles"><select value={count} onChange={(event) => change({ candles: event.target.value })}>{COUNTS.map((one) => <option key={one} value={one}>{whole(one)}</option>)}</select></Field>
        {length && <Pan step_ms={(count / 2) * usable.find(([name]) => name === length)[1] * 60e3} at={at} span={spanOf(status)} />}
      </form>
      <div class="cards">
        <Card title={`${symbol}, USDT`} size="wide" note={`${at ? `up to ${when(at)} UTC` : "up to now, UTC"}; drag over the chart to zoom, double click to go back`}>
          {base.error ? <Answer of={base}>{() => null}</Answer> : (
            <Answer of={at ? past : READ}>{() => <Answer of={candles}>{(data) => <Answer of={trades}>{(page) => <Candles data={data} trades={page.rows} held={held} theme={theme} symbol={symbol} />}</Answer>}</Answer>}</Answer>
          )}
          <Legend held={held} />
          {candles.data && <States spans={candles.data.regimes} symbol={symbol} />}
        </Card>
        <Card title="Trades" size="wide" note={at ? `that had ended by ${when(at)} UTC` : null}>
          <Answer of={trades}>{({ rows }) => (
            <>
              <Table label={`Trades in ${symbol}`} rows={rows.slice(0, 50)} keyOf={(one) => `${one.producer}.${one.seq}`} empty={`No trade in ${symbol} has ended${at ? " by then" : " yet"}.`} columns={TRADES} />
              {rows.length > 50 && <p class="note">The newest 50 of {whole(rows.length)}{rows.length === 1000 && " or more"}.</p>}
            </>
          )}</Answer>
          <Rows query={`select * from trades where symbol = '${symbol.replaceAll("'", "''")}' order by ts_ns desc`} />
        </Card>
      </div>
    </>
  );
}

/** Half a screen earlier or later: it moves the time that is shown. */
function Pan({ step_ms: step, at, span }) {
  if (!span) return null;
  const ends = at ? Date.parse(`${at}Z`) : span.last;
  const go = (ms) => change({ t: ms >= span.last ? "" : ofMillis(Math.max(span.first, ms)) });
  return (
    <div class="choice pan" role="group" aria-label="Move along the history">
      <button type="button" disabled={ends <= span.first} onClick={() => go(ends - step)}>← Earlier</button>
      <button type="button" disabled={!at} onClick={() => go(ends + step)}>Later →</button>
    </div>
  );
}

const TRADES = [
  { name: "Opened (UTC)", cell: (one) => when(one.entry_ns) }, { name: "Closed (UTC)", cell: (one) => when(one.exit_ns) },
  { name: "Side", cell: (one) => side(one.side) }, { name: "Quantity", num: true, cell: (one) => amount(one.qty) },
  { name: "Entry", unit: "USDT", num: true, cell: (one) => amount(one.entry_price) }, { name: "Exit", unit: "USDT", num: true, cell: (one) => amount(one.exit_price) },
  { name: "Stop", unit: "USDT", num: true, cell: (one) => amount(one.stop_price) },
  { name: "Result", unit: "USDT", num: true, cell: (one) => <span class={tone(one.pnl)}>{plus(one.pnl)}</span> }, { name: "R", num: true, cell: (one) => plus(one.r_multiple) },
  { name: "Closed by", cell: (one) => reasonWords(one.exit_reason) },
  { name: "Why", cell: (one) => (one.trace_id ? <a href={`#/decisions/${encodeURIComponent(one.trace_id)}`}>decision</a> : "") },
];

// ---- market states
const TRENDS = [
  ["up", "trending up", (regime) => regime.startsWith("TRENDING UP")], ["down", "trending down", (regime) => regime.startsWith("TRENDING DOWN")],
  ["trend", "trending", (regime) => regime.startsWith("TRENDING")], ["range", "ranging", (regime) => regime.startsWith("RANGING")],
];
const LEVELS = { HIGH: ["high", "high volatility"], EXTREME: ["extreme", "extreme volatility"] };
const trendOf = (regime) => TRENDS.find(([, , is]) => is(regime))?.[0] ?? "";
const levelOf = (regime) => LEVELS[regime.split(" ").at(-1)]?.[0] ?? "";

function Legend({ held }) {
  return (
    <ul class="legend" aria-label="Legend">
      <li><i class="swatch mark-signal">▲</i> allowed signal, up for long</li>
      <li><i class="swatch line-up" /> trade with a profit, from entry to exit</li>
      <li><i class="swatch line-down" /> trade with a loss</li>
      <li><i class="swatch line-stop" /> its stop</li>
      {held && <li><i class="swatch line-held" /> {held.side.toLowerCase()} position that is open, and its stop{held.stop ? ` at ${amount(held.stop)}` : ""}</li>}
      {TRENDS.map(([name, text]) => <li key={name}><i class={`swatch regime-${name}`} /> {text}</li>)}
      {Object.values(LEVELS).map(([name, text]) => <li key={name}><i class={`swatch regime-${name}`} /> {text}, along the top</li>)}
    </ul>
  );
}

function States({ spans, symbol }) {
  if (!spans.length) return <p class="note">No market state of {symbol} is on record in this time.</p>;
  return (
    <details class="states">
      <summary>{words(spans.at(-1).regime)} since {when(spans.at(-1).from_ns)} UTC; {whole(spans.length)} market states in sight</summary>
      <Table label={`Market states of ${symbol}`} rows={spans.toReversed()} keyOf={(one) => one.from_ns} columns={[
        { name: "From (UTC)", cell: (one) => when(one.from_ns) }, { name: "To (UTC)", cell: (one) => when(one.to_ns) }, { name: "Market state", cell: (one) => words(one.regime) },
      ]} />
    </details>
  );
}

/** Fills the ground of the plot by market state, and a band along its top by volatility. */
function shade(chart, spans) {
  const { ctx, bbox } = chart;
  const style = getComputedStyle(document.documentElement);
  const { min, max } = chart.scales.x;
  ctx.save();
  for (const one of spans) {
    const from = Math.max(min, one.from_ns / 1e9), to = Math.min(max, one.to_ns / 1e9);
    if (!(to > from)) continue;
    const left = chart.valToPos(from, "x", true), width = chart.valToPos(to, "x", true) - left;
    for (const [name, height] of [[trendOf(one.regime), bbox.height], [levelOf(one.regime), 7 * devicePixelRatio]]) {
      if (!name) continue;
      ctx.fillStyle = style.getPropertyValue(`--regime-${name}`).trim();
      ctx.fillRect(left, bbox.top, width, height);
    }
  }
  ctx.restore();
}

// ---- candles
const SERIES = [{ label: "Open" }, { label: "High" }, { label: "Low" }, { label: "Close" }].map((one) => ({ ...one, colour: "--none" }));

function Candles({ data, trades, held, theme, symbol }) {
  const [shown, hooks] = useMemo(() => {
    const column = (name) => data.candles.map((one) => one[name]);
    const seconds = column("ts_ns").map((ns) => Math.round(ns / 1e9));
    const bars = ["open", "high", "low", "close"].map(column);
    const marks = { up: column("long"), down: column("short") };
    return [[seconds, ...bars], {
      drawClear: [(chart) => shade(chart, data.regimes)],
      draw: [(chart) => draw(chart, seconds, bars, marks, trades, held, data.length_ns / 1e9)],
    }];
  }, [data, trades, held?.stop, held?.qty]);
  if (!data.candles.length) return <p class="empty">There are no candles yet: the first stands here once its bar is complete.</p>;
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
  if (held) {
    const from = millis(held.entry_ns) / 1000 || max, to = seconds.at(-1) + length_s;
    line(from, to, held.entry_price, close.at(-1), accent, []);
    if (held.stop) line(from, to, held.stop, held.stop, accent, [6, 3]);
  }
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
