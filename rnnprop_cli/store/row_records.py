"""Rows whose types have been checked, as records."""

import math
import re
from typing import Any

from rnnprop_cli.records import CellResult, ExperimentFacts, ExperimentInfo, RunFacts, RunInfo
from rnnprop_cli.store.row_types import parsed

_WORD = re.compile(r"[A-Za-z0-9:_.+-]{1,40}")


def experiment_info(row: dict[str, Any]) -> ExperimentInfo:
    """Of a row of `experiment`."""
    row["kind"] = _word(row["kind"])
    return ExperimentInfo(
        id=row.pop("id"),
        created_utc=_word(row.pop("created_utc")),
        folder=row.pop("folder"),
        resolved=row.pop(parsed("spec_json")),
        versions=row.pop(parsed("versions")),
        argv=tuple(map(str, row.pop(parsed("argv")))),
        facts=ExperimentFacts(**row),
    )


def _word(value: Any) -> Any:
    """A status, a kind or a time: words of our own, which nobody expects to hold anything else."""
    return value if value is None or _WORD.fullmatch(str(value)) else "?"


def run_info(row: dict[str, Any]) -> RunInfo:
    """Of a row of `run`."""
    facts = {name: row[name] for name in RunFacts.__dataclass_fields__}
    return RunInfo(
        id=row["id"],
        experiment_id=row["experiment_id"],
        facts=RunFacts(
            **{
                **facts,
                "phase": _word(row["phase"]),
                "is_baseline": bool(row["is_baseline"]),
                "optimizee": _without(row["optimizee"], row["activation"]),
            }
        ),
        result=cell_result(row),
        started_utc=_word(row["started_utc"]),
        config=row[parsed("config_json")],
    )


def _without(optimizee: str, activation: str | None) -> str:
    """The label of an optimizee, which earlier versions let name the activation too."""
    return " ".join(word for word in str(optimizee).split(" ") if word != activation) or str(optimizee)


def cell_result(row: dict[str, Any]) -> CellResult:
    """Of a row that has the columns of a result."""
    result = {name: row.get(name) for name in CellResult.__dataclass_fields__}  # an older schema has fewer
    if row["status"] == "diverged" and row["final_loss"] is None:
        result["final_loss"] = math.nan  # SQLite keeps NaN as NULL
    result["status"] = _word(result["status"])
    return CellResult(**result)  # type: ignore[arg-type]
