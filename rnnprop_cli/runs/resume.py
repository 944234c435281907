"""Which experiment a meta-training belongs to: a new one, its own, or one of another environment if that is allowed."""

import json
import re
from dataclasses import dataclass, replace
from typing import Any, Final

from rnnprop_cli.errors import StoreError, UsageError
from rnnprop_cli.files.reading import parse_json
from rnnprop_cli.records import ExperimentFacts, ExperimentInfo, RunFacts, RunInfo
from rnnprop_cli.spec.stored import upgraded_train
from rnnprop_cli.store.reader import Reader
from rnnprop_cli.store.trouble import REPLACE
from rnnprop_cli.store.writer import Writer

_KEY: Final = re.compile(r"[0-9a-f]{64}")
# Kinds of events in the log of a meta-training.
INEXACT: Final = "inexact"  # it went on under another environment
LENGTHENED: Final = "lengthened"  # how its first meta-iterations were made, under a shorter recipe
CONTINUED: Final = "continued"  # it was started again; the writer logs this
_OTHER_QUESTION: Final = ("dataset_sha256",)  # what no flag may change


@dataclass(frozen=True)
class Resumption:
    """Where a meta-training is recorded."""

    experiment_id: int
    run: RunFacts
    inexact: str | None  # why its bits are not those of an uninterrupted run


@dataclass(frozen=True)
class Found:
    """What the store has of a meta-training, before anything is written."""

    facts: ExperimentFacts
    run: RunFacts
    experiment: ExperimentInfo | None  # the one that it goes on in; None: a new one
    changed: str | None  # in the environment, where that is allowed

    @classmethod
    def look(
        cls,
        reader: Reader,
        facts: ExperimentFacts,
        run: RunFacts,
        *,
        fresh: bool,
        must_exist: bool,
        allow_inexact: bool,
    ) -> "Found":
        """Finds the experiment.

        Raises:
            UsageError: `must_exist`, and the bits would be others than those of an uninterrupted run.
            StoreError: what is recorded of it is damaged.
        """
        changed = None
        if must_exist and (found := _same_name(reader, facts)) is not None:
            changed = environment_changes(found, facts, allow_inexact)
            earlier = only_run(reader, found)
            if not _KEY.fullmatch(earlier.facts.key):
                raise StoreError(f"{reader.path}: the key of run {earlier.id} is damaged. {REPLACE}")
            facts, run = replace(facts, spec_sha256=found.facts.spec_sha256), earlier.facts
        return cls(facts, run, None if fresh else reader.find_same("train", facts), changed)

    def begin(self, writer: Writer, reader: Reader) -> Resumption:
        """Makes the experiment, or notes that it goes on, and queues its run."""
        experiment_id = writer.begin_experiment(self.facts, [self.run], fresh=self.experiment is None)
        if self.changed is not None and reader.keys_with_status(experiment_id)[self.run.key] != "done":
            writer.log_event(experiment_id, INEXACT, self.changed)
        return Resumption(experiment_id, self.run, inexact_mark(reader, experiment_id))


def only_run(reader: Reader, experiment: ExperimentInfo) -> RunInfo:
    """The run of a meta-training. Raises StoreError if it has not exactly one."""
    runs = reader.runs(experiment.id)
    if len(runs) != 1:
        raise StoreError(
            f"{reader.path}: the database is damaged: meta-training '{experiment.facts.name}' (id {experiment.id}) "
            f"has {len(runs)} runs instead of one. {REPLACE}"
        )
    return runs[0]


def recorded_spec(experiment: ExperimentInfo) -> tuple[dict[str, Any], dict[str, Any]]:
    """The resolved spec and the environment of an experiment, as plain values.

    Raises:
        StoreError: they are damaged.
    """
    found = parse_json(experiment.facts.spec_json)
    if isinstance(found, dict):
        spec, environment = found.get("spec"), found.get("environment")
        if isinstance(spec, dict) and isinstance(environment, dict):
            return spec, environment
    raise StoreError(
        f"the recorded spec of '{experiment.facts.name}' (id {experiment.id}) is damaged. {REPLACE}"
    )


def inexact_mark(reader: Reader, experiment_id: int) -> str | None:
    """What a run that went on under another environment is marked with; None for all others."""
    texts = [event.text for event in reader.events(experiment_id) if event.kind == INEXACT]
    return "inexact: " + "; then ".join(dict.fromkeys(texts)) if texts else None


def _same_name(reader: Reader, facts: ExperimentFacts) -> ExperimentInfo | None:
    """The newest experiment of this name, unless there is one of this very recipe and environment."""
    every = [each for each in reader.experiments(kind="train") if each.facts.name == facts.name]
    if not every or any(each.facts.spec_sha256 == facts.spec_sha256 for each in every):
        return None
    return every[-1]


def environment_changes(found: ExperimentInfo, facts: ExperimentFacts, allowed: bool) -> str:
    """What has changed since the meta-training was begun, if it may go on.

    Raises:
        UsageError: it may not.
    """
    (before, then), now = recorded_spec(found), json.loads(facts.spec_json)
    here = now["environment"]
    keys = [key for key in sorted(then.keys() | here.keys()) if then.get(key) != here.get(key)]
    changed = ", ".join(f"{key} was {then.get(key)}, is {here.get(key)}" for key in keys)
    refused = (
        f"'{facts.name}' cannot be resumed here with the same bits: {changed or 'its recipe was changed'}. "
    )
    if upgraded_train(before) != now["spec"] or not keys or any(key in _OTHER_QUESTION for key in keys):
        raise UsageError(f"{refused}Restore that, or start anew with --spec FILE --fresh.")
    if not allowed:
        raise UsageError(
            f"{refused}Restore that, or start anew with --spec FILE --fresh, or add --allow-inexact to go on with "
            "other bits, which marks the run."
        )
    return changed
