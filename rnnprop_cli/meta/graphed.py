"""Windows recorded once and replayed: on CUDA a window is thousands of small launches, which a graph makes one.

A recording refers to memory, not to objects. So the estimator keeps an optimizee, a trajectory and meta-params of its
own and copies what it is given into them: an optimizee says what memory it reads (`Optimizee.tensors`), and a
trajectory is tuples of tensors and numbers, whatever their names. The step numbers inside a window are the same in
every meta-iteration, so each window of the schedule is recorded once. The meta-optimizer stays outside: its bias
correction counts on.

A recording is compared with the plain estimator twice: on the optimizee that it was made with, and on the next one,
which nothing but what was copied tells from it. Whatever goes wrong then, the plain one goes on.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from rnnprop_cli.meta.meta_gradient import WindowResult, known_output_gradient
from rnnprop_cli.meta.truncation import Span
from rnnprop_cli.meta.unroll import InnerProblem, Trajectory
from rnnprop_cli.optimizees.base import Optimizee

# Replay and plain run take the same operations; only atomic sums may come in another order.
TOLERANCE: Final = 1e-4
COMPARISONS: Final = 2
NUMBERS: Final = (int, float, str, type(None))  # what a state may hold besides tensors


class Record(Protocol):
    """Turns work on fixed memory into something that repeats it."""

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        """Records without leaving a trace in the memory; the result does the work."""
        ...


class CudaGraphs:
    """Records CUDA graphs. They share one pool of memory: they run one after the other, and what they leave is copied.

    The work must have run before, so that its programs are compiled.
    """

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        """See `Record`."""
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            work()
        replay: Callable[[], None] = graph.replay
        return replay


def record_nothing(work: Callable[[], None]) -> Callable[[], None]:
    """Repeats the work by doing it: what a graph does, for tests on a CPU."""
    return work


class RecordedWindows:
    """An `Estimator` that replays recordings of `known_output_gradient`.

    Args:
        record: how windows are recorded; None: as CUDA graphs.

    Attributes:
        notice: one line that says why windows are not recorded; None while they are.
    """

    def __init__(self, record: Record | None = None) -> None:
        self.record: Record = CudaGraphs() if record is None else record
        self.notice: str | None = None
        self._stage: _Stage | None = None

    def __call__(
        self, problem: InnerProblem, meta_params_Q: Tensor, trajectory: Trajectory, span: Span
    ) -> WindowResult:
        """See `Estimator`."""
        if self.notice is None:
            try:
                if self._stage is None:
                    self._stage = _Stage(problem, meta_params_Q, trajectory, self.record)
                return self._stage.run(problem, meta_params_Q, trajectory, span)
            except RuntimeError as error:
                self.notice = f"windows are not recorded: {(str(error).splitlines() or [''])[0]}"
            self._stage = None  # out here, where no traceback keeps its memory alive
            gc.collect()
            if meta_params_Q.is_cuda:
                torch.cuda.empty_cache()
        return known_output_gradient(problem, meta_params_Q, trajectory, span)


@dataclass
class _Recording:
    """One window."""

    replay: Callable[[], None]
    before: Trajectory  # its numbers are those that the window was recorded with
    after: Trajectory  # where it ends
    comparisons: int = 0
    compared: Optimizee | None = None  # the last one


class _Stage:
    """Memory of its own, and the recordings that work on it."""

    def __init__(
        self, problem: InnerProblem, meta_params_Q: Tensor, trajectory: Trajectory, record: Record
    ) -> None:
        self.problem, self.loaded = problem, problem.optimizee
        self.first_data: list[Tensor] | None = None  # of that optimizee, whose memory others are copied into
        self.record = record
        self.meta_params_Q = meta_params_Q.clone()
        self.meta_grad_Q = torch.empty_like(meta_params_Q)
        self.end_loss = meta_params_Q.new_empty(())
        self.tensors = [tensor.clone() for tensor in tensors_of(trajectory)]
        self.recordings: dict[Span, _Recording] = {}

    def run(
        self, problem: InnerProblem, meta_params_Q: Tensor, trajectory: Trajectory, span: Span
    ) -> WindowResult:
        """Replays the window, after recording it if it is new."""
        self._load(problem, meta_params_Q, trajectory, span)
        recording = self.recordings.get(span)
        if recording is None:
            recording = self.recordings[span] = self._record(trajectory, span)
        if numbers_of(recording.before) != numbers_of(trajectory):
            raise RuntimeError("a window began at another step than when it was recorded")
        if recording.comparisons < COMPARISONS and recording.compared is not problem.optimizee:
            self._compare(recording, problem, span)
            recording.comparisons, recording.compared = recording.comparisons + 1, problem.optimizee
        else:
            recording.replay()
        return WindowResult(self.meta_grad_Q.clone(), self.end_loss.clone(), recording.after)

    def _load(self, problem: InnerProblem, meta_params_Q: Tensor, trajectory: Trajectory, span: Span) -> None:
        """Copies what changes from window to window into the stage."""
        if problem[1:] != self.problem[1:]:
            raise RuntimeError("the learned optimizer or its meta-loss is not that of the recordings")
        self.meta_params_Q.copy_(meta_params_Q)
        steps = span.first + span.length
        given, own = problem.optimizee.tensors(steps), self.problem.optimizee.tensors(steps)
        if given is None or own is None:
            raise RuntimeError(f"the data of {steps} steps are not in memory at once")
        if self.first_data is None:
            self.first_data = [tensor.clone() for tensor in own]
        if problem.optimizee is not self.loaded:
            _copy(own, self.first_data if problem.optimizee is self.problem.optimizee else given)
            self.loaded = problem.optimizee
        _copy(self.tensors, tensors_of(trajectory))

    def _record(self, start: Trajectory, span: Span) -> _Recording:
        before = rebuilt(start, iter(self.tensors))
        after = before

        def work() -> None:
            nonlocal after
            result = known_output_gradient(self.problem, self.meta_params_Q, before, span)
            self.meta_grad_Q.copy_(result.meta_grad_Q)
            self.end_loss.copy_(result.end_loss)
            _copy(self.tensors, tensors_of(result.trajectory))
            after = rebuilt(result.trajectory, iter(self.tensors))

        values = [tensor.clone() for tensor in self.tensors]
        work()  # compiles and warms up
        _copy(self.tensors, values)
        replay = self.record(work)
        _copy(self.tensors, values)
        return _Recording(replay, before, after)

    def _compare(self, recording: _Recording, problem: InnerProblem, span: Span) -> None:
        """Replays, and holds the results to those of the plain estimator on the optimizee that was given."""
        values = [tensor.clone() for tensor in self.tensors]
        start = rebuilt(recording.before, (value.clone() for value in values))
        plain = known_output_gradient(problem, self.meta_params_Q.clone(), start, span)
        recording.replay()
        expected = (plain.meta_grad_Q, plain.end_loss, *tensors_of(plain.trajectory))
        for truth, found in zip(expected, (self.meta_grad_Q, self.end_loss, *self.tensors), strict=True):
            difference = torch.linalg.vector_norm(truth - found)
            if not bool(difference <= TOLERANCE * torch.linalg.vector_norm(truth)):
                _copy(self.tensors, values)  # the plain estimator starts from them
                raise RuntimeError("a replay did not give what the plain window gave")


def _copy(target: Sequence[Tensor], source: Sequence[Tensor]) -> None:
    if [tensor.shape for tensor in target] != [tensor.shape for tensor in source]:
        raise RuntimeError("an optimizee or a state has other tensors than when it was recorded")
    for own, given in zip(target, source, strict=True):
        if own.data_ptr() != given.data_ptr():
            own.copy_(given)


def tensors_of(state: object) -> list[Tensor]:
    """The tensors in nested tuples, in their order.

    Raises:
        RuntimeError: there is something else than tensors, tuples and numbers.
    """
    if isinstance(state, Tensor):
        return [state]
    if isinstance(state, tuple):
        return [tensor for part in state for tensor in tensors_of(part)]
    if isinstance(state, NUMBERS):
        return []
    raise RuntimeError(f"a state that holds a {type(state).__name__} cannot be recorded")


def numbers_of(state: object) -> list[object]:
    """All but the tensors in nested tuples."""
    if isinstance(state, tuple):
        return [number for part in state for number in numbers_of(part)]
    return [] if isinstance(state, Tensor) else [state]


def rebuilt(state: Any, tensors: Iterator[Tensor]) -> Any:
    """The nested tuples with other tensors."""
    if isinstance(state, Tensor):
        return next(tensors)
    if isinstance(state, tuple):
        parts = [rebuilt(part, tensors) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return state
