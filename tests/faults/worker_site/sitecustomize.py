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


class _BeforeRemote:
    """In a worker of a cluster: before it imports what runs batches there."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "rnnprop_cli.execute.remote":
            sys.meta_path.remove(self)
            sys.path.append(str(Path(__file__).parents[1]))
            from faults import inject

            inject(_of_nodes)


_of_nodes = " ".join(filter(None, map(os.environ.get, ("RNNPROP_TEST_FAULTS", "RNNPROP_TEST_NODE_FAULTS"))))
if _of_nodes:
    sys.meta_path.insert(0, _BeforeRemote())
