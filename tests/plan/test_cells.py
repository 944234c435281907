from math import inf
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rnnprop_cli.components.optimizees.conv import ConvSpec
from rnnprop_cli.components.optimizees.lstm import LSTMSpec
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizers.adam import AdamSpec
from rnnprop_cli.components.optimizers.learned import LearnedSpec
from rnnprop_cli.components.optimizers.sgd import SGDSpec
from rnnprop_cli.plan.cells import Cell, CellBatch, Problem, cell_config, cell_key, problems, split
from rnnprop_cli.plan.lanes import Lane, lanes
from rnnprop_cli.plan.size import bytes_per_cell
from rnnprop_cli.plan.tuning import grid_rate
from rnnprop_cli.seeds import derive_seed, fresh_seeds, tuning_seeds
from rnnprop_cli.spec.bench import BenchSpec, TuningSpec

ENVIRONMENT: dict[str, str | int] = {"device": "cpu", "threads": 2}
PROBLEM = Problem(MLPSpec(), 100, 128, "float32")


def spec(**changes: object) -> BenchSpec:
    settings: dict[str, object] = {
        "name": "test",
        "seeds": 4,
        "horizon": (100, 2000),
        "optimizees": (MLPSpec(), MLPSpec(activation="relu")),
        "optimizers": (AdamSpec(), LearnedSpec(weights="w")),
        "tuning": TuningSpec(seeds=2, points=5),
        "calibrated": False,
    }
    return BenchSpec.model_validate(settings | changes)


def test_problems_are_the_product_of_optimizees_and_horizons() -> None:
    assert [(p.optimizee.activation, p.horizon) for p in problems(spec())] == [  # type: ignore[union-attr]
        ("sigmoid", 100),
        ("sigmoid", 2000),
        ("relu", 100),
        ("relu", 2000),
    ]


def test_cells_of_a_batch_are_ordered_seed_by_seed() -> None:
    batch = CellBatch(PROBLEM, AdamSpec(), (0.1, 0.2), (7, 8), "final")
    assert [(cell.seed, cell.lr) for cell in batch.cells()] == [(7, 0.1), (7, 0.2), (8, 0.1), (8, 0.2)]


@given(st.integers(1, 12), st.integers(1, 20), st.integers(1, 4000))
def test_splitting_loses_and_doubles_no_cell(n_seeds: int, n_rates: int, memory_mb: int) -> None:
    rates = tuple(float(rate) for rate in range(n_rates))
    batch = CellBatch(PROBLEM, AdamSpec(), rates, tuple(range(n_seeds)), "tuning")
    parts = list(split(batch, memory_mb))
    together = [cell for part in parts for cell in part.cells()]
    assert sorted((cell.seed, cell.lr) for cell in together) == sorted(
        (cell.seed, cell.lr) for cell in batch.cells()
    )
    per_cell = bytes_per_cell(PROBLEM.optimizee, AdamSpec(), 128, "float32")
    assert all(len(part) == 1 or len(part) * per_cell <= memory_mb * 2**20 for part in parts)


def test_the_key_depends_on_everything_that_moves_the_numbers() -> None:
    base = Cell(PROBLEM, AdamSpec(), 0.1, 0, "final")
    others = [
        Cell(PROBLEM, AdamSpec(), 0.2, 0, "final"),
        Cell(PROBLEM, AdamSpec(), 0.1, 1, "final"),
        Cell(PROBLEM, AdamSpec(beta1=0.8), 0.1, 0, "final"),
        Cell(PROBLEM, SGDSpec(), 0.1, 0, "final"),
        Cell(Problem(MLPSpec(depth=2), 100, 128, "float32"), AdamSpec(), 0.1, 0, "final"),
        Cell(Problem(MLPSpec(), 200, 128, "float32"), AdamSpec(), 0.1, 0, "final"),
        Cell(Problem(MLPSpec(), 100, 128, "float64"), AdamSpec(), 0.1, 0, "final"),
    ]
    keys = {cell_key(cell_config(cell, ENVIRONMENT)) for cell in [base, *others]}
    keys.add(cell_key(cell_config(base, ENVIRONMENT | {"threads": 1})))
    assert len(keys) == len(others) + 2


