"""`rnnprop train`: meta-train a learned optimizer."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from rnnprop_cli.cli import completion
from rnnprop_cli.cli.console import settings, stderr, stdout
from rnnprop_cli.cli.options import (
    AUTO_DEVICE,
    AllowCodeOption,
    DataDirOption,
    DeviceOption,
    JsonOption,
    KernelOption,
    Tf32Option,
    ThreadsOption,
    TrainSpecOption,
)
from rnnprop_cli.errors import UsageError, suggested
from rnnprop_cli.execute.launchers import Place, find_place
from rnnprop_cli.view.safe_text import safe_text

if TYPE_CHECKING:
    from rnnprop_cli.cli.progress import ProgressDisplay
    from rnnprop_cli.execute.device import Engine
    from rnnprop_cli.runs.observer import Event
    from rnnprop_cli.runs.ranks import Leader


def train(
    ctx: typer.Context,
    spec: TrainSpecOption = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change one setting of the recipe; with --resume, meta_iterations: train on.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the result (default: the recipe's).")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Root of all randomness.")] = None,
    device: DeviceOption = AUTO_DEVICE,
    kernel: KernelOption = "auto",
    threads: ThreadsOption = None,
    tf32: Tf32Option = False,
    allow_code: AllowCodeOption = False,
    data_dir: DataDirOption = None,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Go on with a meta-training: name, id or 'latest'.",
            autocompletion=completion.trainings,
        ),
    ] = None,
    allow_inexact: Annotated[
        bool,
        typer.Option(
            "--allow-inexact",
            help="With --resume: go on with other threads, device or versions too; this marks the run.",
        ),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew even if this recipe was run before.")
    ] = False,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch", help="With --resume: begin the same recipe anew, beside what is recorded."
        ),
    ] = False,
    rewind: Annotated[
        bool,
        typer.Option(
            "--rewind",
            help="With --resume: where checkpoints or curves are damaged or lost, go on from the last checkpoint that "
            "both have whole.",
        ),
    ] = False,
    ranks: Annotated[
        int | None,
        typer.Option(
            "--ranks",
            min=1,
            max=1024,
            help="Processes that share the tasks of the meta-batch, with the same bits for any number; under torchrun "
            "and srun theirs.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the resolved recipe, and stop.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Meta-train a learned optimizer; an interrupted training goes on, to the bit, where it was."""
    if (spec is None) == (resume is None):
        raise UsageError("give either --spec FILE to start or --resume RUN to go on")
    if allow_inexact and resume is None:
        raise UsageError("--allow-inexact goes with --resume: what is started anew is exact")
    if (from_scratch or rewind) and resume is None:
        raise UsageError("--from-scratch and --rewind go with --resume; with --spec, --fresh starts anew")
    if from_scratch and (rewind or allow_inexact):
        raise UsageError("--from-scratch begins anew: neither --rewind nor --allow-inexact goes with it")
    from rnnprop_cli.store.preflight import check_writable

    shared = settings(ctx)
    place = find_place(ranks, os.environ)
    if place is not None and threads is None:
        threads = 1  # of every rank, so that their number is no part of the identity

    def found_engine() -> "Engine":
        from rnnprop_cli.execute.device import find_engine

        slots = 1 if place is None else place.ranks
        return find_engine(device, data_dir, kernel, threads, slots, tf32=tf32, allow_code=allow_code)

    if place is not None and place.rank:
        if not dry_run:
            _follow(place, found_engine())
        return
    with _led(place) as leader:
        if resume is not None:
            if name or seed is not None or fresh:
                raise UsageError(
                    "--resume goes on with the recipe as it was; --name, --seed and --fresh need --spec"
                )
            if not dry_run and shared.db.expanduser().exists():
                check_writable(shared.db)  # before torch, which takes seconds to load
            from rnnprop_cli.runs.train import find_resumable

            earlier, asked, text = find_resumable(shared.db, resume)
            if overrides:
                from rnnprop_cli.spec.load import with_overrides

                asked = with_overrides(asked, overrides)
        else:
            from rnnprop_cli.spec.load import resolve_train
            from rnnprop_cli.spec.shipped import find_spec

            assert spec is not None
            extra = [] if name is None else [f"name={json.dumps(name)}"]
            extra += [] if seed is None else [f"seed={seed}"]
            resolved = resolve_train(find_spec(spec), [*(overrides or []), *extra])
            asked, text = resolved.spec, resolved.toml
        if dry_run:
            stdout().print_json(asked.model_dump_json())
            return
        check_writable(shared.db)
        from rnnprop_cli.cli.progress import progress_display
        from rnnprop_cli.runs.lengthen import lengthen
        from rnnprop_cli.runs.train import run_train

        engine = found_engine()
        if resume is not None and not from_scratch:
            lengthen(shared.db, earlier, asked, engine, allow_inexact=allow_inexact, ranks=leader is not None)
        with progress_display(stderr(), shared.quiet) as display:
            outcome = run_train(
                asked,
                text,
                shared.db,
                engine,
                _Watcher(display),
                fresh=fresh or from_scratch,
                must_exist=resume is not None and not from_scratch,
                allow_inexact=allow_inexact,
                rewind=rewind,
                leader=leader,
            )
    given: dict[str, object] = {
        "--ranks": None if place is None else place.ranks,
        "--threads": threads,
        "--data-dir": data_dir,
        "--kernel": None if kernel == "auto" else kernel,
    }
    given["--device"] = None if device == AUTO_DEVICE else device
    same_engine = ["--tf32"] if tf32 else []
    same_engine += ["--allow-code"] if allow_code else []
    same_engine += [str(word) for flag, value in given.items() if value is not None for word in (flag, value)]
    chosen = outcome.chosen
    if as_json:
        facts = {**vars(outcome), "chosen": None if chosen is None else vars(chosen)}
        stdout().print_json(json.dumps(facts, default=str))
    elif not shared.quiet:
        if outcome.already_done:
            stderr().print(f"{outcome.name}: was done already; --fresh trains it anew")
        if chosen is not None:
            stderr().print(
                f"{outcome.name}: checkpoint of meta-iteration {chosen.meta_step} chosen"
                f" (moving average {_number(chosen.moving_average)}, validation {_number(chosen.validation_loss)});"
                f' a benchmark calls it weights = "{outcome.name}"',
                soft_wrap=True,
            )
        if outcome.stopped_by is not None:
            again = suggested(*shared.place, "train", "--resume", outcome.name, *same_engine)
            stderr().print(
                safe_text(f"stopped after {outcome.meta_iterations} meta-iterations; go on with: {again}"),
                soft_wrap=True,
            )
    if outcome.stopped_by is not None:
        raise typer.Exit(outcome.stopped_by)


