"""Random kills, hang-ups, stops and restarts of benchmarks and meta-trainings, for as long as you like.

    python tests/faults/soak_kill.py --minutes 15 --seed 1

Each campaign starts a command, disturbs it at random moments until it is done, and compares what it ended with with
what the undisturbed command ends with: every loss of every curve to the bit. Exits 1 with the seed and the folder of
the first campaign that differs.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from fault_tools import (
    BENCH_COMMAND,
    TRAIN_COMMAND,
    Command,
    Nursery,
    committed,
    fingerprint,
    hear_signals,
    prepare,
    table,
)

from rnnprop_cli.runs.soundness import check_all

SLOTS_COMMAND = (*BENCH_COMMAND, "--slots", "2")
COMMANDS = {"bench": BENCH_COMMAND, "train": TRAIN_COMMAND, "bench, two slots": SLOTS_COMMAND}
BLOWS = (
    signal.SIGKILL,
    signal.SIGKILL,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGSTOP,
)
MOST_BLOWS = 8  # then a campaign is left to end
FAULTS = ("", "slow")  # slow: most of the time is spent amid the work, as in a real run


def disturb(command: Command, draw: random.Random, longest_s: float, blows: Counter[str]) -> int:
    """One start of a command, disturbed once; its exit code."""
    time.sleep(draw.uniform(0, longest_s))
    blow = draw.choice(BLOWS)
    blows[blow.name] += command.alive
    command.send(blow)
    if blow == signal.SIGSTOP:
        time.sleep(draw.uniform(0, 0.5))
        command.send(signal.SIGCONT)
        if draw.random() < 0.5:
            command.send(signal.SIGKILL)
    if blow == signal.SIGINT and draw.random() < 0.3:
        command.send(signal.SIGINT)
    return command.wait()


def ending(folder: Path, what: str) -> object:
    """What must be the same."""
    return fingerprint(folder) if what == "train" else table(folder)


def campaign(
    nursery: Nursery, folder: Path, what: str, draw: random.Random, blows: Counter[str]
) -> str | None:
    """Runs one to its end; what is wrong, None if nothing."""
    prepare(folder)
    before: dict[str, tuple[str, str | None, float | None]] = {}
    for number in range(MOST_BLOWS + 1):
        command = nursery.start(folder, *COMMANDS[what], faults=draw.choice(FAULTS))
        code = command.wait() if number == MOST_BLOWS else disturb(command, draw, 2.5, blows)
        if code not in (0, 129, 130, 131, 143, -9, -1, -2, -3, -15):
            return f"exit code {code}: {command.said}"
        if "Traceback" in command.said:
            return command.said
        now = committed(folder)
        if {key: now.get(key) for key in before} != before:
            return "a committed cell was lost or run again"
        before = now
        if code == 0:
            break
    problems = check_all(folder / "a.db").problems
    left = [path.name for path in folder.rglob("*") if path.name.endswith((".tmp", ".new"))]
    return "; ".join([*problems, *left]) or None


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Kill and restart runs at random, and compare what they end with."
    )
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    hear_signals()
    draw, nursery = random.Random(options.seed), Nursery()
    root = Path(tempfile.mkdtemp(prefix="rnnprop-soak-"))
    blows: Counter[str] = Counter()
    done: Counter[str] = Counter()
    wanted: dict[str, object] = {}
    for what, command in COMMANDS.items():
        folder = prepare(root / f"undisturbed {what}")
        assert nursery.run(folder, *command).code == 0
        wanted[what] = ending(folder, what)
    end = time.monotonic() + 60 * options.minutes
    print(f"seed {options.seed}, in {root}", flush=True)
    while time.monotonic() < end:
        what = draw.choice(list(COMMANDS))
        folder = root / str(done.total())
        problem = campaign(nursery, folder, what, draw, blows)
        if problem is None and ending(folder, what) != wanted[what]:
            problem = "the results differ from those of the undisturbed run"
        if problem is not None:
            print(f"{what}, seed {options.seed}, {folder}: {problem}")
            return 1
        done[what] += 1
    told = ", ".join(f"{count} {what}" for what, count in done.items())
    print(f"{done.total()} campaigns as undisturbed ({told})")
    print(", ".join(f"{count} {name}" for name, count in sorted(blows.items())), flush=True)
    nursery.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