def test_the_key_does_not_depend_on_labels() -> None:
    plain, labelled = (Cell(PROBLEM, AdamSpec(label=label), 0.1, 0, "final") for label in ("", "mine"))
    assert cell_key(cell_config(plain, ENVIRONMENT)) == cell_key(cell_config(labelled, ENVIRONMENT))


def test_keys_are_stable_across_processes_and_versions() -> None:
    """A changed key makes every store forget what it has: change it only together with NUMERICS_VERSION."""
    cell = Cell(PROBLEM, AdamSpec(), 0.1, 0, "final")
    assert cell_key(cell_config(cell, {"device": "cpu"})).startswith("01bb47546fd522f2")


def test_a_learned_cell_without_a_schedule_is_what_it_was_before_there_were_any() -> None:
    problem = Problem(MLPSpec(dataset="digits"), 100, 128, "float32")

    def key(**settings: Any) -> str:
        cell = Cell(problem, LearnedSpec(weights="rnnprop", **settings), 0.1, 0, "final")
        return cell_key(cell_config(cell, {"device": "cpu"}))

    assert key().startswith("188aaac2b6a51be7")
    assert key(warmup=0.2) == key()  # which a constant rate has no use for
    others = [key(), key(schedule="cosine"), key(schedule="wsd"), key(schedule="wsd", cooldown=0.5)]
    assert len(set(others)) == 4


def test_a_learned_row_is_called_after_its_weights_and_its_schedule() -> None:
    spec = LearnedSpec(weights="a/b.safetensors", lr="tuned", schedule="cosine")
    assert spec.name == "b tuned cosine"
    assert LearnedSpec.model_validate(spec.model_dump()) == spec


def test_tuning_never_uses_a_seed_of_the_final_runs() -> None:
    lane = Lane(spec(seed=5, seeds=100), PROBLEM, AdamSpec())
    grid = lane.first_round()
    assert grid is not None
    final = {seed for batch in lane.fresh_batches({10: [0.3]}) for seed in batch.seeds}
    assert final == set(fresh_seeds(5, 100))
    assert lane.search_batch(grid).seeds == tuning_seeds(5, range(2))
    assert not final & set(tuning_seeds(5, range(1000)))


def test_another_root_seed_is_another_sample_and_more_seeds_go_on_where_fewer_end() -> None:
    assert fresh_seeds(0, 100)[:10] == fresh_seeds(0, 10)
    assert len({*fresh_seeds(0, 1000), *fresh_seeds(1, 1000), *tuning_seeds(0, range(1000))}) == 3000
    assert all(0 <= seed < 2**31 for seed in fresh_seeds(3, 1000))
    assert fresh_seeds(0, 3) == (330849640, 676335246, 1043465096)


def test_a_tuned_lane_runs_its_winner_and_its_default_on_the_same_seeds() -> None:
    final, default = Lane(spec(), PROBLEM, AdamSpec()).fresh_batches({9: [0.4], 10: [0.3], 11: [0.5]})
    assert (final.phase, final.learning_rates) == ("final", (0.03125,))
    assert (default.phase, default.learning_rates) == ("default", (0.001,))
    assert final.seeds == default.seeds


def test_a_lane_with_a_given_rate_searches_nothing() -> None:
    lane = Lane(spec(), PROBLEM, AdamSpec(lr=0.02))
    assert lane.first_round() is None
    assert [(batch.phase, batch.learning_rates) for batch in lane.first_batches()] == [("final", (0.02,))]


def test_a_learned_lane_runs_with_its_own_alpha_unless_told_otherwise() -> None:
    assert Lane(spec(), PROBLEM, LearnedSpec(weights="w")).first_batches()[0].learning_rates == (None,)
    assert Lane(spec(), PROBLEM, LearnedSpec(weights="w", lr=0.01)).first_batches()[0].learning_rates == (
        0.01,
    )


