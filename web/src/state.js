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

/** Whether it is a replay that has reached its last bar: nothing runs, and nothing can be stopped. */
export const hasEnded = (status) => status.kind === "replay" && !status.alive && status.stage === "finished";

/** Whether its account is at a venue, not on paper. */
export const atVenue = (status) => status.kind === "live" && status.mode !== "DRY";

/** Seconds since the status was written, by now. */
export const ageOf = (status, read_ms) => (status.age_s === null ? null : status.age_s + (Date.now() - read_ms) / 1000);
