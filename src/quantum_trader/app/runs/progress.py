"""Progress of a run on standard error: a live dashboard in a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

from rich.bar import Bar
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from quantum_trader.app.report import formats as fmt
from quantum_trader.app.report.charts import sparkline
from quantum_trader.app.report.tables import coloured
from quantum_trader.app.runs.results import PolicyView, ProgressView
from quantum_trader.domain.clock import from_ns

Clock = Callable[[], float]

LIVE_INTERVAL_S: Final = 0.1
LINE_INTERVAL_S: Final = 3.0
_HISTORY: Final = 4_000
_NARROW: Final = 72


class Throttle:
    """Limits how often a view is drawn; the first is due after one interval."""

    def __init__(self, interval_s: float, clock: Clock) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._next = clock() + interval_s

    def due(self) -> bool:
        """Whether the interval has passed since the last time this was true."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._interval_s
        return True


class LineProgress:
    """One line of text every few seconds, for a log or a pipe."""

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        self._console = console
        self._throttle = Throttle(LINE_INTERVAL_S, clock)
        self._clock = clock
        self._started = clock()

    def due(self) -> bool:
        """Whether the next line is due."""
        return self._throttle.due()

    def show(self, view: ProgressView) -> None:
        """Write one line."""
        self._console.print(progress_line(view, self._clock() - self._started), soft_wrap=True, highlight=False)

    def __enter__(self) -> LineProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def progress_line(view: ProgressView, elapsed_s: float) -> str:
    """*view* as one line."""
    done = view.bars_done / max(view.bars_total, 1)
    return (
        f"{from_ns(view.ts_ns):%Y-%m-%d %H:%M} {done:6.1%} {view.bars_done / max(elapsed_s, 1e-9):>9,.0f} bars/s  "
        f"equity {view.equity:,.2f} (return {view.return_pct:+.2f} %, drawdown {view.drawdown_pct:+.2f} %)  "
        f"{view.trades} trades, {len(view.positions)} open"
        + (f"  [{view.halts[-1]}]" if view.halts else "")
    )


class LiveProgress:
    """The dashboard: time, equity, policy, positions, refusals, shadow trades, events."""

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._throttle = Throttle(LIVE_INTERVAL_S, clock)
        self._started = clock()
        self._equity: list[float] = []
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def due(self) -> bool:
        """Whether the next frame is due (ten a second at most)."""
        return self._throttle.due()

    def show(self, view: ProgressView) -> None:
        """Draw one frame."""
        self._equity.append(view.equity)
        if len(self._equity) > _HISTORY:
            self._equity = self._equity[::2]
        size = self._console.size
        self._live.update(
            dashboard(view, self._equity, self._clock() - self._started, size.width, size.height), refresh=True
        )

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def holds_live_tables(console: Console) -> bool:
    """Whether *console* is a terminal that can redraw, and wide enough for a table."""
    return console.is_terminal and not console.is_dumb_terminal and console.size.width >= _NARROW


def progress_for(console: Console) -> LineProgress | LiveProgress:
    """The dashboard where *console* is a terminal that can hold it, else lines."""
    if holds_live_tables(console):
        return LiveProgress(console)
    return LineProgress(console)


