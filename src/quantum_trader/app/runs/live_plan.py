"""The plan of a live start: where it trades, with which models and limits, and why it would be refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from quantum_trader.app.report.words import policy_words
from quantum_trader.app.runs.gates_file import planned_gates
from quantum_trader.app.runs.live_settings import LiveMode, LiveSettings, OnForeign, check_folder
from quantum_trader.app.runs.meta_labels import meta_label_for
from quantum_trader.app.runs.model_plan import ModelsPlan, PlannedModel, plan_models, planned_line
from quantum_trader.app.runs.model_state import ModelsState, models_lines
from quantum_trader.app.runs.pilot_plan import planned_pilot
from quantum_trader.app.runs.state_dir import in_use, is_held
from quantum_trader.app.settings import LoadedSettings, RunSettings
from quantum_trader.domain.errors import QuantumTraderError, StateError
from quantum_trader.domain.private_files import check_private_folder
from quantum_trader.live.bars import MODEL_BARS
from quantum_trader.market.instruments import known_instruments
from quantum_trader.models.forecast import BAND
from quantum_trader.venues.binance.keys import KeyLocation


class StartPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a start does; keys masked."""

    mode: str
    endpoint: str
    address: str
    money: str  # "none", "testnet", "REAL"
    key: str  # masked; empty without keys
    key_source: str
    state: str
    symbols: tuple[str, ...]
    interval: str
    warmup_bars: int
    policy: str
    leverage: float
    limits: dict[str, float]
    trigger_on: str
    reconcile_s: float
    on_foreign: str
    on_orphan: str
    on_stop: str
    keys_missing: str = ""  # why the keys could not be loaded, and what to do
    refusals: tuple[str, ...] = ()  # why a start would be refused before it connects; empty: it would not
    models: tuple[PlannedModel, ...] = ()
    models_state: ModelsState | None = None  # what they lack, as the folder was last saved; None: a new folder
    pilot: str = ""  # the trained pilot and what it may do; empty: there is none
    gates: str = ""  # which of the six gates are enforced
    equity: str = ""  # whether the equity is enough for each symbol's least order; empty: said by models_state


_ASSUMED_VOLATILITY_PCT: Final = 60.0  # of a symbol, a year, where no bar of it has been seen; docs/concepts-models.md
_MONEY: Final = {LiveMode.DRY: "none", LiveMode.LOCAL: "none", LiveMode.TESTNET: "testnet", LiveMode.LIVE: "REAL"}
_ORPHANS: Final = {
    OnForeign.HALT: "new entries stop until resume; an orphan position gets a stop at the venue or is closed",
    OnForeign.ADOPT: "an orphan position is adopted into the books and gets a stop at the venue, or is closed",
}


def start_plan(
    live: LiveSettings, run: LoadedSettings, key: KeyLocation | None, state: Path, keys_missing: str = "",
    key_taken: str = "", check: Callable[[str], None] | None = None,
) -> StartPlan:
    """The plan of a start with these settings and keys; *keys_missing* says why there are none.

    *key_taken* says that another process trades with the key; empty when none does. With *check*, which takes what is
    said meanwhile, models that have not passed the look-ahead check are checked now. Runs the files of users' models.
    """
    settings = run.settings
    models = plan_models(settings.models, live.symbols, live.interval_ns, state, say=check)
    limits = msgspec.to_builtins(settings.risk)
    shown = {name: float(value) for name, value in limits.items() if isinstance(value, (int, float))}
    profile, (pilot, wrong) = settings.active_profile(), planned_pilot(settings, live.symbols, live.interval_ns, state)
    policy = f"{profile.name}, {policy_words(settings.rollout.mode.value)}" if settings.policy.enabled else "off"
    return StartPlan(
        mode=live.mode.value, endpoint=live.venue, address=live.address, money=_MONEY[live.mode],
        key=key.key if key is not None else "", key_source=key.source if key is not None else "", state=str(state),
        symbols=live.symbols, interval=live.interval, warmup_bars=live.warmup_bars, policy=policy,
        leverage=settings.account.leverage, limits=shown, trigger_on=live.trigger_on.value,
        reconcile_s=live.reconcile_s, on_foreign=live.on_foreign.value, on_orphan=_ORPHANS[live.on_foreign],
        on_stop=f"positions stay open, their stops rest at the venue{_entries_end(settings)}; restart with the same "
        "command to resume",
        keys_missing=keys_missing, models=models.models, models_state=models.state,
        equity=_equity_words(live, settings, models),
        refusals=(
            *_refusals(live, state, keys_missing, key_taken), *models.refusals, *wrong, *_wrong_meta_label(settings),
        ),
        pilot=pilot, gates=planned_gates(settings.gates, state),
    )


