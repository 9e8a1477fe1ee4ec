// The policy in force, the evidence for each of its parts, the gates, and how they came to be.
import { useState } from "preact/hooks";
import { ask, road } from "../api.js";
import { question } from "../dialog.jsx";
import { amount, fix, millis, parsed, plain, plus, UNKNOWN, when, whole, words } from "../format.js";
import { Answer, Badge, Card, Facts, Metric, Pager, Rows, Table } from "../parts.jsx";
import { isReadOnly, useLoad, useStore } from "../store.js";
import { HOUR_MS, ofMillis } from "../time.js";

export function Policy({ at }) {
  const { beat } = useStore();
  const [changed, again] = useState(0);
  const fresh = at ? 0 : Math.floor(beat / 3) + changed * 1000;
  const reload = () => again((n) => n + 1);
  return (
    <>
      <h1>Policy</h1>
      <div class="cards">
        <InForce fresh={fresh} at={at} />
        <RulesOverTime fresh={Math.floor(fresh / 10)} at={at} />
        {at ? <Card title="Rollout and gates" size="wide"><p class="empty">Evidence, and what may be enforced, are known as of now alone: go back to now for them. What was enforced then stands in the history below, under Rollout.</p></Card> : (
          <>
            <Rollout fresh={fresh} reload={reload} />
            <Gates fresh={fresh} reload={reload} />
          </>
        )}
        <History key={at} at={at} />
        <Profiles />
      </div>
    </>
  );
}

const DAYS = [["All", 0], ["30 days", 30], ["7 days", 7], ["1 day", 1]];

