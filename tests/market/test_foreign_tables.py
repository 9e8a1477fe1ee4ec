"""Files as other programs and people write them: the right bars, or a refusal in plain words, never wrong bars."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum_trader.domain.errors import DataError, InputError
from quantum_trader.domain.symbols import parse_symbol
from quantum_trader.market import store, text_tables
from quantum_trader.market.bar_files import NO_VOLUME, read_bar_file
from quantum_trader.market.file_names import parse_file_name
from quantum_trader.market.importers import import_files

NS = 1_000_000_000
START = datetime(2024, 1, 13, tzinfo=UTC)
PRICES = [(42_000.5, 42_010.25, 41_990.125, 42_005.75, 12.5), (42_005.75, 42_100.0, 42_000.0, 42_050.0, 0.0000025)]


def bars(count: int = 30, step: int = 3600) -> list[tuple[datetime, tuple[float, ...]]]:
    """*count* bars of an hour from :data:`START`."""
    return [(START + timedelta(seconds=step * n), PRICES[n % 2]) for n in range(count)]


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """A text file."""
    path.write_bytes(text.encode(encoding))
    return path


def expect(path: Path, count: int = 30, symbol: str | None = "BTCUSDT") -> Any:
    """Read *path* and hold it against :func:`bars`."""
    found = read_bar_file(path, symbol)[0]
    wanted = bars(count)
    assert found.ts_ns.tolist() == [round(moment.timestamp()) * NS for moment, _ in wanted]
    np.testing.assert_array_equal(found.ohlcv[:, :4], [row[:4] for _, row in wanted])
    return found


TIMES: dict[str, Any] = {
    "seconds": lambda t: str(int(t.timestamp())),
    "milliseconds": lambda t: str(int(t.timestamp() * 1000)),
    "float milliseconds": lambda t: f"{t.timestamp() * 1000:.1f}",
    "exponent milliseconds": lambda t: f"{t.timestamp() * 1000:.12e}",
    "microseconds": lambda t: str(int(t.timestamp() * 1_000_000)),
    "ISO with Z": lambda t: t.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "ISO with milliseconds": lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    "UTC in words": lambda t: t.strftime("%Y-%m-%d %H:%M:%S UTC"),
    "no zone": lambda t: t.strftime("%Y-%m-%d %H:%M"),
    "slashes, year first": lambda t: t.strftime("%Y/%m/%d %H:%M:%S"),
    "MetaTrader": lambda t: t.strftime("%Y.%m.%d %H:%M"),
    "German": lambda t: t.strftime("%d.%m.%Y %H:%M"),
    "American": lambda t: t.strftime("%m/%d/%Y %I:%M:%S %p"),
    "British": lambda t: t.strftime("%d/%m/%Y %H:%M"),
    "CryptoDataDownload": lambda t: t.strftime("%Y-%m-%d %I-%p"),
    "month in letters": lambda t: t.strftime("%d-%b-%Y %H:%M"),
    "month in letters first": lambda t: t.strftime("%b %d, %Y %H:%M"),
    "another zone": lambda t: t.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat(),
    "London": lambda t: t.astimezone(ZoneInfo("Europe/London")).isoformat(),
}


@pytest.mark.parametrize("spelling", TIMES)
def test_every_spelling_of_a_time_is_the_same_moment(tmp_path: Path, spelling: str) -> None:
    """Epoch numbers of any unit, dates of many lands, AM and PM, zones: each column gives the same bars."""
    rows = [f'"{TIMES[spelling](t)}",{o},{h},{low},{c},{v}' for t, (o, h, low, c, v) in bars()]
    expect(write(tmp_path / "x.csv", "\n".join(["time,open,high,low,close,volume", *rows])))


def test_a_clock_change_in_one_column(tmp_path: Path) -> None:
    """London's column has +00:00 before 31 March 2024 and +01:00 after it; the bars stay an hour apart."""
    first = datetime(2024, 3, 30, 20, tzinfo=UTC)
    moments = [first + timedelta(hours=n) for n in range(12)]
    rows = [f"{t.astimezone(ZoneInfo('Europe/London')).isoformat()},1,2,0.5,1,3" for t in moments]
    found = read_bar_file(write(tmp_path / "x.csv", "\n".join(["date,open,high,low,close,volume", *rows])), "A")[0]
    assert found.ts_ns.tolist() == [int(t.timestamp()) * NS for t in moments]
    assert found.interval == "1h"


