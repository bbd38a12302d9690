"""`python -m sgdb`, and the console script."""

import signal
import sys
from types import FrameType


def main() -> None:
    """Runs the command line. An interrupt ends it quietly, from its first import on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if (
            signal.getsignal(number) is not signal.SIG_IGN
        ):  # as a shell sets it for what it starts in the background
            signal.signal(number, _leave)
    from sgdb.cli import commands

    try:
        commands(prog_name="sgdb")
    finally:  # all is done: a late interrupt must not kill the interpreter while it takes itself apart
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[
            0
        ]  # -m puts the current folder there: a queue.py in it must not hide the standard library's
    main()
