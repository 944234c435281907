"""A meta-training on several ranks: how they come together, and what those do that are not the first.

The first rank has the store and tells the others the recipe, so that they need neither its file nor the database. They
answer whether what they would compute has the same bits.
"""

import json
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from rnnprop_cli.errors import RnnpropError, RunError, UsageError
from rnnprop_cli.execute import worker
from rnnprop_cli.execute.device import Engine, slot_devices
from rnnprop_cli.execute.launchers import Place
from rnnprop_cli.execute.team import Team
from rnnprop_cli.execute.train import MetaTraining
from rnnprop_cli.runs.interrupt import StopRequest
from rnnprop_cli.runs.train_identity import check_learned, train_environment
from rnnprop_cli.spec.train import TrainSpec

SECONDS_PER_LOOK: Final = 0.2
SECONDS_TO_DIE: Final = 2.0  # between the end of a rank's connection and that of its process
_BOOT: Final = "from rnnprop_cli.runs.rank_process import work; work({descriptor})"


class Started(NamedTuple):
    """What a rank that was started here is told."""

    place: Place
    engine: Engine


@dataclass
class _Other:
    """A rank that was started here."""

    rank: int
    process: subprocess.Popen[bytes]
    socket: worker.Socket


@dataclass
class Leader:
    """The first rank."""

    place: Place
    team: Team
    stop: StopRequest = field(default_factory=StopRequest)  # that the command listens to
    _others: list[_Other] = field(default_factory=list)

    def begin(self, spec: TrainSpec, engine: Engine, environment: Mapping[str, Any]) -> None:
        """Tells the others what to do.

        Args:
            spec: the recipe.
            engine: where it runs.
            environment: what the bits depend on besides.

        Raises:
            UsageError: there are more ranks than tasks, or a rank would give other bits.
            RankLostError: a rank has gone.
            RunError: processes do not start.
        """
        if spec.evolution is not None:
            raise UsageError(
                f"--ranks shares out meta-gradients, and '{spec.name}' is trained by evolution, in one process"
            )
        if self.team.ranks > spec.meta_batch:
            raise UsageError(
                f"{self.team.ranks} ranks, but '{spec.name}' trains on {spec.meta_batch} at a time (meta_batch), and a "
                f"rank needs a task: --ranks {spec.meta_batch}, or a recipe with more (--set meta_batch=...)"
            )
        if not self.team.connected:
            self._start(engine)
        self.team.lead()
        told = {"spec": spec.model_dump(mode="json"), "environment": dict(environment)}
        self.team.texts(json.dumps(told))
        if found := next(filter(None, self.team.texts("")), None):
            raise UsageError(found)

    def how_lost(self) -> str | None:
        """What became of a rank that was started here; None if all are there. Those that only miss another one wait."""
        end = time.monotonic() + SECONDS_TO_DIE
        while self._others and time.monotonic() < end:
            for other in self._others:
                with suppress(EOFError, OSError):
                    if other.socket.poll():
                        return f"rank {other.rank} cannot go on: {other.socket.recv()}"
                if (status := other.process.poll()) is not None:
                    return f"rank {other.rank} has ended ({_how(status)})"
            time.sleep(SECONDS_TO_DIE / 100)
        return None

    def close(self) -> None:
        """Leaves nothing behind."""
        for other in self._others:
            other.socket.close()  # it ends when it sees that
        for other in self._others:
            with suppress(subprocess.TimeoutExpired):
                other.process.wait(SECONDS_TO_DIE)
            other.process.kill()
            other.process.wait()
        self._others.clear()
        self.team.close()

    def _start(self, engine: Engine) -> None:
        with tempfile.TemporaryDirectory(prefix="rnnprop-") as folder:  # only this user may enter it
            meeting = f"file://{Path(folder, 'ranks')}"
            for rank in range(1, self.team.ranks):
                place = Place(rank, self.team.ranks, rank, meeting, one_machine=True)
                try:
                    self._others.append(_Other(rank, *worker.start(_BOOT)))
                    self._others[-1].socket.send_bytes(pickle.dumps(Started(place, engine)))
                except OSError as error:
                    raise RunError(f"rank {rank} cannot be started ({error.strerror or error})") from error
            for other in self._others:
                try:
                    while not other.socket.poll(SECONDS_PER_LOOK):
                        if self.stop:
                            sys.exit(self.stop.exit_code)
                    other.socket.recv()
                except (EOFError, OSError) as error:
                    raise RunError(
                        f"rank {other.rank} does not start ({_how(other.process.wait())})"
                    ) from error
            self.team.connect(meeting, one_machine=True)
            self.team.texts("")  # all have met, and nobody needs the folder any more


@contextmanager
def leading(place: Place | None) -> Iterator[Leader | None]:
    """The first rank; at the end the others are let go. None where there are no ranks.

    Where a launcher has started the others, they are met at once, so that they learn of whatever happens here.
    """
    if place is None:
        yield None
        return
    leader = Leader(place, Team(0, place.ranks))
    leader.team.how_lost = leader.how_lost
    leader.team.hurried = lambda: bool(leader.stop)
    try:
        if place.rendezvous is not None:
            leader.team.connect(place.rendezvous, one_machine=place.one_machine)
            leader.team.texts("")
        yield leader
        leader.team.end()
    finally:
        leader.close()


def follow(place: Place, engine: Engine, stop: StopRequest) -> None:
    """What a rank does that is not the first, until that one says that all is over.

    Args:
        place: which rank it is.
        engine: where it runs, but for the number of the GPU.
        stop: a signal is passed on to the first rank.

    Raises:
        RnnpropError: why this rank cannot go on, or that another has gone.
    """
    assert place.rendezvous is not None
    team = Team(place.rank, place.ranks)
    engine = placed(engine, place)
    engine.prepare()
    try:
        team.connect(place.rendezvous, one_machine=place.one_machine)
        team.texts("")
        if not team.asked_on(stop.signal):
            return
        told = json.loads(team.texts("")[0])
        spec = TrainSpec.model_validate(told["spec"])
        problem = _problem(place, spec, engine, told["environment"])
        if found := next(filter(None, team.texts(problem)), None):
            raise UsageError(found)
        sha256 = told["environment"].get("dataset_sha256")
        training = MetaTraining(spec, engine, None, sha256, team)
        while team.asked_on(stop.signal):
            training.advance()
    finally:
        team.close()


def _problem(place: Place, spec: TrainSpec, engine: Engine, first: Mapping[str, Any]) -> str:
    """Why this rank would not give the bits of the first one; empty if it would."""
    name = f"rank {place.rank} on {socket.gethostname()}"
    try:
        check_learned(spec)
        here = train_environment(spec, engine, ranks=True)
    except RnnpropError as error:
        return f"{name}: {error}"
    changed = [
        f"{key} is {here.get(key)}, not {first.get(key)}"
        for key in sorted(here.keys() | first.keys())
        if here.get(key) != first.get(key)
    ]
    return f"{name} would give other bits than the first rank: {', '.join(changed)}" if changed else ""


def placed(engine: Engine, place: Place) -> Engine:
    """The engine on the device of this rank: the GPUs of its machine are taken in turns."""
    devices = slot_devices(engine.device)
    return replace(engine, device=devices[place.local % len(devices)])


def _how(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"
