"""Entry point: `rnnprop` and `python -m rnnprop_cli`. Loads nothing before signals have handlers."""

import os
import sys
from typing import Final

from rnnprop_cli.execute.openmp import bound_spin
from rnnprop_cli.runs.interrupt import (
    EXIT_INTERRUPTED,
    end_at_once_from_here_on,
    exit_code_of_signal,
    forget_dead_streams,
    unwind_on_signals,
)

EXIT_USAGE: Final = 2


def main() -> None:
    """Run the command line; never returns (SystemExit carries the exit code)."""
    unwind_on_signals()
    bound_spin()
    try:
        os.getcwd()  # noqa: PTH109
    except OSError as error:
        sys.stderr.write(f"error: the current folder: {error.strerror}. Change to one that is there.\n")
        sys.exit(EXIT_USAGE)
    try:
        from rnnprop_cli.cli.app import app
        from rnnprop_cli.cli.console import allow_narrow_encodings, drop_absurd_width

        allow_narrow_encodings()
        drop_absurd_width()
        app(prog_name="rnnprop")
    except KeyboardInterrupt:  # before the command line itself could say so
        sys.exit(EXIT_INTERRUPTED)
    except Exception:
        if (code := exit_code_of_signal()) is None:
            raise
        sys.exit(code)
    finally:
        forget_dead_streams()
        end_at_once_from_here_on()


if __name__ == "__main__":
    main()
