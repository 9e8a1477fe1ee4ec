"""The settings of the reinforcement-learning pilot that may change while a system runs: ``rl_v3.live``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from quantum_trader.domain.enums import PilotMode
from quantum_trader.domain.errors import ConfigError, brief, is_finite_number

LIVE: Final = "rl_v3.live"  # the name of these settings in the policy store
MOST_TRADES: Final = 1000  # an hour
LIMITS: Final = "pilot limits"  # who puts a pilot that broke a limit back into SHADOW
_MODES: Final = ", ".join(mode.value for mode in PilotMode)


class PilotSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the pilot may do. Raises ConfigError naming key, value and what is accepted."""

    enabled: bool = True  # false: OFF, whatever the mode says
    mode: PilotMode = PilotMode.SHADOW
    min_confidence: float = 0.6  # 0..1; a decision below it is recorded and not traded
    max_trades_per_hour: int = 10  # intents of the pilot; 0: none

    def __post_init__(self) -> None:
        given: dict[str, Any] = msgspec.structs.asdict(self)
        if not isinstance(given["enabled"], bool):
            _refuse("enabled", given["enabled"], "must be true or false")
        if not isinstance(given["mode"], PilotMode):
            _refuse("mode", given["mode"], f"must be one of {_MODES}")
        confidence, trades = given["min_confidence"], given["max_trades_per_hour"]
        if not (is_finite_number(confidence) and 0.0 <= confidence <= 1.0):
            _refuse("min_confidence", confidence, "must be a number from 0 to 1")
        if not isinstance(trades, int) or isinstance(trades, bool) or not 0 <= trades <= MOST_TRADES:
            _refuse("max_trades_per_hour", trades, f"must be a whole number from 0 to {MOST_TRADES}")
        msgspec.structs.force_setattr(self, "min_confidence", float(confidence))

    @property
    def mode_in_force(self) -> PilotMode:
        """The mode, and OFF where the pilot is not enabled."""
        return self.mode if self.enabled else PilotMode.OFF

    def stopped(self) -> PilotSettings:
        """These settings in mode OFF."""
        return msgspec.structs.replace(self, mode=PilotMode.OFF)

    def with_values(self, values: Mapping[str, Any]) -> PilotSettings:
        """These settings with *values* in place of theirs; a key is a field, alone or behind ``rl_v3.live.``.

        A mode may be given as text. ConfigError, and nothing taken, where one value or key is not acceptable.
        """
        fields: dict[str, Any] = {}
        for key, value in values.items():
            name = field_of(key)
            if name in fields:
                _refuse(name, value, "is given twice; give it once")
            fields[name] = _mode(value) if name == "mode" else value
        return msgspec.structs.replace(self, **fields)


def field_of(key: str) -> str:
    """The field that *key* names, with or without ``rl_v3.live.`` before it; ConfigError for an unknown one."""
    known = PilotSettings.__struct_fields__
    name = key.removeprefix(f"{LIVE}.") if isinstance(key, str) else ""
    if name in known:
        return name
    near = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(f"unknown setting {brief(key)}; {hint}settings: {', '.join(f'{LIVE}.{one}' for one in known)}")


def _mode(value: Any) -> Any:
    """The mode that a text names; anything else as it is, for the settings to refuse."""
    return PilotMode(value) if isinstance(value, str) and value in PilotMode.__members__ else value


def _refuse(name: str, value: Any, hint: str) -> None:
    raise ConfigError(f"{LIVE}.{name} = {brief(value)}: {hint}")
