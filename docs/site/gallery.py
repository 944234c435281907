"""A page for every optimizer, made from the registry, the shipped weights and the tables of `docs/reproduction.md`."""

import inspect
import json
import sys
from collections.abc import Iterator
from math import isnan
from pathlib import Path
from typing import Any, Final

from reproduction import Line, read_lines, recorded_weights
from sources import comments, first_line, named_result, plain, settings, table, told
from verdicts import columns_of, record

from rnnprop_cli.components.learned import ARCHITECTURES
from rnnprop_cli.components.learned.network import LearnedState, NetworkRule
from rnnprop_cli.components.learned.outside import OutsideSpec
from rnnprop_cli.components.optimizers import OPTIMIZERS
from rnnprop_cli.components.optimizers.base import BaselineSpec
from rnnprop_cli.components.optimizers.torch_any import TorchSpec
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.runs.shipped_weights import shipped_names
from rnnprop_cli.runs.weights import find_weights
from rnnprop_cli.spec.calibrated import CALIBRATED
from rnnprop_cli.spec.horizons import described
from rnnprop_cli.spec.load import load_bench
from rnnprop_cli.spec.shipped import shipped_specs
from rnnprop_cli.spec.stored import upgraded_train
from rnnprop_cli.spec.train import TrainSpec
from rnnprop_cli.view.facts.weights_facts import WeightsFacts

STEP: Final = (
    "Every step is θ ← θ - lr · schedule(t) · d, for all coordinates at once; `d` is what sets rules apart."
)
OUTSIDE: Final = ("learned", "torch", "architecture")  # kinds that stand for what somebody brings
SETTINGS: Final = ("setting", "default", "range", "meaning")
SOURCE: Final = (
    "The tables are those of [reproduction.md](../reproduction.md), which says how they were made."
)
SHAPES: Final = "Shapes: C cells side by side, P coordinates, N = C P, L layers, H hidden units."
UNMEASURED: Final = (
    "No table of [reproduction.md](../reproduction.md) has a row of it, so nothing is said here about where it wins or "
    "loses."
)


