// Numbers with their units, and times in UTC, as a person reads them.
import { CODE_WORDS } from "./code_words.js";

const MINUS = "−";
const fixed = new Map();

function digits(least, most) {
  const key = `${least}.${most}`;
  if (!fixed.has(key)) fixed.set(key, new Intl.NumberFormat("en-US", { minimumFractionDigits: least, maximumFractionDigits: most }));
  return fixed.get(key);
}

const known = (value) => typeof value === "number" && Number.isFinite(value);
const sign = (text) => text.replace("-", MINUS);

export const UNKNOWN = "–";
export const whole = (value) => (known(value) ? sign(digits(0, 0).format(value)) : UNKNOWN);
export const fix = (value, places = 2) => (known(value) ? sign(digits(places, places).format(value)) : UNKNOWN);
export const plus = (value, places = 2) => (known(value) ? (value > 0 ? "+" : "") + fix(value, places) : UNKNOWN);
/** About six significant digits: prices and quantities. */
export function amount(value) {
  if (!known(value)) return UNKNOWN;
  const size = Math.abs(value);
  return sign(digits(0, size === 0 ? 0 : Math.min(12, Math.max(0, 5 - Math.floor(Math.log10(size))))).format(value));
}

/** Milliseconds of nanoseconds, of an ISO text (UTC where it names no zone); NaN for none. */
export function millis(time) {
  if (typeof time === "number") return time > 0 ? time / 1e6 : NaN;
  if (!time) return NaN;
  return Date.parse(/(Z|[+-]\d\d:?\d\d)$/.test(time) ? time : `${time}Z`);
}

/** "2019-09-30 23:00" of nanoseconds or ISO text; *seconds* adds them. */
export function when(time, seconds = false) {
  const ms = millis(time);
  return Number.isFinite(ms) ? new Date(ms).toISOString().slice(0, seconds ? 19 : 16).replace("T", " ") : UNKNOWN;
}

/** "3 h 20 min" of seconds. */
export function span(seconds) {
  if (!known(seconds)) return UNKNOWN;
  if (seconds < 0.001) return seconds <= 0 ? "0 s" : "< 1 ms";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${fix(seconds, seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (minutes < 60) return `${minutes} min`;
  if (hours < 48) return `${hours} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
  return `${days} d${hours % 24 ? ` ${hours % 24} h` : ""}`;
}

/** Any value of a row as text. */
export function plain(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(10)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Words of a record's reason, as the reports and the terminal say it: "symbol barred (losing record or cost)". */
export const reasonWords = (code) => CODE_WORDS[code] ?? words(code);

/** Words of a name in capitals or with underscores: "no new trades". */
export const words = (name) => String(name ?? "").replaceAll("_", " ").toLowerCase();

/** What a model still lacks: "243 of 373 days"; with the symbols where they do not lack the same. */
export function lackWords(lacks) {
  const groups = new Map();
  for (const one of lacks) {
    const said = `${one.bars} of ${one.needed} ${one.interval === "1d" ? "days" : `bars of ${one.interval}`}`;
    groups.set(said, [...(groups.get(said) ?? []), one.symbol]);
  }
  return [...groups].map(([said, symbols]) => (groups.size > 1 ? `${said} (${symbols.join(", ")})` : said)).join("; ");
}

/** JSON in a text, or *otherwise*. */
export function parsed(text, otherwise) {
  if (typeof text !== "string") return text ?? otherwise;
  try {
    return JSON.parse(text);
  } catch {
    return otherwise;
  }
}
