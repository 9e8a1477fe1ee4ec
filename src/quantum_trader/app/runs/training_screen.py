"""A training's progress on standard error: a table that is redrawn in a terminal, lines elsewhere and in a daemon."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from quantum_trader.app.report.charts import sparkline
from quantum_trader.app.runs.pilot_training import quartiles
from quantum_trader.app.runs.progress import holds_live_tables

if TYPE_CHECKING:
    from quantum_trader.lab.pilot.training_run import TrainingLook

_HISTORY: Final = 2_000
_MINUTE_S, _HOUR_S = 60.0, 3600.0


def look_line(look: TrainingLook) -> str:
    """*look* as one line."""
    low, middle, high = quartiles(look.figures["mean_reward"])
    speed = "" if look.steps_per_s is None else f"  {look.steps_per_s:,.0f} steps/s"
    left = "" if look.eta_s is None else f"  {time_text(look.eta_s)} to go"
    group = f"group {look.group} of {look.groups}  " if look.groups > 1 else ""
    costs = "" if look.cost_share == 1.0 else f"  costs {look.cost_share:.0%}"
    return (
        f"{group}{look.update / look.updates:6.1%}  update {look.update:,} of {look.updates:,}  {look.steps:,} steps a "
        f"seed{speed}  reward {middle:+.3g} ({low:+.3g} to {high:+.3g})  entropy {_mean(look, 'entropy'):.3f}  "
        f"losses {_mean(look, 'policy_loss'):+.3g} {_mean(look, 'value_loss'):.3g}{costs}{left}"
    )


def time_text(seconds: float) -> str:
    """*seconds* in the unit that a person would take."""
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.1f} h"


def _mean(look: TrainingLook, name: str) -> float:
    return statistics.fmean(look.figures[name])


class TrainingLines:
    """Writes lines with *write*, such as ``typer.echo`` or the lines of a log."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def tell(self, line: str) -> None:
        """Write *line*."""
        self._write(line)

    def show(self, look: TrainingLook) -> None:
        """Write a line about *look*."""
        self._write(look_line(look))

    def __enter__(self) -> TrainingLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class LiveTrainingTable:
    """Draws a table of the newest look, with the course of the reward below it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._rewards: list[float] = []

    def tell(self, line: str) -> None:
        """Print *line* above the table."""
        self._console.print(line, soft_wrap=True, highlight=False)

    def show(self, look: TrainingLook) -> None:
        """Draw *look*."""
        self._rewards.append(quartiles(look.figures["mean_reward"])[1])
        if len(self._rewards) > _HISTORY:
            self._rewards = self._rewards[::2]
        self._live.update(training_table(look, self._rewards, self._console.size.width), refresh=True)

    def __enter__(self) -> LiveTrainingTable:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def training_table(look: TrainingLook, rewards: list[float], width: int) -> Group:
    """One frame: progress, each figure's quartiles over the seeds, the course of the reward."""
    speed = "compiling" if look.steps_per_s is None else f"{look.steps_per_s:,.0f} steps/s"
    left = "" if look.eta_s is None else f"   {time_text(look.eta_s)} to go"
    group = f"group {look.group} of {look.groups}, " if look.groups > 1 else ""
    head = Text(
        f"{look.update / look.updates:6.1%}   {group}{len(look.seeds)} seeds   {look.steps:,} steps a seed   "
        f"{speed}   costs {look.cost_share:.0%}{left}", style="bold",
    )
    table = Table("mean of a seed since the last look", "lower quartile", "median", "upper quartile")
    for name, numbers in (*look.figures.items(), *((f"reward: {name}", each) for name, each in look.terms.items())):
        table.add_row(name.replace("_", " "), *(f"{number:+.5g}" for number in quartiles(numbers)))
    return Group(head, table, Text(f"median reward {sparkline(rewards, max(20, width - 20))}"))


def screen_for(console: Console) -> LiveTrainingTable | TrainingLines:
    """The table where *console* is a terminal that can hold it, else lines."""
    if holds_live_tables(console):
        return LiveTrainingTable(console)
    return TrainingLines(lambda line: console.print(line, soft_wrap=True, highlight=False))
