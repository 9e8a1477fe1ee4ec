"""What bodies of other programs mean: the published shapes, and what is refused with the field, its value and why."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_trader.app.runs.outside_intents import SizedIn
from quantum_trader.app.runs.signal_bodies import SignalRefused, body_fields, secrets_in
from quantum_trader.app.runs.signal_mapping import ACTION_WORDS, OutsideSignal, as_word, check_age, signal_of
from quantum_trader.app.runs.signal_sources import EnterAs, SignalAction, SizeRule, SourceSettings, read_sources
from quantum_trader.domain.errors import StateError

SECRET = f"qts_0123abcd_{'aB3-_' * 8}xyz"
TRADED = ("BTCUSDT", "ETHUSDT", "1000PEPEUSDT")
NOW_NS = 1_770_000_000_000_000_000
ALERTATRON = r"(?P<symbol>\w+)\((?P<secret>\S+)\) \{ market\(side=(?P<action>\w+), amount=(?P<quantity>[\d.]+%?)\)"
WUNDER = r'"code": *"(?P<action>(ENTER|EXIT)-(LONG|SHORT))_[^_]+_(?P<symbol>[A-Z]+-[A-Z]+)_'


def read(body: str | dict[str, Any], settings: SourceSettings | None = None) -> OutsideSignal:
    """What *body* means."""
    used = settings or SourceSettings()
    text = body if isinstance(body, str) else json.dumps(body)
    words = [*ACTION_WORDS, *map(as_word, used.actions)]
    return signal_of(body_fields(secrets_in(text.encode())[1], used.pattern, words), used, TRADED, NOW_NS)


def refused(body: str | dict[str, Any], settings: SourceSettings | None = None) -> tuple[str, str]:
    """Reason and message of the refusal of *body*."""
    with pytest.raises(SignalRefused) as caught:
        read(body, settings)
    return caught.value.reason, str(caught.value)


PUBLISHED: dict[str, tuple[str, SourceSettings, tuple[SignalAction, str, float, SizedIn]]] = {
    "plain": (
        '{"action": "buy", "symbol": "BTCUSDT", "price": 43000.5, "quantity": 0.02, "secret": "%s"}',
        SourceSettings(), (SignalAction.LONG, "BTCUSDT", 0.02, SizedIn.BASE),
    ),
    "strategy": (
        '{"side": "sell", "ticker": "BINANCE:ETHUSDT.P", "price": "2250.1", "qty": "1.5", "market_position": "short", '
        '"prev_position": "flat", "webhook_secret": "%s", "timestamp": "2026-02-02T02:40:00Z"}',
        SourceSettings(), (SignalAction.SHORT, "ETHUSDT", 1.5, SizedIn.BASE),
    ),
    "strategy flat": (
        '{"action": "sell", "ticker": "ETHUSDT.P", "contracts": "1.5", "market_position": "flat", '
        '"prev_market_position": "long", "passphrase": "%s"}',
        SourceSettings(), (SignalAction.CLOSE_LONG, "ETHUSDT", 0.0, SizedIn.RISK),
    ),
    "3Commas": (
        '{"secret": "%s", "max_lag": "300", "timestamp": "2026-02-02T02:40:00Z", "trigger_price": "43000", '
        '"tv_exchange": "BINANCE", "tv_instrument": "BTCUSDT.P", "action": "enter_long", "bot_uuid": "9c1b", '
        '"strategy_info": {"market_position": "long", "prev_market_position": "flat"}, '
        '"order": {"amount": "100", "currency_type": "quote"}}',
        SourceSettings(), (SignalAction.LONG, "BTCUSDT", 100.0, SizedIn.QUOTE),
    ),
    "3Commas exit": (
        '{"bot_uuid": "%s", "action": "exit_short", "pair": "USDT_BTC", "order": {"amount": "100", "currency_type": '
        '"position_percent"}}',
        SourceSettings(), (SignalAction.CLOSE_SHORT, "BTCUSDT", 0.0, SizedIn.RISK),
    ),
    "Cornix": (
        '{"uuid": "5d1e", "secret": "%s", "action": "open_long", "symbol": "BTC/USDT", "leverage": "5x", '
        '"stopLoss": {"type": "percent", "percent": "2.5"}, "takeProfit": {"percent": "4"}}',
        SourceSettings(), (SignalAction.LONG, "BTCUSDT", 0.0, SizedIn.RISK),
    ),
    "WunderTrading": (
        '{"code": "ENTER-LONG_Binance-Futures_BTC-USDT_BOT_5M_%s", "orderType": "market"}',
        SourceSettings(pattern=WUNDER), (SignalAction.LONG, "BTCUSDT", 0.0, SizedIn.RISK),
    ),
    "PineConnector": (
        "%s,buy,BTCUSDT,vol=0.1,sl=41000,tp=45000,comment=trend",
        SourceSettings(), (SignalAction.LONG, "BTCUSDT", 0.1, SizedIn.BASE),
    ),
    "Alertatron": (
        "BTCUSDT(%s) { market(side=sell, amount=10%%); stop(offset=2%%); } #bot",
        SourceSettings(pattern=ALERTATRON), (SignalAction.SHORT, "BTCUSDT", 10.0, SizedIn.EQUITY_PCT),
    ),
    "freqtrade": (
        '{"type": "entry", "pair": "ETH/USDT:USDT", "direction": "Short", "stake_amount": 250.0, "leverage": 3.0, '
        '"limit": 2250.0, "token": "%s"}',
        SourceSettings(), (SignalAction.SHORT, "ETHUSDT", 250.0, SizedIn.QUOTE),
    ),
    "freqtrade exit": (
        '{"type": "exit", "pair": "ETH/USDT:USDT", "direction": "Short", "amount": 1.1, "token": "%s"}',
        SourceSettings(), (SignalAction.CLOSE_SHORT, "ETHUSDT", 0.0, SizedIn.RISK),
    ),
    "words": ("buy BTCUSDT.P %s", SourceSettings(), (SignalAction.LONG, "BTCUSDT", 0.0, SizedIn.RISK)),
    "thousands": (
        '{"action": "Buy", "ticker": "1000PEPEUSDT.P", "quantity": "5%%", "key": "%s"}',
        SourceSettings(), (SignalAction.LONG, "1000PEPEUSDT", 5.0, SizedIn.EQUITY_PCT),
    ),
    "reduce only": (
        '{"side": "sell", "symbol": "BTCUSDTPERP", "reduceOnly": true, "quantity": 0.1, "key": "%s"}',
        SourceSettings(), (SignalAction.CLOSE_LONG, "BTCUSDT", 0.0, SizedIn.RISK),
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_body_maps_right(name: str) -> None:
    """Action, symbol and size; its secret is found wherever it stands, and is in nothing that is made of it."""
    text, settings, expected = PUBLISHED[name]
    body = text % SECRET
    assert secrets_in(body.encode())[0] == [SECRET]
    signal = read(body, settings)
    assert (signal.action, signal.symbol, signal.size, signal.sized_in) == expected
    assert SECRET not in repr(signal)


def test_stops_prices_times_and_leverage_are_read() -> None:
    """Numbers or texts; a percentage wins over a price; what nothing was made of is named."""
    signal = read(PUBLISHED["3Commas"][0] % SECRET)
    assert (signal.price, signal.max_lag_s, signal.sent_ns) == (43_000.0, 60.0, 1_769_999_999_000_000_000 + 10**9)
    signal = read(PUBLISHED["Cornix"][0] % SECRET)
    assert (signal.stop_pct, signal.stop_price, signal.leverage) == (2.5, 0.0, 5.0)
    assert "takeprofit.percent" in signal.ignored
    signal = read(PUBLISHED["PineConnector"][0] % SECRET)
    assert (signal.stop_price, signal.ignored) == (41_000.0, ("comment", "tp"))
    for stamp in (1_770_000_000, "1770000000", 1_770_000_000_000, 1_770_000_000_000_000, "2026-02-02T02:40:00"):
        assert read({"action": "buy", "symbol": "BTCUSDT", "timestamp": stamp}).sent_ns == NOW_NS


def test_a_sources_settings_name_fields_words_symbols_and_size() -> None:
    """What the defaults do not know a source's table does."""
    settings = SourceSettings(
        size=SizeRule.EQUITY, equity_pct=7.5, leverage=2.0, confidence=0.6, fields={"action": ["What.To.Do"]},
        actions={"Strong Buy": SignalAction.LONG}, symbols={"XBTUSD": "BTCUSDT"},
    )
    signal = read({"what": {"to": {"do": "strong-buy"}}, "ticker": "xbtusd", "qty": 3}, settings)
    assert (signal.action, signal.symbol) == (SignalAction.LONG, "BTCUSDT")
    assert (signal.size, signal.sized_in, signal.leverage, signal.confidence) == (7.5, SizedIn.EQUITY_PCT, 2.0, 0.6)
    assert read({"action": "buy", "symbol": "BTCUSDT", "qty": 3}, SourceSettings(size=SizeRule.RISK)).size == 0.0


