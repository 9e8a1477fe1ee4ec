"""The look-ahead check of users' models: on which bars, and which files have passed it on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from quantum_trader.app.runs.model_bars import bars_of
from quantum_trader.app.runs.state_dir import pack, unpack
from quantum_trader.domain.clock import NS_PER_MINUTE
from quantum_trader.domain.errors import ConfigError, DataError, StateError
from quantum_trader.market.generate import generated_recording
from quantum_trader.market.intervals import interval_ns
from quantum_trader.market.recording import Recording, open_recording, stored_symbols
from quantum_trader.models.check import (
    CHECK_VERSION,
    LEAST_BARS,
    CheckFinding,
    CheckReport,
    CheckTools,
    check_scores,
    where_at,
)
from quantum_trader.models.forecasts import LoadedModel, check_model, panel_rows
from quantum_trader.models.learned.learned_model import LearnedModel
from quantum_trader.models.loading import ModelSettings, load_model, load_models, make_forecasts
from quantum_trader.models.score_file import ScoreFile
from quantum_trader.policy.storage import write_atomically

if TYPE_CHECKING:
    from quantum_trader.app.runs.live_settings import LiveSettings
    from quantum_trader.app.settings import RunSettings

_SPARE_SYMBOLS: Final = 2  # beside the fewest that the model has a view with: gaps take some
_GENERATED_ROWS: Final = 1_000  # made-up bars beside those of the warm-up, where no real ones are at hand


class PassedCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A model that has passed the check, as it is kept in the user's state folder."""

    model: str
    file: str
    code: str
    version: int
    at: str  # UTC


def checked_folder() -> Path:
    """Where this user's passed checks are kept."""
    return Path.home() / ".local" / "state" / "quantum-trader" / "models"


def passed_check(code: str) -> PassedCheck | None:
    """The passed check of the model with this hash of source, class and parameters; None without one."""
    try:
        content = (checked_folder() / f"{code}.json").read_bytes()
        kept = msgspec.json.decode(content, type=PassedCheck)
    except (OSError, msgspec.DecodeError):
        return None
    return kept if kept.code == code and kept.version == CHECK_VERSION else None


def keep_result(report: CheckReport) -> None:
    """Keep a passed check, and forget one that a failed check contradicts. StateError where that cannot be written."""
    path = checked_folder() / f"{report.code}.json"
    try:
        if not report.passed:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, msgspec.json.encode(PassedCheck(
            model=report.model, file=report.file, code=report.code, version=CHECK_VERSION,
            at=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        )))
    except OSError as error:
        raise StateError(f"{path}: the result of the check cannot be kept ({error.strerror})") from None


