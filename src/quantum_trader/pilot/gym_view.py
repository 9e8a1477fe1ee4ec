"""The training market as a Gymnasium environment, for other people's agents and checks; it needs no JAX.

The episode is that of ``training.market_environment``: the same arithmetic as machine code, one step at a time.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from quantum_trader.domain.errors import require
from quantum_trader.market.jit import compiled
from quantum_trader.pilot import episode_steps as steps
from quantum_trader.pilot.actions import ACTION_COUNT
from quantum_trader.pilot.episode import EnvironmentSettings, EpisodeTable
from quantum_trader.pilot.episode_steps import EpisodeAccount, Known
from quantum_trader.pilot.feature_columns import FEATURE_COUNT, FIRST_OWN
from quantum_trader.pilot.position_steps import PendingOrder, StepBar, Terms, VirtualPosition
from quantum_trader.pilot.scaling import LIMIT
from quantum_trader.pilot.shadow_book import ACTION_SHARES, EXIT_WORDS

_step_account, _own_numbers, _scaled_own, _scaled_terms, _scaled_bar, _equity_at = (
    compiled(function) for function in (
        steps.step_account, steps.own_numbers, steps.scaled_own, steps.scaled_terms, steps.scaled_bar, steps.equity_at
    )
)
_BARS: Final = ("open", "high", "low", "close", "atr", "cost_bps", "funding_rate", "trend")

Singles32 = npt.NDArray[np.float32]


class MarketGym(gymnasium.Env):  # type: ignore[misc]
    """Episodes of one symbol's recorded bars. Actions are the pilot's six, observations its 64 features (float32).

    ``reset(options={"window": n})`` begins at row n of ``table.starts``; without it a window is drawn. The *info* of a
    step has ``equity`` (USDT), ``traded`` (USDT), ``exit`` (how a position ended in that bar, empty where none did)
    and ``reward``, the weighted terms of the reward so far.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, table: EpisodeTable, settings: EnvironmentSettings) -> None:
        self.observation_space = spaces.Box(-LIMIT, LIMIT, (FEATURE_COUNT,), np.float32)
        self.action_space = spaces.Discrete(ACTION_COUNT)
        self.render_mode = None
        self._settings, self._starts, self._features = settings, np.asarray(table.starts), np.asarray(table.features)
        self._bars = {name: np.asarray(getattr(table, name), dtype=np.float64) for name in _BARS}
        self._terms = Terms(*(np.asarray(column, dtype=np.float64) for column in table.terms))
        self._own = list(zip(
            np.asarray(table.own_centers, dtype=np.float64).tolist(),
            np.asarray(table.own_scales, dtype=np.float64).tolist(), np.asarray(table.own_seen).tolist(), strict=True,
        ))
        self._cost_share = float(table.cost_share)
        self._sizing, self._weights = settings.positions.sizing, settings.reward.weights
        self._symbol, self._bar, self._left = 0, 0, 0
        self._account = new_account(settings.start_equity)
        self._symbol_terms = self._terms_of(0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Singles32, dict[str, Any]]:
        """Begin an episode without a position; InputError for a window that the table does not have."""
        super().reset(seed=seed)
        windows = len(self._starts)
        window = (options or {}).get("window")
        if window is None:
            window = int(self.np_random.integers(windows))
        require(0 <= window < windows, "window", window, f"must be 0 to {windows - 1}")
        self._symbol, self._bar = self._starts[window].tolist()
        self._left = self._settings.episode_bars
        self._account = new_account(self._settings.start_equity)
        self._symbol_terms = self._terms_of(self._symbol)
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Singles32, float, bool, bool, dict[str, Any]]:
        """Make one decision; it fills at the open of the next bar. An end that is both counts as terminated."""
        known = Known(*(self._at(name, self._bar) for name in ("close", "atr", "trend")))
        self._bar += 1
        self._left -= 1
        bar = StepBar(*(self._at(name, self._bar) for name in ("open", "high", "low", "cost_bps", "funding_rate")))
        made = _step_account(
            self._account, ACTION_SHARES[int(action)], known, _scaled_bar(bar, self._cost_share),
            self._at("close", self._bar), self._symbol_terms, self._sizing, self._weights,
        )
        self._account = made.account
        ruined = made.equity < self._settings.ruin_share * self._settings.start_equity
        terminated = bool(made.liquidated or ruined)
        return (
            self._observation(), float(made.reward), terminated, self._left <= 0 and not terminated,
            {
                "equity": float(made.equity), "traded": float(made.traded), "exit": EXIT_WORDS[int(made.exit)],
                "reward": dict(zip(self._weights._fields, made.account[-4:], strict=True)),
            },
        )

    @property
    def account(self) -> EpisodeAccount:
        """The account of the episode."""
        return self._account

    def _at(self, name: str, bar: int) -> float:
        return float(self._bars[name][self._symbol, bar])

    def _terms_of(self, symbol: int) -> Any:
        terms = self._terms
        one = Terms(
            *(float(column[symbol]) for column in terms[:-1]),  # type: ignore[call-arg]
            np.ascontiguousarray(terms.tiers[:, :, symbol]),
        )
        return _scaled_terms(one, self._cost_share)

    def _observation(self) -> Singles32:
        seen = np.zeros(FEATURE_COUNT, dtype=np.float32)
        seen[:FIRST_OWN] = self._features[self._symbol, self._bar]
        numbers = _own_numbers(self._account, self._at("close", self._bar))
        for place, number in enumerate(numbers):
            seen[FIRST_OWN + place] = _scaled_own(number, *self._own[place])
        return seen


def new_account(equity: float) -> EpisodeAccount:
    """An account of *equity* USDT without a position."""
    return EpisodeAccount(
        VirtualPosition(*(0.0,) * len(VirtualPosition._fields)), PendingOrder(*(0.0,) * len(PendingOrder._fields)),
        float(equity), float(equity), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
    )
