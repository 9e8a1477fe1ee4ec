"""Any text as a symbol, at the doors of settings, score files and models, is used or refused in a sentence."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantum_trader.app.runs.live_settings import load_live_settings
from quantum_trader.app.settings import load_settings
from quantum_trader.domain.errors import QuantumTraderError
from quantum_trader.domain.symbols import listed_symbols
from quantum_trader.models.score_file import read_scores

KNOWN = ("../../evil", "BTC/USDT:USDT", "btcusdt", "/etc/passwd", "", ".", "\0", "BTC\nUSDT")
TEXT = st.one_of(st.text(max_size=30), st.sampled_from(KNOWN))
CALM = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@CALM
@given(TEXT)
def test_any_text_as_a_symbol_of_the_settings(text: str) -> None:
    """Replay and live settings take it or refuse it; what they keep holds no part of a path."""
    for load in (
        lambda: load_settings(None, {"data.symbols": ([text], "--symbols")}).settings.data.symbols,
        lambda: load_live_settings(None, {"symbols": ([text], "--symbols")}).live.symbols,
        lambda: tuple(listed_symbols(text)),
    ):
        try:
            kept = load()
        except QuantumTraderError:
            continue
        assert all("/" not in symbol and "\\" not in symbol and symbol not in (".", "..") for symbol in kept)


@CALM
@given(TEXT)
def test_any_text_as_a_symbol_of_a_score_file(text: str) -> None:
    """A file of scores is read or refused; it writes nothing anywhere."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.csv"
        quoted = '"' + text.replace('"', '""') + '"'
        path.write_bytes(f"ts,symbol,score\n2018-01-01,{quoted},1.0\n".encode("utf-8", "surrogatepass"))
        with suppress(QuantumTraderError):
            read_scores(path)
        assert [one.name for one in Path(folder).iterdir()] == ["scores.csv"]
