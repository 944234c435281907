"""Rows as CSV and JSON, for programs: one flat record a row, of which the keys never change their meaning."""

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any, Final

from rnnprop_cli.statistics import Estimate
from rnnprop_cli.view.safe_text import safe_text
from rnnprop_cli.view.table.rows import (
    UNKNOWN,
    Confirmation,
    Cost,
    Counts,
    FinalLoss,
    HeldOut,
    Problem,
    RatePoint,
    SummaryRow,
)
from rnnprop_cli.view.table.seed_groups import Summary

# the wide ones begin formulas in East Asian locales
_FORMULA: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_SEVERAL: Final = ("rates", "tied_rates", "confirmed")  # lists, which CSV has no place for


def as_record(row: SummaryRow) -> dict[str, Any]:
    """A row as plain values; what is not finite becomes None."""
    problem, found, target, search = row.problem, row.comparison, row.target, row.search
    percent = UNKNOWN if found is None else found.percent
    record = {
        "bench": row.bench,
        "group": row.group,
        "dataset": problem.dataset,
        "optimizee": problem.optimizee,
        "depth": problem.depth,
        "activation": problem.activation,
        "horizon": problem.horizon,
        "optimizer": row.optimizer,
        "phase": row.phase,
        "is_baseline": row.is_baseline,
        "learning_rate": row.learning_rate,
        "lr_source": row.lr_source,
        "rank": row.rank,
        **_counts(row.counts),
        **_estimate("final_loss", row.final.mean),
        **_estimate("final_loss_median", row.final.median, centre=""),
        **_estimate("final_loss_iqm", row.final.iqm, centre=""),
        **_estimate("heldout_loss", row.heldout.loss),
        **_estimate("heldout_accuracy", row.heldout.accuracy),
        "elapsed_s": row.cost.elapsed_s,
        "peak_bytes": row.cost.peak_bytes,
        "is_best_baseline": row.is_best_baseline,
        "best_baseline": None if found is None else found.baseline,
        **_estimate("difference", percent, centre="_percent"),
        "seeds_better": None if found is None else found.better,
        "seeds_paired": None if found is None else found.pairs,
        "target_loss": target.loss,
        "target_steps": target.time.steps,
        "target_s": target.time.seconds,
        "target_share": target.time.share,
        "paper_final_loss": None if row.paper is None else row.paper.final_loss,
        "paper_source": None if row.paper is None else row.paper.source,
        "rates": [_rate(point) for point in search.rates],
        "search_runs": search.runs,
        "tied_rates": list(search.tied),
        **_estimate("promised", search.promised),
        "promise_broken": search.promise_broken,
        "confirmed": [_confirmation(one) for one in row.confirmed],
        "baseline_chosen_by": row.baseline_chosen_by,
    }
    return _finite(record)


def _counts(counts: Counts) -> dict[str, int]:
    return {
        "seeds": counts.seeds,
        "diverged": counts.diverged,
        "stuck": counts.stuck,
        "failed": counts.failed,
        "missing": counts.missing,
    }


def _estimate(name: str, estimate: Estimate, *, centre: str = "_mean") -> dict[str, float | None]:
    return {f"{name}{centre}": estimate.centre, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _rate(point: RatePoint) -> dict[str, Any]:
    return {
        "learning_rate": point.learning_rate,
        **_counts(point.counts),
        **_estimate("final_loss", point.loss),
        "final_loss_min": point.lowest,
        "final_loss_max": point.highest,
    }


def _confirmation(one: Confirmation) -> dict[str, Any]:
    return {
        "root": one.root,
        "seeds": one.seeds,
        "learning_rate": one.learning_rate,
        **_estimate("final_loss", one.loss),
    }


def _finite(record: dict[str, Any]) -> dict[str, Any]:
    """A record in which what is not finite is None, in the records inside it too."""
    plain: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, tuple | list):
            plain[name] = [_finite(inner) if isinstance(inner, dict) else inner for inner in value]
        else:
            plain[name] = None if isinstance(value, float) and not math.isfinite(value) else value
    return plain


def to_json(summary: Summary) -> str:
    """A JSON array with an object per row. Pure ASCII: control characters in names come out escaped."""
    return json.dumps([as_record(row) for row in summary.rows], indent=1, allow_nan=False) + "\n"


_NOTHING: Final = SummaryRow(
    bench="",
    group="",
    problem=Problem(None, 0, "", None, None),
    optimizer="",
    phase="final",
    is_baseline=True,
    learning_rate=None,
    lr_source="given",
    counts=Counts(0, 0, 0, 0, 0),
    final=FinalLoss(UNKNOWN, UNKNOWN, UNKNOWN),
    heldout=HeldOut(UNKNOWN, UNKNOWN),
    cost=Cost(None, None),
)
FIELDS: Final = tuple(as_record(_NOTHING))


def to_csv(summary: Summary) -> str:
    """CSV with a header line; what is not available or not finite is empty. The search's rates are in JSON only."""
    return rows_csv(summary.rows)


def rows_csv(rows: Sequence[SummaryRow]) -> str:
    """`to_csv` of some rows."""
    records = [as_record(row) for row in rows]
    columns = [name for name in FIELDS if name not in _SEVERAL]
    lines = [csv_line(columns), *(csv_line([record[name] for name in columns]) for record in records)]
    return "\n".join(lines) + "\n"


def csv_line(values: Sequence[Any]) -> str:
    """One line of CSV without its end: None is empty, numbers are numbers, text is text for a spreadsheet too."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(
        [_csv_text(value) if isinstance(value, str) else value for value in values]
    )
    return out.getvalue()


def _csv_text(text: str) -> str:
    """Text that a spreadsheet does not take for a formula, and that is safe for a terminal.

    >>> _csv_text("=1+1"), _csv_text("-0.5"), _csv_text("adam")
    ("'=1+1", '-0.5', 'adam')
    """
    safe = safe_text(text)
    if not safe.lstrip().startswith(_FORMULA) or _is_number(safe):
        return safe
    return f"'{safe}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