@contextmanager
def _led(place: Place | None) -> "Iterator[Leader | None]":
    """The ranks that this process leads. Without any, torch is not loaded for them."""
    if place is None:
        yield None
        return
    from rnnprop_cli.runs.ranks import leading

    with leading(place) as leader:
        yield leader


def _follow(place: Place, engine: "Engine") -> None:
    """What a rank does that a launcher has started and that is not the first."""
    from rnnprop_cli.runs.interrupt import stop_on_signals
    from rnnprop_cli.runs.ranks import follow

    with stop_on_signals() as stop:
        follow(place, engine, stop)
    if stop:
        raise typer.Exit(stop.exit_code)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


class _Watcher:
    """Shows the events of a meta-training."""

    def __init__(self, display: "ProgressDisplay") -> None:
        self.display = display
        self.rate = 0.0
        self.validation = ""

    def __call__(self, event: "Event") -> None:
        from rnnprop_cli.runs import observer

        match event:
            case observer.Notice():
                self.display.line(event.text)
            case observer.TrainPlanned():
                self.display.begin(event.name, event.meta_iterations, event.done)
            case observer.MetaStepDone():
                result = event.result
                now = 1 / max(result.elapsed_s, 1e-9)
                self.rate = now if not self.rate else 0.9 * self.rate + 0.1 * now
                if result.validation_loss is not None:
                    self.validation = f" val {result.validation_loss:.4f}"
                self.display.update(
                    result.meta_iteration,
                    f"loss {result.train_loss:.4f} avg {result.moving_average:.4f}{self.validation} {self.rate:.2f}/s",
                )
            case observer.CheckpointKept():
                kept = event.checkpoint
                self.display.line(
                    f"checkpoint {kept.meta_step}: moving average {_number(kept.moving_average)},"
                    f" validation {_number(kept.validation_loss)}"
                )
            case _:
                pass