def test_dates_that_may_be_read_two_ways_are_refused(tmp_path: Path) -> None:
    """01/02/2024 alone is 1 February or 2 January; a wrong date is worse than none."""
    rows = [f"0{day}/02/2024,1,2,0.5,1,3" for day in range(1, 4)]
    path = write(tmp_path / "x.csv", "\n".join(["date,open,high,low,close,volume", *rows]))
    with pytest.raises(DataError, match=r"'01/02/2024'\) can be read as day/month or as month/day"):
        read_bar_file(path, "A", "1d")


def test_date_and_time_in_two_columns(tmp_path: Path) -> None:
    """MetaTrader's export: tabs, names in angle brackets, date and time apart, tick volume."""
    rows = [f"{t:%Y.%m.%d}\t{t:%H:%M:%S}\t{o}\t{h}\t{low}\t{c}\t{v}" for t, (o, h, low, c, v) in bars()]
    head = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<VOL>"
    expect(write(tmp_path / "x.csv", "\r\n".join([head, *rows])))


@pytest.mark.parametrize("date", ["%Y%m%d", "%d.%m.%Y"])
def test_four_digits_of_a_clock_are_hours_and_minutes(tmp_path: Path, date: str) -> None:
    """0100 is one o'clock, not a minute past midnight."""
    rows = [f"{t.strftime(date)},{t:%H%M},{o},{h},{low},{c},{v}" for t, (o, h, low, c, v) in bars()]
    expect(write(tmp_path / "x.csv", "\n".join(["Date,Time,Open,High,Low,Close,Volume", *rows])))


def test_a_clock_that_may_be_read_two_ways_is_refused(tmp_path: Path) -> None:
    """100 may be one o'clock or a minute past midnight."""
    rows = [f"20240113,{hour * 100},1,2,0.5,1,3" for hour in range(24)]
    path = write(tmp_path / "x.csv", "\n".join(["Date,Time,Open,High,Low,Close,Volume", *rows]))
    with pytest.raises(DataError, match="can be read as HHMM or as HMMSS"):
        read_bar_file(path, "A")


@pytest.mark.parametrize("spelling", ["%Y%m%d%H%M%S", "%Y%m%d%H%M"])
def test_fourteen_digits_are_a_date(tmp_path: Path, spelling: str) -> None:
    """20240113000000 is no epoch number."""
    rows = [f"{t.strftime(spelling)},{o},{h},{low},{c},{v}" for t, (o, h, low, c, v) in bars()]
    expect(write(tmp_path / "x.csv", "\n".join(["time,open,high,low,close,volume", *rows])))


def test_numbers_that_are_no_time_of_this_age_are_refused(tmp_path: Path) -> None:
    """99999999999999 ms lie past the year 2262."""
    path = write(tmp_path / "x.csv", "time,open,high,low,close,volume\n99999999999999,1,1,1,1,1\n")
    with pytest.raises(DataError, match="row 1: time '99999999999999' cannot be read"):
        read_bar_file(path, "A", "1h")


@pytest.mark.parametrize("name", ["BTCUSDT_2024-01-15.csv", "BTCUSDT-2024-01-15.csv", "BTCUSDT_1.csv", "30.csv"])
def test_a_date_in_a_name_is_no_interval(tmp_path: Path, name: str) -> None:
    """Hourly bars stay hourly bars, whatever numbers the name has."""
    rows = [f"{int(t.timestamp())},{o},{h},{low},{c},{v}" for t, (o, h, low, c, v) in bars()]
    assert expect(write(tmp_path / name, "\n".join(["time,open,high,low,close,volume", *rows]))).interval == "1h"