/** When each rule shaped the policy, as bars over time. */
function RulesOverTime({ fresh, at }) {
  const { status } = useStore();
  const [days, setDays] = useState(0);
  const end = at ? Date.parse(`${at}Z`) : millis(status?.equity_ns || 0);
  const since = days && Number.isFinite(end) ? ofMillis(end - days * 24 * HOUR_MS) : "";
  const found = useLoad(road("policy/rules", { since, as_of: at }), fresh);
  const choose = <span class="choice" role="group" aria-label="Time">{DAYS.map(([name, value]) => <button type="button" key={name} class="small" aria-pressed={days === value} onClick={() => setDays(value)}>{name}</button>)}</span>;
  return (
    <Card title="Rules over time" size="wide" note="when each rule shaped the policy; the share of the time behind it" actions={choose}>
      <Answer of={found}>{(data) => (data.rules.length ? (
        <>
          <ol class="timeline">{data.rules.map((one) => <Rule key={one.rule} of={one} from={data.from_ns} to={data.to_ns} />)}</ol>
          <p class="timeline-ends"><span>{when(data.from_ns)}</span><span>{when(data.to_ns)} UTC</span></p>
          <Rows query={"select ts, risk_profile, round(risk_pct, 4) as risk_pct, min_confidence, reason from policies order by ts_ns desc limit 200"}>{`The ${whole(data.changes)} changes of the policy in SQL`}</Rows>
        </>
      ) : <p class="empty">No rule shaped the policy in this time: the profile's values held as they are.</p>)}</Answer>
    </Card>
  );
}

function Rule({ of: one, from, to }) {
  const share = (ns) => (Math.min(Math.max(ns, from), to) - from) / Math.max(1, to - from) * 100;
  const said = `${one.rule}, ${one.why}: ${fix(one.share * 100, 1)} % of the time`;
  return (
    <li>
      <span class="name"><b>{one.rule}</b> <span class="note">{one.why}</span></span>
      <span class="bar" role="img" aria-label={said} title={said}>{one.spans.map(([begins, ends]) => <i key={begins} style={{ left: `${share(begins)}%`, width: `${Math.max(0.3, share(ends) - share(begins))}%` }} />)}</span>
      <span class="count">{fix(one.share * 100, 1)} %</span>
    </li>
  );
}

const setting = (name) => words(name.replace(/^core\./, "").replace(/\./g, ": "));

/** Every setting of every profile side by side. */
function Profiles() {
  const found = useLoad("profiles");
  const [all, showAll] = useState(false);
  return (
    <Card title="Profiles compared" size="wide" actions={<button type="button" class="small" aria-pressed={all} onClick={() => showAll(!all)}>{all ? "Only what differs" : "Every setting"}</button>}>
      <Answer of={found}>{(data) => (
        <>
          <p>{data.in_force ? <>This run has the profile <b>{data.in_force}</b>. A run keeps its profile; another one takes <code>--profile NAME</code> at its start.</> : "No start is on record yet, so the run's profile is not known."}</p>
          <ul class="plain-list">{data.names.map((name, index) => <li key={name}><b>{name}</b>: {data.descriptions[index]}</li>)}</ul>
          <Table label="Profiles compared" rows={data.settings.filter((one) => all || one.differs)} keyOf={(one) => one.setting} empty="The profiles do not differ." columns={[
            { name: "Setting", cell: (one) => <>{setting(one.setting)}{all && one.differs && <> <Badge tone="warn">differs</Badge></>}</> },
            ...data.names.map((name, index) => ({ name: name === data.in_force ? `${name} (in force)` : name, num: true, cell: (one) => said(one.values[index]) })),
          ]} />
        </>
      )}</Answer>
    </Card>
  );
}

const said = (value) => (typeof value === "number" ? amount(value) : typeof value === "string" ? words(value) : plain(value));

function InForce({ fresh, at }) {
  const found = useLoad(at ? road("past", { at }) : "policy", fresh);
  return (
    <Card title="In force" size="wide">
      <Answer of={found}>{({ policy: one }) => (one ? (
        <>
          <p class="lead"><Badge tone={one.allow_new_trades ? "good" : "warn"}>{one.allow_new_trades ? "new trades allowed" : "no new trades"}</Badge> since {when(one.ts_ns)} UTC</p>
          <Facts of={[
            ["Profile", words(one.risk_profile)], ["Risk a trade", <><Metric id="policy_risk">{fix(one.risk_pct, 4)}</Metric> % of equity</>], ["Least confidence", <Metric id="policy_min_confidence">{fix(one.min_confidence)}</Metric>],
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
      ) : <p class="empty">{at ? "No policy was on record by then." : "No policy has been recorded yet: the first stands here after the first bar."}</p>)}</Answer>
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
            { name: "Changed", num: true, cell: (one) => <Metric id="switch_changed">{whole(one.changed)}</Metric> }, { name: "Result known", num: true, cell: (one) => <Metric id="switch_shadows">{whole(one.resolved)}</Metric> },
            { name: "What it takes away, mean", unit: "R", num: true, cell: (one) => <Metric id="switch_mean">{inR(one)}</Metric> }, { name: "Looks", num: true, cell: (one) => whole(one.look) },
            { name: "Needs", cell: (one) => missingList(one.missing ?? []) },
            !isReadOnly() && { name: "Action", cell: (one) => <Act enforced={one.enforced} name={one.switch} place={`rollout/${encodeURIComponent(one.switch)}`} missing={one.missing ?? []} reload={reload} /> },
          ].filter(Boolean)} />
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
          { name: "Judged", num: true, cell: (one) => <Metric id="signals_judged">{whole(one.judged)}</Metric> }, { name: "Passed", num: true, cell: (one) => <Metric id="gate_passed">{whole(one.passed)}</Metric> },
          { name: "Not measured", num: true, cell: (one) => <Metric id="gate_unmeasured">{whole(one.unmeasured)}</Metric> },
          { name: "Refused, mean", unit: "R", num: true, cell: (one) => (one.evidence ? inR(one.evidence) : UNKNOWN) },
          { name: "Needs", cell: (one) => missingList(one.missing ?? []) },
          !isReadOnly() && { name: "Action", cell: (one) => <Act enforced={one.enforced} name={one.gate} place={`gates/${encodeURIComponent(one.gate)}`} missing={one.missing ?? []} reload={reload} /> },
        ].filter(Boolean)} />
      )}</Answer>
      <p><a href="#/settings">Change the limits under Settings</a></p>
    </Card>
  );
}

const LISTS = { policy: "policy/history", rollout: "rollout/history" };

function History({ at }) {
  const [list, pick] = useState("policy");
  const [trail, go] = useState([]);
  const found = useLoad(road(LISTS[list], { limit: 10, before: trail.at(-1), as_of: at }));
  const choose = <span class="choice" role="group" aria-label="History of">{[["policy", "Policy"], ["rollout", "Rollout"]].map(([name, title]) => <button type="button" key={name} class="small" aria-pressed={list === name} onClick={() => { pick(name); go([]); }}>{title}</button>)}</span>;
  return (
    <Card title="History" size="wide" actions={choose}>
      <Answer of={found}>{({ rows, next }) => (
        <>
          <Table label="History" rows={rows} keyOf={(one) => `${one.producer}.${one.seq}`} empty={list === "policy" ? "No policy was on record." : "Nothing of the policy was ever enforced or let go: no change is recorded."} columns={list === "policy" ? POLICY : ROLLOUT} />
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
