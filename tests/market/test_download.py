"""Downloads from a loopback server: real ccxt, real zip files, resume, retries, and nothing bad stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.domain.errors import ConfigError, DataError
from quantum_trader.market import store
from quantum_trader.market.download import DownloadPlan, PartDone, download, plan_parts
from quantum_trader.market.recording import moment_ns, open_recording

from .binance_server import FUNDING_MS, LENGTHS, MINUTE_MS, BinanceServer, price_at

MS = 1_000_000
JAN, FEB, MAR = (moment_ns(f"2024-0{month}-01") for month in (1, 2, 3))
LATER = moment_ns("2024-06-01")


@pytest.fixture
def server() -> Iterator[BinanceServer]:
    """A server with BTCUSDT and ETHUSDT."""
    with BinanceServer() as running:
        yield running


def plan(server: BinanceServer, root: Path, **changes: object) -> DownloadPlan:
    """Half-hour bars of BTCUSDT over the turn of a month, from the API, without funding and marks."""
    settings: dict[str, object] = dict(
        symbols=("BTCUSDT",), interval="30m", start_ns=FEB - 86_400_000 * MS, end_ns=FEB + 86_400_000 * MS,
        now_ns=LATER, root=root, source="api", base_url=server.url, funding=False, mark_interval=None,
    )
    return DownloadPlan(**{**settings, **changes})  # type: ignore[arg-type]


def no_pause(_: float) -> None:
    """Virtual time."""


def test_api_bars_marks_and_funding_make_a_recording(server: BinanceServer, tmp_path: Path) -> None:
    """What ccxt fetches arrives to the digit, in the layout that runs read, with the venue's funding."""
    wanted = plan(server, tmp_path, funding=True, mark_interval="1h")
    report = download(wanted, sleep=no_pause)
    recording = open_recording(tmp_path)
    chunk = recording.arrays()
    assert recording.start_ns == wanted.start_ns
    assert recording.end_ns == wanted.end_ns
    assert (recording.report.bars, recording.report.gaps) == (96, 0)
    prices = [price_at(int(ts) // MS) for ts in chunk.ts_ns]
    assert chunk.ohlcv[:, 0, 0].tolist() == prices
    assert chunk.ohlcv[:, 0, 1].tolist() == [price + 1.0 for price in prices]
    assert recording.funding_source == "venue history"
    assert recording.funding["BTCUSDT"][1].tolist() == [0.0002] * 6
    mark = store.list_store(tmp_path)[1]
    assert (mark.kind, mark.interval, mark.rows) == ("mark", "1h", 48)
    assert server.count("/fapi/v1/markPriceKlines") > 0
    assert report.missing == ()
    assert report.rows == 96 + 48 + 6


def test_long_ranges_are_paged_without_a_seam(server: BinanceServer, tmp_path: Path) -> None:
    """More bars than one answer holds come over several requests, each bar once."""
    end = JAN + 3_500 * MINUTE_MS * MS
    download(plan(server, tmp_path, interval="1m", start_ns=JAN, end_ns=end), sleep=no_pause)
    times = open_recording(tmp_path).times
    assert np.array_equal(times, JAN + np.arange(3_500) * MINUTE_MS * MS)
    assert server.count("/fapi/v1/klines") >= 4


def test_bars_that_have_not_closed_are_not_fetched(server: BinanceServer, tmp_path: Path) -> None:
    """At 10:17 the last half-hour bar is the one that closed at 10:00."""
    now = JAN + (10 * 60 + 17) * MINUTE_MS * MS
    download(plan(server, tmp_path, start_ns=JAN, end_ns=MAR, now_ns=now), sleep=no_pause)
    assert open_recording(tmp_path).end_ns == JAN + 600 * MINUTE_MS * MS


def test_a_second_run_asks_only_for_what_is_missing(server: BinanceServer, tmp_path: Path) -> None:
    """Months that are there are not fetched again; a longer range fetches the rest."""
    download(plan(server, tmp_path), sleep=no_pause)
    asked = server.count("/klines")
    again = download(plan(server, tmp_path), sleep=no_pause)
    assert server.count("/klines") == asked
    assert (again.resumed, again.rows) == (2, 0)
    longer = download(plan(server, tmp_path, end_ns=MAR), sleep=no_pause)
    assert [one.resumed for one in longer.parts] == [True, False]
    recording = open_recording(tmp_path)
    assert (recording.end_ns, recording.report.gaps) == (MAR, 0)


def test_a_broken_download_keeps_whole_months_and_continues(server: BinanceServer, tmp_path: Path) -> None:
    """When the venue stops answering in the second month the first stays, and the next run ends the work."""

    def stop(done: PartDone) -> None:
        server.fail_next(20, 503)

    with pytest.raises(DataError, match=r"gave up after 6 attempts. What was fetched is kept: run the same command"):
        download(plan(server, tmp_path), sleep=no_pause, progress=stop)
    assert open_recording(tmp_path).end_ns == FEB
    server._failures.clear()
    report = download(plan(server, tmp_path), sleep=no_pause)
    assert [one.resumed for one in report.parts] == [True, False]
    whole = open_recording(tmp_path).fingerprint
    download(plan(server, tmp_path / "at_once"), sleep=no_pause)
    assert whole == open_recording(tmp_path / "at_once").fingerprint


def test_rate_limits_are_waited_out_as_asked(server: BinanceServer, tmp_path: Path) -> None:
    """429 and 418 are retried after the longer of the growing pause and Retry-After."""
    pauses: list[float] = []
    server.fail_next(1, 429, {"Retry-After": "7"})
    server.fail_next(1, 418)
    server.fail_next(1, 500)
    download(plan(server, tmp_path), sleep=pauses.append)
    assert pauses == [7.0, 2.0, 4.0]
    assert open_recording(tmp_path).report.bars == 96


def test_unknown_symbol_is_refused_with_similar_ones(server: BinanceServer, tmp_path: Path) -> None:
    """The error lists similar symbols of the venue."""
    with pytest.raises(DataError, match="BTCUSD: the venue does not know this symbol; near it are: BTCUSDT"):
        download(plan(server, tmp_path, symbols=("BTCUSD",)), sleep=no_pause)


def test_bad_bars_of_the_venue_are_not_stored(server: BinanceServer, tmp_path: Path) -> None:
    """A crossed bar refuses its month, named, and the store stays without it."""

    def cross(rows: list[list[object]]) -> list[list[object]]:
        rows[3][2] = "1.0"
        return rows

    server.tamper = cross  # type: ignore[assignment]
    with pytest.raises(DataError, match=r"bars BTCUSDT 30m from 2024-01-31T00:00:00Z: row 4 .*high = 1.0"):
        download(plan(server, tmp_path), sleep=no_pause)
    assert not (tmp_path / "bars_30m").exists()


def archive(server: BinanceServer, root: Path, **changes: object) -> DownloadPlan:
    """The same from the archive."""
    return plan(server, root, source="archive", **changes)


def test_archive_months_and_days_with_checksums(server: BinanceServer, tmp_path: Path) -> None:
    """A month comes as one file; where it is not there yet its days do; a day that is missing is named."""
    length = LENGTHS["30m"]
    folder = "klines/BTCUSDT/30m/BTCUSDT-30m"
    server.publish_klines(f"monthly/{folder}-2024-01.zip", JAN // MS, 31 * 48, length)
    for day in (1, 3):
        first = FEB // MS + (day - 1) * 86_400_000
        server.publish_klines(f"daily/{folder}-2024-02-0{day}.zip", first, 48, length, unit=1000)
    wanted = archive(server, tmp_path, end_ns=FEB + 3 * 86_400_000 * MS)
    report = download(wanted, sleep=no_pause)
    assert report.missing == ("BTCUSDT-30m-2024-02-02",)
    recording = open_recording(tmp_path)
    assert (recording.report.bars, recording.report.missing_bars) == (48 + 96, 48)
    assert recording.start_ns == wanted.start_ns
    assert recording.arrays().ohlcv[-1, 0, 3] == price_at(int(recording.times[-1]) // MS)
    again = download(wanted, sleep=no_pause)
    assert [one.resumed for one in again.parts] == [True, False]  # an incomplete month is asked for again


def test_archive_funding_and_marks(server: BinanceServer, tmp_path: Path) -> None:
    """Funding and mark prices of the archive land where runs look for them."""
    hours = 29 * 24
    server.publish_klines("monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-02.zip", FEB // MS, hours, LENGTHS["1h"])
    server.publish_klines("monthly/markPriceKlines/BTCUSDT/1h/BTCUSDT-1h-2024-02.zip", FEB // MS, hours, LENGTHS["1h"])
    rows = [f"{FEB // MS + n * FUNDING_MS},8,0.00030000" for n in range(29 * 3)]
    server.publish(
        "monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-02.zip",
        ["calc_time,funding_interval_hours,last_funding_rate", *rows],
    )
    wanted = archive(server, tmp_path, interval="1h", start_ns=FEB, end_ns=MAR, funding=True, mark_interval="1h")
    assert download(wanted, sleep=no_pause).missing == ()
    recording = open_recording(tmp_path)
    assert recording.funding_source == "venue history"
    assert set(recording.funding["BTCUSDT"][1].tolist()) == {0.0003}
    assert [(one.kind, one.rows) for one in store.list_store(tmp_path)] == [
        ("bars", hours), ("mark", hours), ("funding", 87),
    ]


def test_archive_file_that_does_not_match_its_checksum_is_refused(server: BinanceServer, tmp_path: Path) -> None:
    """A damaged file is fetched again, and refused when it stays damaged."""
    path = "monthly/klines/BTCUSDT/30m/BTCUSDT-30m-2024-01.zip"
    server.publish(path, ["1,2,3"], checksum="0" * 64)
    pauses: list[float] = []
    with pytest.raises(DataError, match="does not match its checksum; gave up after 6 attempts"):
        download(archive(server, tmp_path), sleep=pauses.append)
    assert len(pauses) == 5
    assert list(tmp_path.iterdir()) == []


def test_a_refusing_server_and_an_unreachable_one_are_reported(server: BinanceServer, tmp_path: Path) -> None:
    """403 is an error at once; an unreachable server is retried, then an error."""
    server.fail_next(1, 403)
    with pytest.raises(DataError, match="HTTP 403"):
        download(archive(server, tmp_path), sleep=no_pause)
    with pytest.raises(DataError, match="gave up after 6 attempts"):
        download(archive(server, tmp_path, base_url="http://127.0.0.1:9"), sleep=no_pause)


def test_a_damaged_list_of_downloads_is_an_error(server: BinanceServer, tmp_path: Path) -> None:
    """A damaged downloads.json is an error, not ignored."""
    (tmp_path / "downloads.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"downloads\.json: cannot be read .* remove it to fetch everything again"):
        download(plan(server, tmp_path), sleep=no_pause)


def test_parts_are_months_and_end_now(tmp_path: Path) -> None:
    """A plan is cut at months; bars end at the last closed one, and settings are checked."""
    wanted = DownloadPlan(
        symbols=("A", "B"), interval="1h", start_ns=JAN + MS, end_ns=LATER, now_ns=FEB + 5_000_000 * MS, root=tmp_path
    )
    parts = [(one.symbol, one.kind, one.start_ns, one.end_ns) for one in plan_parts(wanted) if one.symbol == "A"]
    hour = LENGTHS["1h"] * MS
    assert parts == [
        ("A", "bars", JAN + MS, FEB), ("A", "bars", FEB, FEB + hour),
        ("A", "mark", JAN + MS, FEB), ("A", "mark", FEB, FEB + hour),
        ("A", "funding", JAN + MS, FEB), ("A", "funding", FEB, FEB + 5_000_000 * MS),
    ]
    for key, value in (("source", "ftp"), ("symbols", ()), ("end_ns", JAN)):
        with pytest.raises(ConfigError):
            DownloadPlan(**{**{f: getattr(wanted, f) for f in wanted.__struct_fields__}, key: value})
    with pytest.raises(DataError, match="'7m' is not known"):
        DownloadPlan(**{**{f: getattr(wanted, f) for f in wanted.__struct_fields__}, "interval": "7m"})