def test_a_name_that_contradicts_the_bars_is_refused(tmp_path: Path) -> None:
    """The name says 5 minutes, the bars are an hour apart."""
    rows = [f"{int(t.timestamp())},{o},{h},{low},{c},{v}" for t, (o, h, low, c, v) in bars()]
    path = write(tmp_path / "BTC_USDT_5m.csv", "\n".join(["time,open,high,low,close,volume", *rows]))
    with pytest.raises(DataError, match="its name says 5m, its bars are 1h apart"):
        read_bar_file(path)
    assert read_bar_file(path, interval="1h")[0].interval == "1h"


def test_funding_of_two_sources_is_one_payment(tmp_path: Path) -> None:
    """The archive stamps a payment some milliseconds late, freqtrade on the hour: one row each in the store."""
    rows = [f"{int(t.timestamp()) * 1000 + n % 3 * 4},8,0.0003" for n, (t, _) in enumerate(bars(3, 8 * 3600))]
    head = "calc_time,funding_interval_hours,last_funding_rate"
    archive = write(tmp_path / "BTCUSDT-fundingRate-2024-01.csv", "\n".join([head, *rows]))
    freqtrade_frame(rate=0.0003).write_ipc(tmp_path / "BTC_USDT_USDT-8h-funding_rate.feather")
    import_files([archive], tmp_path / "store")
    assert import_files([tmp_path / "BTC_USDT_USDT-8h-funding_rate.feather"], tmp_path / "store").funding[0].added == 0
    assert len(store.read_funding(tmp_path / "store")["BTCUSDT"][0]) == 3


def test_dates_as_eight_digits_are_no_epoch(tmp_path: Path) -> None:
    """20240113 is a day, not a second of 1970, also with the clock in a second column without zeros in front."""
    rows = [f"{t:%Y%m%d},{int(f'{t:%H%M%S}')},{o},{h},{low},{c},{v}" for t, (o, h, low, c, v) in bars()]
    expect(write(tmp_path / "x.csv", "\n".join(["Date,Time,Open,High,Low,Close,Volume", *rows])))
    days = [f"{START + timedelta(days=n):%Y%m%d},1,2,0.5,1,3" for n in range(5)]
    found = read_bar_file(write(tmp_path / "d.csv", "\n".join(["date,open,high,low,close,volume", *days])), "A")[0]
    assert found.ts_ns[0] == int(START.timestamp()) * NS


def test_decimal_commas_and_semicolons(tmp_path: Path) -> None:
    """A German spreadsheet: semicolons, decimal commas, points between thousands."""
    def german(value: float) -> str:
        return f"{value:,.7f}".replace(",", "_").replace(".", ",").replace("_", ".")

    rows = [";".join([f"{t:%d.%m.%Y %H:%M}", *map(german, row)]) for t, row in bars()]
    found = expect(write(tmp_path / "x.csv", "\n".join(["Date;Open;High;Low;Close;Volume", *rows])))
    assert found.ohlcv[1, 4] == 0.0000025


def test_separators_of_thousands(tmp_path: Path) -> None:
    """"42,000.500" in quotation marks is forty-two thousand and a half."""
    rows = [",".join([f"{t:%Y-%m-%d %H:%M}", *(f'"{value:,.7f}"' for value in row)]) for t, row in bars()]
    expect(write(tmp_path / "x.csv", "\n".join(["date,open,high,low,close,volume", *rows])))


def test_a_comma_that_may_mean_either_is_refused(tmp_path: Path) -> None:
    """"42,000" alone may be 42 or 42000: the cell is no number, and the import names it."""
    rows = [f'2024-01-0{day},"42,000","42,000","42,000","42,000","1,000"' for day in range(1, 5)]
    path = write(tmp_path / "BTCUSDT.csv", "\n".join(["date,open,high,low,close,volume", *rows]))
    with pytest.raises(DataError, match="row 1 .* open = nan: not finite"):
        import_files([path], tmp_path / "store")


