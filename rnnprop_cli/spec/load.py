"""From a TOML file to a validated spec, or to a list of every mistake in it.

    resolved = resolve(Path("bench_specs/quickstart.toml"))   # a bench or a train spec, whichever it is
    bench = load_bench(path)
    train = load_train(path, ["truncation.horizon=200", "optimizee.activation=relu"])

A problem reads `file:line:col: path.to.key: what is wrong - did you mean 'x'?`, followed by the source line and a
caret.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Final, Generic, Literal, TypeVar

from pydantic import ValidationError

from rnnprop_cli.components.plugins import FOLDER
from rnnprop_cli.errors import SpecError, suggested
from rnnprop_cli.fields import Spec
from rnnprop_cli.spec.axes import expand
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.fitting import misfit, too_small_datasets
from rnnprop_cli.spec.installed import with_entry_points
from rnnprop_cli.spec.labels import repeated, with_axis_labels
from rnnprop_cli.spec.locate import Path
from rnnprop_cli.spec.overrides import Override, apply_override, parse_override
from rnnprop_cli.spec.source import Source, parse, read
from rnnprop_cli.spec.train import TrainSpec
from rnnprop_cli.spec.wording import (
    IS_MISSING,
    describe,
    dotted,
    either,
    follows_from_others,
    path_of,
    points_at_key,
)

MAX_PROBLEMS: Final = 50  # shown; a file with more is not a spec

SpecKind = Literal["bench", "train"]
AnySpec = TypeVar("AnySpec", bound=Spec)


@dataclass(frozen=True)
class Resolved(Generic[AnySpec]):
    """A spec with every default filled in, beside the text it came from."""

    kind: SpecKind
    spec: AnySpec
    toml: str


def resolve(path: FilePath) -> Resolved[BenchSpec] | Resolved[TrainSpec]:
    """Load a spec of either kind: `[[optimizers]]` makes it a bench, `[optimizer]` a train spec.

    Raises:
        SpecError: the file cannot be read or holds mistakes; all of them are listed.
    """
    source = read(path)
    if _kind(source) == "bench":
        return Resolved("bench", _bench(source), source.text)
    return Resolved("train", _train(source, ()), source.text)


def resolve_bench_text(text: str, name: str) -> Resolved[BenchSpec]:
    """As `resolve_bench`, of TOML that lies in no file; `name` stands for it in messages."""
    source = parse(text, name)
    _expect(source, "bench")
    return Resolved("bench", _bench(source), source.text)


def resolve_train_text(text: str, name: str, overrides: Sequence[str] = ()) -> Resolved[TrainSpec]:
    """As `resolve_train`, of TOML that lies in no file; `name` stands for it in messages."""
    source = parse(text, name)
    _expect(source, "train")
    return Resolved("train", _train(source, overrides), source.text)


def load_bench(path: FilePath) -> BenchSpec:
    """Load a benchmark. Raises SpecError as `resolve` does, and for a train spec."""
    return resolve_bench(path).spec


def resolve_bench(path: FilePath) -> Resolved[BenchSpec]:
    """As `load_bench`, with the text that it was read from: the file itself may be another a moment later."""
    source = read(path)
    _expect(source, "bench")
    return Resolved("bench", _bench(source), source.text)


def load_train(path: FilePath, overrides: Sequence[str] = ()) -> TrainSpec:
    """Load a meta-training, with `a.b=value` overrides (TOML values) laid over the file.

    Raises SpecError as `resolve` does, and for a bench spec.
    """
    return resolve_train(path, overrides).spec


def resolve_train(path: FilePath, overrides: Sequence[str] = ()) -> Resolved[TrainSpec]:
    """As `load_train`, with the text that it was read from."""
    source = read(path)
    _expect(source, "train")
    return Resolved("train", _train(source, overrides), source.text)


def with_overrides(spec: TrainSpec, overrides: Sequence[str]) -> TrainSpec:
    """A meta-training that was loaded before, with `a.b=value` overrides laid over it.

    Raises:
        SpecError: one of them is not of that form, or its value is out of range.
    """
    data = spec.model_dump(mode="json")
    for typed in overrides:
        data = apply_override(data, parse_override(typed))
    try:
        changed = TrainSpec.model_validate_json(json.dumps(data))
    except ValidationError as invalid:
        raise SpecError(
            [
                f"--set: {dotted(path_of(error))}: {describe(error, TrainSpec)}"
                for error in invalid.errors(include_url=False)
            ]
        ) from None
    if (found := misfit(changed.optimizee)) is not None:
        raise SpecError([f"--set: optimizee.{found[0]}: {found[1]}"])
    return changed


def _kind(source: Source) -> SpecKind:
    bench, train = "optimizers" in source.data, "optimizer" in source.data
    if bench and train:
        at = source.offset(("optimizer",), at_key=True)
        raise SpecError([source.told(at, "a spec has [optimizer] or [[optimizers]], not both")])
    if bench or train:
        return "bench" if bench else "train"
    if "optimizees" in source.data or "optimizee" in source.data:
        return "bench" if "optimizees" in source.data else "train"
    raise SpecError(
        [
            f"{source.name}: is neither a bench spec (it would have [[optimizers]]) nor a train spec ([optimizer])"
        ]
    )


def _expect(source: Source, wanted: SpecKind) -> None:
    other: SpecKind = "train" if wanted == "bench" else "bench"
    mark = {"bench": "optimizers", "train": "optimizer"}
    if mark[other] in source.data and mark[wanted] not in source.data:
        at = source.offset((mark[other],), at_key=True)
        command = suggested(other, "--spec", source.name)
        raise SpecError([source.told(at, f"this is a {other} spec: run it with `{command}`")])


@dataclass(frozen=True)
class _Mistake:
    path: Path  # in the data that was validated
    message: str
    at_key: bool = False


def _bench(source: Source) -> BenchSpec:
    expanded = expand(with_entry_points(source.data))
    spec, mistakes = _validate(BenchSpec, expanded.data, source.folder)
    if spec is not None and not expanded.problems:
        spec, too_long = with_axis_labels(spec, expanded.origins["optimizers"])
        mistakes = [_Mistake(path, message) for path, message in too_long + repeated(spec)]
        misfits = ((index, misfit(optimizee)) for index, optimizee in enumerate(spec.optimizees))
        mistakes += [_Mistake(("optimizees", index, found[0]), found[1]) for index, found in misfits if found]
        texts = too_small_datasets(spec.optimizees, spec.minibatch, spec.sampling)
        mistakes += [_Mistake(("minibatch",), f"{spec.minibatch:,} {text}") for text in texts]
    written = [_Mistake(path, message) for path, message in expanded.problems]
    written += [_Mistake(expanded.written(m.path), m.message, m.at_key) for m in mistakes]
    if spec is None or written:
        raise SpecError(_told(source, written))
    return spec


def _minibatches(spec: TrainSpec) -> Iterator[_Mistake]:
    for index, task in enumerate(spec.tasks):
        own = spec.optimizees[index].minibatch if spec.optimizees else None
        path: Path = ("minibatch",) if own is None else ("optimizees", index, "minibatch")
        for text in too_small_datasets([task.optimizee], task.minibatch, spec.sampling):
            yield _Mistake(path, f"{task.minibatch:,} {text}")


def _misfits(spec: TrainSpec) -> Iterator[_Mistake]:
    """Settings of its optimizees that do not fit their datasets."""
    for index, task in enumerate(spec.tasks):
        if (found := misfit(task.optimizee)) is not None:
            place: Path = ("optimizees", index) if spec.optimizees else ("optimizee",)
            yield _Mistake((*place, found[0]), found[1])


def _train(source: Source, overrides: Sequence[str]) -> TrainSpec:
    data = with_entry_points(source.data)
    laid: list[Override] = []
    problems: list[str] = []
    for typed in overrides:
        try:
            laid.append(parse_override(typed))
            data = apply_override(data, laid[-1])
        except SpecError as error:
            problems += error.problems
    spec, mistakes = _validate(TrainSpec, data, source.folder)
    if spec is not None:
        mistakes = [*_misfits(spec), *_minibatches(spec)]
    in_file: list[_Mistake] = []
    for mistake in mistakes:
        # Of several overrides of one setting the last one holds.
        guilty = next((one for one in reversed(laid) if one.concerns(mistake.path)), None)
        if guilty is None or mistake.message == IS_MISSING:
            in_file.append(mistake)
        else:
            problems.append(f"--set {guilty.typed}: {dotted(mistake.path)}: {mistake.message}")
    problems += _told(source, in_file)
    if spec is None or problems:
        raise SpecError(problems)
    return spec


def _told(source: Source, mistakes: Sequence[_Mistake]) -> list[str]:
    """The first problems in the order of the file; expanded tables share mistakes, which count once."""
    places = {mistake: source.offset(mistake.path, at_key=mistake.at_key) for mistake in mistakes}
    ordered = sorted(places, key=lambda mistake: places[mistake])
    problems = []
    for mistake in ordered[:MAX_PROBLEMS]:
        setting = f"{dotted(mistake.path)}: " if mistake.path else ""
        problems.append(source.told(places[mistake], f"{setting}{mistake.message}"))
    more = len(ordered) - MAX_PROBLEMS
    return problems + ([f"and {more:,} more mistakes"] if more > 0 else [])


def _validate(
    model: type[AnySpec], data: dict[str, Any], folder: FilePath
) -> tuple[AnySpec | None, list[_Mistake]]:
    try:
        return model.model_validate(data, context={FOLDER: folder}), []
    except ValidationError as invalid:
        told: dict[tuple[Path, bool], list[str]] = {}
        for error in invalid.errors(include_url=False):
            if follows_from_others(error):
                continue
            place = _existing(data, path_of(error), missing=error["type"] == "missing"), points_at_key(error)
            told.setdefault(place, []).append(describe(error, model))
        return None, [_Mistake(path, either(texts), at_key) for (path, at_key), texts in told.items()]


def _existing(data: Any, path: Path, *, missing: bool) -> Path:
    """`path` without the names that pydantic appends for each member of a union of values."""
    for depth, part in enumerate(path):
        if isinstance(data, dict):
            inside = part in data
        else:
            inside = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if not inside:
            return path[: depth + 1] if missing else path[:depth]
        data = data[part]
    return path
