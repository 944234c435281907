"""Python imports this first in every worker of a driver that has this folder on its path."""

import os
import sys
from pathlib import Path

if names := os.environ.get("RNNPROP_TEST_FAULTS"):
    from rnnprop_cli.execute import worker

    carry_out = worker._carry_out

    def with_faults(pickled: bytes, socket: worker.Socket) -> None:
        """Before the first job: here would be too early, for what is imported here a worker is not yet watched."""
        sys.path.append(str(Path(__file__).parents[1]))
        from faults import inject

        worker._carry_out = carry_out
        inject(names)
        carry_out(pickled, socket)

    worker._carry_out = with_faults