def test_exponents_in_the_first_row_are_no_header(tmp_path: Path) -> None:
    """A small coin's price, 1.2E-07, in a file without header."""
    rows = [f"{int(t.timestamp()) * 1000},1.2E-07,1.3E-07,1.1E-07,1.25E-07,5" for t, _ in bars()]
    found = read_bar_file(write(tmp_path / "x.csv", "\n".join(rows)), "PEPEUSDT")[0]
    assert len(found.ts_ns) == 30
    assert found.ohlcv[0].tolist() == [1.2e-07, 1.3e-07, 1.1e-07, 1.25e-07, 5.0]


def test_crypto_data_download(tmp_path: Path) -> None:
    """A line of advertising, newest first, the volume named after its asset, seconds and milliseconds mixed."""
    rows = [
        f"{int(t.timestamp()) * (1000 if n % 2 else 1)},{t:%Y-%m-%d %I-%p},BTC/USDT,{o},{h},{low},{c},{v},{v * c},9"
        for n, (t, (o, h, low, c, v)) in enumerate(bars())
    ]
    head = "unix,date,symbol,open,high,low,close,Volume BTC,Volume USDT,tradecount"
    banner = "https://www.CryptoDataDownload.com"
    path = write(tmp_path / "Binance_BTCUSDT_1h.csv", "\n".join([banner, head, *rows[::-1]]))
    found = expect(path, symbol=None)
    assert (found.symbol, found.interval) == ("BTCUSDT", "1h")
    assert found.ohlcv[0, 4] == 12.5
    assert found.rows[0] == 30


def test_a_file_without_volume_is_taken_with_a_notice(tmp_path: Path) -> None:
    """Its bars count as traded, and the report says what was assumed."""
    rows = [f"{int(t.timestamp())},{o},{h},{low},{c}" for t, (o, h, low, c, _) in bars()]
    path = write(tmp_path / "BINANCE_BTCUSDT.P, 60.csv", "\n".join(["time,open,high,low,close", *rows]))
    assert (expect(path, symbol=None).ohlcv[:, 4] == NO_VOLUME).all()
    report = import_files([path], tmp_path / "store")
    assert "has no volume; every bar counts as traded" in report.notices[0]
    assert (report.series[0].symbol, report.series[0].interval, report.series[0].outages) == ("BTCUSDT", "1h", 0)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(tmp_path: Path, encoding: str) -> None:
    """A spreadsheet's UTF-8 with a mark, and UTF-16."""
    rows = [f"{int(t.timestamp())},{o},{h},{low},{c},{v}" for t, (o, h, low, c, v) in bars()]
    expect(write(tmp_path / "x.csv", "\n".join(["time,open,high,low,close,volume", *rows]), encoding))


def test_a_header_without_rows_is_refused(tmp_path: Path) -> None:
    """There is nothing to read."""
    path = write(tmp_path / "BTCUSDT-1h.csv", "time,open,high,low,close,volume\n")
    with pytest.raises(DataError, match="holds a header and no row"):
        import_files([path], tmp_path / "store")


def test_rows_of_other_widths_are_named(tmp_path: Path) -> None:
    """A row with a cell too many is named by its number, in our words."""
    text = "time,open,high,low,close,volume\n1704067200,1,1,1,1,1\n1704067260,1,1,1,1,1,7\n"
    with pytest.raises(DataError, match="row 2 has 7 cells, the first line 6; repair the row"):
        read_bar_file(write(tmp_path / "x.csv", text), "A")


def freqtrade_frame(rate: float | None = None) -> pl.DataFrame:
    """Three bars, or three funding payments, as freqtrade stores them."""
    dates = pl.Series([START + timedelta(hours=8 * n) for n in range(3)]).cast(pl.Datetime("ms", "UTC"))
    first = [10.0 if rate is None else rate] * 3
    rest = [0.0 if rate is not None else 10.0] * 3
    return pl.DataFrame({"date": dates, "open": first, "high": rest, "low": rest, "close": rest, "volume": rest})