class Gallery:
    """The pages, by their path.

    Args:
        reproduction: the text of `docs/reproduction.md`.
    """

    def __init__(self, reproduction: str) -> None:
        self.lines: list[Line] = read_lines(reproduction)
        self.recorded = recorded_weights(reproduction)
        self.weights = {name: find_weights(name, None) for name in shipped_names()}
        self.kinds = {kind: kind for kind in (*OPTIMIZERS, *ARCHITECTURES)}
        self.kinds |= {name: each.architecture.kind for name, each in self.weights.items()}
        self.specs = _kinds_of_specs(self.weights)

    def pages(self) -> dict[str, str]:
        """Path below the site → Markdown, in the order of the navigation."""
        classical = {kind: spec for kind, spec in OPTIMIZERS.items() if kind not in OUTSIDE}
        pages = {f"gallery/{kind}.md": self.learned(kind) for kind in ARCHITECTURES if kind not in OUTSIDE}
        pages["gallery/learned.md"] = _row()
        pages |= {f"gallery/{kind}.md": self.classical(kind, spec) for kind, spec in classical.items()}
        pages["gallery/torch.md"] = self.outside("torch", TorchSpec, _TORCH)
        pages["gallery/architecture.md"] = self.outside("architecture", OutsideSpec, _ARCHITECTURE)
        return {"gallery/index.md": self.index(), **pages}

    def index(self) -> str:
        """The overview: ours first, then the rows that take code of the user's."""
        specs = {**ARCHITECTURES, **OPTIMIZERS}
        kinds = [kind for kind in specs if kind not in OUTSIDE] + list(OUTSIDE)
        rows = [
            (f"[{kind}]({kind}.md)", first_line(specs[kind]), "yes" if self._columns(kind) else "no")
            for kind in kinds
        ]
        header = ("optimizer", "what it is", "in the tables of the reproduction")
        return f"# Optimizers\n\n{_INDEX}\n\n{table(header, rows)}"

    def _columns(self, kind: str) -> set[str]:
        return columns_of(self.lines, self.kinds, kind)

    def classical(self, kind: str, spec: type[BaselineSpec]) -> str:
        """A rule of `components/optimizers`."""
        overridden = spec.rule is BaselineSpec.rule
        rule = named_result(spec, "build") if overridden else type(spec().rule())
        state = named_result(rule, "init") if overridden else None
        kept = _fields(state) if state else told(rule.slots)
        equation = told(rule) if overridden else f"{STEP}\n\n{told(rule)}"
        search = f"The search for its rate starts around {2 ** (-spec.centre_k / 2):.3g}"
        if not isnan(spec.default_lr):
            search += f'; `lr = "default"` is {spec.default_lr:g}'
        one = [each for each in CALIBRATED if each.kind == kind and isinstance(each, BaselineSpec)]
        calibrated = "".join(
            f'\n\nAt one setting for every task it runs beside every benchmark as "{each.name}": lr {each.lr:g}, '
            f"{each.schedule}, weight decay {each.weight_decay:g}."
            for each in one
        )
        return self._page(
            kind,
            f"{told(spec, formulas=False)}\n\n{_toml('optimizers', kind)}\n\n{search}.{calibrated}",
            equation=equation,
            state=kept if state or kept == "None." else f"For every coordinate: {kept}",
            settings=table(SETTINGS, settings(spec)),
        )

    def learned(self, kind: str) -> str:
        """An architecture of ours, with its weights."""
        spec = ARCHITECTURES[kind]
        rule = named_result(spec, "build")
        network = issubclass(rule, NetworkRule)
        own = named_result(rule, "accumulators" if network else "init")
        state = _fields(*([own] if hasattr(own, "_fields") else []), *([LearnedState] if network else []))
        text = f"{told(spec, formulas=False)}\n\nIn a meta-training:\n\n{_toml('optimizer', kind)}\n\n{_USE}"
        return self._page(
            kind,
            text,
            equation=f"{told(rule)}\n\n{_LETTER}",
            state=state,
            settings=table(SETTINGS, settings(spec)),
            weights=self._weights(kind),
        )

    def outside(self, kind: str, spec: type[Any], text: str) -> str:
        """What takes code of the user's."""
        about = told(sys.modules[spec.__module__])
        return self._page(
            kind,
            f"{told(spec, formulas=False)}\n\n{text}",
            equation=f"That of the class.\n\n{about}" if kind == "torch" else "That of the class.",
            state="That of the class.",
            settings=table(SETTINGS, settings(spec)),
        )

    def _page(
        self, kind: str, text: str, *, equation: str, state: str, settings: str, weights: str = ""
    ) -> str:
        measured = record(self.lines, self._columns(kind))
        source = " ".join([SOURCE, *self._stale(kind)]) if measured else UNMEASURED
        shipped = _names([name for name, kinds in self.specs.items() if kind in kinds])
        where = f"Shipped specs that race it: {shipped}." if shipped else "No shipped spec races it."
        return "\n\n".join(
            [
                f"# {kind}",
                text,
                f"## Equation\n\n{equation}",
                f"## State\n\n{state}",
                f"## Settings\n\n{settings}",
                *([f"## Weights\n\n{weights}"] if weights else []),
                f"## Wins and losses\n\n{source} {where}",
                measured,
            ]
        )

    def _stale(self, kind: str) -> Iterator[str]:
        """A warning for weights in the tables that are not those that come with the package, and one for the others."""
        own = [name for name, each in self.weights.items() if each.architecture.kind == kind]
        raced = {column.split(" ", 1)[0] for line in self.lines for column in line.cells}
        changed = [
            name
            for name in own
            if name in raced
            and not self.weights[name].tensors_sha256.startswith(self.recorded.get(name, "-"))
        ]
        if changed:
            other = "They were measured with other weights than those that come with this version"
            yield f"**{other}** ({_names(changed)})."
        if absent := [name for name in own if name not in raced]:
            yield f"No table has a row of {_names(absent)}."

    def _weights(self, kind: str) -> str:
        header = (
            "weights",
            "meta-trained on",
            "recipe",
            "chosen",
            "validation loss",
            "alpha",
            "minibatches",
            "commit",
        )
        rows = [
            _weights_row(name, each) for name, each in self.weights.items() if each.architecture.kind == kind
        ]
        return (
            f"Those that come with the package; *recipe* is its number of meta-iterations, *chosen* after how many the "
            f"weights were taken. `rnnprop weights show NAME` prints the whole record.\n\n{table(header, rows)}"
        )


