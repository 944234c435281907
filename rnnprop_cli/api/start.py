"""Starting a benchmark or a meta-training from a program. Each takes what its command takes, and does the same."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnprop_cli import DEFAULT_DB
from rnnprop_cli.kernels import KernelName

if TYPE_CHECKING:
    from rnnprop_cli.execute.device import Engine
    from rnnprop_cli.runs.bench import BenchOutcome
    from rnnprop_cli.runs.observer import Event, Observer
    from rnnprop_cli.runs.train import TrainOutcome
    from rnnprop_cli.spec.bench import BenchSpec
    from rnnprop_cli.spec.train import TrainSpec


def bench(
    spec: "str | Path | Mapping[str, Any] | BenchSpec",
    db: str | Path = DEFAULT_DB,
    *,
    only: str | None = None,
    seed: int | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    device: str = "auto",
    kernel: KernelName = "auto",
    threads: int | None = None,
    slots: int | None = None,
    by: str | None = None,
    data_dir: str | Path | None = None,
    observe: "Observer | None" = None,
) -> "BenchOutcome":
    """Tune and race optimizers over a matrix; called again, it does only what is missing.

    Args:
        spec: a file, the name of a spec that comes with rnnprop ("quickstart"), a dictionary as the file would give,
            or a `BenchSpec`.
        db: the database that results go to; it is made if need be.
        only: a glob over "PROBLEM/OPTIMIZER", e.g. "*/adam".
        seed: another root of randomness than the spec's.
        fresh: start anew even if results are there.
        retry_failed: run failed cells again.
        device: "auto", "cpu", "cuda" or "cuda:N".
        kernel: implementation of the learned optimizer's network.
        threads: of the CPU; None: all cores.
        slots: batches that run side by side, in processes of their own.
        by: the engine that carries batches out: "local", "ray" or "slurm"; None: the spec's.
        data_dir: folder with `mnist/` and `cifar10/`.
        observe: is told what happens; see `rnnprop_cli.runs.observer`. Without it, nothing is printed.

    Returns:
        How many cells there are, were run, diverged and failed; `stopped_by` where somebody pressed Ctrl+C.

    Raises:
        SpecError: the spec is wrong; lists every mistake.
        UsageError, DataError, CheckpointError, StoreError, RunError: as the command; `RnnpropError` is all of them.
    """
    from rnnprop_cli.execute.engines import slots_of, threads_of
    from rnnprop_cli.runs.bench import run_bench
    from rnnprop_cli.spec.engine import chosen_engine

    asked, toml = _bench_spec(spec)
    if seed is not None:
        asked = asked.model_copy(update={"seed": seed})
    carried_by = chosen_engine(asked.engine, by, None, None, slots)
    threads = threads_of(carried_by, threads)
    engine = _engine(device, data_dir, kernel, threads, slots_of(carried_by))
    return run_bench(
        asked,
        toml,
        Path(db).expanduser(),
        engine,
        observe or _nobody,
        only=only,
        fresh=fresh,
        retry_failed=retry_failed,
        by=carried_by,
    )


def train(
    spec: "str | Path | Mapping[str, Any] | TrainSpec",
    db: str | Path = DEFAULT_DB,
    *,
    overrides: Sequence[str] = (),
    name: str | None = None,
    seed: int | None = None,
    fresh: bool = False,
    device: str = "auto",
    kernel: KernelName = "auto",
    threads: int | None = None,
    data_dir: str | Path | None = None,
    observe: "Observer | None" = None,
) -> "TrainOutcome":
    """Meta-train a learned optimizer; an interrupted training of the same recipe goes on, to the bit, where it was.

    Args:
        spec: a file, the name of a spec that comes with rnnprop ("train_quick"), a dictionary as the file would give,
            or a `TrainSpec`.
        db: the database that records go to; checkpoints go into `checkpoints/` beside it.
        overrides: "key=value" settings over a file's, as `--set` takes them.
        name: of the result; None: the recipe's.
        seed: root of all randomness; None: the recipe's.
        fresh: start anew even if this recipe was run before.
        device: see `bench`; so are `kernel`, `threads`, `data_dir` and `observe`.
        kernel: see `bench`.
        threads: see `bench`.
        data_dir: see `bench`.
        observe: see `bench`.

    Returns:
        How far it came and which checkpoint was chosen. `RNNprop(..., weights=outcome.name, database=db)` optimises
        with it.

    Raises:
        SpecError: the recipe is wrong; lists every mistake.
        UsageError, DataError, CheckpointError, StoreError: as the command; `RnnpropError` is all of them.
    """
    from rnnprop_cli.runs.train import run_train

    extra = [] if name is None else [f"name={json.dumps(name)}"]
    extra += [] if seed is None else [f"seed={seed}"]
    asked, toml = _train_spec(spec, [*overrides, *extra])
    engine = _engine(device, data_dir, kernel, threads, 1)
    return run_train(asked, toml, Path(db).expanduser(), engine, observe or _nobody, fresh=fresh)


def _bench_spec(spec: "str | Path | Mapping[str, Any] | BenchSpec") -> "tuple[BenchSpec, str]":
    from rnnprop_cli.spec.bench import BenchSpec
    from rnnprop_cli.spec.load import resolve_bench, resolve_bench_text
    from rnnprop_cli.spec.shipped import find_spec
    from rnnprop_cli.spec.write import to_toml

    if isinstance(spec, BenchSpec):
        return spec, ""
    if isinstance(spec, Mapping):
        resolved = resolve_bench_text(to_toml(spec), "spec")
    else:
        resolved = resolve_bench(find_spec(Path(spec).expanduser()))
    return resolved.spec, resolved.toml


def _train_spec(
    spec: "str | Path | Mapping[str, Any] | TrainSpec", overrides: Sequence[str]
) -> "tuple[TrainSpec, str]":
    from rnnprop_cli.spec.load import resolve_train, resolve_train_text, with_overrides
    from rnnprop_cli.spec.shipped import find_spec
    from rnnprop_cli.spec.train import TrainSpec
    from rnnprop_cli.spec.write import to_toml

    if isinstance(spec, TrainSpec):
        return with_overrides(spec, overrides), ""
    if isinstance(spec, Mapping):
        resolved = resolve_train_text(to_toml(spec), "spec", overrides)
    else:
        resolved = resolve_train(find_spec(Path(spec).expanduser()), overrides)
    return resolved.spec, resolved.toml


def _engine(
    device: str, data_dir: str | Path | None, kernel: KernelName, threads: int | None, slots: int
) -> "Engine":
    from rnnprop_cli.execute.device import find_engine

    folder = None if data_dir is None else Path(data_dir).expanduser()
    return find_engine(device, folder, kernel, threads, slots)


def _nobody(event: "Event") -> None:
    pass
