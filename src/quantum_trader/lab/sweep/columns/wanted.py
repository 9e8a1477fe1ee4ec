"""Columns of ``PolicyState.wanted`` (S + 1, SIZE): what the rules last said of a slot."""

from __future__ import annotations

# 0 to 8: looseness values by policy.layout.FIELD_*
BITS, SIZE = 9, 10  # BITS: refusal bits
