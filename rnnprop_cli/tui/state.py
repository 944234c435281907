"""What the app knows: the newest snapshot, and what was chosen with keys. Handlers own it; no widget, no thread."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

from rnnprop_cli.records import RATE, ExperimentInfo, Kind
from rnnprop_cli.tui.reading import Bench, Snapshot
from rnnprop_cli.view.curves.curve import BandKind
from rnnprop_cli.view.curves.seed_lines import LineStyle
from rnnprop_cli.view.facts.progress import Progress, begun_last, bench_progress
from rnnprop_cli.view.facts.training import recent_rate
from rnnprop_cli.view.table.filtering import Filter, Subject, parse_filter
from rnnprop_cli.view.table.rows import Problem
from rnnprop_cli.view.table.seed_groups import SeedGroup

SortKey = Literal["problem", "name", "difference", "loss", "status", "newest"]
SORTS: Final[tuple[SortKey, ...]] = ("problem", "name", "difference", "loss", "status", "newest")
BANDS: Final[tuple[BandKind | None, ...]] = ("iqr", "minmax", None)
BAND_NAMES: Final[dict[BandKind | None, str]] = {"iqr": "IQR", "minmax": "min-max", None: ""}
SMOOTHINGS: Final = (0.02, 0.1, 0.0)  # shares of the horizon
FILTER_KEYS: Final = (
    "optimizer", "optimizee", "dataset", "depth", "activation", "horizon", "lr", "phase", "status", "loss", "diff",
)  # fmt: skip
MOST_LINES: Final = 12  # drawn without being asked for


@dataclass
class ViewState:
    """Everything that outlives a change of screens."""

    snapshot: Snapshot = field(default_factory=Snapshot)
    loaded: bool = False
    unavailable: str | None = None
    front: Kind | None = None  # which kind of experiment the header, Log and Spec are about
    bench_id: int | None = None  # None: the newest
    train_id: int | None = None
    filter: Filter = field(default_factory=Filter)
    pins: set[int] = field(default_factory=set)
    drawn_by_hand: dict[int, bool] = field(default_factory=dict)
    sort: SortKey = "problem"
    reverse: bool = False
    show_search: bool = False  # rows of the searches for learning rates, even of finished ones
    cursor_id: int | None = None
    jump_to: int | None = None  # where the Runs table is to put its cursor next
    style: LineStyle = field(default_factory=LineStyle)

    @property
    def bench(self) -> Bench | None:
        return self.snapshot.bench

    @property
    def experiment(self) -> ExperimentInfo | None:
        """The experiment in front."""
        if self.front == "train":
            training = self.snapshot.training
            return None if training is None else training.experiment
        return None if self.bench is None else self.bench.experiment

    @property
    def cursor(self) -> SeedGroup | None:
        """The group under the cursor."""
        return None if self.bench is None else self.bench.group(self.cursor_id)

    def take(self, snapshot: Snapshot) -> None:
        """A newer snapshot replaces the old one; ids that are gone are forgotten."""
        self.snapshot, self.loaded, self.unavailable = snapshot, True, None
        if self.front is None and snapshot.experiments:
            self.front = snapshot.experiments[-1].facts.kind
        ids = {group.id for group in snapshot.bench.groups} if snapshot.bench else set()
        self.pins &= ids
        self.drawn_by_hand = {number: shown for number, shown in self.drawn_by_hand.items() if number in ids}

    def look_at(self, experiment: ExperimentInfo) -> None:
        """Bring an experiment to the front."""
        self.front = experiment.facts.kind
        if experiment.facts.kind == "bench":
            self.bench_id = experiment.id
        else:
            self.train_id = experiment.id

    def look_at_newest(self, kind: Kind) -> None:
        """Bring whatever experiment of that kind is used last to the front, from now on."""
        self.front = kind
        if kind == "bench":
            self.bench_id = None
        else:
            self.train_id = None

    def set_filter(self, text: str) -> None:
        self.filter = parse_filter(text, FILTER_KEYS)

    def cycle_band(self) -> None:
        self.style = replace(self.style, band=BANDS[(BANDS.index(self.style.band) + 1) % len(BANDS)])

    def cycle_smoothing(self) -> None:
        at = SMOOTHINGS.index(self.style.smoothing)
        self.style = replace(self.style, smoothing=SMOOTHINGS[(at + 1) % len(SMOOTHINGS)])

    def sections(self) -> list[tuple[Problem | None, list[SeedGroup]]]:
        """The groups of the table: by problem, or in one piece (under None) for every other order."""
        if self.bench is None:
            return []
        chosen = self.listed(self.bench.groups)
        if self.sort == "problem":
            by_problem: dict[Problem, list[SeedGroup]] = {}
            for group in chosen:
                by_problem.setdefault(group.problem, []).append(group)
            problems = sorted(by_problem, key=lambda problem: problem.order, reverse=self.reverse)
            return [(problem, by_problem[problem]) for problem in problems]
        chosen.sort(key=lambda group: sort_value(group, self.sort), reverse=self.reverse)
        return [(None, chosen)] if chosen else []

    def listed(self, groups: Sequence[SeedGroup]) -> list[SeedGroup]:
        """Groups that pass the filter. A search for a learning rate shows until its winner has runs of its own."""
        measured = {(g.problem, g.facts.optimizer) for g in groups if g.facts.phase != "tuning"}
        every = self.show_search or "phase:" in self.filter.text
        return [
            group
            for group in groups
            if (
                every
                or group.facts.phase != "tuning"
                or (group.problem, group.facts.optimizer) not in measured
            )
            and self.filter.fits(subject_of(group))
        ]

    def drawn(self) -> list[SeedGroup]:
        """The groups in the plot: those of the cursor's problem that matter, pinned ones, and what was asked for."""
        if self.bench is None:
            return []
        cursor = self.cursor
        listed = [group for _, groups in self.sections() for group in groups]
        near = [group for group in listed if cursor is not None and group.problem == cursor.problem]
        wanted = [group for group in near if group.facts.phase == "final"]
        wanted += [g for g in near if g.facts.phase != "final" and g.statuses["running"]]
        if cursor is not None and cursor.facts.phase == "tuning":
            wanted += [
                g for g in near if g.facts.phase == "tuning" and g.facts.optimizer == cursor.facts.optimizer
            ]
        chosen = {group.id for group in wanted[:MOST_LINES]} | self.pins
        if cursor is not None:
            chosen.add(cursor.id)
            if (best := cursor.best_id) is not None and best in {group.id for group in listed}:
                chosen.add(best)
        near_ids = {group.id for group in near}
        for number, shown in self.drawn_by_hand.items():
            if shown and number in near_ids:
                chosen.add(number)
            elif not shown:
                chosen.discard(number)
        others = [g for g in self.bench.groups if g.id in chosen and g.id not in near_ids]
        return [group for group in near if group.id in chosen] + others

    def letters(self, drawn: Sequence[SeedGroup]) -> dict[int, int]:
        """Letters of drawn groups, as numbers that rise down the table; what the table does not list comes last."""
        listed = [group.id for _, groups in self.sections() for group in groups]
        place = {number: at for at, number in enumerate(listed)}
        ordered = sorted(drawn, key=lambda group: place.get(group.id, len(place)))
        return {group.id: number for number, group in enumerate(ordered)}

    def optimizer_slots(self) -> dict[tuple[str, str], int]:
        """Colour of every (optimizer, phase) of the benchmark: learned ones first."""
        order: dict[tuple[str, str], int] = {}
        for phase in ("final", "default"):
            groups = [g for g in (self.bench.groups if self.bench else ()) if g.facts.phase == phase]
            for group in sorted(groups, key=lambda g: (not g.is_learned, g.id)):
                order.setdefault((group.facts.optimizer, phase), len(order))
        return order

    def slots(self, drawn: Sequence[SeedGroup]) -> dict[int, int]:
        """Colour of every drawn group, as a number; an optimizer has the same one on every problem."""
        order = self.optimizer_slots()
        taken: dict[int, int] = {}
        for group in drawn:
            slot = order.get((group.facts.optimizer, group.facts.phase))
            if slot is not None and slot not in taken.values():
                taken[group.id] = slot
        for group in drawn:
            if group.id not in taken:
                taken[group.id] = next(slot for slot in range(1 << 20) if slot not in taken.values())
        return taken


