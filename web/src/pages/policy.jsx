// The policy in force, the evidence for each of its parts, the gates, and how they came to be.
import { useState } from "preact/hooks";
import { ask, road } from "../api.js";
import { question } from "../dialog.jsx";
import { fix, parsed, plus, UNKNOWN, when, whole, words } from "../format.js";
import { Answer, Badge, Card, Facts, Pager, Table } from "../parts.jsx";
import { useLoad, useStore } from "../store.js";

export function Policy() {
  const { beat } = useStore();
  const [changed, again] = useState(0);
  const fresh = Math.floor(beat / 3) + changed * 1000;
  const reload = () => again((n) => n + 1);
  return (
    <>
      <h1>Policy</h1>
      <div class="cards">
        <InForce fresh={fresh} />
        <Rollout fresh={fresh} reload={reload} />
        <Gates fresh={fresh} reload={reload} />
        <History />
      </div>
    </>
  );
}

function InForce({ fresh }) {
  const found = useLoad("policy", fresh);
  return (
    <Card title="In force" size="wide">
      <Answer of={found}>{({ policy: one }) => (one ? (
        <>
          <p class="lead"><Badge tone={one.allow_new_trades ? "good" : "warn"}>{one.allow_new_trades ? "new trades allowed" : "no new trades"}</Badge> since {when(one.ts_ns)} UTC</p>
          <Facts of={[
            ["Profile", words(one.risk_profile)], ["Risk a trade", `${fix(one.risk_pct, 4)} % of equity`], ["Least confidence", fix(one.min_confidence)],
            ["Entry mode", words(one.entry_mode)], ["Exit mode", words(one.exit_mode)], ["Most open positions", whole(one.max_open_positions)],
            ["Most exposure", `${fix(one.total_exposure_limit_pct, 1)} % of equity`], ["Allowed symbols", (one.allowed_symbols ?? []).join(", ") || "none"],
            ["Disallowed symbols", Object.entries(parsed(one.disallowed_symbols, {})).map(([symbol, why]) => `${symbol} (${why})`).join(", ") || "none"],
          ]} />
          <h3>Rules that shaped it, in order</h3>
          <Table label="Rules" rows={parsed(one.rules, [])} empty="No rule changed the profile's values." columns={[
            { name: "Rule", cell: (rule) => <b>{rule.rule}</b> }, { name: "What", cell: (rule) => words(rule.field) },
            { name: "Before", cell: (rule) => rule.before }, { name: "After", cell: (rule) => rule.after }, { name: "Why", cell: (rule) => rule.why },
          ]} />
        </>
      ) : <p class="empty">No policy has been recorded yet.</p>)}</Answer>
    </Card>
  );
}

function change(what, place, enforced, missing, reload) {
  const name = words(what);
  const send = (force) => ({ reason, as }) => ask(place, { method: "PUT", body: { reason, enforced, force }, as });
  const unmet = enforced && missing.length > 0;
  question({
    title: enforced ? `Enforce ${name}${unmet ? " without the evidence" : ""}?` : `Only observe ${name}?`, role: "owner", confirm: enforced ? "Enforce it" : "Only observe it",
    danger: unmet, reason: "", run: send(unmet), then: reload,
    children: enforced
      ? <>
          <p>From the next decision on, {name} refuses and changes trades. Until now it is computed and recorded, and changes none.</p>
          {unmet && <><p>The evidence does not suffice yet. It is enforced by force, and recorded so:</p><ul class="plain-list">{missing.map((one) => <li key={one}>{one}</li>)}</ul></>}
        </>
      : <p>From the next decision on, {name} is computed and recorded, and changes no trade.</p>,
  });
}

/** The evidence in R: mean and interval. */
const inR = (one) => (one.mean_r === null ? UNKNOWN : `${plus(one.mean_r, 3)}${one.interval ? ` (${plus(one.interval[0], 3)} … ${plus(one.interval[1], 3)})` : ""}`);

function Act({ enforced, name, place, missing, reload }) {
  return enforced
    ? <button type="button" class="small" aria-label={`Observe ${name}`} onClick={() => change(name, place, false, [], reload)}>Observe</button>
    : <button type="button" class="small" aria-label={`${missing.length ? "Force …" : "Enforce …"} ${name}`} onClick={() => change(name, place, true, missing, reload)}>{missing.length ? "Force …" : "Enforce …"}</button>;
}

const missingList = (missing) => (missing.length ? <ul class="plain-list">{missing.map((text) => <li key={text}>{text}</li>)}</ul> : "nothing");

