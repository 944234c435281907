"""Meta-training by evolution: a generation of candidates, each on whole trajectories, all on the same ones.

The candidates are the cells of one batch.

Shape legend: C cells (seed by seed, candidate by candidate), P coordinates, Q meta-params, n searched numbers of them,
L candidates, D draws, G generations.
"""

from math import isfinite, nan, sqrt
from typing import Final

import numpy as np
import torch
from torch import Tensor

from rnnprop_cli.accelerate.optimizers import build_population
from rnnprop_cli.components.learned.base import ArchitectureSpec
from rnnprop_cli.components.learned.law import BASE, LawSpec
from rnnprop_cli.components.learned.network import NetworkRule
from rnnprop_cli.components.optimizers.base import Given
from rnnprop_cli.errors import CheckpointError, UsageError
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.execute.tasks import geometric_mean, trained
from rnnprop_cli.execute.training import AVERAGE, Snapshot, Training
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.meta.draws import draw
from rnnprop_cli.meta.evolution import CMA, SOLVED, Array, relative_fitness
from rnnprop_cli.seeds import FIRST_VALIDATION_SEED, derive_seed
from rnnprop_cli.spec.horizons import LogUniform, longest
from rnnprop_cli.spec.tasks import Task
from rnnprop_cli.spec.train import EvolutionSpec, TrainSpec

FITNESS: Final = "fitness"  # name among the tensors of a snapshot


class EvolutionTraining(Training):
    """Meta-training by CMA-ES; see `Training`.

    Args:
        spec: the recipe, with `evolution`.
        engine: where to run.
        snapshot: where to go on from; None to start.
        dataset_sha256: what its dataset must be; None: whatever is there.
        start: meta-params to begin with; None: at random.
    """

    def __init__(
        self,
        spec: TrainSpec,
        engine: Engine,
        snapshot: Snapshot | None = None,
        dataset_sha256: str | None = None,
        start: Weights | None = None,
    ) -> None:
        super().__init__(spec, engine, snapshot, dataset_sha256)
        assert spec.evolution is not None, "a recipe by meta-gradients is MetaTraining's"
        self.evolution: EvolutionSpec = spec.evolution
        named = self.rule.named(
            self.rule.start(derive_seed(spec.seed, "meta-params"), self.dtype, self.device)
        )
        self.named = {name: value.clone() for name, value in named.items()} | _started(
            start, spec.optimizer, named
        )
        self.searched = [name for name in self.named if name in self.evolution.train]
        fitness_GL = None
        if snapshot is not None:
            fitness_GL = snapshot.tensors.get(FITNESS)
            if fitness_GL is None or fitness_GL.shape != (snapshot.meta_iteration, self.evolution.population):
                raise CheckpointError("the checkpoint does not fit the evolution of this spec")
        start_n = torch.cat([self.named[name].reshape(-1) for name in self.searched]).double().cpu().numpy()
        seed = derive_seed(spec.seed, "candidates")
        self.search = CMA(start_n, self.evolution.sigma, self.evolution.population, seed, fitness_GL)
        if snapshot is not None:
            found = self.rule.named(self._result())
            if not all(
                np.array_equal(snapshot.tensors[name], value.cpu().numpy()) for name, value in found.items()
            ):
                raise CheckpointError(
                    "the search does not come to where the checkpoint was, from the same seed and fitnesses: another "
                    "version of cma or numpy, or other weights to start from; --from-scratch begins it anew"
                )

    def iterate(self) -> tuple[float, str | None]:
        """See `Training`. The train loss is the geometric mean of the median candidate's losses."""
        draws, candidates_Ln = self.evolution.draws, self.search.ask()
        meta_params_LQ = torch.stack([self._whole(each_n) for each_n in candidates_Ln])
        first = self.meta_iteration * draws
        losses_DL = np.concatenate([self._losses(first + each, meta_params_LQ) for each in range(draws)])
        self.search.tell(relative_fitness(losses_DL, self.evolution.clip))
        self.meta_iteration += 1
        return _typical_loss(losses_DL), None

    def validate(self) -> tuple[float, tuple[float, ...]]:
        """See `Training`; the geometric mean over short, middling and long trajectories."""
        meta_params_1Q = self._result()[None]
        seeds = [FIRST_VALIDATION_SEED + index for index in range(self.spec.validation.seeds)]
        losses = []
        for task in self.spec.tasks:
            found = [self._final(task, seeds, steps, meta_params_1Q) for steps in typical(task)]
            losses.append(_geometric_mean([float(each.mean()) for each in found]))
        return (losses[0], ()) if len(losses) == 1 else (_geometric_mean(losses), tuple(losses))

    def snapshot(self, validation_loss: float | None = None) -> Snapshot:
        """See `Training`: the fitness of every candidate so far, from which the search follows."""
        found = self.rule.named(self._result())
        tensors = {name: value.cpu().numpy().copy() for name, value in found.items()}
        tensors[FITNESS] = np.array(self.search.history).reshape(-1, self.evolution.population)
        tensors[AVERAGE] = self.average.kept
        return Snapshot(self.meta_iteration, tensors, self.average.value, validation_loss)

    def _result(self) -> Tensor:
        """[Q] all meta-params as the search has them."""
        return self._whole(self.search.result(self.evolution.averaged))

    def _whole(self, searched_n: Array) -> Tensor:
        """[Q] all meta-params, with these in the place of the searched ones."""
        flat_n = torch.from_numpy(searched_n).to(device=self.device, dtype=self.dtype)
        sizes = [self.named[name].numel() for name in self.searched]
        parts = zip(self.searched, torch.split(flat_n, sizes), strict=True)
        own = {name: part.view_as(self.named[name]) for name, part in parts}
        return self.rule.flatten(self.named | own)

    def _losses(self, number: int, meta_params_LQ: Tensor) -> Array:
        """[S, L] final losses of the candidates on the draw of this number, a row for each seed."""
        drawn = draw(self.spec, number)
        seeds = [derive_seed(self.spec.seed, "meta", number, each) for each in range(self.spec.meta_batch)]
        losses_C = self._final(self.spec.tasks[drawn.task], seeds, drawn.horizon, meta_params_LQ)
        return losses_C.double().cpu().numpy().reshape(len(seeds), -1)

    def _final(self, task: Task, seeds: list[int], steps: int, meta_params_LQ: Tensor) -> Tensor:
        """[C] loss after `steps` steps, see `EvolutionSpec.measure`; that of training on the minibatches met first."""
        optimizee = self.task_set.build(task, seeds)
        meta_params_CQ = meta_params_LQ.repeat(len(seeds), 1)
        alpha_C = meta_params_CQ.new_full((len(meta_params_CQ),), self.spec.optimizer.alpha)
        given = Given(alpha_C, steps, optimizee.shapes, fan_ins=optimizee.fan_ins)
        optimizer = build_population(self.rule, meta_params_CQ, given, self.kernel)
        params_CP = optimizee.init_params().repeat_interleave(len(meta_params_LQ), dim=0)
        trained(optimizee, optimizer, params_CP, steps)
        loss_C = optimizee.mean_loss(params_CP, min(steps, self.evolution.evaluation))
        heldout = optimizee.heldout(params_CP) if self.evolution.measure == "both" else None
        return loss_C if heldout is None else (loss_C * heldout.loss_C).sqrt()


