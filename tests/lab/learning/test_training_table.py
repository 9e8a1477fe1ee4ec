"""The samples of a training: in order, weighted by uniqueness, refused where nothing can be learned from them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from tests.lab.learning.made_tables import made_table

from quantum_trader.domain.clock import NS_PER_HOUR
from quantum_trader.domain.errors import DataError, InputError
from quantum_trader.lab.learning.training_table import independent_samples, joined_samples, sample_weights


@pytest.mark.parametrize(("changes", "kind", "said"), [
    ({"labels": np.zeros(300, dtype=np.int64)}, DataError, "all 300 labels are 0"),
    ({"labels": np.full(300, 2, dtype=np.int64)}, InputError, "are 0 or 1"),
    ({"starts_ns": np.arange(300)[::-1]}, InputError, "must not fall"),
    ({"weights": np.ones(299)}, InputError, "weights = 299"),
    ({"rows": np.ones((300, 2), dtype=np.float32)}, InputError, "rows = "),
])
def test_samples_that_teach_nothing_are_refused(changes: dict[str, Any], kind: type[Exception], said: str) -> None:
    """One class alone, values that are no labels, samples out of order or of different numbers."""
    with pytest.raises(kind, match=said):
        msgspec.structs.replace(made_table(count=300), **changes).checked()


def test_too_few_samples_are_refused() -> None:
    """Below 200 there is nothing to cut into folds."""
    with pytest.raises(DataError, match="at least 200"):
        made_table(count=199).checked()


def test_weights_are_by_uniqueness_and_have_a_mean_of_one() -> None:
    """Two samples that share their two hours count half of one that is alone, and all of it together once."""
    starts = np.array([0, 0, 2]) * NS_PER_HOUR
    ends = np.array([2, 2, 4]) * NS_PER_HOUR

    weights = sample_weights(starts, ends, NS_PER_HOUR)

    assert weights == pytest.approx([0.75, 0.75, 1.5])


def test_the_number_of_independent_samples_is_the_sum_of_their_uniqueness() -> None:
    """Every sample by itself counts as one; a hundred of the same hour count as one together."""
    table = made_table(count=300)
    apart = np.arange(300, dtype=np.int64) * 10 * NS_PER_HOUR
    alone = msgspec.structs.replace(table, starts_ns=apart, ends_ns=apart + NS_PER_HOUR)
    same = msgspec.structs.replace(
        table, starts_ns=np.zeros(300, dtype=np.int64), ends_ns=np.full(300, NS_PER_HOUR)
    )

    assert independent_samples(alone) == pytest.approx(300.0)
    assert independent_samples(same) == pytest.approx(1.0)


def test_tables_of_several_symbols_are_joined_in_order_of_time() -> None:
    """Each sample keeps its symbol; the content hash depends on every number."""
    first, second = made_table(1, 300), made_table(2, 250)
    second = msgspec.structs.replace(second, symbols=("ETHUSDT", "XRPUSDT"))

    whole = joined_samples([first, second])

    assert whole.symbols == ("BTCUSDT", "ETHUSDT", "XRPUSDT")
    assert (np.diff(whole.starts_ns) >= 0).all()
    named = np.array(whole.symbols)[whole.symbol]
    assert (named == "XRPUSDT").sum() == (second.symbol == 1).sum()
    assert len(whole.labels) == 550
    rows = whole.rows.copy()
    rows[7, 2] += 1.0
    assert msgspec.structs.replace(whole, rows=rows).content_hash != whole.content_hash
    assert joined_samples([first, second]).content_hash == whole.content_hash


def test_a_bet_counts_once() -> None:
    """Two samples of one symbol, time and side are refused; of the other side they are two bets."""
    table = made_table(count=300)
    starts, symbol, sides = table.starts_ns.copy(), table.symbol.copy(), table.sides.copy()
    starts[11], symbol[11], sides[11] = starts[10], symbol[10], -sides[10]
    both = msgspec.structs.replace(table, starts_ns=starts, symbol=symbol, sides=sides)

    assert both.checked() is both
    sides[11] = sides[10]
    with pytest.raises(DataError, match="each bet counts once"):
        msgspec.structs.replace(both, sides=sides).checked()
