"""Record digests of the system's behaviour, and compare two recordings: proof that a refactoring changed no record.

With the code before the refactoring, once:

    python tools/freeze.py record-inputs INPUTS
    python tools/freeze.py record --out before.json --inputs INPUTS

With the code after it:

    python tools/freeze.py record --out after.json --inputs INPUTS
    python tools/freeze.py compare before.json after.json

``record`` runs the code that ``PYTHONPATH`` names, and prints where that is; it takes four to six minutes. It uses the
command line alone, except for simulated days and three replays, whose imports are listed in ``PLACES``. The items:

``run-PROFILE-MODE``
    The bundled recording, kept in a state folder: records, policy observations, rollout ledger, report.
``killed-SAFE-OBSERVE``
    The same as run-SAFE-OBSERVE, killed twice (SIGKILL) and continued; its digest must be the same.
``local-venue``
    Three weeks over the local venue. Messages of one moment arrive over several sockets in the network's order
    (decision 0048), so these records are compared without their order, their numbers and the venue's ids. The order
    in which a funding payment and a bar arrive changes the next position's size; the assumed funding rate is zero here.
``simulated-days``
    The days of 100 seeds: each day's outcome and records.
``replay-local``, ``replay-days``, ``replay-live``
    Inputs that the code before has written down, replayed from the first one into an engine of the code at hand: of
    a run over the local venue, of simulated days, and of a ``quantum-trader live`` process that was killed.
``continue-local``, ``continue-live``
    The same from a checkpoint that the code before has written. A new checkpoint format makes these two differ.

Each item has one digest over its records as they are, and one for each record topic over the topic's records without
their numbers (``seq``, ``event_id``): a record more or less of one topic shows as a difference of that topic alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any, Final

FORMAT: Final = 1
PROFILES: Final = ("SAFE", "STANDARD", "AGGRESSIVE")
MODES: Final = ("OBSERVE", "LIVE")
KILL_AT_BYTES: Final = (10_000_000, 30_000_000)  # of records.jsonl, which grows to 55 MB
SEEDS: Final = 100
RECORDED_SEEDS: Final = range(12)
LOCAL_SPAN: Final = ("2018-08-01", "2018-08-21")  # three weeks with 86 trades
MODELS: Final = ("--model", "intraday-demo")  # they trade often
LIVE_SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
SAME_DIGEST: Final = (("killed-SAFE-OBSERVE", "run-SAFE-OBSERVE"),)
WAIT_S: Final = 180.0
_TOPIC: Final = re.compile(rb'"topic":"([^"]*)"')


def say(text: str) -> None:
    """Print progress on standard error."""
    print(text, file=sys.stderr, flush=True)


# ---------------------------------------------------------------------- what moves: adapt here and nowhere else

# Name here -> where it may be found; the first place that exists is taken.
PLACES: Final = {
    "Session": ("quantum_trader.live.session:Session", "quantum_trader.engine.session:Session"),
    "Engine": ("quantum_trader.engine.core:Engine",),
    "LiveAccount": ("quantum_trader.engine.core:LiveAccount",),
    "FileInputLog": ("quantum_trader.app.runs.input_log:FileInputLog", "quantum_trader.app.input_log:FileInputLog"),
    "StateDir": ("quantum_trader.app.runs.state_dir:StateDir", "quantum_trader.app.state_dir:StateDir"),
    "load_settings": ("quantum_trader.app.settings:load_settings",),
    "open_recording": ("quantum_trader.market.recording:open_recording",),
    "instruments_for": ("quantum_trader.market.instruments:instruments_for",),
    "Day": ("quantum_trader.lab.simulation.world:Day",),
    "generate": ("quantum_trader.lab.simulation.schedule:generate",),
    "SYMBOLS": ("quantum_trader.lab.simulation.warm:SYMBOLS",),
    "copied": ("quantum_trader.lab.simulation.disk:copied",),
    # Only `record-inputs` needs these two, with the code before.
    "run_over_local_venue": (
        "quantum_trader.app.runs.local:run_over_local_venue", "quantum_trader.app.run_local:run_over_local_venue",
    ),
    "RunOptions": ("quantum_trader.app.runs.results:RunOptions", "quantum_trader.app.results:RunOptions"),
}


def part(name: str) -> Any:
    """The part of the system called *name*, from the first of its places that exists; LookupError without any."""
    for place in PLACES[name]:
        module, _, attribute = place.partition(":")
        try:
            found = import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
        else:
            if hasattr(found, attribute):
                return getattr(found, attribute)
    raise LookupError(f"{name}: at none of {', '.join(PLACES[name])}; adapt PLACES in tools/freeze.py")


def new_engine(instruments: Any, interval_ns: int, settings: Any, sink: Any) -> Any:
    """A live engine that records into *sink*."""
    return part("Engine")(instruments, interval_ns, settings, sink, live=part("LiveAccount")())


def local_engine(sink: Any) -> tuple[Any, int]:
    """The engine of the recorded run over the local venue, and the length of its bars in ns."""
    settings = part("load_settings")(None, {key: (value, "freeze") for key, value in local_flags().items()}).settings
    recording = part("open_recording")(**settings.recording_arguments())
    table = part("instruments_for")(recording.symbols, recording.first_closes().tolist())
    engine = new_engine(table.instruments, recording.interval_ns, settings.engine_settings(), sink)
    return engine, recording.interval_ns


def day_engine(seed: int, sink: Any) -> tuple[Any, int]:
    """The engine of the first life of a simulated day, and the length of its bars in ns."""
    day = part("Day")(part("generate")(seed, part("SYMBOLS")))
    day.loop.close()
    engine = new_engine(day.world.instruments, day.world.interval_ns, day.settings, sink)
    engine.market.kernel.load_state(part("copied")(day.kernel))
    engine.market.now_ns = day.exchange.market.start_ns
    return engine, day.world.interval_ns


def books_of(session: Any) -> dict[str, Any]:
    """The inputs that a session has taken, its cash and its equity."""
    return {
        "inputs": session.input_count, "cash": session.engine.account.books.cash,
        "equity": session.engine.account.equity,
    }


def replayed(engine: Any, interval_ns: int, log: Any, store: Any) -> Any:
    """The session of *engine* after the inputs of *log* behind the checkpoint of *store*."""
    session = part("Session")(engine, log, store, interval_ns)
    session.recover(lambda _: engine.records.recorder.resume(store.load()["engine"]["seq"], ()))
    return session


def simulated_day(seed: int) -> dict[str, Any]:
    """The outcome of a simulated day, with the digest and the number of its records of each topic."""
    import msgspec

    day, tally = part("Day")(part("generate")(seed, part("SYMBOLS"))), Tally()
    append = day.sink.append

    def append_and_count(line: bytes, topic: str, ts_ns: int) -> None:
        append(line, topic, ts_ns)
        tally.add(line)

    day.sink.append = append_and_count
    outcome = msgspec.to_builtins(day.run())
    del outcome["digest"]  # of the records, which are counted here
    return {"seed": seed, "outcome": outcome, **tally.item()}


def day_inputs(seed: int) -> list[bytes]:
    """The inputs that the lives of a simulated day have written down."""
    day = part("Day")(part("generate")(seed, part("SYMBOLS")))
    day.run()
    entries: list[bytes] = day.disk.entries[:-1] if day.disk.torn else day.disk.entries
    return entries


def run_local_with_log(log: Any, state: Path) -> None:
    """Run over the local venue with its inputs written to *log*, where such a run keeps none by itself."""
    run = part("run_over_local_venue")
    settings = part("load_settings")(None, {key: (value, "freeze") for key, value in local_flags().items()}).settings
    vars(sys.modules[run.__module__])["_NoLog"] = lambda: log
    run(settings, part("RunOptions")(state_dir=state))


# ---------------------------------------------------------------------- digests


class Tally:
    """Digests over records: one over all of them as they are, one for each topic without the records' numbers."""

    def __init__(self) -> None:
        self._whole = blake2b(digest_size=16)
        self._parts: dict[str, tuple[int, Any]] = {}
        self.records = 0

    def add(self, line: bytes) -> None:
        """Count one record."""
        found = _TOPIC.search(line)
        if found is None:
            raise ValueError(f"no topic in the record {line[:200]!r}")
        self.records += 1
        self._whole.update(line + b"\n")
        self.note(found[1].decode(), line[found.start():], whole=False)

    def note(self, name: str, content: bytes, *, count: int = 1, whole: bool = True) -> None:
        """Count *content* into the part called *name*, and into the digest over all when *whole*."""
        had, digest = self._parts.get(name, (0, None))
        digest = digest if digest is not None else blake2b(digest_size=16)
        digest.update(content + b"\n")
        self._parts[name] = had + count, digest
        if whole:
            self._whole.update(name.encode() + b"\n" + content + b"\n")

    def item(self) -> dict[str, Any]:
        """What is kept of it."""
        return {
            "digest": self._whole.hexdigest(), "records": self.records,
            "parts": {name: [count, digest.hexdigest()] for name, (count, digest) in sorted(self._parts.items())},
        }

    def append(self, line: bytes, topic: str, ts_ns: int) -> None:
        """Take one record from an engine: this is a record sink."""
        self.add(line)