def _weights_row(name: str, weights: Weights) -> tuple[str, ...]:
    made = weights.made
    spec, facts = made["spec"], WeightsFacts.of(name, weights.tensors_sha256, made)
    return (
        f"`{name}`",
        f"{_trained_on(spec)}, seed {spec['seed']}",
        f"{spec['meta_iterations']:,}",
        f"{made['meta_iteration']:,}",
        f"{made['validation_loss']:.3f}",
        f"{spec['optimizer']['alpha']:g}",
        {"epochs": "by epochs", "replacement": "with replacement"}.get(facts.sampling or "", "not recorded"),
        f"`{made['commit'][:9]}`",
    )


def _trained_on(spec: dict[str, Any]) -> str:
    recipe = TrainSpec.model_validate_json(json.dumps(upgraded_train(spec)))
    horizon = f"{described(recipe.truncation.horizon)} steps"
    first, *others = recipe.tasks
    if others:
        return f"{len(recipe.tasks)} tasks, {horizon}"
    optimizee = first.optimizee
    parts = [optimizee.dataset_label, optimizee.network, f"depth {optimizee.n_layers}"]
    return f"{' '.join(filter(None, parts[:2]))}, {parts[2]}, {horizon}"


def _kinds_of_specs(weights: dict[str, Weights]) -> dict[str, set[str]]:
    found = {}
    for name, path in shipped_specs().items():
        if not name.startswith("train_"):
            rows = load_bench(path).optimizers
            found[name] = {
                weights[row.weights].architecture.kind if getattr(row, "weights", "") in weights else row.kind
                for row in rows
            }
    return found


def _fields(*states: Any) -> str:
    """The fields of states, with what their comments say."""
    return f"{SHAPES}\n\n" + "\n".join(
        f"- `{name}`: {plain(text)}"
        for name, text in {
            name: text for state in reversed(states) for name, text in _commented(state)
        }.items()
        if name != "features"
    )


def _names(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _commented(state: Any) -> Iterator[tuple[str, str]]:
    found = comments(state)
    for name in state._fields:
        yield name, found.get(name, "")


def _toml(group: str, kind: str) -> str:
    table_name = f"[[{group}]]" if group == "optimizers" else f"[{group}]"
    lr = '\nlr = "tuned"' if group == "optimizers" else ""
    return f'```toml\n{table_name}\nkind = "{kind}"{lr}\n```'


def _row() -> str:
    spec = OPTIMIZERS["learned"]
    return (
        f"# learned\n\n{told(spec)} The row of a benchmark for every learned optimizer; which one it is, the weights "
        f'say.\n\n```toml\n[[optimizers]]\nkind = "learned"\nweights = "rnnprop"\n```\n\n'
        f"## Settings\n\n{table(SETTINGS, settings(spec))}"
    )


def gallery(docs: Path) -> dict[str, str]:
    """Every page, made from `docs/reproduction.md`."""
    return Gallery((docs / "reproduction.md").read_text(encoding="utf-8")).pages()


_INDEX: Final = inspect.cleandoc("""
    Learned optimizers first, then the classical rules. Every page has the equation, the state, the settings with their
    defaults, and where the tables of [reproduction.md](../reproduction.md) show a win or a loss.

    The defaults of the classical rules are TensorFlow 1's, because the paper's baselines ran with them; where PyTorch's
    differ, the page says so.
""")
_USE: Final = inspect.cleandoc("""
    In a benchmark it is a row [`kind = "learned"`](learned.md) with its weights; in your training loop
    [a `torch.optim.Optimizer`](../training_loop.md).
""")
_LETTER: Final = "To the letter, in numpy and with numbers to test against: [weights.md](../weights.md)."
_TORCH: Final = inspect.cleandoc("""
    ```toml
    [[optimizers]]
    kind = "torch"
    source = "torch.optim:RAdam"
    ```

    [extending.md](../extending.md#an-optimizer) has a worked example.
""")
_ARCHITECTURE: Final = inspect.cleandoc("""
    In a meta-training:

    ```toml
    [optimizer]
    kind = "architecture"
    source = "my_learned.py:Scaled"
    ```

    [extending.md](../extending.md#a-learned-optimizer) has a worked example, [meta_training.md](../meta_training.md)
    the methods of the class.
""")
