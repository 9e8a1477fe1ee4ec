// The state of the run in a word, and its tone.
export function stateOf(status) {
  if (status.problems.length) return { tone: "bad", text: `${status.problems.length} ${status.problems.length > 1 ? "problems" : "problem"}` };
  if (status.alive) {
    if (status.entries_halted) return { tone: "warn", text: "entries halted" };
    return { tone: "good", text: status.stage || "running" };
  }
  if (status.kind === "nothing") return { tone: "", text: "not started" };
  return { tone: "", text: status.stage || "no process" };
}

/** Whether its account is at a venue, not on paper. */
export const atVenue = (status) => status.kind === "live" && status.mode !== "DRY";

/** Seconds since the status was written, by now. */
export const ageOf = (status, read_ms) => (status.age_s === null ? null : status.age_s + (Date.now() - read_ms) / 1000);

/** "212 of 365 days" of what a model lacks before it gives scores; with the symbols where not all of them lack the same. */
export function lackWords(model) {
  const groups = new Map();
  for (const one of model.lacks) {
    const text = `${one.bars} of ${one.needed} ${one.interval === "1d" ? "days" : `bars of ${one.interval}`}`;
    groups.set(text, [...(groups.get(text) ?? []), one.symbol]);
  }
  return [...groups].map(([text, symbols]) => (symbols.length === model.symbols.length ? text : `${text} (${symbols.join(", ")})`)).join("; ");
}