@pytest.mark.parametrize(("body", "reason", "said"), [
    ('{"action": "buy", "symbol": "BTCUSDT", "price": NaN}', "bad_value", "price = nan: must be a positive number"),
    ('{"action": "buy", "symbol": "BTCUSDT", "qty": Infinity}', "bad_value", "qty = inf: must be a positive number"),
    ('{"action": "buy", "symbol": "BTCUSDT", "qty": "NaN"}', "bad_value", "qty = 'NaN': must be a positive number"),
    ('{"action": "buy", "symbol": "BTCUSDT", "qty": -1}', "bad_value", "qty = -1: must be a positive number"),
    ('{"action": "buy", "symbol": "BTCUSDT", "qty": true}', "bad_value", "qty = True: must be a positive number"),
    ('{"action": "buy", "symbol": "BTCUSDT", "qty": 1e300}', "bad_value", "qty = 1e+300: must be a positive number"),
    ('{"action": "buy", "symbol": "BTCUSDT", "qty": ' + "9" * 5000 + "}", "unreadable", "body: is no JSON"),
    ('{"action": "{{strategy.order.action}}", "symbol": "BTCUSDT"}', "unknown_action", "is no action; use buy"),
    ('{"symbol": "BTCUSDT"}', "unknown_action", "action: is missing"),
    ('{"action": "buy"}', "unknown_symbol", "symbol: is missing"),
    ('{"action": "buy", "symbol": "DOGEUSDT.P"}', "unknown_symbol", "this run trades 1000PEPEUSDT, BTCUSDT, ETHUSDT"),
    ('{"action": "buy", "symbol": "../../etc"}', "unknown_symbol", "symbol = '../../etc'"),
    ('{"action": "buy", "symbol": 5}', "bad_value", "symbol = 5: must be a text"),
    ('{"action": "sell", "symbol": "BTCUSDT", "market_position": "long"}', "partial_reduction", "makes a position sm"),
    ('{"action": "buy", "symbol": "BTCUSDT", "market_position": "up"}', "bad_value", "must be long, short or flat"),
    ('{"type": "entry_fill", "direction": "long", "symbol": "BTCUSDT"}', "not_a_signal", "news of what another bot"),
    ('{"action": "buy", "symbol": "BTCUSDT", "timestamp": "soon"}', "bad_value", "timestamp = 'soon': must be a time"),
    ('{"action": "buy", "symbol": "BTCUSDT", "stopLoss": {"percent": 100}}', "bad_value", "stoploss.percent = 100"),
    ('{"action": "buy", "symbol": "BTCUSDT", "signal_id": "a b"}', "bad_value", "signal_id = 'a b': must be 1 to 64"),
    ('{"action": "buy", "symbol": "BTCUSDT", "leverage": 0.5}', "bad_value", "leverage = 0.5: must be at least 1"),
    ('{"action": "buy", "action": "sell", "symbol": "BTCUSDT"}', "unreadable", "'action': stands twice"),
    ('{"action": "buy", "ACTION": "sell", "symbol": "BTCUSDT"}', "unreadable", "stands twice"),
    ('{"a": ' * 400 + "1" + "}" * 400, "nested", "body: is nested 400 levels deep"),
    ("[" * 8000, "nested", "nested 8000 levels deep"),
    ('{"action": "buy", "note": "' + "x" * 20_000 + '"}', "too_large", "at most 16,384 are read"),
    ('{"action": "buy", "symbol": "BTCUSDT", "many": [' + "1," * 300 + "1]}", "too_large", "more than 200 fields"),
    ('["buy", "BTCUSDT"]', "unreadable", "is no JSON object"),
    ("{", "unreadable", "body: is no JSON"), ("", "unreadable", "body: is empty"),
    ("BTCUSDT to the moon", "unreadable", "is neither JSON nor a text with an action"),
])
def test_a_bad_body_is_refused_with_its_reason(body: str, reason: str, said: str) -> None:
    """The message names the field, its value and what it may be."""
    assert refused(body)[0] == reason
    assert said in refused(body)[1]


