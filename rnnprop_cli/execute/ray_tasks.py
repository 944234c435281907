"""The Ray engine: a task of Ray for every batch.

Ray finds a place for it, by its cores and its part of a GPU; retrying is ours, as in the other engines, for Ray would
add the messages of a second try to those of the first. What travels are the bytes of `wire`, which are checked where
they arrive; weights lie in Ray's object store once. Without an address a cluster is started here that listens on
loopback alone, without a dashboard, and ends with us.
"""

import math
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Final, Self

from rnnprop_cli.errors import RunError, UsageError
from rnnprop_cli.execute import ray_cluster, ray_node
from rnnprop_cli.execute.attempts import Misfortunes, Task, after_death
from rnnprop_cli.execute.bench import BatchDone, BatchJob, BatchProgress
from rnnprop_cli.execute.brought import offer
from rnnprop_cli.execute.dispatch import WINDOW_PER_SLOT, Dispatched, Said
from rnnprop_cli.execute.nodes import Wanted
from rnnprop_cli.execute.wire import Ended, decode_events, encode_job, encode_weights, sha256
from rnnprop_cli.spec.engine import RayEngine

SECONDS_PER_POLL: Final = 0.2
SECONDS_PER_LOOK: Final = 5.0  # at the cluster
SECONDS_TO_CHECK: Final = 30.0  # for a node to say what it has; a busy one is checked before its first batch


@dataclass(eq=False)
class _Running:
    """A batch that Ray has."""

    task: Task
    handle: Any  # a generator of references, or a reference


