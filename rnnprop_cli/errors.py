"""The exceptions that users meet. Each says what is wrong, where, and what to do.

Every message is shown as it is, without a traceback; `cli/console.py` maps each class to an exit code.
"""

from rnnprop_cli.naming import shell_line


def suggested(*words: object) -> str:
    """A command line of ours that a reader can paste into a shell, whatever the names in it hold."""
    return shell_line("rnnprop", *words)


class RnnpropError(Exception):
    """Base class of every error that rnnprop raises on purpose."""


class UsageError(RnnpropError):
    """A command was asked for something that does not exist or does not fit (exit 2)."""


class SpecError(UsageError):
    """A spec file is wrong; `problems` holds one line for every mistake in it (exit 2)."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CodeError(UsageError, RuntimeError):
    """Code from outside fails (exit 2; the cells that it fails in are recorded as failed)."""


class DeviceError(UsageError):
    """The device that was asked for is not there (exit 2)."""


class RunError(RnnpropError):
    """A run could not be carried out (exit 1)."""


class DeviceLostError(RunError):
    """A GPU answers this process no more: only another process can go on (exit 1)."""


class RankLostError(RunError):
    """A process of a meta-training that several share has gone (exit 1)."""


class StoreError(RnnpropError):
    """The database or the results folder cannot be used (exit 3)."""


class IntegrityError(RnnpropError):
    """Data or a checkpoint is absent, or is not what its hash says (exit 4)."""


class DataError(IntegrityError):
    """A dataset is absent or damaged (exit 4)."""


class CheckpointError(IntegrityError):
    """A checkpoint or a set of weights is absent or damaged (exit 4)."""