@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["action", "symbol", "order", "amount", "qty", "price", "timestamp", "type", "stopLoss", "sl"])
        | st.text(max_size=5), inner, max_size=6,
    ), max_leaves=30,
))
def test_any_json_is_a_signal_of_finite_numbers_or_is_refused(body: Any) -> None:
    """Nothing else is ever raised."""
    try:
        signal = read(json.dumps(body))
    except SignalRefused:
        return
    assert signal.symbol in TRADED
    assert all(0.0 <= one < 1e15 for one in (signal.size, signal.price, signal.stop_price, signal.leverage))


@given(st.text(max_size=200))
def test_any_text_is_a_signal_or_is_refused(text: str) -> None:
    """Texts too, with half surrogate pairs left out of what can be sent."""
    with suppress(SignalRefused):
        assert read(text.encode("utf-8", "replace").decode()).symbol in TRADED


def aged(age_s: float, action: str = "buy", **fields: Any) -> OutsideSignal:
    """A signal that was sent *age_s* seconds ago."""
    sent_ms = NOW_NS // 1_000_000 - int(age_s * 1000)
    return read({"action": action, "symbol": "BTCUSDT", "timestamp": sent_ms, **fields})


def test_an_old_signal_is_refused_and_one_that_closes_may_be_older() -> None:
    """max_lag of the body shortens the source's limit and never lengthens it; a clock ahead is named."""
    settings = SourceSettings(max_lag_s=60.0)
    check_age(aged(59.0), settings, NOW_NS)
    check_age(aged(590.0, "close"), settings, NOW_NS)
    check_age(aged(-9.0), settings, NOW_NS)
    for signal, reason in (
        (aged(61.0), "expired"), (aged(11.0, max_lag="10"), "expired"), (aged(61.0, max_lag=3000), "expired"),
        (aged(610.0, "exit"), "expired"), (aged(-11.0), "from_the_future"),
    ):
        with pytest.raises(SignalRefused) as caught:
            check_age(signal, settings, NOW_NS)
        assert caught.value.reason == reason
    with pytest.raises(SignalRefused, match="timestamp: is missing"):
        check_age(read({"action": "buy", "symbol": "BTCUSDT"}), SourceSettings(needs_timestamp=True), NOW_NS)


