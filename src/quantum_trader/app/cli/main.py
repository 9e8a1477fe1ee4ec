"""The command line: ``quantum-trader``. Each command's module is imported when that command is asked for."""

from __future__ import annotations

import errno
import sys
from importlib import import_module
from io import TextIOWrapper
from itertools import pairwise
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from quantum_trader import __version__
from quantum_trader.app.cli.options import INTERRUPTED
from quantum_trader.domain.errors import ConfigError, QuantumTraderError, escaped

_FOLDERS: Final = ("--state", "--registry", "--trials")  # options that name a folder
UNUSABLE: Final = 2  # exit code: an input, a setting or a state cannot be used as given

# name -> (module, the Typer in it that holds the command or its sub-commands, one line of help)
COMMANDS: Final = {
    "run": ("run", "app", "Replay a recording through the whole system and report."),
    "live": ("live", "app", "Trade on live market data: on paper, on a testnet, or with real money."),
    "keys": ("keys", "app", "API keys: store, show masked, remove."),
    "status": ("operator", "status_app", "State of a run, whether its process is alive or dead."),
    "watch": ("watch", "app", "A run's dashboard in the terminal, also over SSH."),
    "report": ("report", "app", "Write the HTML report of a run with a state folder."),
    "policy": ("policy", "policy_app", "The rules of the policy, and its answer for given inputs."),
    "profile": ("policy", "profile_app", "Show, compare and check profiles."),
    "rollout": ("rollout", "app", "Staged rollout of the policy: evidence, promotion, rollback."),
    "gates": ("gates", "app", "The six gates of a signal: show, change, enforce on evidence, other thresholds."),
    "journal": ("journal", "app", "The flight recorder: SQL, tail, verify, replay, export."),
    "why": ("why", "why_app", "Why a signal was traded or refused, and what would have changed it."),
    "why-not": ("why", "why_not_app", "Why nothing was traded in a symbol at a time."),
    "trace": ("trace", "app", "The steps of one decision, with their times."),
    "halt": ("operator", "halt_app", "Stop new entries of a run until resume."),
    "resume": ("operator", "resume_app", "End a halt or an EMERGENCY of a run."),
    "flatten": ("operator", "flatten_app", "Close every position of a run and stop new entries."),
    "intent": ("intent", "app", "Ask a running process to open or to close a position."),
    "sweep": ("sweep", "app", "Evaluate many profiles and settings over a whole history."),
    "compare": ("compare", "app", "Holding, the models and the profiles on the same bars; what is luck."),
    "model": ("model", "app", "Your own models: write one, check it for look-ahead, list and show them."),
    "pilot": ("pilot", "app", "The reinforcement-learning pilot: what it observes, learns and may do; trained ones."),
    "shadows": ("shadows", "app", "Whether refused signals were rightly refused, by their shadow trades."),
    "metrics": ("metrics", "app", "Figures of a run by one catalogue, each with the SQL that computes it."),
    "insight": ("insight", "app", "What a day taught, what was blocked, what it cost, what to do; figures with ids."),
    "registry": ("registry", "app", "Trained models: register, verify, promote, roll back, export, import."),
    "trials": ("trials", "app", "Everything that was tried: list, show, and what it means for the best."),
    "council": ("council", "app", "Language models that write about a day; a program checks every sentence."),
    "simulate": ("simulate", "app", "Simulate trading days with faults, on virtual time."),
    "data": ("data", "app", "Download, import, check and list market data."),
    "venue": ("venue", "app", "A local exchange with Binance's USD-M protocol, over a recording."),
    "guard": ("guard", "app", "The policy as a guard of other bots: serve, modes, what was blocked, freqtrade."),
    "serve": ("serve", "app", "The API of a run: read everything, halt, stop, close; HTTP and WebSocket."),
    "token": ("token", "app", "Tokens of the API: make, list, revoke."),
    "source": ("source", "app", "Sources of signals from outside: make, list, try a body, revoke."),
    "notify": ("notify", "app", "Notifications of halts, fills, drawdowns and stops, to any service."),
    "config": ("config", "app", "Show the settings in force, check a settings file."),
}


# what people type who know other programs -> what it is called here
OTHER_NAMES: Final = {
    "backtest": "run", "backtesting": "run", "replay": "run", "trade": "live", "start": "live", "hyperopt": "sweep",
    "optimize": "sweep", "download-data": "data download", "import": "data import", "stop": "halt",
    "close": "flatten", "sql": "journal sql", "show-trades": "report", "positions": "status", "settings": "config show",
}


class LazyGroup(TyperGroup):
    """Lists its commands without importing them, and prints errors as one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, (_, _, help_text) in COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=help_text)

    def list_commands(self, ctx: Any) -> list[str]:
        """Command names, the most used first."""
        return list(COMMANDS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command that *args* name, then resolve it as usual."""
        _check_folders(args)
        if args and args[0] in COMMANDS:
            module, holder, _ = COMMANDS[args[0]]
            found = getattr(import_module(f"quantum_trader.app.cli.{module}"), holder)
            self.commands[args[0]] = _command(args[0], found)
        elif args and args[0] in OTHER_NAMES:
            raise ConfigError(f"{args[0]!r} is called `quantum-trader {OTHER_NAMES[args[0]]}` here")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; print an error as one line on standard error and set the exit code."""
        try:
            return super().invoke(ctx)
        except QuantumTraderError as error:
            _refuse(ctx, error, str(error))
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            where = f"{error.filename}: " if error.filename else ""
            _refuse(ctx, error, f"{where}{error.strerror or error}")
        except KeyboardInterrupt:
            typer.echo("stopped; a run with --state: restart with the same command to resume", err=True)
            raise typer.Exit(INTERRUPTED) from None


def _command(name: str, module_app: typer.Typer) -> Any:
    """The command of one module, without the completion options Typer gives to every program."""
    command = get_command(module_app)
    command.name = name
    command.params = [option for option in command.params if "completion" not in (option.name or "")]
    return command


def _check_folders(args: list[str]) -> None:
    """Refuse an empty --state, --registry or --trials: as a path it would mean the current folder."""
    joined = [(name, value) for name, equals, value in (one.partition("=") for one in args) if equals]
    for name, value in (*pairwise(args), *joined):
        if name in _FOLDERS and not value.strip():
            raise ConfigError(f"{name} '': is empty; name a folder, such as {name} my-{name[2:]}")


def _refuse(ctx: Any, error: Exception, text: str) -> None:
    if ctx.params.get("debug"):
        raise error
    typer.echo("\n".join(map(escaped, f"error: {text}".split("\n"))), err=True)
    raise typer.Exit(UNUSABLE) from None


app = typer.Typer(
    cls=LazyGroup, name="quantum-trader", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="A crypto-futures trading system with one policy brain. Start with: quantum-trader run",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"quantum-trader {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback instead of a one-line error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


def main() -> None:
    """Run the command line of this process.

    A letter that the terminal cannot show is printed as its code: a symbol's name must not end a command.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="quantum-trader", args=sys.argv[1:])


if __name__ == "__main__":
    main()