def test_a_freqtrade_folder_is_imported_whole(tmp_path: Path) -> None:
    """Bars, marks and funding each go where they belong; spot bars and trades are left out with a line each."""
    folder = tmp_path / "futures"
    folder.mkdir()
    freqtrade_frame().write_ipc(folder / "BTC_USDT_USDT-8h-futures.feather")
    freqtrade_frame().write_ipc(folder / "BTC_USDT_USDT-8h-mark.feather")
    freqtrade_frame(rate=0.0003).write_ipc(folder / "BTC_USDT_USDT-8h-funding_rate.feather")
    freqtrade_frame().write_ipc(folder / "ETH_USDT-8h.feather")
    freqtrade_frame().write_ipc(folder / "BTC_USDT_USDT-trades.feather")
    report = import_files([folder], tmp_path / "store")
    assert [(one.kind, one.symbol) for one in report.series] == [("bars", "BTCUSDT"), ("mark", "BTCUSDT")]
    assert [(one.symbol, one.rows, one.added) for one in report.funding] == [("BTCUSDT", 3, 3)]
    assert len(report.skipped) == 2
    assert "holds spot bars of freqtrade" in "".join(report.skipped)
    assert "holds trades, not bars" in "".join(report.skipped)
    ts, rates = store.read_funding(tmp_path / "store")["BTCUSDT"]
    assert ts.tolist() == [int((START + timedelta(hours=8 * n)).timestamp()) * NS for n in range(3)]
    assert rates.tolist() == [0.0003] * 3


def test_spot_bars_need_a_name(tmp_path: Path) -> None:
    """A spot price is not the perpetual's: refused alone, stored under the symbol that the trader names."""
    path = tmp_path / "BTC_USDT-8h.feather"
    freqtrade_frame().write_ipc(path)
    with pytest.raises(DataError, match="with --symbol BTCUSDT"):
        import_files([path], tmp_path / "store")
    assert import_files([path], tmp_path / "store", "BTCUSDT").series[0].symbol == "BTCUSDT"


def test_a_symbol_does_not_make_bars_of_trades(tmp_path: Path) -> None:
    """Trades stay trades, also in a folder called spot and with a symbol named."""
    folder = tmp_path / "spot"
    folder.mkdir()
    path = folder / "BTC_USDT-trades.feather"
    freqtrade_frame().write_ipc(path)
    with pytest.raises(DataError, match="holds trades, not bars"):
        import_files([path], tmp_path / "store", "BTCUSDT")


def test_funding_of_the_archive(tmp_path: Path) -> None:
    """The archive's funding file goes to the funding; a folder of other kinds is left out by name."""
    rows = [f"{int(t.timestamp()) * 1000},8,0.0001" for t, _ in bars(5, 8 * 3600)]
    head = "calc_time,funding_interval_hours,last_funding_rate"
    write(tmp_path / "BTCUSDT-fundingRate-2024-01.csv", "\n".join([head, *rows]))
    write(tmp_path / "BTCUSDT-aggTrades-2024-01-02.csv", "a,b\n1,2\n")
    report = import_files([tmp_path], tmp_path / "store")
    assert [(one.symbol, one.rows) for one in report.funding] == [("BTCUSDT", 5)]
    assert len(report.skipped) == 1


