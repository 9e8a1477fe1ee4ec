"""Every id the system makes: signals, traces, intents, trades and orders, derived from sequences and never from chance.

The same inputs give the same ids, so that a restart derives them again and two orders of one intent cannot exist.
"""

from __future__ import annotations

import hashlib
from typing import Final

_REST: Final = "-rest"  # ends the id of the intent for what an entry at rest has not filled
OWN_PREFIX: Final = "qt-"  # every client order id of this program starts with it
_MARK: Final = slice(len(OWN_PREFIX), len(OWN_PREFIX) + 9)  # the part of an order id that names its process


def signal_id(seq: int) -> str:
    """The id of signal number *seq*."""
    return f"s{seq:08d}"


def signal_trace_id(seq: int) -> str:
    """The trace id of signal number *seq*: on every record from the signal to its trade."""
    return f"tr{seq:08d}"


def signal_intent_id(seq: int) -> str:
    """The id of the intent that signal number *seq* becomes."""
    return f"i{seq:08d}"


def is_signal_intent(intent_id: str) -> bool:
    """Whether *intent_id* is that of a signal's intent, or of the rest of one."""
    return intent_id.startswith("i") and entry_intent_id(intent_id)[1:].isdecimal()


def is_own_entry(intent_id: str) -> bool:
    """Whether *intent_id* is that of an intent of the signals or of the pilot."""
    return is_signal_intent(intent_id) or (intent_id.startswith("p") and intent_id[1:].isdecimal())


def pilot_intent_id(seq: int) -> str:
    """The id of the pilot's intent number *seq*."""
    return f"p{seq:08d}"


def pilot_trace_id(seq: int) -> str:
    """The trace id of the pilot's intent number *seq*."""
    return f"pt{seq:08d}"


def adopted_intent_id(seq: int) -> str:
    """The id under which the orders of adopted position number *seq* are made."""
    return f"a{seq:08d}"


def adopted_trace_id(seq: int) -> str:
    """The trace id of adopted position number *seq*."""
    return f"ad{seq:08d}"


def rest_intent_id(intent_id: str) -> str:
    """The id of the intent that sends to market what the post-only entry of *intent_id* has not filled."""
    return intent_id + _REST


def entry_intent_id(intent_id: str) -> str:
    """The id of the entry that *intent_id* is, or is the rest of."""
    return intent_id.removesuffix(_REST)


def is_own_intent_id(intent_id: str) -> bool:
    """Whether *intent_id* has the form of the ids made here; an outside intent with such an id could take one."""
    if intent_id.endswith(_REST):
        return True
    return len(intent_id) > 1 and intent_id[0] in "iap" and intent_id[1:].isdecimal()


def vanished_fill_id(seq: int) -> str:
    """The id of the fill that stands for a position which the venue no longer holds."""
    return f"gone-{seq}"


def trade_id(seq: int) -> str:
    """The id of closed trade number *seq*."""
    return f"t{seq:07d}"


def exit_pair_id(seq: int) -> str:
    """The rollout ledger's key of the pair of exits followed for signal number *seq*."""
    return f"{seq}/exit"


def client_order_id(intent_id: str, purpose: str, attempt: int, mark: str = "") -> str:
    """The order id a venue sees: at most 36 characters, the same for the same intent, purpose and attempt."""
    digest = hashlib.blake2b(f"{intent_id}/{purpose}/{attempt}".encode(), digest_size=10).hexdigest()
    return f"{OWN_PREFIX}{mark}{digest}"


def closing_order_id(started_ns: int, symbol: str, attempt: int) -> str:
    """The order id of a closing order that is sent without an engine, by ``flatten --now``."""
    digest = hashlib.blake2b(f"flatten/{started_ns}/{symbol}/{attempt}".encode(), digest_size=10).hexdigest()
    return f"{OWN_PREFIX}{digest}"


def process_mark(namespace: str, process: str) -> str:
    """The part of an order id that names the live process which made it."""
    return hashlib.blake2b(f"{namespace}/{process}".encode(), digest_size=4).hexdigest() + "-"


def mark_of(order_id: str) -> str:
    """The process mark in *order_id*; empty for an order that no live process of this program made."""
    mark = order_id[_MARK] if order_id.startswith(OWN_PREFIX) else ""
    return mark if mark.endswith("-") else ""
