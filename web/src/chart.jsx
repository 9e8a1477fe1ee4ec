// Line charts over time (UTC) with uPlot; their colours are those of the style sheet.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const DAY_S = 86400;

/** Marks of the time axis, each as short as it may be: month, day, or time of day with the day where it changes. */
function dates(found, step) {
  let before = "";
  return found.map((at) => {
    const text = new Date(at * 1000).toISOString();
    const day = text.slice(0, 10), time = text.slice(11, 16);
    if (step >= 28 * DAY_S) return day.slice(0, 7);
    if (step >= DAY_S) return day;
    const first = day !== before;
    before = day;
    return first ? `${day}\n${time}` : time;
  });
}

/** *data*: [seconds, values, ...]; *series*: {label, colour, fill, unit(value)}. Drawn anew when data or theme change. */
export function Chart({ label, data, series, height = 220, format, sync, theme, hooks, range }) {
  const place = useRef(null);
  useEffect(() => {
    const root = place.current;
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const chart = new uPlot({
      width: Math.max(200, root.clientWidth), height, padding: [null, 34, null, null],
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: { sync: sync ? { key: sync } : undefined, drag: { x: true, y: false } },
      legend: { live: true },
      scales: { x: { time: true }, y: range ? { range } : {} },
      series: [
        { label: "UTC", value: (_, at) => (at === null || at === undefined ? "–" : new Date(at * 1000).toISOString().slice(0, 16).replace("T", " ")) },
        ...series.map((one) => ({
          label: one.label, stroke: colour(one.colour), fill: one.fill ? colour(one.fill) : undefined, width: one.width ?? 1.5,
          points: one.points ?? { show: false }, paths: one.paths, value: (_, value) => (value === null || value === undefined ? "–" : format(value)),
        })),
      ],
      axes: [{ ...axis, space: 75, values: (_, found, __, ___, step) => dates(found, step) }, { ...axis, size: 62, values: (_, found) => found.map((value) => format(value)) }],
      hooks: hooks ?? {},
    }, data, root);
    const watcher = new ResizeObserver(() => {
      const width = root.clientWidth;
      if (width > 0 && width !== chart.width) chart.setSize({ width, height });
    });
    watcher.observe(root);
    return () => { watcher.disconnect(); chart.destroy(); };
  }, [data, theme, height]);
  return <div class="chart" ref={place} role="img" aria-label={label} />;
}
