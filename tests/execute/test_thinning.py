import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rnnprop_cli.execute.divergence import FirstBadSteps
from rnnprop_cli.execute.thinning import Thinner, bin_steps
from rnnprop_cli.records import LOSS, LOSS_MAX, LOSS_MIN


def thin(
    losses: np.ndarray, cuts: list[int], points: int
) -> dict[tuple[str, str], tuple[list[int], list[float]]]:
    """Feeds the losses piece by piece; curves as (steps, values) by (key, metric)."""
    keys = [f"cell{index}" for index in range(losses.shape[1])]
    thinner = Thinner(keys, len(losses), points)
    curves: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
    edges = [0, *sorted(set(cuts)), len(losses)]
    for start, stop in itertools.pairwise(edges):
        for block in thinner.add(losses[start:stop], last=stop == len(losses)):
            steps, values = curves.setdefault((block.key, block.metric), ([], []))
            steps += [block.step0 + block.stride * index for index in range(len(block.values))]
            values += block.values.tolist()
    return curves


def test_a_short_curve_is_kept_whole() -> None:
    losses = np.arange(10, dtype=np.float32)[:, None]
    assert thin(losses, [3], 16) == {("cell0", LOSS): (list(range(10)), losses[:, 0].tolist())}


def test_bins_are_the_smallest_power_of_two_that_fits() -> None:
    assert [bin_steps(horizon, 1024) for horizon in (1, 1024, 1025, 2048, 10_000)] == [1, 1, 2, 2, 16]


@given(st.data())
def test_bins_do_not_depend_on_how_the_curve_was_cut(data: st.DataObject) -> None:
    horizon = data.draw(st.integers(1, 200))
    cuts = data.draw(st.lists(st.integers(1, max(1, horizon - 1)), max_size=6))
    losses = np.random.default_rng(0).normal(size=(horizon, 2)).astype(np.float32)
    cuts = [cut for cut in cuts if cut < horizon]
    assert thin(losses, cuts, 16) == thin(losses, [], 16)


def test_a_spike_of_one_step_survives_thinning() -> None:
    losses = np.ones((1000, 1), dtype=np.float32)
    losses[517] = 99.0
    losses[518] = -5.0
    curves = thin(losses, [100, 700], 64)
    assert max(curves["cell0", LOSS_MAX][1]) == 99
    assert min(curves["cell0", LOSS_MIN][1]) == -5
    steps, values = curves["cell0", LOSS]
    assert len(steps) <= 64
    assert values[517 // 16] == np.float32((14 + 99 - 5) / 16)


def test_the_first_bad_step_is_found_across_blocks() -> None:
    first_bad = FirstBadSteps(3)
    first_bad.add(np.array([[1, 1, np.inf], [1, 1, np.nan]], dtype=np.float32))
    first_bad.add(np.array([[1, 1, 1], [np.nan, 1, 1]], dtype=np.float32))
    assert first_bad.steps == [3, None, 0]