@pytest.mark.parametrize(("text", "said"), [
    ("[tv]\nsise = 'risk'\n", r"\[tv\] object contains unknown field `sise`"),
    ("[tv]\nsize = 'much'\n", "invalid enum value 'much'"),
    ("[tv]\nsize = 'equity'\n", "equity_pct = 0: is needed"),
    ("[tv]\nmax_lag_s = nan\n", "max_lag_s = nan: must be from 1 to 86400"),
    ("[tv]\npattern = '('\n", "is no regular expression"),
    ("[tv]\npattern = 'buy'\n", "names no group"),
    ("[tv.fields]\nprize = ['p']\n", "fields.prize: is no field of a signal; use action"),
    ("[tv.actions]\nmoon = 'UP'\n", "invalid enum value 'UP'"),
    ("[tv.symbols]\nXBT = 'btc/usd'\n", "symbols: 'btc/usd'"),
    ("[tv\n", "is no TOML"), ("tv = 1\n", r"\[tv\] expected `object`"),
])
def test_a_bad_setting_of_a_source_is_named_with_file_key_and_value(text: str, said: str, tmp_path: Path) -> None:
    """No signal is taken until it is mended."""
    (tmp_path / "signal_sources.toml").write_text(text)
    with pytest.raises(StateError, match=said) as caught:
        read_sources(tmp_path)
    assert str(tmp_path / "signal_sources.toml") in str(caught.value)


def test_a_settings_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """They could have another symbol traded."""
    path = tmp_path / "signal_sources.toml"
    assert read_sources(tmp_path) == {}
    path.write_text("[tv]\nsize = 'risk'\n")
    assert read_sources(tmp_path)["tv"].size is SizeRule.RISK
    path.chmod(0o666)
    with pytest.raises(StateError, match="lets others write it"):
        read_sources(tmp_path)