def _typical_loss(losses_DL: Array) -> float:
    """Geometric mean over the draws of the median of what did not diverge; NaN where everything did."""
    rows = [row_L[np.isfinite(row_L)] for row_L in losses_DL]
    return (
        _geometric_mean([float(np.median(row)) for row in rows if len(row)]) if any(map(len, rows)) else nan
    )


def _geometric_mean(losses: list[float]) -> float:
    """Of losses that may be solved; NaN where one diverged."""
    return geometric_mean([max(loss, SOLVED) if isfinite(loss) else nan for loss in losses])


def check_evolution(spec: TrainSpec) -> None:
    """Raises UsageError for a recipe that searches meta-params which its optimizer does not have."""
    names = [name for name, _ in spec.optimizer.build().named_shapes()]
    if spec.evolution is None:
        if spec.start:
            raise UsageError(
                "start goes with [evolution]: a meta-training by meta-gradients begins from its seed"
            )
    elif (
        isinstance(spec.optimizer, LawSpec)
        and isinstance(spec.optimizer.build().base, NetworkRule)
        and not (spec.start or any(name.startswith(BASE) for name in spec.evolution.train))
    ):
        raise UsageError(
            f"a law over an untrained network says nothing: name the weights of {spec.optimizer.base.kind} that it is "
            f'to be fitted to, e.g. start = "{spec.optimizer.base.kind}"'
        )
    elif missing := sorted(set(spec.evolution.train) - set(names)):
        raise UsageError(
            f"evolution.train: {spec.optimizer.name} has no meta-params {', '.join(missing)}; "
            f"it has {', '.join(names) or 'none'}"
        )


def typical(task: Task) -> list[int]:
    """A short, a middling and a long trajectory of a task; of a list of horizons all."""
    horizon = task.horizon
    if isinstance(horizon, LogUniform):
        low, high = horizon.log_uniform
        return sorted({low, round(sqrt(low * high)), longest(horizon, task.unroll)})
    return [horizon] if isinstance(horizon, int) else sorted(set(horizon))


def _direction_of(architecture: ArchitectureSpec) -> dict[str, object]:
    """What the numbers of a direction mean: its settings, but for where a search or a rate begins."""
    spec = architecture.base if isinstance(architecture, LawSpec) else architecture
    of_a_start = {"hidden", "decays"} if spec.kind == "mixture" else set()
    return spec.model_dump(exclude={"alpha", "rate"} | of_a_start)


def _started(
    start: Weights | None, architecture: ArchitectureSpec, named: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Meta-params of earlier weights by the names that they have here, where they may be those of the direction.

    Raises:
        CheckpointError: they do not fit.
    """
    if start is not None and _direction_of(start.architecture) != _direction_of(architecture):
        raise CheckpointError(
            f"start: {start.source} holds weights of {start.architecture.name} with other settings than [optimizer] "
            "has: the same numbers mean something else there"
        )
    found: dict[str, Tensor] = {}
    for name, value in ({} if start is None else start.tensors).items():
        own = name if name in named else f"{BASE}{name}"
        if own not in named or tuple(named[own].shape) != np.shape(value):
            raise CheckpointError(
                f"start: {start.source if start else ''} holds {name} {tuple(np.shape(value))}; the optimizer of "
                "this recipe has no such meta-params: [optimizer] and start must be of one kind"
            )
        found[own] = torch.from_numpy(np.asarray(value)).to(named[own])
    return found
