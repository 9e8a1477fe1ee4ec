"""The progress of a training of signal models on standard error: a table in a terminal, lines elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import TracebackType

from rich.bar import Bar
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from quantum_trader.app.runs.progress import holds_live_tables
from quantum_trader.app.runs.training_screen import time_text
from quantum_trader.lab.learning.trainer import LearningLook


def learning_line(look: LearningLook) -> str:
    """*look* as one line."""
    auc = "" if math.isnan(look.auc) else f"  AUC {look.auc:.4f} on its test"
    left = "" if math.isnan(look.eta_s) or look.step == look.steps else f"  {time_text(look.eta_s)} to go"
    return f"{look.step / look.steps:6.1%}  step {look.step} of {look.steps}  {look.name}{auc}{left}"


class LearningLines:
    """Writes a line for each look with *write*."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def tell(self, line: str) -> None:
        """Write *line*."""
        self._write(line)

    def show(self, look: LearningLook) -> None:
        """Write a line about *look*."""
        self._write(learning_line(look))

    def __enter__(self) -> LearningLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class LearningTable:
    """Draws how far the training is, with the AUC of each test so far."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._looks: list[LearningLook] = []

    def tell(self, line: str) -> None:
        """Print *line* above the table."""
        self._console.print(line, soft_wrap=True, highlight=False)

    def show(self, look: LearningLook) -> None:
        """Draw *look* below those before it."""
        self._looks.append(look)
        self._live.update(learning_table(self._looks, self._console.size.width), refresh=True)

    def __enter__(self) -> LearningTable:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def learning_table(looks: list[LearningLook], width: int) -> Group:
    """One frame of the table."""
    look = looks[-1]
    left = "" if math.isnan(look.eta_s) else f"   {time_text(look.eta_s)} to go"
    head = Text(f"{look.step / look.steps:6.1%}   step {look.step} of {look.steps}   {time_text(look.elapsed_s)}{left}",
                style="bold")
    table = Table("step", "AUC on its test, before calibration")
    for one in looks:
        table.add_row(one.name, "" if math.isnan(one.auc) else f"{one.auc:.4f}")
    return Group(head, Bar(size=1.0, begin=0.0, end=look.step / look.steps, width=max(20, width - 4)), table)


def learning_screen(console: Console) -> LearningTable | LearningLines:
    """The table where *console* is a terminal that can hold it, else lines."""
    if holds_live_tables(console):
        return LearningTable(console)
    return LearningLines(lambda line: console.print(line, soft_wrap=True, highlight=False))
