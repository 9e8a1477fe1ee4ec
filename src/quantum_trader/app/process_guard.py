"""No secret leaves a process that holds keys: every road of text out of it goes through the redactor.

``Secret`` objects show nothing by themselves. This guards what others make of the plain text they were given: prints,
tracebacks, log lines, warnings, records. A process that holds keys also leaves no core dump.
"""

from __future__ import annotations

import io
import logging
import resource
import sys
import threading
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO, cast

from quantum_trader.domain.errors import QuantumTraderError
from quantum_trader.venues.binance.keys import ENDPOINT_NAMES, FILE_VARIABLE, Redactor, variables


class _Redacted(io.TextIOBase):
    """A text stream that redacts each text written to it; every other call goes to the stream beneath."""

    def __init__(self, beneath: TextIO, redactor: Redactor) -> None:
        self._beneath = beneath
        self._redactor = redactor

    def write(self, text: str) -> int:
        """Write *text* without secrets."""
        self._beneath.write(self._redactor(text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream beneath; one that is closed has nothing left to flush."""
        if not self._beneath.closed:
            self._beneath.flush()

    def isatty(self) -> bool:
        """Whether the stream beneath is a terminal."""
        return self._beneath.isatty()

    def fileno(self) -> int:
        """The descriptor of the stream beneath."""
        return self._beneath.fileno()

    def writable(self) -> bool:
        """Always."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream beneath."""
        return self._beneath.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """That of the stream beneath."""
        return self._beneath.errors


@contextmanager
def guarded_process(redactor: Redactor) -> Iterator[None]:
    """Redact standard output, standard error and every log record until the block ends; write no core dump.

    The text and traceback of a thread that was started in the block may come after the block's end. While such a thread
    still runs at that end, nothing is lifted: redaction then stays in force until the process ends.
    """
    started_before = set(threading.enumerate())
    stdout, stderr, factory = sys.stdout, sys.stderr, logging.getLogRecordFactory()
    limits = resource.getrlimit(resource.RLIMIT_CORE)

    def record(*arguments: Any, **named: Any) -> logging.LogRecord:
        made = factory(*arguments, **named)
        made.msg, made.args = redactor(made.getMessage()), ()
        if made.exc_info and made.exc_info[0] is not None:
            made.exc_text = redactor("".join(traceback.format_exception(*made.exc_info)))
            made.exc_info = None
        return made

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        stderr.write(redactor("".join(traceback.format_exception(kind, error, trace))))

    resource.setrlimit(resource.RLIMIT_CORE, (0, limits[1]))
    sys.stdout = cast(TextIO, _Redacted(stdout, redactor))
    sys.stderr = cast(TextIO, _Redacted(stderr, redactor))
    logging.setLogRecordFactory(record)
    before, sys.excepthook = sys.excepthook, hook
    try:
        yield
    except QuantumTraderError as error:  # the caller that catches it shows its text
        error.args = (redactor(str(error)),)
        error.__cause__, error.__suppress_context__ = None, True
        sys.excepthook = before
        raise
    else:  # any other error ends the process: the hook stays, and shows it
        sys.excepthook = before
    finally:
        _flush()
        if started_before.issuperset(threading.enumerate()):
            sys.stdout, sys.stderr = stdout, stderr
            logging.setLogRecordFactory(factory)
            resource.setrlimit(resource.RLIMIT_CORE, limits)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()


def forget_keys(environ: MutableMapping[str, str]) -> None:
    """Take the keys out of *environ*, so that no child process inherits them; to be called once they are loaded."""
    for name in (FILE_VARIABLE, *(name for endpoint in ENDPOINT_NAMES for name in variables(endpoint))):
        environ.pop(name, None)
