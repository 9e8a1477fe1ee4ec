// A question before something is changed: what will happen, why, and with whose token.
import { useEffect, useRef, useState } from "preact/hooks";
import { refusal, setToken, token } from "./api.js";
import { Field, Trouble } from "./parts.jsx";
import { connect, learnAccess, refresh, tell } from "./store.js";

let count = 0;

/**
 * Opens the question. *of*: title, children, confirm (text of the button), role that is needed, run({reason, as}) that does
 * it, reason (what stands in the field; null for no field), danger, done (text) or after (component shown once it is done).
 */
export function question(of) {
  tell({ dialog: { role: "trader", reason: "", id: ++count, ...of } });
}

export const closeDialog = () => tell({ dialog: null });

export function Dialog({ of }) {
  const root = useRef(null);
  const [reason, setReason] = useState(of.reason ?? "");
  const [given, setGiven] = useState("");
  const [wantsToken, setWants] = useState(!token());
  const [error, setError] = useState(refusal());
  const [phase, setPhase] = useState(of.begun ? "done" : "asked");
  useEffect(() => {
    const before = document.activeElement;
    root.current.showModal();
    return () => before?.focus?.();
  }, []);
  useEffect(() => root.current.querySelector("[data-first]")?.focus(), [phase === "done", wantsToken]);

  async function confirm(event) {
    event.preventDefault();
    const as = wantsToken ? given.trim() : token();
    setPhase("sent");
    setError(null);
    try {
      const made = await of.run({ reason: reason.trim(), as });
      if (wantsToken) {
        setToken(as);
        setWants(false);
        setGiven("");
        connect();
        learnAccess();
      }
      setPhase("done");
      refresh();
      of.then?.(made);
    } catch (problem) {
      if (problem.status === 401 || problem.status === 403) setWants(true);
      setError(problem);
      setPhase("asked");
    }
  }

  const After = of.after;
  return (
    <dialog ref={root} aria-labelledby="dialog-title" onClose={closeDialog} onCancel={(event) => { if (phase === "sent") event.preventDefault(); }}>
      <form onSubmit={confirm}>
        <h2 id="dialog-title">{of.title}</h2>
        {phase === "done" ? (
          <>
            {After ? <After /> : <p role="status">{of.done ?? "Done."}</p>}
            <div class="buttons"><button type="button" data-first onClick={() => root.current.close()}>Close</button></div>
          </>
        ) : (
          <>
            {of.children}
            {of.reason !== null && <Field label="Why (it is recorded)"><input value={reason} required maxLength={500} onInput={(event) => setReason(event.target.value)} /></Field>}
            {wantsToken && (
              <Field label={`Token of ${of.role === "owner" ? "an" : "a"} ${of.role}`} hint={`It stays in this tab. Make one with: quantum-trader token new --state DIR --role ${of.role}`}>
                <input type="password" value={given} required autocomplete="off" spellcheck={false} data-first onInput={(event) => setGiven(event.target.value)} />
              </Field>
            )}
            {error && <Trouble error={error} />}
            <div class="buttons">
              <button type="button" onClick={() => root.current.close()} disabled={phase === "sent"}>Cancel</button>
              <button type="submit" class={of.danger ? "danger" : "main"} disabled={phase === "sent"} data-first={wantsToken ? undefined : ""}>{phase === "sent" ? "Asking …" : of.confirm}</button>
            </div>
          </>
        )}
      </form>
    </dialog>
  );
}