def records_of(state: Path) -> Iterator[bytes]:
    """The records of a state folder, without newlines."""
    with (state / "records.jsonl").open("rb") as lines:
        for line in lines:
            yield line.rstrip(b"\n")


def tally_of(lines: Iterable[bytes]) -> Tally:
    """Count *lines*."""
    tally = Tally()
    for line in lines:
        tally.add(line)
    return tally


def folder_item(state: Path) -> dict[str, Any]:
    """Digests over what a run of a recording has left in its state folder, as far as it does not depend on the time."""
    tally = tally_of(records_of(state))
    for path in sorted((state / "policy_observations").iterdir()):
        content = path.read_bytes()
        tally.note("file policy_observations", path.name.encode() + b"\n" + content, count=content.count(b"\n"))
    for name in ("rollout.json", "rollout_ledger.json"):
        tally.note(f"file {name}", (state / name).read_bytes())
    report = json.loads((state / "report.json").read_bytes())
    del report["run"]  # durations and places
    for name, content in report.items():
        tally.note(f"report {name}", json.dumps(content).encode())
    return tally.item()


def unordered_item(lines: Iterable[bytes]) -> dict[str, Any]:
    """Digests over the records of a run over the local venue, independent of the order of messages.

    Left out: numbers and ids that follow the order of arrival, the cause of a stream that is down for a moment, and
    stops that are taken back in the moment they are made (cancels, and order updates without a fill).
    """
    kept: list[tuple[str, bytes]] = []
    for line in lines:
        record = json.loads(line)
        topic, data = record["topic"], record["data"]
        if topic == "order.cancel" or (topic == "order.updated" and not data["filled_qty"]):
            continue
        for name in ("venue_order_id", "fill_id", "trade_id", *(("reason",) if topic == "health.changed" else ())):
            data.pop(name, None)
        content = [record["ts_ns"], record["source"], record["trace_id"], record["schema"], data]
        kept.append((topic, json.dumps(content, sort_keys=True).encode()))
    tally = Tally()
    for topic, said in sorted(kept):
        tally.note(topic, said)
    return {**tally.item(), "records": len(kept)}


