"""Calls methods of the unmodified freqtrade-client, one a line of standard input, and prints each answer as JSON.

A line is ``["trades", [10], {"offset": 5}]``: a method with its arguments. The server, name and token are given as
arguments.
"""

from __future__ import annotations

import json
import sys

from freqtrade_client import FtRestClient


def main() -> None:
    """Serve calls until standard input ends."""
    client = FtRestClient(*sys.argv[1:4], timeout=30)
    for line in sys.stdin:
        method, arguments, named = json.loads(line)
        sys.stdout.write(json.dumps(getattr(client, method)(*arguments, **named)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