def check_user_model(
    settings: ModelSettings, recording: Recording | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> CheckReport:
    """Check the model that *settings* name on *recording* (by default on the bundled bars) and keep the result.

    Raises ConfigError where the model cannot be loaded or the bars do not suit it.
    """
    loaded = load_model(settings, fresh=True)
    chosen, made_up = (recording, "") if recording is not None else _bars_for(loaded)
    check_model(loaded, chosen.interval_ns)
    report = check_scores(loaded, bars_of(chosen, loaded.length_ns), CheckTools(
        reload=lambda: load_model(settings, fresh=True), roundtrip=lambda state: unpack(pack(state)),
        clock=time.perf_counter, source=_source(loaded), progress=progress,
    ))
    keep_result(report)
    return msgspec.structs.replace(report, source=chosen.source, made_up=made_up)


def _bars_for(loaded: LoadedModel) -> tuple[Recording, str]:
    """The bundled bars; made-up ones where those do not suit the model, and why they do not."""
    bundled = open_recording()
    why = _unsuited(loaded, bundled)
    if not why:
        return bundled, ""
    return generated_recording(
        max(5, loaded.model.least_symbols + _SPARE_SYMBOLS), loaded.model.bars,
        bars=_GENERATED_ROWS + 2 * panel_rows(loaded.model),
    ), why


def _unsuited(loaded: LoadedModel, bundled: Recording) -> str:
    """Why the *bundled* bars are too few for a model: in length, in number or in symbols; empty where they are not."""
    own, length = loaded.model, loaded.length_ns
    if length % bundled.interval_ns:
        return f"the bundled bars of {bundled.interval} do not make the model's of {own.bars}"
    if len(bundled.symbols) < own.least_symbols:
        return f"the model needs {own.least_symbols} symbols and the bundled bars have {len(bundled.symbols)}"
    there, needed = (bundled.end_ns - bundled.start_ns) // length, int(own.warmup) + LEAST_BARS
    if there < needed and not isinstance(own, ScoreFile):
        return f"the check needs {needed} bars of {own.bars} and the bundled ones make {there}"
    return ""


def _source(loaded: LoadedModel) -> str:
    if not loaded.file:
        return ""
    with suppress(OSError, UnicodeDecodeError):
        return Path(loaded.file).read_text("utf-8")
    return ""


def check_model_settings(settings: RunSettings, live: LiveSettings | None = None) -> None:
    """Raise ConfigError where a run with *settings* would refuse their models; with *live*, where `live` would.

    Runs the models' files and reads no bar. Where the bars are not there, their symbols are not compared.
    """
    if not settings.models:
        return
    if live is not None:
        make_forecasts(settings.models, tuple(live.symbols), live.interval_ns)
        return
    try:
        symbols, base_ns = stored_symbols(**settings.recording_arguments())
    except DataError:
        loaded = load_models(settings.models)
        symbols = tuple(sorted({symbol for one in loaded for symbol in one.symbols})) or ("BTCUSDT",)
        base_ns = interval_ns(settings.data.interval) if settings.data.interval else min(
            (one.length_ns for one in loaded), default=NS_PER_MINUTE
        )
    make_forecasts(settings.models, symbols, base_ns)


def needs_check(loaded: LoadedModel) -> bool:
    """Whether a model is the user's own, or trained, and has not passed the check as it is now."""
    own = bool(loaded.file) or isinstance(loaded.model, (ScoreFile, LearnedModel))
    return own and passed_check(loaded.code) is None


def unchecked_notes(models: Sequence[LoadedModel]) -> list[str]:
    """A sentence for each model of a run that has not passed the check."""
    return [
        f"{loaded.name} has not passed the look-ahead check: its result may be one that nobody can have. Run "
        f"{_check_command(loaded)}; live refuses it until it passes."
        for loaded in models if needs_check(loaded)
    ]


def _check_command(loaded: LoadedModel) -> str:
    """The command that checks *loaded* with the parameters that it has."""
    with suppress(ConfigError):
        if load_model(ModelSettings(model=loaded.source)).code == loaded.code:
            return f"`quantum-trader model check {loaded.source}`"
    return f"`quantum-trader model check --config FILE --name {loaded.name}` (FILE: the settings with its parameters)"


def check_before_live(models: Sequence[ModelSettings], say: Callable[[str], None]) -> None:
    """Check every user's model that has not passed yet. Raises ConfigError where one does not pass."""
    for settings in models:
        if not settings.enabled or settings.is_intraday:
            continue
        loaded = load_model(settings)
        if not needs_check(loaded):
            continue
        say(f"{loaded.name} has not passed the look-ahead check as it is now; checking it")
        report = check_user_model(settings)
        if not report.passed:
            failed = [one for one in report.findings if not one.passed]
            raise ConfigError(
                f"{loaded.name} has not passed the look-ahead check, and live trades no such model. "
                f"{'; '.join(f'{one.name}: {one.text}' for one in failed[:2])}. {_check_command(loaded)} shows "
                "everything; --data DIR checks it on other bars"
            )
        on = f"made-up bars, since {report.made_up}" if report.made_up else "the bundled bars"
        say(f"{loaded.name} has passed the look-ahead check on {on}")


def finding_lines(one: CheckFinding, file: str) -> list[str]:
    """A finding as lines of text."""
    return [f"{'ok  ' if one.passed else 'FAIL'} {one.name:<12} {one.text}",
            *(f"     {'':<12} {where_at(line, file)}" for line in one.lines)]
