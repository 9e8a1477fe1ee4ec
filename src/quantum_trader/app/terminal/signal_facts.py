"""What the pages about signals and models say, as plain values: decisions, learning, shadows, models."""

from __future__ import annotations

from typing import Final

import msgspec

from quantum_trader.app.runs.model_state import lack_words, silence_words, too_small_words
from quantum_trader.app.runs.models_in_force import ModelsInForce, models_in_force
from quantum_trader.app.terminal.folder_view import Facts, FolderView

MOST_ROWS: Final = 200  # of a list, newest first
MOST_REASONS: Final = 20
_DECISION: Final = (
    'ts_ns, signal_id, trace_id, symbol, action, confidence, decision, reason, observed, "limit", '
    "min_confidence_used, risk_pct_used"
)
NEWEST: Final = "order by ts_ns desc, producer desc, seq desc"


def decisions_facts(view: FolderView) -> Facts:
    """The newest signals with what became of each and why, and how many were refused for each reason."""
    return {
        "decisions": view.rows(
            f"select {_DECISION} from decisions {NEWEST} limit {MOST_ROWS}"
        ),
        "counts": view.rows(
            "select decision, reason, count(*) as signals, max(ts_ns) as last_ns from decisions group by all "
            f"order by signals desc, reason limit {MOST_REASONS}"
        ),
    }


def shadows_facts(view: FolderView) -> Facts:
    """What shadow trades made, of traded signals and of refused ones by reason, and the newest of refused ones.

    *mean_bps* is after costs and funding, in basis points of the entry; *won* is the share above 0.
    """
    reasons = (
        "with judged as (select signal_id, any_value(action) as action, any_value(reason) as reason from decisions "
        "group by signal_id) "
    )
    return {
        "by_reason": view.rows(
            f"{reasons}select s.traded, coalesce(d.reason, '') as reason, count(*) as shadows, "
            "avg(s.net_bps) as mean_bps, avg(s.r) as mean_r, avg(cast(s.net_bps > 0 as integer)) as won "
            "from shadows s left join judged d using (signal_id) group by all "
            f"order by s.traded desc, shadows desc, reason limit {MOST_REASONS}"
        ),
        "refused": view.rows(
            f"{reasons}, newest as (select * from shadows where not traded {NEWEST} limit {MOST_ROWS}) "
            "select s.ts_ns, s.signal_id, s.symbol, d.action, d.reason, s.exit, s.net_bps, s.r, s.bars_held "
            "from newest s left join judged d using (signal_id) order by s.ts_ns desc, s.seq desc"
        ),
    }


def signal_facts(view: FolderView, signal_id: str) -> Facts:
    """One signal: what was decided, the steps of its decision, and its shadow trade where that has ended."""
    found = view.rows(f"select {_DECISION} from decisions where signal_id = ? {NEWEST} limit 1", [signal_id])
    shadows = view.rows(
        f"select ts_ns, exit, net_bps, r, bars_held, traded from shadows where signal_id = ? {NEWEST} limit 1",
        [signal_id],
    )
    return {
        "signal": found[0] if found else None, "shadow": shadows[0] if shadows else None,
        "trace": view.trace(signal_id),
    }


def learning_facts(view: FolderView) -> Facts:
    """The models of the run with what each still lacks, the last signal, and the trainings.

    *training*: the newest report of a training of the pilot, none or one.
    """
    status = view.condition().status
    state = status.models
    models = [
        {"name": line.name, "symbols": list(line.symbols), "warm": not line.lacks,
         "lacks": lack_words(line.lacks, {line.name: len(line.symbols)}) if line.lacks else ""}
        for line in (state.models if state is not None else ())
    ]
    return {
        "models": models, "failed_ns": state.failed_ns if state is not None else 0,
        "last_signal_ns": state.last_signal_ns if state is not None else 0,
        "silence": silence_words(state) if state is not None and state.silence else "",
        "too_small": too_small_words(state) if state is not None else "",
        "pilot": status.pilot,
        "training": view.rows(
            "select ts_ns, session_id, device, group_number, groups, seeds, \"update\", updates, steps, steps_per_s, "
            f"eta_s from pilot_trainings {NEWEST} limit 1"
        ),
        "trainings": view.rows(f"select ts_ns, session_id, rows, duration_s, reason from trainings {NEWEST} limit 10"),
    }


def models_facts(view: FolderView) -> Facts:
    """The ids in force, every change of them, models that were refused, and what became of them in a registry."""
    state = view.condition().status.models
    found = view.tried("models in force", lambda: models_in_force(view.state), ModelsInForce())
    return {
        "names": [line.name for line in state.models] if state is not None else [],
        "in_force": msgspec.to_builtins(found),
        "changes": view.rows(
            f"select ts_ns, role, names, ids, alias, version, actor, reason from models_in_force {NEWEST} "
            f"limit {MOST_ROWS}"
        ),
        "refused": view.rows(
            f"select ts_ns, role, model, alias, version, reason from model_refusals {NEWEST} limit {MOST_ROWS}"
        ),
        "registry": view.rows(
            f"select ts_ns, model_id, alias, change, actor, reason from models {NEWEST} limit {MOST_ROWS}"
        ),
    }
