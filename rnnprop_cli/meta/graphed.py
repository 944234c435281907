"""Windows recorded once and replayed: on CUDA a window is thousands of small launches, which a graph makes one.

A recording refers to memory, not to objects. So the estimator keeps an optimizee, a trajectory and meta-params of its
own and copies what it is given into them: an optimizee says what it reads, and reads it from where it is told
(`Optimizee.tensors` and `load`); a trajectory is tuples of tensors and numbers, whatever their names. The step numbers
inside a window are the same in every meta-iteration, so each window of the schedule is recorded once. The
meta-optimizer stays outside: its bias correction counts on.

A recording is compared with the plain estimator twice: on the optimizee that it was made with, and on the next one,
which nothing but what was copied tells from it. Whatever goes wrong then, the plain one goes on.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from rnnprop_cli.components.optimizees.base import Optimizee, Tensors
from rnnprop_cli.meta.meta_gradient import WindowResult, known_output_gradient
from rnnprop_cli.meta.truncation import Span
from rnnprop_cli.meta.unroll import InnerProblem, Trajectory

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
            if self._stage is not None:
                self._stage.release()
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
    data: Tensors  # memory that it reads
    own_data: Tensors  # what was in it when it was recorded
    comparisons: int = 0
    compared: Optimizee | None = None  # the last one


class _Stage:
    """Memory of its own, and the recordings that work on it."""

    def __init__(
        self, problem: InnerProblem, meta_params_Q: Tensor, trajectory: Trajectory, record: Record
    ) -> None:
        self.problem = problem
        self.record = record
        self.meta_params_Q = meta_params_Q.clone()
        self.meta_grad_Q = torch.empty_like(meta_params_Q)
        self.end_loss = meta_params_Q.new_empty(())
        self.tensors = [tensor.clone() for tensor in tensors_of(trajectory)]
        self.recordings: dict[Span, _Recording] = {}
        self.last: Span | None = None  # that was replayed

    def run(
        self, problem: InnerProblem, meta_params_Q: Tensor, trajectory: Trajectory, span: Span
    ) -> WindowResult:
        """Replays the window, after recording it if it is new."""
        # the horizon is no network's business: of a longer trajectory these are the same windows
        if problem[1:-1] != self.problem[1:-1]:
            raise RuntimeError("the learned optimizer or its meta-loss is not that of the recordings")
        self.meta_params_Q.copy_(meta_params_Q)
        _copy(self.tensors, tensors_of(trajectory))
        recording = self.recordings.get(span)
        if recording is None:
            recording = self.recordings[span] = self._record(trajectory, span)
        self.problem.optimizee.load(span.first, recording.data)
        own = problem.optimizee is self.problem.optimizee
        given = recording.own_data if own else _data(problem, span)
        _copy(tensors_of(recording.data), tensors_of(given))
        self.last = span
        if numbers_of(recording.before) != numbers_of(trajectory):
            raise RuntimeError("a window began at another step than when it was recorded")
        if recording.comparisons < COMPARISONS and recording.compared is not problem.optimizee:
            self._compare(recording, problem, span)
            recording.comparisons, recording.compared = recording.comparisons + 1, problem.optimizee
        else:
            recording.replay()
        return WindowResult(self.meta_grad_Q.clone(), self.end_loss.clone(), recording.after)

    def release(self) -> None:
        """The optimizee that the recordings were made with gets its own data back."""
        if self.last is not None:
            self.problem.optimizee.load(self.last.first, self.recordings[self.last].own_data)

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

        self.release()  # what it is asked for now are its own data
        own_data = cloned(_data(self.problem, span))
        data = cloned(own_data)
        self.problem.optimizee.load(span.first, data)
        values = [tensor.clone() for tensor in self.tensors]
        try:
            work()  # compiles and warms up
            _copy(self.tensors, values)
            replay = self.record(work)
        finally:
            _copy(self.tensors, values)  # whatever goes wrong, the window is still to be run from there
        return _Recording(replay, before, after, data, own_data)

    def _compare(self, recording: _Recording, problem: InnerProblem, span: Span) -> None:
        """Replays, and holds the results to those of the plain estimator on the optimizee that was given."""
        values = [tensor.clone() for tensor in self.tensors]
        start = rebuilt(recording.before, (value.clone() for value in values))
        plain = known_output_gradient(problem, self.meta_params_Q.clone(), start, span)
        try:
            recording.replay()
        except RuntimeError:
            _copy(self.tensors, values)
            raise
        expected = (plain.meta_grad_Q, plain.end_loss, *tensors_of(plain.trajectory))
        for truth, found in zip(expected, (self.meta_grad_Q, self.end_loss, *self.tensors), strict=True):
            difference = torch.linalg.vector_norm(truth - found)
            if not bool(difference <= TOLERANCE * torch.linalg.vector_norm(truth)):
                _copy(self.tensors, values)  # the plain estimator starts from them
                raise RuntimeError("a replay did not give what the plain window gave")


def _data(problem: InnerProblem, span: Span) -> Tensors:
    data = problem.optimizee.tensors(*span)
    if data is None:
        raise RuntimeError("the optimizee does not tell what its losses are made of")
    return data


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


def cloned(state: Any) -> Any:
    """The nested tuples with copies of the tensors."""
    return rebuilt(state, (tensor.clone() for tensor in tensors_of(state)))


def rebuilt(state: Any, tensors: Iterator[Tensor]) -> Any:
    """The nested tuples with other tensors."""
    if isinstance(state, Tensor):
        return next(tensors)
    if isinstance(state, tuple):
        parts = [rebuilt(part, tensors) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return state
