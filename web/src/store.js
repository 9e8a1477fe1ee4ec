// What every page shares: the status of the run, the stream that brings it, and the newest events.
import { useEffect, useState } from "preact/hooks";
import { ask, token } from "./api.js";

const MOST_EVENTS = 50;
const BEAT_MS = 2000; // lists that follow the stream are read at most so often
const SLOW_MS = 15000; // the status is asked for so often beside the stream: a hung run sends none
const FAST_MS = 3000;

export const store = {
  status: null, read_ms: 0, error: null, link: "connecting", events: [], beat: 0, dialog: null, access: null,
};
const listeners = new Set();
let waiting = 0;

export function tell(changes) {
  Object.assign(store, changes);
  if (waiting) return;
  waiting = setTimeout(() => { waiting = 0; for (const one of listeners) one(); }, 30);
}

/** The store; the component is drawn again when it changes. */
export function useStore() {
  const [, draw] = useState(0);
  useEffect(() => {
    const one = () => draw((n) => n + 1);
    listeners.add(one);
    return () => listeners.delete(one);
  }, []);
  return store;
}

let socket = null, retry = 0, tries = 0, beating = 0;

function heard(message) {
  if (message.type === "status") tell({ status: message.data, read_ms: Date.now(), error: null });
  else if (message.type === "events") tell({ events: [...message.rows.toReversed(), ...store.events].slice(0, MOST_EVENTS) });
  if (!beating) beating = setTimeout(() => { beating = 0; tell({ beat: store.beat + 1 }); }, BEAT_MS);
}

/** Opens the stream, and opens it again whenever it ends. */
export function connect() {
  clearTimeout(retry);
  socket?.close();
  const mine = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/stream`);
  socket = mine;
  tell({ link: "connecting" });
  mine.onopen = () => {
    if (token()) mine.send(JSON.stringify({ token: token() }));
    tries = 0;
    tell({ link: "live" });
  };
  mine.onmessage = (event) => { if (socket === mine) heard(JSON.parse(event.data)); };
  mine.onclose = () => {
    if (socket !== mine) return;
    tell({ link: "lost" });
    retry = setTimeout(connect, Math.min(30000, 1000 * 2 ** Math.min(tries++, 5)));
  };
}

/** Reads what this tab may do, with or without its token. */
export async function learnAccess() {
  try {
    tell({ access: await ask("access") });
  } catch {
    tell({ access: null }); // the page says by itself that reading needs a token, or that the server does not answer
  }
}

/** Whether this is a public view whose reader has shown no token: what changes something is not offered. */
export const isReadOnly = () => Boolean(store.access?.is_read_public) && !token();

/** Asks for the status now and then: the stream tells changes, and a hung process changes nothing. */
export async function watch() {
  await refresh();
  setTimeout(watch, document.hidden ? SLOW_MS * 2 : store.link === "live" ? SLOW_MS : FAST_MS);
}

export async function refresh() {
  try {
    tell({ status: await ask("status"), read_ms: Date.now(), error: null });
  } catch (error) {
    tell({ error });
  }
}

/** The answer of a road: {data, error, loading}. Read again when *fresh* changes; the old answer stays meanwhile. */
export function useLoad(path, fresh = 0, request = undefined) {
  const key = JSON.stringify([path, request ?? null]);
  const [state, set] = useState({ key: "", data: null, error: null });
  useEffect(() => {
    if (path === null) return undefined;
    const control = new AbortController();
    ask(path, { ...request, signal: control.signal }).then(
      (data) => set({ key, data, error: null }),
      (error) => { if (error.name !== "AbortError") set((old) => ({ key, data: old.key === key ? old.data : null, error })); },
    );
    return () => control.abort();
  }, [key, fresh]);
  const own = state.key === key;
  return { data: own ? state.data : null, error: own ? state.error : null, loading: path !== null && !own };
}