def dashboard(
    view: ProgressView, equity: list[float], elapsed_s: float, width: int = 100, height: int = 30
) -> RenderableType:
    """One frame of the dashboard, *height* lines at most."""
    layout = Layout()
    tall = height >= 26
    layout.split_column(
        Layout(_header(view, elapsed_s, width), size=4),
        Layout(name="middle", size=8),
        Layout(name="lower", ratio=1),
    )
    layout["middle"].split_row(Layout(_equity(view, equity, width // 2 - 6)), Layout(_policy(view.policy)))
    lower = [Layout(_positions(view)), Layout(_counts(view))]
    if tall:
        layout["lower"].split_column(Layout(name="tables", size=9), Layout(_events(view, height - 23)))
        layout["tables"].split_row(*lower)
    else:
        layout["lower"].split_row(*lower)
    return FixedHeight(layout, min(height - 1, 34))


class FixedHeight:
    """Renders a layout in a fixed number of lines; by itself it would take the whole terminal."""

    def __init__(self, layout: Layout, height: int) -> None:
        self._layout = layout
        self._height = height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self._layout, options.update(height=self._height))


def _panel(title: str, content: RenderableType, style: str = "dim") -> Panel:
    return Panel(content, title=title, title_align="left", border_style=style, padding=(0, 1))


def _header(view: ProgressView, elapsed_s: float, width: int) -> Panel:
    done = view.bars_done / max(view.bars_total, 1)
    speed = view.bars_done / max(elapsed_s, 1e-9)
    left = (view.bars_total - view.bars_done) / max(speed, 1e-9)
    line = Text(f"{from_ns(view.ts_ns):%Y-%m-%d %H:%M} UTC", style="bold")
    line.append(
        f"   {done:6.1%}   {view.bars_done:,} of {view.bars_total:,} bars   {speed:,.0f} bars/s   {left:.0f} s to go",
        style="dim",
    )
    bar = Bar(size=1.0, begin=0.0, end=min(done, 1.0), width=width - 4, color="blue")
    return _panel("Quantum Trader, replay", Group(line, bar), "red" if view.halts else "dim")


def _equity(view: ProgressView, equity: list[float], width: int) -> Panel:
    grid = Table.grid(padding=(0, 2))
    grid.add_row("equity", Text(f"{fmt.money(view.equity)} USDT", style="bold"))
    grid.add_row("return", coloured(fmt.percent(view.return_pct)))
    grid.add_row("drawdown", coloured(fmt.percent(view.drawdown_pct)))
    halts = Text(", ".join(view.halts), style="bold red") if view.halts else Text("no halt", style="dim")
    return _panel("Account", Group(grid, Text(sparkline(equity, max(width, 10)), style="blue"), halts))


def _policy(policy: PolicyView | None) -> Panel:
    if policy is None:
        return _panel("Policy", Text("none", style="dim"))
    gate = Text("allowed", style="green") if policy.allow_new_trades else Text("stopped", style="bold red")
    grid = Table.grid(padding=(0, 2))
    grid.add_row("new trades", Text.assemble(gate, f"   {policy.risk_profile}   governor {policy.governor}"))
    grid.add_row("risk, confidence", f"{policy.max_risk_pct:.3f} %   {policy.min_confidence:.2f}")
    grid.add_row("entry, exit", f"{policy.entry_mode}, {policy.exit_mode}")
    grid.add_row("barred", ", ".join(policy.bans) or "none")
    note = Text(policy.note, style="dim", overflow="ellipsis", no_wrap=True)
    return _panel(f"Policy {policy.profile}, {fmt.policy_words(policy.mode)}", Group(grid, note))


def _positions(view: ProgressView) -> Panel:
    if not view.positions:
        return _panel("Open positions", Text("none", style="dim"))
    table = Table.grid(padding=(0, 2), expand=True)
    for _ in range(5):
        table.add_column(justify="right")
    for row in view.positions[:6]:
        table.add_row(
            row.symbol, row.side, fmt.price(row.entry_price), fmt.price(row.mark_price),
            coloured(fmt.multiple(row.unrealised_r)),
        )
    return _panel(f"Open positions: {len(view.positions)}", table)


def _counts(view: ProgressView) -> Panel:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column()
    table.add_column(justify="right")
    shadows = view.shadows
    table.add_row(
        Text("paper copies, would be blocked", style="dim"), f"{shadows.blocked:,}  {shadows.blocked_r:+,.1f} R"
    )
    allowed = f"{shadows.allowed:,}  {shadows.allowed_r:+,.1f} R"
    table.add_row(Text("paper copies, would be allowed", style="dim"), allowed)
    for reason, found in sorted(view.refusals.items(), key=lambda item: (-item[1], item[0]))[:5]:
        table.add_row(fmt.words(reason), f"{found:,}")
    return _panel(f"{view.signals:,} signals, {view.trades:,} trades", table)


def _events(view: ProgressView, most: int) -> Panel:
    lines = [
        Text.assemble((f"{from_ns(event.ts_ns):%m-%d %H:%M} ", "dim"), (f"{event.kind:<7} ", "cyan"), event.text,
                      overflow="ellipsis", no_wrap=True)
        for event in view.events[-max(most, 1):]
    ]
    return _panel("Events", Group(*lines) if lines else Text("none yet", style="dim"))
