"""Who sits in the council: models with their address, price and limits, and the month's budget."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from quantum_trader.domain.errors import ConfigError, is_finite_number
from quantum_trader.domain.private_files import MOST_SETTINGS, read_bounded

DEFAULT_BUDGET_USD: Final = 12.0
_KEY_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_NAME: Final = re.compile(r"[\w][\w .:/+-]{0,39}")
_MOST_MODELS: Final = 16


class CouncilModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model: who answers, where, at what price.

    *api_key_env* names the variable that holds its key; empty for a local server that needs none. *provider* is
    ``openai`` for every server that speaks OpenAI's chat protocol, at *base_url*.
    """

    name: str
    model: str
    provider: Literal["openai", "anthropic"] = "openai"
    base_url: str = ""
    api_key_env: str = ""
    input_usd_per_million: float = 0.0
    output_usd_per_million: float = 0.0
    max_output_tokens: int = 4_000
    timeout_s: float = 120.0

    def __post_init__(self) -> None:
        where = f"council model {self.name!r}"
        if not _NAME.fullmatch(self.name) or not self.model.strip():
            raise ConfigError(f"{where}: name and model must be written, the name with 40 letters at most")
        if self.api_key_env and not _KEY_NAME.fullmatch(self.api_key_env):
            raise ConfigError(f"{where}: api_key_env is the name of a variable, such as OPENAI_API_KEY, not a key")
        if self.provider == "openai" and not self.base_url:
            raise ConfigError(f"{where}: base_url: name the server, such as http://127.0.0.1:11434/v1")
        if self.base_url and urlsplit(self.base_url).scheme not in ("http", "https"):
            raise ConfigError(f"{where}: base_url = {self.base_url!r}: must begin with http:// or https://")
        for key in ("input_usd_per_million", "output_usd_per_million", "timeout_s", "max_output_tokens"):
            value = getattr(self, key)
            if not is_finite_number(value) or value < 0 or (value == 0 and "usd" not in key):
                raise ConfigError(f"{where}: {key} = {value}: must be a number above zero, prices may be zero")

    def cost_usd(self, input_tokens: int, output_tokens: int) -> float:
        """What so many tokens cost, in USD."""
        return (input_tokens * self.input_usd_per_million + output_tokens * self.output_usd_per_million) / 1e6


class CouncilSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The analysts, the judge, and how much a calendar month (UTC) may cost."""

    analysts: tuple[CouncilModel, ...]
    judge: CouncilModel | None = None
    budget_usd_month: float = DEFAULT_BUDGET_USD
    sentences: int = 8  # of an analyst, and of the judge, at most
    most_figures: int = 400  # that the models are shown

    def __post_init__(self) -> None:
        names = [one.name for one in self.analysts]
        if len(names) > _MOST_MODELS or len(set(names)) < len(names):
            raise ConfigError(f"council: analysts: at most {_MOST_MODELS}, each with a name of its own; got {names}")
        if not is_finite_number(self.budget_usd_month) or self.budget_usd_month < 0:
            raise ConfigError(f"council: budget_usd_month = {self.budget_usd_month}: must be 0 or more")
        if not 1 <= self.sentences <= 40 or not 10 <= self.most_figures <= 5_000:
            raise ConfigError("council: sentences must be 1 to 40, most_figures 10 to 5,000")


def load_council(file: Path | None = None) -> CouncilSettings:
    """The council of *file*, or the one that comes with the program; ConfigError for what cannot be used."""
    if file is None:
        raw = files("quantum_trader").joinpath("data", "council", "models.toml").read_bytes()
    else:
        try:
            raw = read_bounded(file, MOST_SETTINGS)
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read: {error.strerror or error}") from None
    try:
        table = tomllib.loads(raw.decode("utf-8"))
        found = msgspec.convert(table, CouncilSettings)
        _require_prices(table)
        return found
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigError(f"{file or 'the council'}: {error}") from None


def _require_prices(table: dict[str, Any]) -> None:
    """A model with a key is paid for: without its prices no budget would ever stop it."""
    for one in [*table.get("analysts", ()), *([table["judge"]] if "judge" in table else [])]:
        missing = [key for key in ("input_usd_per_million", "output_usd_per_million") if key not in one]
        if one.get("api_key_env") and missing:
            raise ConfigError(
                f"council model {one['name']!r}: {' and '.join(missing)}: missing; a model with a key has prices, or "
                "no budget could stop it (write 0.0 if it costs nothing)"
            )
