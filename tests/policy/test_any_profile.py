"""Profile files with impossible values: refused with file, key and value, or inside their domain; never a traceback."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from quantum_trader.domain.errors import ConfigError
from quantum_trader.policy import OrchestratorPolicy, create_risk_state
from quantum_trader.policy.profiles import OrchestratorConfig, profile_vector, read_profile

VALUES = (
    "inf", "-inf", "nan", "-1", "-1.0", "1e308", "-1e308", "1" + "0" * 400, "true", '"x"', "[]", "{}", "2024-01-01",
)
SHIPPED = OrchestratorConfig()
NUMBERS = [
    field.name for field in msgspec.structs.fields(OrchestratorConfig)
    if isinstance(getattr(SHIPPED, field.name), (int, float))
]
TABLES = {
    field.name: sorted(getattr(SHIPPED, field.name)) for field in msgspec.structs.fields(OrchestratorConfig)
    if isinstance(getattr(SHIPPED, field.name), dict)
}
LINES = [*NUMBERS, *(f"{table}.{key}" for table, keys in TABLES.items() for key in keys)]


@pytest.mark.parametrize("key", LINES)
def test_an_impossible_value_in_a_file_that_extends_is_refused_by_its_key(key: str, tmp_path: Path) -> None:
    """inf, -1, 1e308 and their like: a value that is taken is finite, and the policy that it makes decides."""
    for number, value in enumerate(VALUES):
        file = tmp_path / f"odd{number}.toml"
        file.write_text(f'extends = "SAFE"\n{key} = {value}\n')
        config, refused = None, ""
        try:
            config = read_profile(file)
        except ConfigError as error:
            refused = str(error)
        if config is None:
            assert file.name in refused
            assert key.rpartition(".")[2] in refused
            assert len(refused) < 700
            continue
        assert all(math.isfinite(one) for one in profile_vector(config))
        risk = create_risk_state(0.0, 0.0, 0, 0, 0.0)
        policy = OrchestratorPolicy(config).update_policy("TRENDING", "NORMAL", risk, now=1)
        assert 0.0 <= policy.max_risk_pct <= 100.0
        assert 0.0 <= policy.min_confidence <= 1.0


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"base_risk_pct = " + b"1" * 5_000, "not TOML"), (b"a = " + b"[" * 100_000, "not TOML"),
        (b"\xff\xfe", "cannot be read"), (b"# " + b"x" * (2 << 20), "larger than 1,024 KiB"), (b"\x00", "not TOML"),
        (b"x" * 100_000 + b" = 1", "unknown key"), (b'extends = "' + b"x" * 100_000 + b'"', "extends"),
    ],
)
def test_a_profile_that_is_no_profile_is_refused_in_one_short_sentence(
    content: bytes, why: str, tmp_path: Path
) -> None:
    """Numbers of 5,000 digits, nesting without end, megabytes: no traceback, nothing repeated whole."""
    (tmp_path / "odd.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=why) as refused:
        read_profile(tmp_path / "odd.toml")
    assert len(str(refused.value)) < 2_000


def test_a_profile_folder_with_an_endless_file_is_read_to_its_bound(tmp_path: Path) -> None:
    """/dev/zero under a profile's name."""
    (tmp_path / "odd.toml").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="larger than"):
        read_profile(tmp_path / "odd.toml")