function Rollout({ fresh, reload }) {
  const found = useLoad("rollout", fresh);
  return (
    <Card title="Rollout" size="wide" note="each part observes until its evidence suffices; what enforcing takes away is below 0 R where enforcing helps">
      <Answer of={found}>{(data) => (
        <>
          <p class="lead"><Badge>{data.mode}</Badge> {data.next}</p>
          <Table label="Parts of the policy" rows={data.switches ?? []} keyOf={(one) => one.switch} empty="No evidence is kept in this folder." columns={[
            { name: "Part", cell: (one) => <b>{words(one.switch)}</b> },
            { name: "State", cell: (one) => <Badge tone={one.enforced ? "good" : ""}>{one.enforced ? "enforced" : one.promotable ? "may be enforced" : "observes"}</Badge> },
            { name: "Changed", num: true, cell: (one) => whole(one.changed) }, { name: "Result known", num: true, cell: (one) => whole(one.resolved) },
            { name: "What it takes away, mean", unit: "R", num: true, cell: inR }, { name: "Looks", num: true, cell: (one) => whole(one.look) },
            { name: "Needs", cell: (one) => missingList(one.missing ?? []) },
            { name: "Action", cell: (one) => <Act enforced={one.enforced} name={one.switch} place={`rollout/${encodeURIComponent(one.switch)}`} missing={one.missing ?? []} reload={reload} /> },
          ]} />
        </>
      )}</Answer>
    </Card>
  );
}

function Gates({ fresh, reload }) {
  const found = useLoad("gates", fresh);
  return (
    <Card title="Gates" size="wide" note="what each would let through, and what the refused were worth">
      <Answer of={found}>{(data) => (
        <Table label="Gates" rows={data.gates ?? []} keyOf={(one) => one.gate} columns={[
          { name: "Gate", cell: (one) => <b>{words(one.gate)}</b> },
          { name: "Limit", cell: (one) => Object.entries(one.limits ?? {}).map(([mode, text]) => `${mode}: ${text}`).join("; ") },
          { name: "State", cell: (one) => <Badge tone={one.enforced ? "good" : ""}>{one.enforced ? "enforced" : "observes"}</Badge> },
          { name: "Judged", num: true, cell: (one) => whole(one.judged) }, { name: "Passed", num: true, cell: (one) => whole(one.passed) },
          { name: "Not measured", num: true, cell: (one) => whole(one.unmeasured) },
          { name: "Refused, mean", unit: "R", num: true, cell: (one) => (one.evidence ? inR(one.evidence) : UNKNOWN) },
          { name: "Needs", cell: (one) => missingList(one.missing ?? []) },
          { name: "Action", cell: (one) => <Act enforced={one.enforced} name={one.gate} place={`gates/${encodeURIComponent(one.gate)}`} missing={one.missing ?? []} reload={reload} /> },
        ]} />
      )}</Answer>
    </Card>
  );
}

const LISTS = { policy: "policy/history", rollout: "rollout/history" };

function History() {
  const [list, pick] = useState("policy");
  const [trail, go] = useState([]);
  const found = useLoad(road(LISTS[list], { limit: 10, before: trail.at(-1) }));
  const choose = <span class="choice" role="group" aria-label="History of">{[["policy", "Policy"], ["rollout", "Rollout"]].map(([name, title]) => <button type="button" key={name} class="small" aria-pressed={list === name} onClick={() => { pick(name); go([]); }}>{title}</button>)}</span>;
  return (
    <Card title="History" size="wide" actions={choose}>
      <Answer of={found}>{({ rows, next }) => (
        <>
          <Table label="History" rows={rows} keyOf={(one) => `${one.producer}.${one.seq}`} empty="No change is recorded." columns={list === "policy" ? POLICY : ROLLOUT} />
          {(next || trail.length > 0) && <Pager trail={trail} next={next} go={go} />}
        </>
      )}</Answer>
    </Card>
  );
}

const POLICY = [
  { name: "From (UTC)", cell: (one) => when(one.ts_ns) },
  { name: "New trades", cell: (one) => <Badge tone={one.allow_new_trades ? "good" : "warn"}>{one.allow_new_trades ? "allowed" : "none"}</Badge> },
  { name: "Profile", cell: (one) => words(one.risk_profile) }, { name: "Risk a trade", unit: "% of equity", num: true, cell: (one) => fix(one.risk_pct) },
  { name: "Least confidence", num: true, cell: (one) => fix(one.min_confidence) }, { name: "Most positions", num: true, cell: (one) => whole(one.max_open_positions) },
  { name: "Why", cell: (one) => one.reason },
];
const ROLLOUT = [
  { name: "From (UTC)", cell: (one) => when(one.ts_ns) }, { name: "Enforced", cell: (one) => (Array.isArray(one.enforced) ? one.enforced.map(words).join(", ") || "nothing" : String(one.enforced ?? UNKNOWN)) },
  { name: "Who", cell: (one) => one.actor || UNKNOWN }, { name: "Why", cell: (one) => one.reason || UNKNOWN },
];
