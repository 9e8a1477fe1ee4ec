"""The example strategy without and with the guard, and guarded ones that fail, for the comparison of their trades."""

from freqtrade_strategy import PolicyGuardedStrategy
from often import Often

from quantum_trader.policy.freqtrade import PolicyGuard


class Unguarded(PolicyGuardedStrategy):
    """The same entries and exits; nobody asks the policy."""

    def bot_start(self, **kwargs):
        """Make no guard."""

    def bot_loop_start(self, current_time, **kwargs):
        """Evaluate nothing."""

    def custom_stake_amount(self, proposed_stake, **kwargs):
        """What freqtrade proposes."""
        return proposed_stake

    def confirm_trade_entry(self, **kwargs):
        """Always."""
        return True


class Guarded(PolicyGuardedStrategy):
    """The guard as it is."""


class FailingLoop(PolicyGuardedStrategy):
    """The policy cannot be evaluated."""

    def bot_start(self, **kwargs):
        """Break the evaluation."""
        self.guard.policy.update_policy = self.fail

    def fail(self, *args, **kwargs):
        """What a full disk does."""
        raise OSError(28, "No space left on device")


class FailingStake(PolicyGuardedStrategy):
    """The stake cannot be calculated."""

    guard_stop_pct = "much"


class FailingConfidence(PolicyGuardedStrategy):
    """The confidence cannot be told."""

    def guard_confidence_of(self, pair, side, entry_tag):
        """A fault in what the user wrote."""
        raise KeyError(pair)


class GuardedOften(PolicyGuard, Often):
    """Trades every four minutes on 1-minute bars, as far as the guard lets it."""

    guard_confidence = 0.95
