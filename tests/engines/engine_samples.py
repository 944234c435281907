"""Small batches, and stand-ins for SLURM and for a Ray cluster that run them in this process."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizers.learned import LearnedSpec
from rnnprop_cli.components.optimizers.sgd import SGDSpec
from rnnprop_cli.execute import ray_node, slurm_worker
from rnnprop_cli.execute.bench import BatchDone, BatchJob, BatchProgress
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.dispatch import Dispatched, Dispatcher, Said
from rnnprop_cli.execute.nodes import Wanted
from rnnprop_cli.execute.ray_cluster import DiedError
from rnnprop_cli.execute.slurm_control import TaskState
from rnnprop_cli.execute.slurm_folder import Folder
from rnnprop_cli.plan.cells import CellBatch, Problem
from rnnprop_cli.runs.weights import find_weights

ENGINE = Engine("cpu", 1, None, "reference")
PROBLEM = Problem(MLPSpec(dataset="digits", hidden=2), 5, 4, "float32")


def job(first_seed: int = 0, *, learned: bool = False, seeds: int = 2) -> BatchJob:
    """A batch of a few cells."""
    optimizer = LearnedSpec(weights="quick") if learned else SGDSpec()
    rates = (None,) if learned else (0.5, 0.1)
    batch = CellBatch(PROBLEM, optimizer, rates, tuple(range(first_seed, first_seed + seeds)), "final")
    keys = tuple(f"{optimizer.kind}/{cell.seed}/{cell.lr}" for cell in batch.cells())
    return BatchJob(batch, keys, find_weights("quick", None) if learned else None, ENGINE, 100)


def wanted() -> Wanted:
    return Wanted.of_here(ENGINE, "float32", {})


class Story:
    """What a dispatcher has told."""

    def __init__(self) -> None:
        self.done: dict[tuple[str, ...], BatchDone] = {}
        self.repeated = 0
        self.curves: dict[str, int] = {}  # key -> step after the last one that came, without a hole
        self.said: list[str] = []

    def take(self, told: Dispatched | Said | None) -> None:
        if isinstance(told, Said):
            self.said.append(told.text)
        elif told is not None and isinstance(told.event, BatchProgress):
            for curve in told.event.curves:
                assert curve.step0 in (0, self.curves.get(curve.key, 0)), "a hole in a curve"
                self.curves[curve.key] = curve.step0 + len(curve.values) * curve.stride
        elif told is not None:
            assert isinstance(told.event, BatchDone)
            self.repeated += told.job.keys in self.done
            self.done[told.job.keys] = told.event


def run_all(dispatcher: Dispatcher, jobs: Sequence[BatchJob], polls: int = 400) -> Story:
    """Submits jobs and polls until all are done."""
    story = Story()
    for each in jobs:
        dispatcher.submit(each)
    for _ in range(polls):
        if len(story.done) == len(jobs):
            return story
        told = dispatcher.poll()
        story.take(told)
        if isinstance(told, Dispatched) and isinstance(told.event, BatchDone):
            dispatcher.release(told.job)
    raise AssertionError(f"only {len(story.done)} of {len(jobs)} batches after {polls} polls")


class FakeSlurm:
    """Stands for `slurm_control`; its workers do one thing whenever the queue is looked at."""

    def __init__(self, root: Path) -> None:
        self.folder = Folder(root)
        self.alive: dict[str, str] = {}  # task -> node
        self.states: dict[str, TaskState] = {}
        self.submitted: list[dict[str, str]] = []
        self.cancelled = 0
        self.silent = False  # whether it answers
        self.refusals: dict[str, str] = {}  # node -> why
        self.deaths: list[str] = []  # states of the next workers that die over a batch
        self.starts = True  # whether workers come to say a word
        self.works = True  # whether workers take batches
        self.number = 0

    def submit(
        self, name: str, tasks: int, cores: int, options: dict[str, str], logs: Path, folder: Path
    ) -> list[str]:
        self.number += 1
        self.submitted.append(dict(options))
        excluded = options.get("exclude", "").split(",")
        nodes = [node for node in ("n1", "n2", "n3") if node not in excluded]
        names = [f"{self.number}_{index}" for index in range(tasks)]
        self.alive |= {task: nodes[index % len(nodes)] for index, task in enumerate(names)}
        return names

    def live(self, name: str) -> set[str] | None:
        if self.silent:
            return None
        for task in list(self.alive):
            self._step(task)
        return set(self.alive)

    def ended(self, task: str) -> TaskState:
        return self.states.get(task, TaskState("FAILED", "1:0"))

    def cancel(self, name: str) -> None:
        self.cancelled += 1
        self.alive.clear()

    def reached(self) -> tuple[bool, str]:
        return not self.silent, "no controller answers"

    def is_task(self, text: str) -> bool:
        return True

    def _step(self, task: str) -> None:
        node = self.alive[task]
        if not self.starts:
            del self.alive[task]
            return
        why = self.refusals.get(node)
        self.folder.write(self.folder.workers / task, f"{node}\n{why or slurm_worker.READY}".encode())
        if why is not None:
            del self.alive[task]
            return
        if not self.works:
            return
        name = slurm_worker._next(self.folder, task)
        if name is None:
            return
        if self.deaths:
            self.states[task] = TaskState(self.deaths.pop(0), "0:9")
            (self.folder.logs / f"{task}.log").write_text("Killed\n")
            del self.alive[task]
            return
        slurm_worker._run(self.folder, name)


class FakeCluster:
    """Stands for `ray_cluster.Cluster`."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"id1": ("n1", None), "id2": ("n2", None)}
        self.deaths: list[DiedError] = []
        self.without: list[list[str]] = []
        self.gone = self.left = False
        self.stored = 0
        self.elsewhere = False

    def nodes(self) -> dict[str, dict[str, float]]:
        return {node_id: {"CPU": 2.0, "GPU": 1.0} for node_id in self.answers}

    def ask_every_node(self, arguments: tuple[Any, ...], gpus: float, seconds: float) -> dict[str, Any]:
        return dict(self.answers)

    def put(self, content: bytes) -> bytes:
        self.stored += 1
        return content

    def run(
        self, arguments: tuple[Any, ...], cpus: float, gpus: float, without: Sequence[str]
    ) -> Iterator[bytes]:
        self.without.append(list(without))
        return ray_node.run(*arguments)

    def ready(self, handles: Sequence[Any], timeout_s: float) -> list[Any]:
        return list(handles)

    def next_messages(self, handle: Iterator[bytes]) -> list[bytes]:
        if self.deaths:
            raise self.deaths.pop(0)
        return [next(handle)]

    def check_alive(self) -> None:
        pass

    def leave(self) -> None:
        self.left = True


def jobs() -> list[Any]:
    return [job(0), job(2), job(0, learned=True)]


def outcomes(*stories: Story) -> dict[str, tuple[str, float | None]]:
    return {
        result.key: (result.status, result.final_loss)
        for story in stories
        for done in story.done.values()
        for result in done.results
    }


def poll_on(dispatcher: Dispatcher) -> None:
    for _ in range(50):
        dispatcher.poll()