def test_what_macos_puts_into_a_zip_is_no_table(tmp_path: Path) -> None:
    """The __MACOSX folder and dot files are not counted."""
    rows = [f"{int(t.timestamp()) * 1000},{o},{h},{low},{c},{v}" for t, (o, h, low, c, v) in bars()]
    path = tmp_path / "BTCUSDT-1h.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("BTCUSDT-1h.csv", "\n".join(rows))
        archive.writestr("__MACOSX/._BTCUSDT-1h.csv", "Mac OS X")
        archive.writestr(".DS_Store", "x")
    expect(path, symbol=None)
    (tmp_path / "._BTCUSDT-1h.csv").write_bytes(b"\x00\x05\x16\x07")
    assert len(import_files([tmp_path], tmp_path / "store").series) == 1


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that holds more than the limit is refused by its announced size, before anything is unpacked."""
    monkeypatch.setattr(text_tables, "MAX_BYTES", 1 << 20)
    path = tmp_path / "BTCUSDT-1m-2024-01.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.csv", b"0" * ((1 << 20) + 1))
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    with pytest.raises(DataError, match="unpacks to more than"):
        read_bar_file(path)


def test_long_texts_are_not_repeated_in_errors(tmp_path: Path) -> None:
    """200,000 columns, or a cell of 100 kB, leave a message of a few lines."""
    wide = write(tmp_path / "wide.csv", "time," + ",".join(f"c{n}" for n in range(200_000)) + "\n")
    deep = write(tmp_path / "deep.csv", "time,open,high,low,close,volume\n" + "x" * 100_000 + ",1,1,1,1,1\n")
    for path in (wide, deep):
        with pytest.raises(DataError) as caught:
            read_bar_file(path, "A")
        assert len(str(caught.value)) < 600


NAMES = {
    "BTC_USDT_1h.csv": ("BTCUSDT", "1h"), "BTCUSDT_5m_2024.csv": ("BTCUSDT", "5m"),
    "ethusdc-daily.csv": ("ETHUSDC", "1d"),
    "BTCUSDT_240628-1h.csv": ("BTCUSDT_240628", "1h"), "1000PEPEUSDT-15m-2024-01.csv": ("1000PEPEUSDT", "15m"),
    "币安人生USDT-1h.csv": ("币安人生USDT", "1h"), "prices.csv": ("", ""),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files_tell_symbol_and_interval(name: str) -> None:
    """Underscores, lower case, intervals in words, contracts with an expiry, letters of other scripts."""
    found = parse_file_name(Path(name))
    assert (found.symbol, found.interval) == NAMES[name]


SYMBOLS = {
    "BTCUSDT": "BTCUSDT", "btcusdt": "BTCUSDT", "BTC/USDT": "BTCUSDT", "BTC/USDT:USDT": "BTCUSDT",
    "BTC_USDT_USDT": "BTCUSDT", "BTC-USDT": "BTCUSDT", "BINANCE:BTCUSDT.P": "BTCUSDT", "BTCUSDT.P": "BTCUSDT",
    "BTCUSDT_240628": "BTCUSDT_240628", "BTC/USDT:USDT-240628": "BTCUSDT_240628", "币安人生USDT": "币安人生USDT",
}


@pytest.mark.parametrize("text", SYMBOLS)
def test_symbols_of_other_programs_are_the_same_symbol(text: str) -> None:
    """ccxt, freqtrade, TradingView and lower case."""
    assert parse_symbol(text) == SYMBOLS[text]


NO_SYMBOLS = ["", " ", "../../evil", "/etc/passwd", "BTC/USD:BTC", "BTCUSD_PERP", "a b", "A" * 31, "..", "x\x00y"]


@pytest.mark.parametrize("text", NO_SYMBOLS)
def test_texts_that_are_no_symbol_are_refused(text: str) -> None:
    """Paths, coin-margined contracts, blanks and long texts."""
    with pytest.raises(InputError, match="is not a symbol of a USD-M contract"):
        parse_symbol(text)


@pytest.mark.parametrize("column", ["../../evil", "/tmp/evil", "BTC/USD:BTC", "a\\b"])
def test_a_symbol_column_never_leaves_the_store(tmp_path: Path, column: str) -> None:
    """The row is named, and nothing is written, inside the store or outside it."""
    rows = [f"{int(t.timestamp())},{column},{o},{h},{low},{c},{v}" for t, (o, h, low, c, v) in bars(3)]
    path = write(tmp_path / "evil.csv", "\n".join(["time,symbol,open,high,low,close,volume", *rows]))
    with pytest.raises(DataError, match="row 1: symbol .* Nothing was imported"):
        import_files([path], tmp_path / "a" / "st")
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["evil.csv"]


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=40))
def test_any_text_as_a_symbol_stays_in_the_store_or_is_refused(text: str) -> None:
    """Whatever a door is given as a symbol, its file lies directly in the folder of its interval."""
    try:
        symbol = parse_symbol(text)
    except InputError:
        return
    root = Path("/store")
    assert store.series_path(root, "1h", symbol).parent == root / "bars_1h"
    assert parse_symbol(symbol) == symbol


NUMBERS: dict[str, Any] = {
    "plain": lambda value: repr(value),
    "exponent": lambda value: f"{value:.10E}",
    "thousands": lambda value: f"{value:,.8f}",
    "German": lambda value: f"{value:,.8f}".replace(",", "_").replace(".", ",").replace("_", "."),
    "decimal comma": lambda value: f"{value:.8f}".replace(".", ","),
    "apostrophes": lambda value: f"{value:,.8f}".replace(",", "'"),
}
HEADS = [
    ["time", "open", "high", "low", "close", "volume"], ["Date", "Open", "High", "Low", "Close", "Vol"],
    ["Open time", "Open", "High", "Low", "Close", "Volume BTC"], ["<DATETIME>", "<O>", "<H>", "<L>", "<C>", "<V>"],
]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_mixture_of_real_formats_gives_the_right_bars_or_a_refusal(tmp_path_factory: Any, data: Any) -> None:
    """Times, numbers, delimiters, headers, order, banner and marks shuffled: never a wrong bar, never a traceback."""
    time = TIMES[data.draw(st.sampled_from(sorted(TIMES)))]
    number = NUMBERS[data.draw(st.sampled_from(sorted(NUMBERS)))]
    delimiter = data.draw(st.sampled_from([",", ";", "\t", "|"]))
    head = data.draw(st.sampled_from(HEADS))
    order = data.draw(st.permutations(range(6)))
    count = data.draw(st.integers(min_value=2, max_value=40))
    rows = []
    for moment, row in bars(count):
        cells = [time(moment), *map(number, row)]
        rows.append(delimiter.join(f'"{cells[at]}"' for at in order))
    if data.draw(st.booleans()):
        rows.reverse()
    lines = [delimiter.join(head[at] for at in order), *rows]
    if data.draw(st.booleans()):
        lines.insert(0, "Exported by some program")
    path = tmp_path_factory.mktemp("mix") / "x.csv"
    path.write_bytes("\r\n".join(lines).encode(data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))))
    try:
        found = read_bar_file(path, "BTCUSDT", "1h")[0]
    except DataError:
        return
    wanted = bars(count)
    assert found.ts_ns.tolist() == [round(moment.timestamp()) * NS for moment, _ in wanted]
    right = np.array([row for _, row in wanted])
    read = np.isfinite(found.ohlcv)
    np.testing.assert_allclose(found.ohlcv[read], right[read], rtol=1e-9, atol=1e-8)


def test_a_symbol_column_names_the_asset_of_the_volume(tmp_path: Path) -> None:
    """CryptoDataDownload's "Volume BTC" is read whatever the file is called."""
    file = tmp_path / "other.csv"
    file.write_text(
        "Unix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT\n"
        "1704067200000,2024-01-01 00:00:00,BTCUSDT,1,2,1,2,5,10\n"
        "1704070800000,2024-01-01 01:00:00,BTCUSDT,2,3,2,3,6,18\n"
    )
    assert read_bar_file(file)[0].ohlcv[:, 4].tolist() == [5.0, 6.0]


def test_price_changes_stand_for_a_volume_that_is_not_known(tmp_path: Path) -> None:
    """MetaTrader writes 0 for the volume of a currency, and how often its price changed."""
    file = tmp_path / "EURUSDT.csv"
    file.write_text(
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
        "2024.01.01\t00:00:00\t1.1\t1.2\t1.0\t1.1\t5\t0\t1\n2024.01.01\t01:00:00\t1.1\t1.2\t1.0\t1.1\t6\t0\t1\n"
    )
    assert read_bar_file(file)[0].ohlcv[:, 4].tolist() == [5.0, 6.0]
