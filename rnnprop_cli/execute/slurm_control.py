"""SLURM's own programs: sbatch, squeue, scontrol, scancel."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from rnnprop_cli.errors import RunError, UsageError
from rnnprop_cli.naming import shell_line

PROGRAMS: Final = ("sbatch", "squeue", "scontrol", "scancel")
SECONDS_TO_ANSWER: Final = 60
_INNOCENT: Final = ("CANCELLED", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED", "DEADLINE")
_TASK: Final = re.compile(r"\d+(_\d+)?")


class TaskState(NamedTuple):
    """How a task ended, as SLURM tells it."""

    state: str  # COMPLETED, FAILED, CANCELLED, TIMEOUT, NODE_FAIL, OUT_OF_MEMORY, ... or UNKNOWN
    exit_code: str = ""  # and the signal: 0:9

    @property
    def innocent(self) -> bool:
        """Whether it says nothing about the batch that the task ran."""
        return self.state.startswith(_INNOCENT)

    @property
    def by_others(self) -> bool:
        """Whether somebody ended it: SLURM, its user, or a signal."""
        return self.innocent or not self.exit_code.endswith(":0")


def missing() -> str | None:
    """What of SLURM is not here, and what to do; None if all is."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if not absent:
        return None
    return (
        f"{', '.join(absent)} not found: run it where SLURM's commands are (a login node), "
        "or install them (Debian and Ubuntu: apt install slurm-client)"
    )


def submit(
    name: str, tasks: int, cores: int, options: Mapping[str, str], logs: Path, folder: Path
) -> list[str]:
    """Starts workers as one array job; the names of its tasks.

    Raises:
        UsageError: SLURM does not take the job as it was asked for.
        RunError: SLURM does not answer.
    """
    command = [
        "sbatch",
        "--parsable",
        f"--job-name={name}",
        f"--array=0-{tasks - 1}",
        f"--output={logs}/%A_%a.log",
        f"--chdir={folder}",
        "--no-requeue",  # whoever runs a batch is known by the name of its task: that never runs twice
        f"--cpus-per-task={cores}",
        *(f"--{option.replace('_', '-')}={value}" for option, value in options.items()),
        f"--wrap=exec {shell_line(sys.executable, '-P', '-m', 'rnnprop_cli.execute.slurm_worker', folder)}",
    ]
    # The same modules as ours, whatever the working directory holds.
    path = os.pathsep.join(str(Path(each).absolute()) for each in sys.path)
    done = _call(command, {**os.environ, "PYTHONPATH": path})
    if done.returncode:
        raise UsageError(f"sbatch does not take the job: {_words(done)}. Its options: --slurm, or [engine].")
    job = done.stdout.strip().partition(";")[0]
    return [f"{job}_{index}" for index in range(tasks)]


def live(name: str) -> set[str] | None:
    """The tasks of this name that wait or run; None if SLURM does not answer."""
    try:
        done = _call(["squeue", "--noheader", "--array", "--me", f"--name={name}", "--format=%F_%K %t"])
    except RunError:
        return None
    if done.returncode:
        return None
    rows = (line.split() for line in done.stdout.splitlines())
    return {row[0].removesuffix("_N/A") for row in rows if len(row) == 2 and row[1] != "CG"}


def ended(task: str) -> TaskState:
    """How a task that is no longer live ended."""
    try:
        done = _call(["scontrol", "show", "job", "-o", task])
    except RunError:
        return TaskState("UNKNOWN")
    state, code = (re.search(rf"\b{key}=(\S+)", done.stdout) for key in ("JobState", "ExitCode"))
    return TaskState(state[1] if state else "UNKNOWN", code[1] if code else "")


def cancel(name: str) -> None:
    """Ends all tasks of this name; SLURM's silence is no reason to stay."""
    try:
        _call(["scancel", "--me", f"--name={name}"])
    except RunError:
        return


def reached() -> tuple[bool, str]:
    """Whether a controller answers SLURM's commands, in words too."""
    try:
        version, ping = _call(["sbatch", "--version"]), _call(["scontrol", "ping"])
    except RunError as error:
        return False, str(error)
    if version.returncode:
        return False, f"its commands do not work here: {_words(version)}"
    up = ping.returncode == 0 and " UP" in ping.stdout
    return up, f"{version.stdout.strip()}, " + (
        "its controller answers" if up else "but no controller answers"
    )


def is_task(text: str) -> bool:
    """Whether this can be the name of a task."""
    return _TASK.fullmatch(text) is not None


def _call(
    command: list[str], environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=SECONDS_TO_ANSWER,
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl+C is the driver's to handle
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RunError(f"{command[0]} does not answer: {error}") from error


def _words(done: "subprocess.CompletedProcess[str]") -> str:
    lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
    return lines[-1].removeprefix("sbatch: error: ").rstrip(".")
