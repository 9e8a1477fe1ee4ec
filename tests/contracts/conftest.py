"""The checks live outside test files; their assertions tell as much as those inside."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.contracts.venue_contract")
