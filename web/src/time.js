// The time that the pages are shown at: `t` of the address, UTC; empty is now.
import { millis, when } from "./format.js";

export const HOUR_MS = 3_600_000;
const FORM = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?)?Z?$/;

/** *text* of the address as the API takes it, such as 2018-03-04T12:00; empty for what is no time. */
export function timeOf(text) {
  const given = (text ?? "").trim();
  return FORM.test(given) && Number.isFinite(millis(given)) ? when(millis(given) * 1e6).replace(" ", "T") : "";
}

export const ofMillis = (ms) => new Date(ms).toISOString().slice(0, 16);

/** First and last full hour of the market that the run has seen, in milliseconds; null while that is not known. */
export function spanOf(status) {
  const first = millis(status?.result?.since_ns ?? 0), last = millis(status?.equity_ns || 0);
  if (!Number.isFinite(first) || !Number.isFinite(last) || last - first < HOUR_MS) return null;
  return { first: Math.ceil(first / HOUR_MS) * HOUR_MS, last: Math.floor(last / HOUR_MS) * HOUR_MS };
}

/** The address of a page with *values*, behind its "#/"; values that are empty are left out. */
export function address(path, values = {}) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  return `${path}${given.length ? `?${new URLSearchParams(given).toString().replaceAll("%3A", ":")}` : ""}`;
}

/** Changes the values of the address that is shown, in place: no step of the browser's history. */
export function change(values) {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  history.replaceState(null, "", `#/${address(path || "overview", { ...Object.fromEntries(new URLSearchParams(query ?? "")), ...values })}`);
  dispatchEvent(new Event("placechange"));
}
