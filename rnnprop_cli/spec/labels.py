"""Labels of a benchmark's rows: told apart where axes made several of one table, and never twice the same."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, TypeVar

from rnnprop_cli.components.optimizees.base import OptimizeeSpec
from rnnprop_cli.components.optimizers.base import OptimizerSpec
from rnnprop_cli.spec.axes import Origin
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.locate import Path

_LABEL_CHARACTERS: Final = 60
# Settings that an optimizer's own name already shows.
_NAMED: Final = {"kind", "schedule", "weights", "label", "source"}

Item = TypeVar("Item")


def with_axis_labels(spec: BenchSpec, origins: Sequence[Origin]) -> tuple[BenchSpec, list[tuple[Path, str]]]:
    """Give optimizers that an axis made a label that tells them apart, such as `adam beta1=0.9`.

    Returns:
        The spec, and a problem for each label that becomes too long.
    """
    labelled: list[Any] = []
    problems: list[tuple[Path, str]] = []
    for index, (optimizer, origin) in enumerate(zip(spec.optimizers, origins, strict=True)):
        shown = set() if optimizer.label and "label" not in origin.axes else _NAMED
        # of code from outside the name holds the settings already
        varied = [key for key in origin.axes if key not in shown and key in type(optimizer).model_fields]
        label = " ".join([optimizer.name, *(f"{key}={_short(getattr(optimizer, key))}" for key in varied)])
        if len(label) > _LABEL_CHARACTERS:
            problems.append(
                (
                    ("optimizers", index),
                    f"'{label}' is over {_LABEL_CHARACTERS} characters: give a shorter label",
                )
            )
        labelled.append(optimizer.model_copy(update={"label": label}) if varied else optimizer)
    return spec.model_copy(update={"optimizers": tuple(labelled)}), problems


def repeated(spec: BenchSpec) -> list[tuple[Path, str]]:
    """A problem for each row or column that stands in the benchmark twice."""

    def optimizee(one: OptimizeeSpec) -> Hashable:
        return one.label, one.dataset_label, one.n_layers, one.nonlinearity

    def optimizer(one: OptimizerSpec) -> Hashable:
        return one.name

    return [
        *_repeated("horizon", spec.horizon, lambda one: one, lambda one: f"{one} stands here twice"),
        *_repeated(
            "optimizees",
            spec.optimizees,
            optimizee,
            lambda one: f"the same optimizee stands here twice: {one.network}",
        ),
        *_namesakes(spec.optimizees),
        *_repeated(
            "optimizers",
            spec.optimizers,
            optimizer,
            lambda one: f"two optimizers are called '{one.name}': give one of them another label",
        ),
    ]


def _namesakes(optimizees: Sequence[OptimizeeSpec]) -> list[tuple[Path, str]]:
    """A problem for each dataset of the user's own that tables would call as another one."""
    first: dict[str | None, str | None] = {}
    return [
        (("optimizees", index, "dataset"), f"another dataset is called '{label}' too: rename the file of one")
        for index, (label, name) in enumerate((one.dataset_label, one.dataset_name) for one in optimizees)
        if first.setdefault(label, name) != name
    ]


def _repeated(
    section: str, items: Sequence[Item], identity: Callable[[Item], Hashable], message: Callable[[Item], str]
) -> list[tuple[Path, str]]:
    seen: set[Hashable] = set()
    problems: list[tuple[Path, str]] = []
    for index, item in enumerate(items):
        if identity(item) in seen:
            problems.append(((section, index), message(item)))
        seen.add(identity(item))
    return problems


def _short(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