# ---------------------------------------------------------------------- the program, as a process


def program(*arguments: object) -> list[str]:
    """The command line of the program."""
    return [sys.executable, "-m", "quantum_trader", *(str(argument) for argument in arguments)]


def environment(**more: str) -> dict[str, str]:
    """The environment of this process, without what would decide a run."""
    return {**{name: value for name, value in os.environ.items() if name != "ORCH_PROFILE"}, **more}


def run_program(work: Path, *arguments: object) -> str:
    """Run the program to its end; its standard output. RuntimeError with its words when it fails."""
    done = subprocess.run(
        program(*arguments), cwd=work, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, arguments))}: exit code {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


@contextmanager
def started(work: Path, name: str, *arguments: object, **more: str) -> Iterator[subprocess.Popen[str]]:
    """The program as a process that is killed at the end, should it still be alive; its errors go to a file."""
    with (work / f"{name}.err").open("a") as errors, subprocess.Popen(
        program(*arguments), cwd=work, env=environment(**more), stdout=subprocess.PIPE, stderr=errors, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(what: str, done: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Return when *done*; RuntimeError when *process* ends before, or after three minutes."""
    deadline = time.monotonic() + WAIT_S
    while not done():
        if process.poll() is not None:
            raise RuntimeError(f"the process ended (exit code {process.returncode}) before {what}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {WAIT_S:g} s in vain until {what}")
        time.sleep(0.02)


# ---------------------------------------------------------------------- recordings and the local venue


def run_arguments(profile: str, mode: str, state: Path) -> list[object]:
    """The bundled recording under *profile* and *mode*, kept in *state*."""
    return ["run", "--exit", "--json", *MODELS, "--profile", profile, "--mode", mode, "--state", state]


def bundled_run(work: Path, profile: str, mode: str) -> dict[str, Any]:
    """Run the bundled recording."""
    run_program(work, *run_arguments(profile, mode, work / "state"))
    return folder_item(work / "state")


def killed_run(work: Path) -> dict[str, Any]:
    """Run the bundled recording, killed whenever its records have grown past a size, and continued."""
    state = work / "state"
    records = state / "records.jsonl"
    arguments = run_arguments("SAFE", "OBSERVE", state)

    for size in KILL_AT_BYTES:
        def grown(size: int = size) -> bool:
            return (state / "checkpoint").exists() and records.stat().st_size > size

        with started(work, "run", *arguments) as process:
            wait_until(f"its records held {size} bytes", grown, process)
            process.send_signal(signal.SIGKILL)
            if process.wait() != -signal.SIGKILL:
                raise RuntimeError("the run ended before it was killed")
    run_program(work, *arguments)
    return folder_item(state)


def local_flags() -> dict[str, Any]:
    """The settings of the recorded run over the local venue, by their keys."""
    return {
        "data.start": LOCAL_SPAN[0], "data.end": LOCAL_SPAN[1], "policy.profile": "STANDARD",
        "models": ({"model": MODELS[1]},),
    }


def local_run(work: Path) -> dict[str, Any]:
    """Run three weeks over the local venue."""
    (work / "settings.toml").write_text("[data]\nassumed_funding_rate = 0.0\n")
    run_program(
        work, "run", "--exit", "--json", *MODELS, "--venue", "local", "--from", LOCAL_SPAN[0], "--to", LOCAL_SPAN[1],
        "--profile", "STANDARD", "--config", "settings.toml", "--state", work / "state",
    )
    return unordered_item(records_of(work / "state"))


# ---------------------------------------------------------------------- simulated days


def simulated_days(work: Path, jobs: int) -> dict[str, Any]:
    """Run the days of all seeds on *jobs* processes."""
    if jobs == 1:
        return days_item(map(simulated_day, range(SEEDS)))
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        return days_item(pool.map(simulated_day, range(SEEDS), chunksize=5))


def days_item(days: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Digests over the outcomes and records of days."""
    tally, records = Tally(), 0
    for day in days:
        records += day["records"]
        for field, value in day["outcome"].items():
            tally.note(f"outcome {field}", json.dumps(value, sort_keys=True).encode())
        outcome = json.dumps(day["outcome"], sort_keys=True).encode()
        tally.note(f"day {day['seed']:03} outcome", outcome)
        tally.note(f"day {day['seed']:03} records", day["digest"].encode(), count=day["records"])
        for topic, (count, digest) in day["parts"].items():
            tally.note(topic, digest.encode(), count=count)
    return {**tally.item(), "records": records}


# ---------------------------------------------------------------------- recorded inputs


class NoStore:
    """A checkpoint store without a checkpoint."""

    def save(self, state: dict[str, Any]) -> None:
        """Keep nothing."""

    def load(self) -> dict[str, Any] | None:
        """Nothing."""
        return None


class FolderStore:
    """The checkpoint of a state folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, state: dict[str, Any]) -> None:
        """Write *state*."""
        held = part("StateDir")(self._folder)
        held.save_checkpoint(state)
        held.close()

    def load(self) -> dict[str, Any] | None:
        """Read it."""
        held = part("StateDir")(self._folder)
        state: dict[str, Any] | None = held.load_checkpoint()
        held.close()
        return state


@contextmanager
def input_log(folder: Path) -> Iterator[Any]:
    """The input log in *folder*."""
    log = part("FileInputLog")(folder)
    try:
        yield log
    finally:
        log.close()


def replay_local(work: Path, inputs: Path, *, checkpoint: bool = False) -> dict[str, Any]:
    """Replay the inputs of the recorded run over the local venue, from the first or behind the checkpoint."""
    shutil.copytree(inputs / "local", work / "local")
    tally = Tally()
    with input_log(work / "local" / "inputs") as log:
        session = replayed(*local_engine(tally), log, FolderStore(work / "local") if checkpoint else NoStore())
    tally.note("books", json.dumps(books_of(session)).encode(), whole=False)
    return tally.item()


def replay_days(work: Path, inputs: Path) -> dict[str, Any]:
    """Replay the inputs of the recorded simulated days, each from its first."""
    shutil.copytree(inputs / "days", work / "days")
    days = []
    for folder in sorted((work / "days").iterdir()):
        seed, tally = int(folder.name), Tally()
        with input_log(folder / "inputs") as log:
            session = replayed(*day_engine(seed, tally), log, NoStore())
        days.append({"seed": seed, "outcome": books_of(session), **tally.item()})
    return days_item(days)


def record_inputs(target: Path) -> None:
    """Write the folders of inputs that later versions replay."""
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="freeze-", ignore_cleanup_errors=True) as name:
        work = Path(name)
        say("inputs of a run over the local venue")
        record_local(work, target / "local")
        say(f"inputs of {len(RECORDED_SEEDS)} simulated days")
        for seed in RECORDED_SEEDS:
            with input_log(target / "days" / f"{seed:03}" / "inputs") as log:
                for entry in day_inputs(seed):
                    log.append(entry)
        say("the state folder of a live process that is killed")
        record_live(work, target / "live")


def record_local(work: Path, target: Path) -> None:
    """Keep the inputs of a run over the local venue, and a checkpoint in their middle."""
    with input_log(work / "whole") as log:
        run_local_with_log(log, work / "state")
        entries = log.since(None)
    half = len(entries) // 2
    with input_log(target / "inputs") as log:
        for entry in entries[:half]:
            log.append(entry)
        if not replayed(*local_engine(Tally()), log, FolderStore(target)).checkpoint():
            raise SystemExit(f"{target}: no checkpoint could be written")
        for entry in entries[half:]:
            log.append(entry)
    lines = [line for line in records_of(work / "state") if b'"topic":"run.ended"' not in line]
    again = replay_local(work, target.parent)
    if again["digest"] != tally_of(lines).item()["digest"]:
        raise SystemExit("the replay of the inputs gives other records than the run that wrote them")


# ---------------------------------------------------------------------- a live process


@contextmanager
def local_venue(work: Path) -> Iterator[dict[str, Any]]:
    """A local venue at real time; what it says of itself."""
    symbols = ",".join(LIVE_SYMBOLS)
    with started(work, "venue", "venue", "serve", "--json", "--symbols", symbols) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())


@contextmanager
def live_process(work: Path, venue: dict[str, Any], state: Path) -> Iterator[subprocess.Popen[str]]:
    """``quantum-trader live`` on *state* at *venue*, trading."""
    (work / "live.toml").write_text(
        f"[live]\nmode = 'LOCAL'\nsymbols = {list(LIVE_SYMBOLS)}\ninterval = '1m'\non_foreign = 'adopt'\n"
        f"warmup_bars = 1000\nstatus_s = 0.2\nstop_grace_s = 2.0\nreconcile_s = 5.0\naddress = '{venue['url']}'\n"
    )
    (state / "status.json").unlink(missing_ok=True)
    with started(
        work, "live", "live", *MODELS, "--state", state, "--config", "live.toml", "--quiet",
        QT_LOCAL_KEY=venue["api_key"], QT_LOCAL_SECRET=venue["api_secret"],
    ) as process:
        wait_until("it traded", lambda: status_of(state).get("stage") == "trading", process)
        yield process


def status_of(state: Path) -> dict[str, Any]:
    """What a live process says of itself; nothing before it has said anything."""
    path = state / "status.json"
    status: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return status


def admin(venue: dict[str, Any], action: str, **body: object) -> None:
    """Tell the local venue's admin road what to do."""
    request = urllib.request.Request(
        f"{venue['admin_url']}/{action}", json.dumps(body).encode(),
        {"Authorization": f"Bearer {venue['admin_token']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30.0) as answer:
        answer.read()


def record_live(work: Path, target: Path) -> None:
    """Keep the state folder of a live process: positions opened by hand get stops, one is stopped out; then SIGKILL."""
    with local_venue(work) as venue, live_process(work, venue, target) as process:
        def positions() -> dict[str, Any]:
            return {one["symbol"]: one for one in status_of(target).get("positions", ())}

        def protected(symbol: str) -> bool:
            return symbol in positions() and positions()[symbol]["protected"]

        for symbol, side, qty in (("BTCUSDT", "BUY", "0.05"), ("ETHUSDT", "SELL", "0.5")):
            admin(venue, "order", symbol=symbol, side=side, type="MARKET", quantity=qty)
            wait_until(f"{symbol} had a stop", partial(protected, symbol), process)
        admin(venue, "price", symbol="BTCUSDT", price=round(positions()["BTCUSDT"]["stop"] * 0.999, 1))
        wait_until("BTCUSDT was stopped out", lambda: "BTCUSDT" not in positions(), process)
        for action in ("halt", "resume", "flatten"):
            run_program(work, action, "--state", target, "--reason", "freeze")
        wait_until("everything was closed", lambda: not positions(), process)
        time.sleep(1.0)
        process.send_signal(signal.SIGKILL)
        process.wait()
    for name in ("lock", "status.json"):
        (target / name).unlink(missing_ok=True)


def replay_live(work: Path, inputs: Path, *, checkpoint: bool = False) -> dict[str, Any]:
    """Start ``quantum-trader live`` on the recorded state folder; what it recorded before it went on trading."""
    state = work / "live-state"
    shutil.copytree(inputs / "live", state)
    if not checkpoint:  # nothing but the inputs, and what the folder trades
        for path in state.iterdir():
            if path.name not in ("inputs", "live.json"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    with local_venue(work) as venue, live_process(work, venue, state) as process:
        process.terminate()
        process.wait(WAIT_S)
    lines = list(records_of(state))
    lives = [number for number, line in enumerate(lines) if b'"topic":"session.continued"' in line]
    return tally_of(lines[:lives[-1]]).item()


# ---------------------------------------------------------------------- items


def items(inputs: Path | None, jobs: int) -> dict[str, Callable[[Path], dict[str, Any]]]:
    """Every item by its name: what to do in an empty folder."""
    found: dict[str, Callable[[Path], dict[str, Any]]] = {
        f"run-{profile}-{mode}": partial(bundled_run, profile=profile, mode=mode)
        for profile in PROFILES for mode in MODES
    }
    found["killed-SAFE-OBSERVE"] = killed_run
    found["local-venue"] = local_run
    found["simulated-days"] = partial(simulated_days, jobs=jobs)
    if inputs is not None:
        found["replay-local"] = partial(replay_local, inputs=inputs)
        found["continue-local"] = partial(replay_local, inputs=inputs, checkpoint=True)
        found["replay-days"] = partial(replay_days, inputs=inputs)
        found["replay-live"] = partial(replay_live, inputs=inputs)
        found["continue-live"] = partial(replay_live, inputs=inputs, checkpoint=True)
    return found


def record(out: Path, inputs: Path | None, only: list[str], jobs: int) -> int:
    """Record the digests of every item, or of those whose names begin as *only* says; 1 when one failed."""
    import quantum_trader

    source = str(Path(str(quantum_trader.__file__)).parent)
    wanted = {
        name: work for name, work in items(inputs, jobs).items() if not only or name.startswith(tuple(only))
    }
    if not wanted:
        raise SystemExit(f"--only {' '.join(only)}: no such item; there is {', '.join(items(inputs, jobs))}")
    say(f"recording {source}")
    done: dict[str, Any] = {}
    for name, work in wanted.items():
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="freeze-", ignore_cleanup_errors=True) as folder:
            try:
                done[name] = work(Path(folder))
            except Exception as error:  # noqa: BLE001 - an item that fails is a difference; the others are recorded
                done[name] = {"error": f"{type(error).__name__}: {error}"}
        seconds = round(time.monotonic() - began, 1)
        told = done[name].get("error") or f"{done[name]['records']:,} records, {done[name]['digest']}"
        say(f"{name}: {told} ({seconds:g} s)")
        out.write_text(json.dumps({"format": FORMAT, "source": source, "items": done}, indent=1) + "\n")
    return int(any("error" in item for item in done.values()))


# ---------------------------------------------------------------------- comparing


def compare(before: Path, after: Path) -> int:
    """Print for each item whether it is equal, or what differs; 1 when something does."""
    sides = [json.loads(path.read_bytes()) for path in (before, after)]
    if any(side["format"] != FORMAT for side in sides):
        raise SystemExit(f"made by another version of this script; both must have format {FORMAT}")
    for name, side in zip(("before", "after"), sides, strict=True):
        print(f"{name}: {side['source']}")
    had, has = (side["items"] for side in sides)
    differs = False
    for name in {**had, **has}:
        lines = differences(had.get(name), has.get(name))
        differs = differs or bool(lines)
        print(f"{name}: {'DIFFERS' if lines else 'equal'} ({describe(had.get(name))}, {describe(has.get(name))})")
        print(*(f"    {line}\n" for line in lines), sep="", end="")
    for side, found in (("before", had), ("after", has)):
        for one, other in SAME_DIGEST:
            if one in found and other in found and found[one].get("digest") != found[other].get("digest"):
                differs = True
                print(f"{side}: {one} DIFFERS from {other}")
                print(*(f"    {line}\n" for line in differences(found[other], found[one])), sep="", end="")
    return int(differs)


def describe(item: dict[str, Any] | None) -> str:
    """How many records an item has, in words."""
    if item is None:
        return "not recorded"
    return "failed" if "error" in item else f"{item['records']:,} records"


def differences(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[str]:
    """What differs between two recordings of an item, one line for each record topic."""
    if before is None or after is None:
        return [f"recorded only {'after' if before is None else 'before'}"]
    if "error" in before or "error" in after:
        return [f"{side}: {item['error']}" for side, item in (("before", before), ("after", after)) if "error" in item]
    if before["digest"] == after["digest"]:
        return []
    lines = []
    for name in sorted({**before["parts"], **after["parts"]}):
        had, has = before["parts"].get(name, [0, ""]), after["parts"].get(name, [0, ""])
        if had[0] != has[0]:
            lines.append(f"{name}: {had[0]:,} before, {has[0]:,} after")
        elif had[1] != has[1]:
            lines.append(f"{name}: {had[0]:,} before and after, with other content")
    return lines or ["each topic has the same records; their order or their numbers differ"]


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("record", help="record the digests of the code that PYTHONPATH names")
    one.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    one.add_argument("--inputs", type=Path, metavar="DIR", help="recorded inputs to replay")
    one.add_argument("--only", nargs="+", default=[], metavar="NAME", help="items whose names begin so")
    one.add_argument("--jobs", type=int, default=2, help="processes for the simulated days")
    one = commands.add_parser("record-inputs", help="record inputs for later versions to replay")
    one.add_argument("dir", type=Path)
    one = commands.add_parser("compare", help="compare two recordings")
    one.add_argument("before", type=Path)
    one.add_argument("after", type=Path)
    given = parser.parse_args()
    if given.command == "record":
        inputs = given.inputs.resolve() if given.inputs is not None else None
        return record(given.out, inputs, given.only, given.jobs)
    if given.command == "compare":
        return compare(given.before, given.after)
    record_inputs(given.dir.resolve())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