def progress_in_front(state: ViewState, now: datetime) -> Progress | None:
    """How far the experiment in front is; None where that is not known."""
    training, bench = state.snapshot.training, state.bench
    if state.front == "train":
        if training is None or not training.planned:
            return None
        left, rate = training.planned - training.done, recent_rate(training.curves.get(RATE))
        return Progress(min(training.done / training.planned, 1.0), left / rate if rate else None)
    if bench is None:
        return None
    begun = begun_last(bench.experiment, bench.events)
    return bench_progress(bench.planned, bench.groups, bench.steps_done, begun, now)


def subject_of(group: SeedGroup) -> Subject:
    """What the filter sees of a group."""
    facts, row = group.facts, group.row
    values = {
        "optimizer": facts.optimizer,
        "optimizee": facts.optimizee,
        "dataset": facts.dataset,
        "depth": None if facts.depth is None else float(facts.depth),
        "activation": facts.activation,
        "horizon": float(facts.horizon),
        "lr": facts.lr,
        "phase": facts.phase,
        "status": " ".join(group.statuses),
        "loss": row.final.mean.centre,
        "diff": None if row.comparison is None else row.comparison.percent.centre,
    }
    kind = "learned" if group.is_learned else "baseline"
    text = f"{row.label} {group.problem.short_title} {facts.phase} {' '.join(group.statuses)} {kind}"
    return Subject(text, values)


def sort_value(group: SeedGroup, key: SortKey) -> tuple[object, ...]:
    """What a table is sorted by; rows without a value come last."""
    row = group.row
    match key:
        case "name":
            return (row.optimizer, group.problem.order, group.id)
        case "difference":
            found = row.comparison
            percent = 0.0 if group.is_best else None if found is None else found.percent.centre
            return (percent is None, percent or 0.0, group.id)
        case "loss":
            return (row.final.mean.centre is None, row.final.mean.centre or 0.0, group.id)
        case "status":
            loudness = ("running", "failed", "diverged", "interrupted", "queued", "done")
            return (loudness.index(group.status), group.id)
        case "newest":
            return (-max(run.id for run in group.runs),)
        case _:
            return (group.problem.order, group.id)
