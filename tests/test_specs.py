"""Every file in bench_specs/ loads and can be planned."""

from pathlib import Path

import pytest

from rnnprop_cli.plan.cells import split
from rnnprop_cli.plan.lanes import lanes
from rnnprop_cli.spec.bench import BenchSpec
from rnnprop_cli.spec.load import resolve
from rnnprop_cli.spec.train import TrainSpec

FOLDER = Path(__file__).parent.parent / "bench_specs"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_the_file_loads_and_plans(path: Path) -> None:
    spec = resolve(path).spec
    if isinstance(spec, TrainSpec):
        assert path.stem.startswith("train_")
        return
    assert isinstance(spec, BenchSpec)
    assert spec.name == path.stem
    for lane in lanes(spec):
        for batch in lane.first_batches():
            assert sum(len(part) for part in split(batch, spec.memory_mb)) == len(batch)
