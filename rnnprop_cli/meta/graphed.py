"""Windows recorded once and replayed: on CUDA a window is thousands of small launches, which a graph makes one.

A recording refers to memory, not to objects. So the estimator keeps an optimizee, a trajectory and meta-params of its
own and copies what it is given into them; the step numbers inside a window are the same in every meta-iteration, so
each window of the schedule is recorded once. The meta-optimizer stays outside: its bias correction counts on.

A recording is compared with the plain estimator when it is made. Whatever goes wrong then, the plain one goes on.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from rnnprop_cli.data.minibatches import BLOCK_STEPS
from rnnprop_cli.kernels.base import Hidden, Kernel
from rnnprop_cli.meta.meta_gradient import Estimator, WindowResult, known_output_gradient
from rnnprop_cli.meta.meta_loss import MetaLoss
from rnnprop_cli.meta.truncation import Span
from rnnprop_cli.meta.unroll import Trajectory
from rnnprop_cli.optimizees.base import Optimizee
from rnnprop_cli.optimizers.learned import LearnedRule, LearnedState

# Replay and plain run take the same operations; only atomic sums may come in another order.
TOLERANCE: Final = 1e-4


class Record(Protocol):
    """Turns work on fixed memory into something that repeats it."""

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        """Records without leaving a trace in the memory; the result does the work."""
        ...


def record_cuda_graph(work: Callable[[], None]) -> Callable[[], None]:
    """Records a CUDA graph. The work must have run before, so that its programs are compiled."""
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    replay: Callable[[], None] = graph.replay
    return replay


def record_nothing(work: Callable[[], None]) -> Callable[[], None]:
    """Repeats the work by doing it: what a graph does, for tests on a CPU."""
    return work


class RecordedWindows:
    """An `Estimator` that replays recordings of `known_output_gradient`.

    Args:
        record: how windows are recorded.

    Attributes:
        notice: one line that says why windows are not recorded; None while they are.
    """

    def __init__(self, record: Record = record_cuda_graph) -> None:
        self.record = record
        self.notice: str | None = None
        self._stage: _Stage | None = None
        self._plain: Estimator = known_output_gradient

    def __call__(
        self,
        optimizee: Optimizee,
        rule: LearnedRule,
        kernel: Kernel,
        kind: MetaLoss,
        meta_params_Q: Tensor,
        alpha: float,
        trajectory: Trajectory,
        span: Span,
    ) -> WindowResult:
        """See `Estimator`."""
        if self.notice is None and span.first + span.length > BLOCK_STEPS:
            self.notice = f"windows are not recorded: trajectories are longer than {BLOCK_STEPS} steps"
        if self.notice is None:
            try:
                if self._stage is None:
                    self._stage = _Stage(optimizee, rule, kernel, kind, meta_params_Q, alpha, trajectory)
                self._stage.load(optimizee, meta_params_Q, trajectory, span)
                return self._stage.run(trajectory, span, self.record)
            except (RuntimeError, AttributeError) as error:
                self.notice = f"windows are not recorded: {str(error).splitlines()[0]}"
        return self._plain(optimizee, rule, kernel, kind, meta_params_Q, alpha, trajectory, span)


class _Stage:
    """Memory of its own, and the recordings that work on it."""

    def __init__(
        self,
        optimizee: Optimizee,
        rule: LearnedRule,
        kernel: Kernel,
        kind: MetaLoss,
        meta_params_Q: Tensor,
        alpha: float,
        trajectory: Trajectory,
    ) -> None:
        self.optimizee, self.rule, self.kernel = optimizee, rule, kernel
        self.kind, self.alpha = kind, alpha
        self.meta_params_Q = meta_params_Q.clone()
        self.meta_grad_Q = torch.empty_like(meta_params_Q)
        self.end_loss = meta_params_Q.new_empty(())
        self.tensors = [tensor.clone() for tensor in _trajectory_tensors(trajectory)]
        self.recordings: dict[Span, Callable[[], None]] = {}

    def load(self, optimizee: Optimizee, meta_params_Q: Tensor, trajectory: Trajectory, span: Span) -> None:
        """Copies what changes from window to window into the stage."""
        self.meta_params_Q.copy_(meta_params_Q)
        if span.first == 0:
            optimizee.loss(trajectory.params_CP, 0)  # has the minibatches drawn
            _check_blocks(optimizee)
            if optimizee is not self.optimizee:
                _copy_tensors(optimizee, self.optimizee)
        for own, given in zip(self.tensors, _trajectory_tensors(trajectory), strict=True):
            if own is not given:
                own.copy_(given)

    def run(self, start: Trajectory, span: Span, record: Record) -> WindowResult:
        """Replays the window, after recording it if it is new. `start` tells the steps done; its tensors are loaded."""
        if span not in self.recordings:
            self.recordings[span] = self._record(start, span, record)
        self.recordings[span]()
        features = start.state.features
        if features:  # what counts steps is no tensor, and no part of the recording
            features = features._replace(steps=span.first + span.length)
        end = _with_tensors(self.tensors, features)
        return WindowResult(self.meta_grad_Q.clone(), self.end_loss.clone(), end)

    def _record(self, start: Trajectory, span: Span, record: Record) -> Callable[[], None]:
        def work() -> None:
            trajectory = _with_tensors(self.tensors, start.state.features)
            result = known_output_gradient(
                self.optimizee,
                self.rule,
                self.kernel,
                self.kind,
                self.meta_params_Q,
                self.alpha,
                trajectory,
                span,
            )
            self.meta_grad_Q.copy_(result.meta_grad_Q)
            self.end_loss.copy_(result.end_loss)
            for own, new in zip(self.tensors, _trajectory_tensors(result.trajectory), strict=True):
                if own is not new:
                    own.copy_(new)

        before = [tensor.clone() for tensor in self.tensors]
        work()  # compiles and warms up, and is what the replay is compared with
        expected = [tensor.clone() for tensor in (self.meta_grad_Q, self.end_loss, *self.tensors)]
        self._restore(before)
        replay = record(work)
        self._restore(before)
        replay()
        found = (self.meta_grad_Q, self.end_loss, *self.tensors)
        for plain, replayed in zip(expected, found, strict=True):
            difference = torch.linalg.vector_norm(plain - replayed)
            if not bool(difference <= TOLERANCE * torch.linalg.vector_norm(plain)):
                self._restore(before)
                raise RuntimeError("a replay did not give what the plain window gave")
        self._restore(before)
        return replay

    def _restore(self, values: list[Tensor]) -> None:
        for own, value in zip(self.tensors, values, strict=True):
            own.copy_(value)


def _trajectory_tensors(trajectory: Trajectory) -> list[Tensor]:
    features = [part for part in trajectory.state.features if isinstance(part, Tensor)]
    return [trajectory.params_CP, *trajectory.state.hidden, *features]


def _with_tensors(tensors: list[Tensor], features: Any) -> Trajectory:
    """The trajectory whose tensors are these and whose numbers are those of `features`."""
    params_CP, h_LHN, c_LHN, *accumulators = tensors
    if accumulators:
        features = features._replace(m_CP=accumulators[0], v_CP=accumulators[1])
    return Trajectory(params_CP, LearnedState(features, Hidden(h_LHN, c_LHN)))


def _copy_tensors(source: object, target: object) -> None:
    """Copies every tensor that `source` holds, however deep, into its counterpart in `target`."""
    for name, own in _members(target):
        given = getattr(source, name)
        if not isinstance(own, Tensor):
            _copy_tensors(given, own)
        elif own is not given and own.data_ptr() != given.data_ptr():
            own.copy_(given)


def _check_blocks(value: object) -> None:
    """Minibatches must be drawn for a whole trajectory at once: a recording draws none."""
    if getattr(value, "block_steps", BLOCK_STEPS) < BLOCK_STEPS:
        raise RuntimeError("minibatches are drawn in blocks that are shorter than a trajectory")
    for _, member in _members(value):
        if not isinstance(member, Tensor):
            _check_blocks(member)


def _members(value: object) -> Iterator[tuple[str, object]]:
    """Tensors and our own objects among the attributes."""
    for name, member in vars(value).items():
        ours = type(member).__module__.startswith("rnnprop_cli.") and hasattr(member, "__dict__")
        if isinstance(member, Tensor) or (
            ours and not type(member).__module__.endswith(("datasets", "spec"))
        ):
            yield name, member
