"""Entry point: `rnnprop` and `python -m rnnprop_cli`."""

import signal
import sys
from types import FrameType

from rnnprop_cli.cli.app import app
from rnnprop_cli.cli.console import EXIT_TERMINATED


def main() -> None:
    """Run the command line; never returns (SystemExit carries the exit code)."""
    signal.signal(signal.SIGTERM, _terminated)
    app(prog_name="rnnprop")


def _terminated(signum: int, frame: FrameType | None) -> None:
    """Unwind, so that files are closed and children ended; `train` and `bench` install gentler handlers."""
    sys.exit(EXIT_TERMINATED)


if __name__ == "__main__":
    main()
