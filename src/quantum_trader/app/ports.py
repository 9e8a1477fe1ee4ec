"""The socket that a server listens on, and what is said where it cannot be had."""

from __future__ import annotations

import errno
import socket
from typing import Final

from quantum_trader.domain.errors import ConfigError

_BACKLOG: Final = 2048
_TAKEN: Final = "another program listens there; end it, or give another port"
_WHY: Final = {
    errno.EADDRINUSE: _TAKEN, errno.EACCES: "this user may not listen there; give a port above 1023",
    errno.EADDRNOTAVAIL: "is no address of this machine",
}


def listening_socket(host: str, port: int, option: str) -> socket.socket:
    """A socket that listens at *host* and *port* (0: a free one).

    Raises ConfigError, which names the *option* of the port and says what to do, where that cannot be.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        why = _WHY.get(error.errno or 0) or error.strerror or str(error)
        raise ConfigError(f"{option} {port}: cannot be listened on at {host}: {why}") from None


def check_port_is_free(host: str, port: int, option: str) -> None:
    """Raise ConfigError as :func:`listening_socket` does; the port stays free."""
    listening_socket(host, port, option).close()
