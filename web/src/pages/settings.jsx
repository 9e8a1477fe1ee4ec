// Theme, token, and who changed what.
import { useState } from "preact/hooks";
import { refusal, setToken, token } from "../api.js";
import { when } from "../format.js";
import { Answer, Badge, Card, Field, Table, Trouble } from "../parts.jsx";
import { connect, isReadOnly, learnAccess, refresh, useLoad, useStore } from "../store.js";
import { chosen } from "../theme.js";
import { GateLimits } from "./gate_limits.jsx";

export function Settings({ pick }) {
  const { beat } = useStore();
  const [given, setGiven] = useState("");
  const [fresh, again] = useState(0);
  const changes = useLoad("changes?limit=200", beat + fresh);
  function keep(text) {
    setToken(text);
    setGiven("");
    connect();
    learnAccess();
    refresh();
    again((n) => n + 1);
  }
  const theme = chosen();
  return (
    <>
      <h1>Settings</h1>
      <div class="cards">
        <Card title="Theme">
          <div class="choice" role="group" aria-label="Theme">
            {["system", "light", "dark"].map((name) => <button type="button" key={name} aria-pressed={theme === name} onClick={() => pick(name)}>{name}</button>)}
          </div>
        </Card>
        <Card title="Token">
          {refusal() && <Trouble error={refusal()} />}
          {token() ? (
            <p>This tab holds a token. <button type="button" onClick={() => keep("")}>Forget it</button></p>
          ) : (
            <form onSubmit={(event) => { event.preventDefault(); keep(given); }}>
              <Field label="Token" hint="It stays in this tab, and is asked for at the first change anyhow. viewer reads, trader stops and halts, owner changes settings.">
                <input type="password" value={given} required autocomplete="off" spellcheck={false} onInput={(event) => setGiven(event.target.value)} />
              </Field>
              {isReadOnly() && <p class="note">Reading needs none here.</p>}
              <div class="buttons left"><button type="submit" class="main">Use it</button></div>
            </form>
          )}
        </Card>
        <GateLimits />
        <Card title="Changes over the API" size="wide" note="newest first">
          <Answer of={changes}>{({ changes: rows }) => (
            <Table label="Changes" rows={rows} empty="Nothing was changed over the API." columns={[
              { name: "Time (UTC)", cell: (one) => when(one.ts_ns, true) }, { name: "Who", cell: (one) => one.name },
              { name: "Role", cell: (one) => one.role }, { name: "From", cell: (one) => one.address }, { name: "What", cell: (one) => <code>{one.action}</code> },
              { name: "Why", cell: (one) => one.reason },
              { name: "Outcome", cell: (one) => (one.outcome === "done" ? <Badge tone="good">done</Badge> : <><Badge tone="warn">refused</Badge> {one.outcome}</>) },
            ]} />
          )}</Answer>
        </Card>
      </div>
    </>
  );
}
