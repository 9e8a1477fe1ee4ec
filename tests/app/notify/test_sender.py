"""The process that sends: what it reaches, what its fence keeps it from, and that it tells no address."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.app.notify.http_target import http_target

from quantum_trader.app.notify.addresses import AllowedAddress
from quantum_trader.app.notify.sender import Delivered, SendOrder
from quantum_trader.app.notify.sending import deliver

pytest.importorskip("apprise")
SECRET = "s3cr3t-t0k3n-of-a-person"


def fenced(code: str, allow: str = "()") -> str:
    """What *code* prints in a process of its own behind the fence: its result, or why it was refused."""
    program = (
        "import os, socket, sys\nfrom quantum_trader.app.notify.addresses import AllowedAddress\n"
        "from quantum_trader.app.notify.process_fence import FencedError, ProcessFence\n"
        f"ProcessFence({allow}).close()\n"
        f"try:\n    {code}\nexcept FencedError as error:\n    print(error)\nelse:\n    print('done')\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    return found.stdout.strip() or found.stderr


def test_a_message_reaches_the_server_that_is_allowed() -> None:
    """Title, text and level arrive as they were given."""
    with http_target() as target:
        order = SendOrder(
            address=f"json://localhost:{target.port}/{SECRET}", title="my-run: a halt", text="risk: daily loss",
            level="critical", allow=(AllowedAddress("127.0.0.1", target.port),),
        )
        assert deliver(order) == Delivered(True)

        assert [(one["title"], one["message"], one["type"]) for one in target.posted] == [
            ("my-run: a halt", "risk: daily loss", "failure")
        ]


@pytest.mark.parametrize(
    "host", [
        "127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]", "0", "[::]",
        "somebody:secret@127.0.0.1", "localhost.", "\uff11\uff12\uff17.0.0.1", "1.1.1.1@127.0.0.1", "[::ffff:0:7f00:1]",
    ]
)
@pytest.mark.parametrize("is_ping", [False, True])
def test_this_machine_is_not_reached_under_any_name(host: str, is_ping: bool) -> None:
    """In decimal, hexadecimal, octal, IPv6 and wide form, behind a user, and by a name that resolves to it.

    The secret is not told.
    """
    with http_target() as target:
        address = f"{'http' if is_ping else 'json'}://{host}:{target.port}/{SECRET}"
        told = deliver(SendOrder(address=address, text="x", is_ping=is_ping))

        assert not told.ok
        assert SECRET not in told.why
        assert (target.posted, target.asked) == ([], [])


def test_the_refusal_names_the_address_that_was_asked_for() -> None:
    """So that an operator can allow it."""
    told = deliver(SendOrder(address="http://localhost:9/x", is_ping=True))

    assert told.why.startswith("refused: ")
    assert "127.0.0.1 port 9" in told.why or "::1 port 9" in told.why


@pytest.mark.parametrize("is_ping", [False, True])
def test_a_redirect_into_the_local_network_is_not_followed(is_ping: bool) -> None:
    """An allowed server sends the request on to another port of this machine, which is never asked."""
    with http_target() as first, http_target() as inner:
        first.away = f"http://{inner.place}/admin"
        address = f"{'http' if is_ping else 'json'}://{first.place}/away"
        told = deliver(SendOrder(
            address=address, text="x", is_ping=is_ping, allow=(AllowedAddress("127.0.0.1", first.port),)
        ))

        assert told == Delivered(
            False, f"refused: 127.0.0.1 port {inner.port} is in a local, private or reserved network, and is not in "
            "`allow` of the settings"
        )
        assert (inner.posted, inner.asked) == ([], [])


def test_a_redirect_to_the_metadata_address_is_not_followed() -> None:
    """169.254.169.254 gives machines of a cloud their keys."""
    with http_target() as first:
        first.away = "http://169.254.169.254/latest/meta-data/"
        told = deliver(SendOrder(
            address=f"http://{first.place}/away", is_ping=True, allow=(AllowedAddress("127.0.0.1", first.port),)
        ))

        assert "169.254.169.254 port 80" in told.why


def test_a_name_that_changes_its_address_after_a_check_is_refused_at_the_connection() -> None:
    """The numbers that are connected to are judged, whatever a lookup before said."""
    code = "socket.create_connection(('rebinding.example', 80), 1)"
    patch = "socket.getaddrinfo = lambda *a, **k: [(2, 1, 6, '', ('127.0.0.1', 80))]; "

    assert "127.0.0.1 port 80" in fenced(patch + code)


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would connect to any address in our place."""
    with http_target() as target, http_target() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{proxy.place}")
        for scheme, is_ping in (("json", False), ("http", True)):
            deliver(SendOrder(
                address=f"{scheme}://{target.place}/", text="x", is_ping=is_ping,
                allow=(AllowedAddress("127.0.0.1", target.port), AllowedAddress("127.0.0.1", proxy.port)),
            ))

        assert (len(target.posted), target.asked) == (1, ["/"])
        assert (proxy.posted, proxy.asked) == ([], [])


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("os.system('true')", "start a program"), ("import subprocess; subprocess.run(['true'])", "start a program"),
        ("os.posix_spawn('/bin/true', ['true'], {})", "start a program"), ("os.fork()", "start a program"),
        ("os.execv('/bin/true', ['true'])", "start a program"), ("open('here', 'w')", "write a file"),
        ("os.open('here', os.O_CREAT | os.O_RDWR)", "write a file"), ("os.mkdir('here')", "change files"),
        ("os.remove('here')", "change files"), ("open('/etc/passwd')", "read a file"),
        ("open('/etc/ssl/../passwd')", "read a file"),
        ("socket.socket(socket.AF_UNIX).connect('/dev/log')", "socket of this machine"),
        ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 514))", "127.0.0.1 port 514"),
        ("socket.socket().connect(('localhost', 80))", "not resolved"),
    ],
)
def test_the_fence_refuses_programs_files_and_local_sockets(code: str, told: str) -> None:
    """Whatever a service of apprise would do on this machine, whichever library it uses."""
    assert told in fenced(code)


def test_the_fence_lets_through_what_is_allowed() -> None:
    """A connection to an address that was named, and the certificates of this Python."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        allow = f"(AllowedAddress('127.0.0.1', {port}),)"
        assert fenced(f"socket.create_connection(('127.0.0.1', {port}), 5)", allow) == "done"
    assert fenced("import certifi; open(certifi.where(), 'rb').read()") == "done"


@pytest.mark.parametrize(
    "address", ["syslog://", "dbus://", "macosx://", "gnome://", "windows://", "deltachat://x", "file:///tmp/x", "no"]
)
def test_schemes_that_act_on_this_machine_are_refused(address: str) -> None:
    """Before apprise is asked."""
    told = deliver(SendOrder(address=address, text="x"))

    assert not told.ok
    assert "network" in told.why or "program" in told.why or "scheme" in told.why


def test_a_service_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    """The process is ended after the time it was given, and the reason is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        told = deliver(
            SendOrder(address=f"http://127.0.0.1:{port}/", is_ping=True, allow=(AllowedAddress("127.0.0.1", port),)),
            timeout_s=1.0,
        )

    assert told == Delivered(False, "no answer within 1 s")


def test_an_order_on_the_way_to_the_process_shows_no_address() -> None:
    """The command line of the process, which every user of the machine can read, is the same for all messages."""
    from quantum_trader.app.notify.sending import COMMAND

    assert not any("://" in word for word in COMMAND)
    assert SECRET in msgspec.json.encode(SendOrder(address=SECRET)).decode()  # it goes by standard input
