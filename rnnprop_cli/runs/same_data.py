"""Which experiment a benchmark goes on in, where the files of a dataset may have been exchanged since."""

from collections.abc import Mapping

from rnnprop_cli.records import ExperimentFacts
from rnnprop_cli.runs.observer import Notice, Observer
from rnnprop_cli.store.reader import Reader


def of_same_data(
    reader: Reader, facts: ExperimentFacts, datasets: Mapping[str, str], observe: Observer
) -> int | None:
    """The newest experiment of this spec and environment whose results were made with the data that are here now."""
    same = [
        each
        for each in reader.experiments("bench", facts.name)
        if each.facts.spec_sha256 == facts.spec_sha256
    ]
    for experiment in reversed(same):
        made_with = reader.dataset_hashes(experiment.id)
        other = [name for name, sha256 in datasets.items() if made_with.get(name, set()) - {sha256}]
        if not other:
            return experiment.id
        observe(
            Notice(
                f"{', '.join(other)}: other data than '{facts.name}' (id {experiment.id}) was made with; that stays, "
                "and nothing of it is mixed with what is made now"
            )
        )
    return None
