"""What `Results` gives: sequences of frozen values, each with `records()` for plain Python and `frame()` for pandas."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, overload

from rnnprop_cli.errors import UsageError
from rnnprop_cli.records import RunInfo
from rnnprop_cli.view.formats.curve_export import RunCurve, facts_of
from rnnprop_cli.view.table.rows import SummaryRow

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Table(Sequence[SummaryRow]):
    """A benchmark: one row for each optimizer on each problem, as `rnnprop report` ranks and compares them.

    `SummaryRow` says what its fields mean; intervals are of 95 %. A row is a win where `difference_high` is below zero.
    """

    name: str
    rows: tuple[SummaryRow, ...]
    notes: tuple[str, ...] = ()  # where the weights of learned optimizers come from

    @overload
    def __getitem__(self, index: int) -> SummaryRow: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[SummaryRow]: ...
    def __getitem__(self, index: int | slice) -> SummaryRow | Sequence[SummaryRow]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def records(self) -> list[dict[str, Any]]:
        """A dictionary for each row."""
        return [asdict(row) for row in self.rows]

    def frame(self) -> "pd.DataFrame":
        """A pandas table of all rows; numbers that are not there are NaN.

        Lists, such as the rates of a search, are left out: `records()` has them.

        Raises:
            UsageError: pandas is not installed.
        """
        return _frame(
            [
                {name: value for name, value in record.items() if not isinstance(value, list | tuple)}
                for record in self.records()
            ]
        )


@dataclass(frozen=True)
class Runs(Sequence[RunInfo]):
    """Runs of an experiment: what each was, and what came of it."""

    runs: tuple[RunInfo, ...]

    @overload
    def __getitem__(self, index: int) -> RunInfo: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RunInfo]: ...
    def __getitem__(self, index: int | slice) -> RunInfo | Sequence[RunInfo]:
        return self.runs[index]

    def __len__(self) -> int:
        return len(self.runs)

    def records(self) -> list[dict[str, Any]]:
        """A dictionary for each run: its id, its facts and its result."""
        return [
            {"id": run.id, **asdict(run.facts), **asdict(run.result), "started_utc": run.started_utc}
            for run in self.runs
        ]

    def frame(self) -> "pd.DataFrame":
        """A pandas table, one line for each run.

        Raises:
            UsageError: pandas is not installed.
        """
        return _frame(self.records())


@dataclass(frozen=True)
class Curves(Sequence[RunCurve]):
    """Curves of runs: each has its `run`, `metric`, `steps` and `values` (numpy arrays)."""

    curves: tuple[RunCurve, ...]

    @overload
    def __getitem__(self, index: int) -> RunCurve: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RunCurve]: ...
    def __getitem__(self, index: int | slice) -> RunCurve | Sequence[RunCurve]:
        return self.curves[index]

    def __len__(self) -> int:
        return len(self.curves)

    def records(self) -> Iterator[dict[str, Any]]:
        """A dictionary for each value, in the order of the curves: what it is of, its step, the value."""
        for curve in self.curves:
            facts = facts_of(curve)
            for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
                yield facts | {"step": step, "value": value}

    def frame(self) -> "pd.DataFrame":
        """A pandas table in long form, one line for each value; columns of text are categories.

        Raises:
            UsageError: pandas is not installed.
        """
        pd = _pandas()
        import numpy as np

        lengths = [len(curve.steps) for curve in self.curves]
        facts = pd.DataFrame([facts_of(curve) for curve in self.curves])
        for name in facts.columns:
            if not pd.api.types.is_numeric_dtype(facts[name]):
                facts[name] = facts[name].astype("category")
        long = facts.loc[np.repeat(facts.index.to_numpy(), lengths)].reset_index(drop=True)
        long["step"] = np.concatenate([curve.steps for curve in self.curves] or [np.empty(0, dtype=np.int64)])
        long["value"] = np.concatenate([curve.values for curve in self.curves] or [np.empty(0)])
        return long


def _frame(records: Sequence[dict[str, Any]]) -> "pd.DataFrame":
    return _pandas().DataFrame(list(records))


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise UsageError(
            "frame() needs pandas, which is not installed: pip install 'rnnprop[pandas]'"
        ) from None
    return pandas
