// The frame of every page: navigation, state of the run, STOP.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { token } from "./api.js";
import { Dialog } from "./dialog.jsx";
import { fix, plus, when } from "./format.js";
import { Badge, Trouble } from "./parts.jsx";
import { Decision } from "./pages/decision.jsx";
import { Decisions } from "./pages/decisions.jsx";
import { Health } from "./pages/health.jsx";
import { Insights } from "./pages/insights.jsx";
import { Journal } from "./pages/journal.jsx";
import { Lab } from "./pages/lab.jsx";
import { Market } from "./pages/market.jsx";
import { Models } from "./pages/models.jsx";
import { Overview } from "./pages/overview.jsx";
import { Policy } from "./pages/policy.jsx";
import { Settings } from "./pages/settings.jsx";
import { stateOf } from "./state.js";
import { askToStop, resumeProgress } from "./stop.jsx";
import { connect, isReadOnly, learnAccess, useStore, watch } from "./store.js";
import { apply, choose, chosen, onSystemChange } from "./theme.js";
import { address, timeOf } from "./time.js";
import { TimeBar } from "./timebar.jsx";
import "./style.css";

const PAGES = [ // the true ones can be shown at a time
  ["overview", "Overview", Overview, true],
  ["market", "Market", Market, true],
  ["decisions", "Decisions", Decisions, true],
  ["policy", "Policy", Policy, true],
  ["models", "Models & pilot", Models],
  ["lab", "Lab", Lab],
  ["insights", "Insights", Insights],
  ["journal", "Journal", Journal],
  ["health", "Health", Health],
  ["settings", "Settings", Settings],
];

/** The page of the address: {name, rest, values}. "#/decisions/s1?a=b" is page decisions, rest ["s1"]. */
function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { name: name || "overview", rest, values: Object.fromEntries(new URLSearchParams(query ?? "")) };
}

function App() {
  const { status, error, link, dialog } = useStore();
  const [at, go] = useState(place());
  const [theme, setTheme] = useState(chosen());
  const [, redraw] = useState(0);
  useEffect(() => {
    const moved = () => { go(place()); window.scrollTo(0, 0); };
    const changed = () => go(place());
    addEventListener("hashchange", moved);
    addEventListener("placechange", changed);
    onSystemChange(() => redraw((n) => n + 1));
    return () => { removeEventListener("hashchange", moved); removeEventListener("placechange", changed); };
  }, []);
  useEffect(() => {
    const title = PAGES.find(([name]) => name === at.name)?.[1] ?? "Not found";
    document.title = `${title} · Quantum Trader`;
    document.querySelector("nav.pages [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [at.name]);
  const pick = (name) => { choose(name); setTheme(name); };
  const dark = theme === "dark" || (theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  const known = PAGES.find(([name]) => name === at.name);
  const Page = at.name === "decisions" && at.rest[0] ? Decision : known?.[2];
  const needsToken = error?.status === 401;
  const isTimed = Boolean(known?.[3]) && !at.rest.length;
  const time = timeOf(at.values.t);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main").focus(); }}>Skip to the content</a>
      <header class="top">
        <a class="brand" href="#/overview">Quantum&nbsp;Trader</a>
        <State status={status} link={link} />
        <button type="button" class="icon" aria-label={dark ? "Use the light theme" : "Use the dark theme"} title={dark ? "Light theme" : "Dark theme"} onClick={() => pick(dark ? "light" : "dark")}>{dark ? "☀" : "☾"}</button>
        <button type="button" class="stop" onClick={askToStop}>STOP</button>
      </header>
      <nav class="pages" aria-label="Pages">
        {PAGES.map(([name, title]) => (
          <a key={name} href={`#/${address(name, { t: time })}`} aria-current={at.name === name ? "page" : undefined}>{title}</a>
        ))}
      </nav>
      <main id="main" tabIndex={-1}>
        {needsToken && <p class="trouble" role="alert">{token() ? "The token is not valid here." : "Reading needs a token here."} <a href="#/settings">Give one under Settings</a>.</p>}
        {error && !needsToken && <Trouble error={error} />}
        {isReadOnly() && <p class="note read-only" role="note">Read-only view: everybody may read here. To change something, <a href="#/settings">give a token under Settings</a>; STOP asks for one.</p>}
        {isTimed && !needsToken && <TimeBar at={time} status={status} />}
        {!isTimed && time && <p class="timebar as-of">This page shows the run as it is now, not at {when(time)} UTC.</p>}
        {Page ? <Page key={at.name} rest={at.rest} values={at.values} at={isTimed ? time : ""} theme={`${theme}${dark}`} pick={pick} /> : <p class="empty">There is no page “{at.name}”. <a href="#/overview">Go to the overview</a>.</p>}
      </main>
      {dialog && <Dialog key={dialog.id} of={dialog} />}
    </>
  );
}

function State({ status, link }) {
  if (!status) return <div class="state" />;
  const { tone, text } = stateOf(status);
  return (
    <div class="state">
      <Badge tone={tone}>{text}</Badge>
      <span class="only-wide">{status.mode}</span>
      {status.equity !== null && <span class="only-wide"><b>{fix(status.equity)}</b> USDT{status.result && <span class={status.result.return_pct < 0 ? " down" : " up"}> {plus(status.result.return_pct)} %</span>}</span>}
      <span class={`link ${link}`} role="status" title={{ live: "The stream is open: figures come as they change.", connecting: "The stream is being opened.", lost: "The stream is closed; it is tried again. Figures are read every few seconds." }[link]}>{{ live: "connected", connecting: "connecting", lost: "reconnecting" }[link]}</span>
    </div>
  );
}

apply();
render(<App />, document.getElementById("app"));
connect();
learnAccess();
watch();
resumeProgress();
