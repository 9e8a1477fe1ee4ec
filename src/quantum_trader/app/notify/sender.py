"""A process that sends one message, or one ping, inside a fence, and ends.

The order comes on standard input, so that no address stands in a list of processes; the answer is one line of JSON on
standard output, in words of this module's own: neither an address nor what a service or a library says of it.
"""

from __future__ import annotations

import http.client
import logging
import os
import socket
import sys
import urllib.error
import urllib.request
from typing import Final

import msgspec

from quantum_trader.app.notify.addresses import AllowedAddress
from quantum_trader.app.notify.process_fence import ProcessFence
from quantum_trader.app.notify.schemes import scheme_of, why_scheme_refused

_TIMEOUT_S: Final = 10.0  # of one connection, and of one wait for an answer
_LEVELS: Final = {"info": "info", "warning": "warning", "critical": "failure"}  # in apprise's words


class SendOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What to send. With *is_ping* the address is asked with GET, and nothing is told."""

    address: str
    title: str = ""
    text: str = ""
    level: str = "info"
    is_ping: bool = False
    allow: tuple[AllowedAddress, ...] = ()


class Delivered(msgspec.Struct, frozen=True):
    """Whether the service took it; *why* not, without the address."""

    ok: bool
    why: str = ""


def main() -> int:
    """Read the order, send it, print what came of it."""
    answer_to = os.dup(1)
    with open(os.devnull, "wb") as nowhere:  # what libraries print is not the answer
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    logging.disable(logging.CRITICAL)
    socket.setdefaulttimeout(_TIMEOUT_S)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=SendOrder)
    os.write(answer_to, msgspec.json.encode(send(order)))
    return 0


def send(order: SendOrder) -> Delivered:
    """Send *order* from this process, which is fenced from here on."""
    why = why_scheme_refused(order.address, is_ping=order.is_ping)
    if why:
        return Delivered(False, why)
    fence = ProcessFence(order.allow)
    fence.close()
    found = _ping(order) if order.is_ping else _notify(order)
    if fence.refused and not found.ok:
        return Delivered(False, f"refused: {'; '.join(fence.refused)}")
    return found


def _notify(order: SendOrder) -> Delivered:
    try:
        import apprise
    except ImportError:
        return Delivered(False, "the package apprise is not installed; install quantum-trader[notify]")
    asset = apprise.AppriseAsset(
        async_mode=False, storage_mode="memory", service_timeout=0, allow_templates=False, default_service_retry=0
    )
    service = apprise.Apprise.instantiate(order.address, asset=asset, suppress_exceptions=True)
    if service is None:
        return Delivered(False, f"apprise cannot use this {scheme_of(order.address)}:// address; see its documentation")
    sender = apprise.Apprise(asset=asset)
    sender.add(service)
    taken = sender.notify(
        body=order.text, title=order.title, notify_type=_LEVELS.get(order.level, "info"), body_format="text"
    )
    return Delivered(True) if taken else Delivered(False, "the service could not be reached, or refused the message")


def _ping(order: SendOrder) -> Delivered:
    opener = urllib.request.OpenerDirector()  # neither files nor FTP, no proxy, and no more than these
    for handler in (
        urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(), urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor(), urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    try:
        with opener.open(order.address, timeout=_TIMEOUT_S) as answer:
            answer.read(1 << 16)
    except urllib.error.HTTPError as error:
        return Delivered(False, f"the server answered {error.code}")
    except (OSError, ValueError, http.client.HTTPException):
        return Delivered(False, "the server could not be reached")
    return Delivered(True)



if __name__ == "__main__":
    sys.exit(main())