def test_the_alpha_of_a_learned_lane_is_searched_like_any_rate_but_never_run_untuned() -> None:
    lane = Lane(spec(), PROBLEM, LearnedSpec(weights="w", lr="tuned"))
    grid, classical = lane.first_round(), Lane(spec(), PROBLEM, AdamSpec()).first_round()
    assert grid is not None
    assert classical is not None
    assert grid_rate(6) in lane.search_batch(grid).learning_rates
    assert (len(grid.ks), grid.seeds) == (len(classical.ks), classical.seeds)
    (final,) = lane.fresh_batches({5: [0.4], 6: [0.3], 7: [0.5]})
    assert (final.phase, final.learning_rates) == ("final", (grid_rate(6),))
    assert lane.size == sum(len(batch.cells()) for batch in lane.first_batches())
    (fallback,) = lane.fresh_batches({5: [inf], 6: [inf]})
    assert fallback.learning_rates == (None,)  # its own


def test_only_chooses_lanes_by_a_glob_over_their_labels() -> None:
    assert [lane.label for lane in lanes(spec(), "*relu*x100/adam")] == ["mnist mlp relu d1 x100/adam"]
    assert len(lanes(spec())) == 8


def test_coordinates_are_those_of_the_papers_optimizees() -> None:
    assert MLPSpec().n_coordinates == 784 * 20 + 20 + 20 * 10 + 10
    assert MLPSpec(depth=3).n_coordinates == 15_910 + 2 * (20 * 20 + 20)
    assert ConvSpec().n_coordinates == (9 * 16 + 16) + (16 * 9 * 16 + 16) + 14 * 14 * 16 * 10 + 10
    assert LSTMSpec().n_coordinates == 80 * 21 + 80 + 21
    assert LSTMSpec(layers=2).n_coordinates == 80 * 21 + 80 + 80 * 40 + 80 + 21


def test_seeds_differ_between_axes_and_not_between_calls() -> None:
    assert derive_seed(0, "a") == derive_seed(0, "a")
    assert len({derive_seed(0, "a"), derive_seed(0, "b"), derive_seed(1, "a"), derive_seed("0", "a")}) == 4
    assert all(0 <= derive_seed(n) < 2**63 for n in range(50))


def test_include_keeps_and_exclude_drops_the_lanes_that_a_rule_picks() -> None:
    chosen = spec(include=[{"horizon": 100}, {"where": {"activation": "relu"}, "optimizer": "adam"}])
    assert [lane.label for lane in lanes(chosen)] == [
        "mnist mlp sigmoid d1 x100/adam",
        "mnist mlp sigmoid d1 x100/w",
        "mnist mlp relu d1 x100/adam",
        "mnist mlp relu d1 x100/w",
        "mnist mlp relu d1 x2000/adam",
    ]
    dropped = spec(
        exclude=[{"where": {"activation": ["relu", "tanh"]}}, {"horizon": 2000, "optimizer": ["w"]}]
    )
    assert [lane.label for lane in lanes(dropped)] == [
        "mnist mlp sigmoid d1 x100/adam",
        "mnist mlp sigmoid d1 x100/w",
        "mnist mlp sigmoid d1 x2000/adam",
    ]


def test_a_rule_over_a_setting_that_an_optimizee_lacks_picks_nothing() -> None:
    mixed = spec(optimizees=(MLPSpec(), LSTMSpec()), exclude=[{"where": {"noise": 0.1}}])
    assert {lane.problem.optimizee.kind for lane in lanes(mixed)} == {"mlp"}


def test_an_override_changes_the_seeds_of_the_lanes_that_it_picks() -> None:
    changed = spec(override=[{"horizon": 2000, "seeds": 2, "tuning_seeds": 3}])
    sizes = {lane.label: [len(batch.seeds) for batch in lane.first_batches()] for lane in lanes(changed)}
    assert sizes["mnist mlp sigmoid d1 x100/adam"] == [2, 10, 4, 4]
    assert sizes["mnist mlp sigmoid d1 x2000/adam"] == [3, 10, 2, 2]
