"""How far a problem is from the one that the paper trains on: a learned optimizer generalises along several axes.

A mean over problems of different kinds would hide what was learned and what was not, so each kind is reported apart.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from rnnprop_cli.records import RunInfo

IN_DISTRIBUTION: Final = "in-distribution"

# The base MLP of section 5.1, on which the paper's optimizers are trained, for as long as they are.
_BASE: Final[Mapping[str, object]] = MappingProxyType(
    {"activation": "sigmoid", "depth": 1, "hidden": 20, "dataset": "mnist", "init": "paper"}
)
_BASE_HORIZON: Final = 100
_NAMES: Final = {"hidden": "width", "init": "initialisation"}
_ORDER: Final = (
    *(IN_DISTRIBUTION, "activation", "depth", "width", "initialisation"),
    *("architecture", "dataset", "horizon"),
)


def optimizee_settings(run: RunInfo) -> dict[str, Any]:
    """The settings of a run's optimizee; where its config does not hold them, those that its columns tell."""
    settings, facts = run.config.get("optimizee"), run.facts
    if isinstance(settings, dict):
        return settings
    known = {"dataset": facts.dataset, "depth": facts.depth, "activation": facts.activation}
    kind = facts.optimizee.split(" ", 1)[0]
    return {"kind": kind} | {name: value for name, value in known.items() if value is not None}


def group_of(run: RunInfo) -> str:
    """What was changed from the base MLP (mnist, one hidden layer of 20 sigmoid units, 100 steps).

    Returns:
        "in-distribution", or the changes joined by " + ", such as "activation" or "dataset + horizon".
    """
    settings = optimizee_settings(run)
    if settings.get("kind") == "mlp":
        changed = [
            _NAMES.get(name, name) for name, value in _BASE.items() if settings.get(name, value) != value
        ]
    else:
        # Activation and depth mean something else there; only a dataset can be told apart from the architecture.
        dataset = settings.get("dataset") or _BASE["dataset"]
        changed = ["architecture"] + (["dataset"] if dataset != _BASE["dataset"] else [])
    changed += ["horizon"] if run.facts.horizon != _BASE_HORIZON else []
    return " + ".join(sorted(changed, key=_ORDER.index)) or IN_DISTRIBUTION


def group_order(group: str) -> tuple[object, ...]:
    """Sorts groups: in-distribution, one change, several changes."""
    places = [_ORDER.index(name) if name in _ORDER else len(_ORDER) for name in group.split(" + ")]
    return len(places), places
