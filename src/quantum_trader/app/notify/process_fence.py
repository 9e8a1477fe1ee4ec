"""The fence of the process that sends: it connects to allowed addresses only, starts no program and writes no file.

It is an audit hook of Python: each connection, program and file of this process passes it, whichever library asks, and
it cannot be taken away again. What it sees is what the operating system is asked for, the numbers of an address and not
its name: neither a redirect nor a DNS answer that changes between a check and its use leads around it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

from quantum_trader.app.notify.addresses import AllowedAddress, why_not_reached

_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NULL: Final = "/dev/null"
_READ: Final = (  # where programs look for certificates, names of hosts and time zones
    "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf",
    "/etc/gai.conf", "/etc/services", "/etc/protocols", "/etc/mime.types", "/etc/localtime", "/etc/timezone",
    "/usr/share/zoneinfo", "/usr/share/ca-certificates", "/usr/lib/ssl", "/usr/share/locale", _NULL, "/dev/urandom",
)
_SOCKETS: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_PROGRAMS: Final = frozenset({
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.startfile",
    "pty.spawn",
})
_CHANGES: Final = frozenset({
    "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
    "os.utime", "os.setxattr", "os.removexattr", "shutil.copyfile", "shutil.move", "shutil.rmtree", "sqlite3.connect",
})


class FencedError(PermissionError):
    """Something that the sending process may not do."""


class ProcessFence:
    """What this process may do from :meth:`close` on; *refused* says what it was kept from."""

    def __init__(self, allowed: tuple[AllowedAddress, ...]) -> None:
        self.refused: list[str] = []
        self._allowed = allowed
        here = Path(__file__).resolve().parents[3]  # the folder that the package lies in
        self._read = tuple(
            str(place) for one in (*_READ, sys.prefix, sys.base_prefix, sys.exec_prefix, str(here), *sys.path)
            if one for place in {Path(one), Path(one).resolve()}
        )

    def close(self) -> None:
        """Let nothing through but what is allowed, until this process ends."""
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _SOCKETS:
            self._look_at_address(arguments[1])
        elif event == "open":
            self._look_at_file(arguments[0], arguments[2])
        elif event in _PROGRAMS:
            self._refuse("the service wants to start a program")
        elif event in _CHANGES:
            self._refuse("the service wants to change files")

    def _look_at_address(self, address: Any) -> None:
        if address is None:
            return  # a socket that was connected before
        if not isinstance(address, tuple) or len(address) < 2 or not isinstance(address[0], str):
            self._refuse("the service wants a socket of this machine")
        why = why_not_reached(address[0], int(address[1]), self._allowed)
        if why:
            self._refuse(why)

    def _look_at_file(self, path: Any, flags: int) -> None:
        if isinstance(path, int):
            return  # a descriptor that is open already
        name = os.path.realpath(os.fsdecode(path))
        if flags & _WRITES and name != _NULL:
            self._refuse("the service wants to write a file")
        if not any(name == one or name.startswith(one.rstrip("/") + "/") for one in self._read):
            self._refuse("the service wants to read a file")

    def _refuse(self, why: str) -> None:
        if why not in self.refused:
            self.refused.append(why)
        raise FencedError(why)