class RayTasks:
    """Runs batches as tasks of a Ray cluster. See `Dispatcher`."""

    def __init__(self, cluster: "ray_cluster.Cluster", spec: RayEngine, wanted: Wanted) -> None:
        self.restarts = 0  # workers that died over a batch
        self._cluster, self._wanted = cluster, wanted.as_json()
        on_gpu = wanted.engine.torch_device.type == "cuda"
        self._cpus = wanted.engine.threads if spec.cpus is None else spec.cpus
        self._gpus = float(on_gpu) if spec.gpus is None else spec.gpus
        self._told: deque[Dispatched | Said] = deque()
        self._running: dict[Any, _Running] = {}  # by its handle
        self._weights: dict[str, Any] = {}  # hash -> reference
        self._refused: dict[str, str] = {}  # id of a node -> name
        self._misfortunes = Misfortunes()
        self._looked = time.monotonic()
        self._parcels = offer(wanted.datasets, wanted.engine, cluster.put) if cluster.elsewhere else ()
        self._preflight()
        self.window = WINDOW_PER_SLOT * (spec.slots or self._room())

    @classmethod
    def start(cls, spec: RayEngine, wanted: Wanted) -> Self:
        """Joins the cluster, or starts one.

        Raises:
            UsageError: there is none at the address.
            RunError: none of its nodes may compute.
        """
        cores = wanted.engine.threads if spec.cpus is None else spec.cpus
        here = None if spec.slots is None else max(1, math.ceil(spec.slots * cores))
        cluster = ray_cluster.Cluster.join(spec.address, here)
        try:
            return cls(cluster, spec, wanted)
        except BaseException:
            cluster.leave()
            raise

    def _preflight(self) -> None:
        """Asks every node what it has; those that have something else compute nothing."""
        answers = self._cluster.ask_every_node((self._wanted, self._parcels), self._gpus, SECONDS_TO_CHECK)
        for node_id, answer in answers.items():
            if isinstance(answer, str):
                self._refuse(node_id, node_id[:12], answer)
            elif answer[1] is not None:
                self._refuse(node_id, answer[0], answer[1])
        self._check_somebody_left()

    def _refuse(self, node_id: str, name: str, why: str) -> None:
        if node_id not in self._refused:
            self._refused[node_id] = f"{name}: {why}"
            self._told.append(Said(f"node {name} computes nothing here: {why}"))

    def _check_somebody_left(self) -> None:
        alive = self._cluster.nodes()
        if alive and not alive.keys() - self._refused.keys():
            raise RunError(
                "no node of the Ray cluster has what the driver has: "
                + "; ".join(self._refused[each] for each in alive)
            )

    def _room(self) -> int:
        """Batches that the nodes have room for at once."""
        total = 0
        for node_id, resources in self._cluster.nodes().items():
            if node_id in self._refused:
                continue
            fit = [resources.get("CPU", 0.0) / self._cpus]
            if self._gpus:
                fit.append(resources.get("GPU", 0.0) / self._gpus)
            total += math.floor(min(fit) + 1e-9)
        if not total:
            gpus = f" and {self._gpus:g} GPUs" if self._gpus else ""
            raise UsageError(
                f"no node of the Ray cluster has room for a batch: it takes {self._cpus:g} CPUs{gpus}. "
                "Give fewer --threads, or cpus and gpus in [engine]."
            )
        return total

    def submit(self, job: BatchJob) -> None:
        """See `Dispatcher`."""
        self._put(Task.first(job))

    def _put(self, task: Task) -> None:
        weights = None
        if task.job.weights is not None:
            content = encode_weights(task.job.weights)
            name = sha256(content)
            if name not in self._weights:
                self._weights[name] = self._cluster.put(content)
            weights = self._weights[name]
        arguments = encode_job(task.job), weights, self._wanted, self._parcels
        handle = self._cluster.run(arguments, self._cpus, self._gpus, list(self._refused))
        self._running[handle] = _Running(task, handle)

    def poll(self) -> Dispatched | Said | None:
        """See `Dispatcher`.

        Raises:
            RunError: the cluster is gone, or none of its nodes may compute.
        """
        if not self._told:
            if time.monotonic() - self._looked > SECONDS_PER_LOOK:
                self._looked = time.monotonic()
                self._cluster.check_alive()
            self._receive(SECONDS_PER_POLL)
        return self._told.popleft() if self._told else None

    def finished(self) -> list[Dispatched]:
        """See `Dispatcher`."""
        while self._receive(0):
            continue
        done = [
            each for each in self._told if isinstance(each, Dispatched) and isinstance(each.event, BatchDone)
        ]
        self._told.clear()
        return done

    def release(self, job: BatchJob) -> None:
        """See `Dispatcher`."""

    def close(self) -> None:
        """See `Dispatcher`."""
        self._running.clear()
        self._weights.clear()
        self._cluster.leave()

    def _receive(self, timeout_s: float) -> bool:
        """Takes what has come within a moment; whether there was anything."""
        ready = self._cluster.ready(list(self._running), timeout_s)
        for handle in ready:
            running = self._running[handle]
            try:
                contents = self._cluster.next_messages(handle)
            except ray_cluster.DiedError as error:
                del self._running[handle]
                self._die(running.task, str(error), error.innocent)
                continue
            events = [event for content in contents for event in decode_events(content)]
            for event in events:
                self._tell(running, event)
        return bool(ready)

    def _tell(self, running: _Running, event: BatchProgress | BatchDone | Ended) -> None:
        task = running.task
        if isinstance(event, BatchProgress):
            self._told.append(Dispatched(task.asked, event))
            return
        del self._running[running.handle]
        if isinstance(event, BatchDone):
            self._misfortunes.over()
            if (told := task.done(event.results)) is not None:
                self._told.append(told)
        elif event.kind == ray_node.REFUSED:
            self._refuse_late(event.text)
            self._put(task)
        elif event.lost_device:
            task.lost = event.text
            self._die(task, event.text)
        else:
            raise event.error()

    def _refuse_late(self, text: str) -> None:
        """A node that came after us may not compute: whichever it is, all are asked again."""
        before = len(self._refused)
        self._preflight()
        if len(self._refused) == before:
            raise RunError(f"a node of the Ray cluster has changed while this was running: {text}")

    def _die(self, task: Task, how: str, innocent: bool = False) -> None:
        """A worker, or its whole machine, died over a batch."""
        if innocent:
            self._misfortunes.one_more(how)
            self._put(task)
            return
        self.restarts += 1
        again, told = after_death(task, how, "its Ray worker")
        for each in again:
            self._put(each)
        if told is not None:
            self._told.append(told)