def test_the_example_of_the_documents_maps_right(tmp_path: Path) -> None:
    """The alert with TradingView's values in place, and the settings that stand under it."""
    text = (Path(__file__).parents[2] / "docs" / "how-to-signals-from-outside.md").read_text()
    (alert,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    (settings,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    values = {
        "strategy.order.action": "buy", "ticker": "BTCUSDT.P", "close": "43000.5", "strategy.order.contracts": "0.02",
        "strategy.market_position": "long", "strategy.prev_market_position": "flat", "timenow": "2026-02-02T02:40:00Z",
    }
    signal = read(re.sub(r"\{\{(.*?)\}\}", lambda found: values[found[1]], alert))
    assert (signal.action, signal.symbol, signal.size, signal.price) == (SignalAction.LONG, "BTCUSDT", 0.02, 43_000.5)
    assert (signal.sent_ns, signal.ignored) == (NOW_NS, ("secret",))
    (tmp_path / "signal_sources.toml").write_text(settings)
    found = read_sources(tmp_path)
    assert found["tradingview"].equity_pct == 5.0
    sold = read("BTCUSDT(***) { market(side=sell, amount=10%); } #bot", found["alertatron"])
    assert (sold.action, sold.size) == (SignalAction.SHORT, 10.0)


# ---------------------------------------------------------------------- scores

SCORES = SourceSettings(enter_as=EnterAs.SCORES, confidence=0.8)


@pytest.mark.parametrize(("body", "action", "score", "life_s"), [
    ({"score": -0.25}, SignalAction.SHORT, -0.25, 0.0),
    ({"score": "1e3", "horizon": "12h"}, SignalAction.LONG, 1e3, 43_200.0),
    ({"score": 0}, SignalAction.CLOSE, 0.0, 0.0), ({"prediction": 2}, SignalAction.LONG, 2.0, 0.0),
    ({"action": "buy"}, SignalAction.LONG, 0.8, 0.0),
    ({"action": "sell", "confidence": 0.3}, SignalAction.SHORT, -0.3, 0.0),
    ({"action": "close"}, SignalAction.CLOSE, 0.0, 0.0),
    ({"action": "sell", "market_position": "flat", "prev_position": "long"}, SignalAction.CLOSE_LONG, 0.0, 0.0),
    ({"score": 1, "expires": NOW_NS // 10**9 + 90}, SignalAction.LONG, 1.0, 90.0),
    ({"score": 1, "valid_until": "2026-02-02T02:42:00Z", "horizon": "1m"}, SignalAction.LONG, 1.0, 60.0),
])
def test_a_source_that_enters_as_scores_gives_a_score_or_an_actions_score(
    body: dict[str, Any], action: SignalAction, score: float, life_s: float
) -> None:
    """Its action is that of the score's sign; it lives until it expires or its horizon is over, the sooner one."""
    signal = read({"symbol": "BTCUSDT", **body}, SCORES)
    assert (signal.action, signal.score, signal.life_s) == (action, score, life_s)
    assert signal.ignored == ()


def test_what_says_how_much_is_ignored_in_a_score() -> None:
    """Policy and risk decide the size and the stop, as of any model's score; the answer names what was not used."""
    signal = read({"symbol": "BTCUSDT", "score": 1, "quantity": 5, "sl": 9, "leverage": 20, "takeProfit": 3}, SCORES)
    assert (signal.size, signal.stop_price, signal.sized_in) == (0.0, 0.0, SizedIn.RISK)
    assert signal.ignored == ("leverage", "quantity", "sl", "takeprofit")


@pytest.mark.parametrize(("body", "reason", "says"), [
    ({"score": "NaN"}, "bad_value", "score = 'NaN': must be a number from -1e"),
    ({"score": "inf"}, "bad_value", "above 0"),
    ({"score": -1.1e6}, "bad_value", "score = -1100000.0"), ({"score": True}, "bad_value", "score = True"),
    ({"score": "high"}, "bad_value", "score = 'high'"), ({"score": {"x": 1}}, "unknown_action", "action: is missing"),
    ({"score": 1, "symbol": "DOGEUSDT"}, "unknown_symbol", "this run trades"),
    ({"score": 1, "horizon": "soon"}, "bad_value", "horizon = 'soon'"),
    ({"score": 1, "horizon": 5}, "bad_value", "horizon"),
    ({"score": 1, "expires": NOW_NS // 10**9 - 5}, "expired", "expires: is 5.0 s ago"),
    ({"score": 1, "expires": "later"}, "bad_value", "expires = 'later'"),
    ({}, "unknown_action", "one of score, action"),
    ({"action": "up"}, "unknown_action", "is no action"),
])
def test_a_score_that_is_none_is_refused_with_the_field_and_its_value(
    body: dict[str, Any], reason: str, says: str
) -> None:
    """NaN, infinite, too large, no number, of a strange symbol, over already."""
    found, message = refused({"symbol": "BTCUSDT", **body}, SCORES)
    assert found == reason
    assert says in message


def test_a_source_whose_signals_are_intents_makes_nothing_of_a_score() -> None:
    """It is named among what was ignored."""
    assert read({"symbol": "BTCUSDT", "action": "buy", "score": 1}).ignored == ("score",)
