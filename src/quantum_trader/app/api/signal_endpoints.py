"""Signals from other programs: as this API's JSON with a token, or as a webhook's body with its secret inside.

A source's secret lets in signals and nothing else. It is taken out of the body before the body is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import msgspec

from quantum_trader.app.api.access import Access
from quantum_trader.app.api.endpoints import Call, Endpoint, told_of
from quantum_trader.app.api.errors import ApiError
from quantum_trader.app.api.read_endpoints import V1
from quantum_trader.app.api.reader import RunReader
from quantum_trader.app.api.tokens import Role
from quantum_trader.app.api.webhook_secrets import webhook_secrets
from quantum_trader.app.runs.live_settings import read_folder
from quantum_trader.app.runs.outside_intents import SizedIn
from quantum_trader.app.runs.signal_bodies import (
    MOST_SIGNAL_BYTES,
    SignalRefused,
    body_fields,
    secrets_in,
)
from quantum_trader.app.runs.signal_inbox import SignalInbox, SignalOutcome, SignalRow, SourceCounts
from quantum_trader.app.runs.signal_mapping import (
    ACTION_WORDS,
    MOST_SCORE,
    OutsideSignal,
    as_word,
    check_age,
    signal_of,
)
from quantum_trader.app.runs.signal_sources import SOURCES_FILE, EnterAs, SizeRule, SourceSettings, read_sources
from quantum_trader.app.runs.status import is_alive
from quantum_trader.domain.errors import InputError
from quantum_trader.domain.json_text import decode_json
from quantum_trader.journal.lake import JOURNAL
from quantum_trader.models.outside_scores import OUTSIDE_SCORES

WRONG_SECRET: Final = "wrong_secret"
_STATUS: Final = {"expired": 409, "no_model": 409, "too_large": 413, WRONG_SECRET: 401}
_RETRY_S: Final = 60.0
_TAG: Final = "signals"


class SignalOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signal in this API's own form: with an action, or with a score where the source enters as scores.

    *size* is in what *sized_in* says; without it, and of a score, the risk decides.
    """

    id: Annotated[str, msgspec.Meta(
        pattern="^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$", description="Names the signal; sent again it is the same one."
    )]
    symbol: Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
    action: Literal["LONG", "SHORT", "CLOSE", "CLOSE_LONG", "CLOSE_SHORT"] | None = None
    score: Annotated[float, msgspec.Meta(
        ge=-MOST_SCORE, le=MOST_SCORE, description="In the place of an action, where the source enters as scores."
    )] | None = None
    horizon: Annotated[str, msgspec.Meta(max_length=10, description="How long a score is a view, such as 12h.")] = ""
    expires: Annotated[
        str | int | None, msgspec.Meta(description="Until when a score is a view: ISO 8601, or since 1970.")
    ] = None
    size: Annotated[float, msgspec.Meta(ge=0.0, le=1e15)] = 0.0
    sized_in: SizedIn = SizedIn.RISK
    stop_price: Annotated[float, msgspec.Meta(ge=0.0, le=1e15, description="0: the stop of the symbol's regime.")] = 0.0
    stop_pct: Annotated[float, msgspec.Meta(ge=0.0, lt=100.0)] = 0.0
    leverage: Annotated[float, msgspec.Meta(ge=1.0, le=1000.0)] | None = None
    confidence: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] | None = None
    timestamp: Annotated[
        str | int | None, msgspec.Meta(description="When it was made: ISO 8601, or since 1970.")
    ] = None


class WebhookBody(msgspec.Struct, frozen=True, kw_only=True):
    """Any of the published shapes, as JSON or text; these are the commonest names."""

    action: str
    symbol: str
    secret: str
    price: float | str = ""
    quantity: float | str = ""
    timestamp: str = ""


