"""``quantum-trader guard``: the policy as a guard of other bots."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from quantum_trader.app.cli.guard_freqtrade import freqtrade_command
from quantum_trader.app.cli.guard_sources import (
    BinanceOption,
    GuardBarsOption,
    GuardDataOption,
    GuardStateOption,
    ProfilesOption,
    bars_source,
)
from quantum_trader.app.cli.options import ByOption, JsonOption, ProfileOption, ReasonOption, acting_user
from quantum_trader.domain.errors import ConfigError

DEFAULT_PORT: Final = 8377
ADDRESS_FILE: Final = "address"
_ASK_S: Final = 3.0

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="The policy as a guard of other bots: ask it before an entry."
)

app.command("freqtrade")(freqtrade_command)

BotOption = Annotated[str, typer.Option("--bot", metavar="NAME", help="The bot's name, as it sends it.")]
OneBotOption = Annotated[str | None, typer.Option("--bot", metavar="NAME", help="One bot alone; all if left out.")]


@app.command("serve")
def serve_command(
    state: GuardStateOption, data: GuardDataOption = None,
    binance: BinanceOption = False, bars: GuardBarsOption = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="With --binance: another server of its protocol.")
    ] = None,
    profile: ProfileOption = None, profiles: ProfilesOption = None,
    host: Annotated[str, typer.Option("--host", help="Loopback address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = DEFAULT_PORT,
) -> None:
    """Answer other bots over HTTP on this machine: POST /v1/decide before an entry, POST /v1/fills after a trade.

    It measures the markets from bars of its own: --data DIR, or --binance. A new
    bot is in OBSERVE: every entry is permitted, and the answer says what would
    have been blocked.
    """
    try:
        from quantum_trader.app.api.access import AccessSettings
        from quantum_trader.app.api.guard import check_loopback, first_token, serve_guard
    except ImportError as error:
        raise ConfigError(
            f"guard serve: {error.name} is not installed; install it with pip install 'quantum-trader[serve]'"
        ) from None
    from quantum_trader.app.guard.bots import GuardSettings
    from quantum_trader.app.guard.service import GuardService
    from quantum_trader.policy.storage import write_atomically

    settings = AccessSettings(host=host, port=port)
    check_loopback(settings)
    source = bars_source(data, binance, bars, base_url)
    service = GuardService(state, GuardSettings(profile=profile, profile_folder=profiles), source)

    def ready(used: int) -> None:
        url = f"http://{f'[{host}]' if ':' in host else host}:{used}"
        write_atomically(state / ADDRESS_FILE, url.encode())
        typer.echo(f"guard: profile {service.profile}, {len(service.state().bots)} bots, {url}", err=True)
        if (token := first_token(state, time.time_ns())) is not None:
            typer.echo(f"guard: bots send the token in {token} as `Authorization: Bearer TOKEN`", err=True)

    try:
        serve_guard(service, settings, state, time.time_ns, ready)
    finally:
        service.close()


@app.command("mode")
def mode_command(
    mode: Annotated[str, typer.Argument(metavar="OBSERVE|ENFORCED", help="What the verdict does to the bot.")],
    state: GuardStateOption, bot: BotOption, reason: ReasonOption = "", by: ByOption = "", as_json: JsonOption = False,
) -> None:
    """Put a bot into OBSERVE or ENFORCED; a running guard follows at the next question."""
    from quantum_trader.app.guard.modes import BOTS, GuardMode, ModeFile, check_bot_name

    check_bot_name(bot)
    if mode.upper() not in GuardMode.__members__:
        raise ConfigError(f"mode = {mode!r}: must be OBSERVE or ENFORCED")
    if not (_folder(state) / BOTS / bot).is_dir():
        typer.echo(f"guard: no bot {bot!r} has asked yet; the mode is for when it does", err=True)
    made = ModeFile(state).set_mode(bot, GuardMode(mode.upper()), by or acting_user(), reason, time.time_ns())
    _say(as_json, {"bot": bot, "mode": made.mode.value, "by": made.by, "reason": made.reason},
         f"{bot}: {made.mode.value}")


@app.command("resume")
def resume_command(
    state: GuardStateOption, bot: BotOption, reason: ReasonOption, by: ByOption = "", as_json: JsonOption = False,
) -> None:
    """Let a bot go on after damage to its files: say why it is safe. A running guard follows at the next question."""
    from quantum_trader.app.guard.modes import ModeFile

    if not reason.strip():
        raise ConfigError("--reason '': say why it is safe to go on")
    ModeFile(_folder(state)).ask_resume(bot, by or acting_user(), reason, time.time_ns())
    _say(as_json, {"bot": bot, "resumed": True, "reason": reason}, f"{bot}: resumes at the next question")


@app.command("status")
def status_command(state: GuardStateOption, as_json: JsonOption = False) -> None:
    """Whether the guard runs, and every bot and market as it has them."""
    from quantum_trader.app.guard.report import guard_report
    from quantum_trader.app.runs.status import is_alive

    alive = is_alive(_folder(state))
    running = _running_state(state) if alive else None
    reports = guard_report(state)
    found = {
        "alive": alive, "running": running, "bots": [{"bot": one.bot, "mode": one.mode, "questions": one.questions,
                                                      "blocked": one.blocked, "damage": one.damage} for one in reports],
    }
    lines = [f"guard: {'runs' if alive else 'does not run'}"]
    states = {one["bot"]: one for one in (running or {}).get("bots", ())}
    for one in reports:
        now = states.get(one.bot)
        told = f"; {now['halted'] or now['note']}" if now else ""
        lines.append(f"{one.bot}: {one.mode}, {one.questions} questions, {one.blocked} blocked{told}")
    lines += [
        f"{one['symbol']}: {one['trend']}{' ' if one['direction'] else ''}{one['direction'] or ''}, volatility "
        f"{one['volatility']}, {'bars to ' if one['newest_bar_ended'] else 'no bars'}{one['newest_bar_ended'] or ''}"
        f"{'; ' if one['problem'] else ''}{one['problem']}"
        for one in (running or {}).get("markets", ())
    ]
    _say(as_json, found, "\n".join(lines))


@app.command("report")
def report_command(state: GuardStateOption, bot: OneBotOption = None, as_json: JsonOption = False) -> None:
    """What was blocked, or would have been, for each bot and rule."""
    from quantum_trader.app.guard.report import guard_report

    reports = guard_report(_folder(state), bot)
    lines = []
    for one in reports:
        lines.append(
            f"{one.bot}: {one.mode}; since {one.since[:19]}Z {one.questions} questions, {one.allowed} allowed, "
            f"{one.blocked} blocked, {one.would_have_blocked} would have been blocked"
        )
        lines += [
            f"  {row.rule}: blocked {row.blocked}, would have blocked {row.would_have_blocked}; last: {row.last_why}"
            for row in one.rules
        ]
        if one.entries or one.exits:
            lines.append(f"  traded: {one.entries} entries, {one.exits} exits ({one.losing_exits} losses), profit "
                         f"{one.profit:+.2f}")
        if one.transfers:
            lines.append(f"  paid in or out: {one.transfers} transfers, together {one.transferred:+.2f}")
        if one.locks or one.would_lock:
            lines.append(f"  locks set: {one.locks}; would have been set: {one.would_lock}")
        if one.damage:
            lines.append(f"  halted: {one.damage}; `quantum-trader guard resume` once it is safe")
    _say(as_json, {"bots": reports}, "\n".join(lines) or "no bot has asked yet")


def _folder(state: Path) -> Path:
    """*state*; ConfigError where there is no such folder."""
    if not state.is_dir():
        raise ConfigError(f"--state {state}: there is no such folder; give that of `guard serve --state`")
    return state


def _running_state(state: Path) -> dict[str, Any] | None:
    """What the running guard says of itself; None where it does not answer, as one that guards a freqtrade."""
    import urllib.request

    from quantum_trader.domain.json_text import UNREADABLE, decode_json

    try:
        url = (state / ADDRESS_FILE).read_text()
        with urllib.request.urlopen(f"{url}/v1/status", timeout=_ASK_S) as answer:
            found: dict[str, Any] = decode_json(answer.read(), dict[str, Any])
    except (OSError, ValueError, *UNREADABLE):
        return None
    return found


def _say(as_json: bool, found: Any, text: str) -> None:
    typer.echo(msgspec.json.encode(found).decode() if as_json else text)