def _refusals(live: LiveSettings, state: Path, keys_missing: str, key_taken: str) -> list[str]:
    """Why a start would be refused before it connects."""
    found = [f"keys missing: {keys_missing}"] if keys_missing else []
    try:
        check_folder(state, live)
    except StateError as error:
        found.append(str(error))
    if os.path.lexists(state):
        try:
            check_private_folder(state)
        except OSError as error:
            found.append(f"--state {state}: {error.strerror}")
    with suppress(OSError):  # without a lock file nothing holds the folder
        if is_held(state):
            found.append(in_use(state))
            return found  # the key is that process's
    return [*found, key_taken] if key_taken else found


def _wrong_meta_label(settings: RunSettings) -> list[str]:
    """Why the gates' meta-label cannot be used; empty where it can, or there is none."""
    try:
        meta_label_for(settings.gates)
    except QuantumTraderError as error:
        return [str(error)]
    return []


def _entries_end(settings: RunSettings) -> str:
    """What a stop does with entries at rest; empty where entries go at market at once."""
    return "; entries at rest are cancelled" if settings.engine.maker_entry_bars > 0 else ""


def _equity_words(live: LiveSettings, settings: RunSettings, models: ModelsPlan) -> str:
    """Whether the equity is enough for the least orders, before the models have seen a bar.

    Empty where the saved state knows it, and for models whose score does not size positions.
    """
    if not models.by_score or (models.state is not None and models.state.least_equity):
        return ""
    later = "`status` names the symbols that it is too small for, once the models are warm"
    if live.mode is not LiveMode.DRY:
        return f"read from the venue at the start; {later}"
    equity, target = settings.account.start_equity, settings.engine.volatility_target_pct
    if settings.policy.enabled and settings.rollout.is_enforced("risk_sizing"):
        target = settings.active_profile().config.volatility_target_pct
    about = equity * (1.0 - BAND) * target / _ASSUMED_VOLATILITY_PCT / len(live.symbols)
    known = known_instruments()
    short = [
        f"{symbol} ({known[symbol].min_notional:g})" for symbol in live.symbols
        if symbol in known and known[symbol].min_notional > about
    ]
    said = f"too small for the least orders known here of {', '.join(short)}" if short else (
        "enough for the least orders known here"
    )
    return (
        f"{equity:,.0f} USDT: a score of 1 asks for about {about:,.0f} USDT in each symbol, if its volatility "
        f"is {_ASSUMED_VOLATILITY_PCT:g} % a year; {said}, and the venue may ask for more; {later}"
    )


def plan_lines(plan: StartPlan) -> list[str]:
    """*plan* as text, one line for each fact."""
    what = {
        "none": "no money: orders are filled on paper" if plan.mode == LiveMode.DRY.value else "no money: local venue",
        "testnet": "test money: orders go to the testnet", "REAL": "REAL MONEY: orders go to the exchange",
    }[plan.money]
    where = f"{plan.endpoint} at {plan.address}" if plan.address else plan.endpoint
    limits = ", ".join(f"{name} {value:g}" for name, value in plan.limits.items())
    return [
        f"mode         {plan.mode} ({what})",
        f"endpoint     {where}",
        f"keys         {_keys_line(plan)}",
        f"state        {plan.state}",
        f"symbols      {', '.join(plan.symbols)}",
        f"bars         {plan.interval}, {plan.warmup_bars} to warm up",
        *(planned_line(row) for row in plan.models),
        *_warm_up_lines(plan),
        *([f"pilot        {plan.pilot}"] if plan.pilot else []),
        *([f"equity       {plan.equity}"] if plan.equity else []),
        f"policy       {plan.policy}",
        f"gates        {plan.gates}",
        f"leverage     up to {plan.leverage:g}, isolated, one-way",
        f"limits       {limits}",
        f"stops        at the venue, triggered by {plan.trigger_on}",
        f"reconciles   books against the exchange, at start and every {plan.reconcile_s:g} s",
        f"others       positions not opened by this bot: {plan.on_orphan} (on_foreign = {plan.on_foreign})",
        f"on a stop    {plan.on_stop}",
        *(f"REFUSED      {why}" for why in plan.refusals),
    ]


def _warm_up_lines(plan: StartPlan) -> list[str]:
    """What the models lack: as the folder was last saved, or all of it in a new one."""
    if plan.models_state is not None:
        return models_lines(plan.models_state)
    needs = [f"{row.name}: 0 of {row.warmup} bars of {row.bars}" for row in plan.models if row.warmup]
    if not needs:
        return []
    most = max(MODEL_BARS, *(2 * row.warmup for row in plan.models))
    return [f"warm-up      {'; '.join(needs)}; the start fetches up to {most:,} from the venue"]


def _keys_line(plan: StartPlan) -> str:
    if plan.keys_missing:
        return "missing"
    return f"{plan.key} from {plan.key_source}" if plan.key else "none are used"