class TakenSignal(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a signal at its receipt; its trace tells what the run makes of it."""

    outcome: Literal["accepted", "duplicate"]
    trace_id: str
    symbol: str
    action: str
    size: float
    sized_in: SizedIn
    enters_as: EnterAs
    score: float | None = None  # of a source that enters as scores; the policy and the risk decide its size
    ignored: list[str]  # fields of the body that nothing was made of


class SourceLine(SourceCounts, kw_only=True):
    """One source: how it comes in, whether it may, and its counts; *traded*: orders that opened a position."""

    name: str
    kind: str  # "webhook" or "token"
    valid: bool
    settings: SourceSettings
    traded: int = 0
    failed: dict[str, int] = msgspec.field(default_factory=dict)  # without effect, by the reason


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Every source of this folder."""

    sources: list[SourceLine]


class SignalList(msgspec.Struct, frozen=True, kw_only=True):
    """The newest signals, newest first."""

    signals: list[SignalRow]


class SignalsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How many signals, and of which source."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    source: Annotated[str, msgspec.Meta(max_length=40)] = ""


def signal_endpoints(
    reader: RunReader, access: Access, now_ns: Callable[[], int] = time.time_ns
) -> list[Endpoint]:
    """The roads by which signals come in, and what came."""
    return _Signals(reader, access, now_ns).endpoints()


class _Signals:
    """The signals of one folder."""

    def __init__(self, reader: RunReader, access: Access, now_ns: Callable[[], int]) -> None:
        self._reader, self._access, self._folder = reader, access, reader.folder
        self._now_ns = now_ns
        self._secrets = webhook_secrets(reader.folder)
        self._inbox = SignalInbox(reader.folder, now_ns)

    def endpoints(self) -> list[Endpoint]:
        """The rows of the table of endpoints."""
        answer = {
            "outcome": "accepted", "trace_id": "tradingview-1551025800000000000", "symbol": "BTCUSDT",
            "action": "LONG", "size": 0.01, "sized_in": "base", "enters_as": "intent", "ignored": [],
        }
        return [
            Endpoint(
                path=f"{V1}/signals", method="POST", role=Role.TRADER, tag=_TAG, answers=TakenSignal,
                summary="Hand a signal to the run. The token's name is its source.", run=self._ordered,
                body=SignalOrder, decode=bytes, example=answer,
                body_example={"id": "a-1", "symbol": "BTCUSDT", "action": "LONG", "size": 0.01, "sized_in": "base"},
            ),
            Endpoint(
                path=f"{V1}/webhooks/{{source}}", method="POST", role=None, has_own_login=True, may_be_text=True,
                tag=_TAG, answers=TakenSignal, run=self._posted, body=WebhookBody, decode=bytes, example=answer,
                summary="Hand over a webhook's body, such as TradingView's; its secret stands in the body.",
                body_example={
                    "action": "buy", "symbol": "BTCUSDT.P", "quantity": "0.01", "secret": "qts_...",
                    "timestamp": "{{timenow}}",
                },
            ),
            Endpoint(
                path=f"{V1}/signals/received", tag=_TAG, answers=SignalList, query=SignalsQuery,
                summary="The signals that came, taken or refused, newest first.",
                run=lambda call: SignalList(signals=self._inbox.last(call.query.limit, call.query.source)),
                example={"signals": [{"source": "tradingview", "outcome": "accepted", "intent_id": "tradingview-1"}]},
            ),
            Endpoint(
                path=f"{V1}/signals/sources", tag=_TAG, answers=Sources, run=lambda _: self._sources(),
                summary="The sources of signals, their settings, and how many came, were taken, refused and traded.",
                example={"sources": [{"name": "tradingview", "kind": "webhook", "received": 3, "accepted": 1}]},
            ),
        ]

    # ---- the two roads in --------------------------------------------------------------------------------------------
    def _ordered(self, call: Call) -> TakenSignal:
        source, (_, body) = call.caller.name, secrets_in(call.body)  # a token in a wrong place is repeated nowhere
        return self._taken(source, body, lambda settings: self._signal(body, settings), no_process=409)

    def _posted(self, call: Call) -> TakenSignal:
        source, address = call.path["source"], call.caller.address
        given, body = secrets_in(call.body)
        known = [found for one in given if (found := self._secrets.find(one)) is not None and found.name == source]
        if not known:
            self._access.check_attempts(address)
            self._access.note_wrong(address)
            if any(one.name == source for one in self._secrets.all()):
                self._inbox.refuse(source, SignalRefused(WRONG_SECRET, ""))
            raise ApiError(
                401, "secret: is missing or wrong for this source, or was revoked; `quantum-trader source new` makes "
                "one, and it stands anywhere in the body, such as \"secret\": \"qts_...\""
            )
        return self._taken(source, body, lambda settings: signal_of(
            body_fields(body, settings.pattern, [*ACTION_WORDS, *map(as_word, settings.actions)]), settings,
            self._symbols(), self._now_ns(),
        ))

    def _signal(self, body: bytes, settings: SourceSettings) -> OutsideSignal:
        """The signal in a body of this API's own form."""
        if len(body) > MOST_SIGNAL_BYTES:
            raise SignalRefused("too_large", f"body: has {len(body):,} bytes; at most {MOST_SIGNAL_BYTES:,} are read")
        try:
            order = decode_json(body, SignalOrder)
        except msgspec.DecodeError as error:
            raise SignalRefused("unreadable", f"body: {told_of(error, SignalOrder)}") from None
        enters = settings.enter_as is EnterAs.SCORES
        if (order.score is None) == (order.action is None):
            raise SignalRefused("bad_value", "action, score: one of the two is needed, and not both")
        if not enters and (order.score is not None or order.horizon or order.expires is not None):
            raise SignalRefused("bad_value", "score, horizon, expires: are of a source with enter_as = \"scores\" in "
                                             f"{SOURCES_FILE}; this one's signals are intents")
        closes = order.action is not None and order.action.startswith("CLOSE")
        if order.size == 0.0 and order.sized_in is not SizedIn.RISK and not closes and not enters:
            raise SignalRefused("bad_value", f"size = 0: is needed where sized_in = {order.sized_in.value!r}")
        fields: dict[str, Any] = {
            "action": order.action, "symbol": order.symbol, "signal_id": order.id, "timestamp": order.timestamp,
            "leverage": order.leverage, "stop_price": order.stop_price or None, "stop_pct": order.stop_pct or None,
            "score": order.score, "horizon": order.horizon or None, "expires": order.expires,
        }
        if enters:
            fields |= {"quantity": order.size or None, "confidence": order.confidence}
        own = msgspec.structs.replace(settings, fields={}, actions={})
        stated = {name: value for name, value in fields.items() if value is not None}
        signal = signal_of(stated, own, self._symbols(), self._now_ns())
        if enters:
            return signal
        if order.confidence is not None:
            signal = msgspec.structs.replace(signal, confidence=order.confidence)
        if settings.size is SizeRule.SENT and not signal.action.closes:
            signal = msgspec.structs.replace(signal, size=order.size, sized_in=order.sized_in)
        return signal

    def _taken(
        self, source: str, body: bytes, read: Callable[[SourceSettings], OutsideSignal], no_process: int = 503
    ) -> TakenSignal:
        """Take what *read* makes of *body*; a refusal is noted and counted before it is answered.

        *no_process* is the status where no process runs: senders of webhooks send again after a 503.
        """
        settings = read_sources(self._folder).get(source, SourceSettings())
        signal = None
        try:
            signal = read(settings)
            check_age(signal, settings, self._now_ns())
            if not is_alive(self._folder):
                raise SignalRefused("no_process", f"no process runs on {self._folder.name}; the signal is not kept")
            if signal.score is not None:
                self._check_model(source, signal.symbol)
            outcome, intent_id = self._inbox.take(source, signal, body, settings)
        except InputError as error:
            refused = error if isinstance(error, SignalRefused) else SignalRefused("bad_value", str(error))
            self._inbox.refuse(source, refused, signal)
            raise _told(refused, no_process) from None
        return TakenSignal(
            outcome="accepted" if outcome is SignalOutcome.ACCEPTED else "duplicate", trace_id=intent_id,
            symbol=signal.symbol, action=signal.action.value, size=signal.size, sized_in=signal.sized_in,
            enters_as=EnterAs.INTENT if signal.score is None else EnterAs.SCORES, score=signal.score,
            ignored=list(signal.ignored),
        )

    def _check_model(self, source: str, symbol: str) -> None:
        """Raise SignalRefused where no model of the run takes the scores of *source* for *symbol*.

        Before the run has stated its models, it refuses such a score itself.
        """
        status = self._reader.status()
        if status.models is None or status.stage == "starting":
            return
        models = [one for one in status.models.models if one.scores_of in ("", source)]
        if not models:
            raise SignalRefused(
                "no_model", f"enter_as = \"scores\": no model of this run takes the scores of {source}; start it with "
                f"--model {OUTSIDE_SCORES}, or remove enter_as from [{source}] in {SOURCES_FILE}"
            )
        if not any(symbol in one.symbols for one in models):
            raise SignalRefused(
                "unknown_symbol", f"symbol = {symbol!r}: {', '.join(one.name for one in models)} is for "
                f"{', '.join(sorted({name for one in models for name in one.symbols})[:30])}"
            )

    def _symbols(self) -> tuple[str, ...]:
        """The symbols that the run trades; empty where that is not known: the run then refuses others itself."""
        folder = read_folder(self._folder)
        return folder.symbols if folder is not None else ()

    # ---- what came ---------------------------------------------------------------------------------------------------
    def _sources(self) -> Sources:
        settings, counts = read_sources(self._folder), self._inbox.counts()
        traded, failed = self._of_journal()
        kinds: dict[str, tuple[str, bool]] = {}
        for kind, known in (("token", self._access.tokens.all()), ("webhook", self._secrets.all())):
            for one in known:
                if one.role.may(Role.TRADER):
                    valid = one.is_valid or kinds.get(one.name, ("", False))[1]
                    kinds[one.name] = (kind, valid)
        names = sorted({*kinds, *settings, *counts})
        return Sources(sources=[
            SourceLine(
                name=name, kind=kinds.get(name, ("none", False))[0], valid=kinds.get(name, ("none", False))[1],
                settings=settings.get(name, SourceSettings()), traded=traded.get(name, 0),
                failed=failed.get(name, {}), **msgspec.structs.asdict(counts.get(name, SourceCounts(refused={}))),
            )
            for name in names
        ])

    def _of_journal(self) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
        """Orders that opened a position, and failed intents by reason, of each source."""
        if not (self._folder / JOURNAL).is_dir():
            return {}, {}
        traded = {row["source"]: row["n"] for row in self._reader.rows(
            "select source, count(distinct intent_id) as n from intents where kind = 'trade.intent' group by source", []
        )}
        failed: dict[str, dict[str, int]] = {}
        for row in self._reader.rows(
            "select s.source, count(distinct i.intent_id) as n from (select distinct trace_id, unnest(outside_scores) "
            "as score_id from signals where outside_scores is not null) g join scores s on s.trace_id = g.score_id "
            "join intents i on i.trace_id = g.trace_id and i.kind = 'trade.intent' group by s.source", []
        ):
            traded[row["source"]] = traded.get(row["source"], 0) + row["n"]
        for row in self._reader.rows(
            "select source, reason, count(*) as n from (select source, reason from failures union all "
            "select source, reason from score_refusals) where source is not null group by all", []
        ):
            failed.setdefault(row["source"], {})[row["reason"]] = row["n"]
        return traded, failed


def _told(refused: SignalRefused, no_process: int) -> ApiError:
    if refused.reason == "too_many":
        return ApiError(429, str(refused), _RETRY_S)
    if refused.reason == "no_process":
        return ApiError(no_process, str(refused), 1.0)
    return ApiError(_STATUS.get(refused.reason, 400), str(refused))
