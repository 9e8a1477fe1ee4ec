"""Which of apprise's schemes are used: those that speak to a service over the network."""

from __future__ import annotations

import re
from typing import Final

HTTP_SCHEMES: Final = frozenset({"http", "https"})  # of a ping
LOCAL_SCHEMES: Final = {  # what they do on this machine
    "dbus": "shows a message on this machine's desktop", "qt": "shows a message on this machine's desktop",
    "kde": "shows a message on this machine's desktop", "glib": "shows a message on this machine's desktop",
    "gio": "shows a message on this machine's desktop", "gnome": "shows a message on this machine's desktop",
    "macosx": "starts a program", "windows": "shows a message on this machine's desktop",
    "syslog": "writes to this machine's log", "blink1": "drives a device of this machine",
    "deltachat": "starts a program", "deltachats": "starts a program", "vapid": "keeps keys in files",
    "file": "writes a file", "exec": "starts a program", "script": "starts a program",
}
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]{0,39})://", re.IGNORECASE)


def scheme_of(address: str) -> str:
    """The scheme of *address* in small letters; empty where it has none."""
    found = _SCHEME.match(address.strip())
    return found[1].lower() if found else ""


def why_scheme_refused(address: str, *, is_ping: bool = False) -> str:
    """Why *address* is not used, in words that do not repeat it; empty where its scheme may be used."""
    scheme = scheme_of(address)
    if not scheme:
        return "the address has no scheme; write it like https://…" if is_ping else "the address has no scheme, such " \
            "as tgram:// or json://; apprise's documentation lists them"
    if is_ping:
        return "" if scheme in HTTP_SCHEMES else f"a ping goes to http:// or https://, not to {scheme}://"
    if scheme in LOCAL_SCHEMES:
        return f"{scheme}:// {LOCAL_SCHEMES[scheme]} instead of sending over the network"
    return ""
