// Asks the API. The token stays in this tab: sessionStorage, or memory where that is closed.
const TOKEN = "quantum-trader-token";
let kept = null;
let refused = null; // what the server said of the token that was kept last

export function token() {
  if (kept === null) {
    try {
      kept = sessionStorage.getItem(TOKEN) ?? "";
    } catch {
      kept = "";
    }
  }
  return kept;
}

/** Why the server did not know the token that was kept last; null where it did, or there was none. */
export const refusal = () => refused;

export function setToken(text) {
  kept = text.trim();
  refused = null;
  try {
    if (kept) sessionStorage.setItem(TOKEN, kept);
    else sessionStorage.removeItem(TOKEN);
  } catch {
    // stays in memory
  }
}

/** What the server refused, with its HTTP status; 0 where it did not answer. */
export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The answer of one road under /api/v1, as JSON. Throws a Refusal. */
export async function ask(road, { method = "GET", body, signal, as = token() } = {}) {
  const headers = {};
  if (as) headers.Authorization = `Bearer ${as}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer, content;
  try {
    answer = await fetch(`/api/v1/${road}`, {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store", credentials: "omit", redirect: "error",
    });
    content = await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "unreachable", "The server does not answer. Is `quantum-trader serve` still running?");
  }
  let read;
  try {
    read = JSON.parse(content);
  } catch {
    throw new Refusal(answer.status, "no_json", `The server answered ${answer.status} without JSON.`);
  }
  if (answer.ok) return read;
  const error = new Refusal(answer.status, read.error?.code ?? "", read.error?.message ?? `HTTP ${answer.status}`);
  if (as && as === token() && answer.status === 401) { // asking on with it would use up the tries of this address
    setToken("");
    refused = error;
  }
  throw error;
}

/** A road with its parameters; those without a value are left out. */
export function road(path, values = {}) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/** One SELECT over the journal: {columns, rows, total}. */
export const sql = (query, options = {}) => ask("journal/sql", { method: "POST", body: { query, limit: 1000 }, ...options });
