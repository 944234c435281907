"""What others change between two steps is what the next step works on, however it was changed.

The compiled pass keeps what it packed for the step before; the plain body keeps nothing. Both must take the same steps.
"""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from drop_in_samples import params_of, rnnprop, run, set_grads, values
from torch import nn

from rnnprop_cli.torch_optim.learned_optimizer import CoordinatewiseOptimizer

Change = Callable[[CoordinatewiseOptimizer, list[nn.Parameter]], object]
SHAPES = ((9, 31), (200,), (4, 4), (4, 4), ())  # of one large and several small tensors


def _entries(optimizer: CoordinatewiseOptimizer) -> Any:
    return [(state, name) for state in optimizer.state.values() for name in state]


def moved_in_place(optimizer: CoordinatewiseOptimizer, _: list[nn.Parameter]) -> None:
    for state, name in _entries(optimizer):
        state[name].data = state[name].data.clone()


def replaced(optimizer: CoordinatewiseOptimizer, _: list[nn.Parameter]) -> None:
    for state, name in _entries(optimizer):
        state[name] = state[name].clone()


def exchanged(optimizer: CoordinatewiseOptimizer, params: list[nn.Parameter]) -> None:
    """Of two parameters of one shape."""
    first, second = (optimizer.state[params[index]] for index in (2, 3))
    first["hidden"], second["hidden"] = second["hidden"], first["hidden"]


def narrowed(optimizer: CoordinatewiseOptimizer, _: list[nn.Parameter]) -> None:
    for state in optimizer.state.values():
        state["cell"] = state["cell"].bfloat16()


def narrowed_and_widened(optimizer: CoordinatewiseOptimizer, params: list[nn.Parameter]) -> None:
    narrowed(optimizer, params)
    set_grads(params, 20)
    optimizer.step()
    for state in optimizer.state.values():
        state["cell"] = state["cell"].float()


def turned_round(optimizer: CoordinatewiseOptimizer, params: list[nn.Parameter]) -> None:
    """The same numbers at the same places, in another order of memory."""
    for name in ("exp_avg", "exp_avg_sq"):
        value = optimizer.state[params[0]][name]
        value.data = value.data.t().contiguous().t()


def transposed_where_it_lies(optimizer: CoordinatewiseOptimizer, params: list[nn.Parameter]) -> None:
    optimizer.state[params[2]]["exp_avg"].t_()


def params_moved(_: CoordinatewiseOptimizer, params: list[nn.Parameter]) -> None:
    for param in params:
        param.data = param.data.clone()


def params_turned_round(_: CoordinatewiseOptimizer, params: list[nn.Parameter]) -> None:
    params[0].data = params[0].data.t().contiguous().t()


def params_narrowed(_: CoordinatewiseOptimizer, params: list[nn.Parameter]) -> None:
    for param in params:
        param.data = param.data.bfloat16()


def forgotten(optimizer: CoordinatewiseOptimizer, params: list[nn.Parameter]) -> None:
    del optimizer.state[params[1]]


def entry_gone(optimizer: CoordinatewiseOptimizer, params: list[nn.Parameter]) -> None:
    del optimizer.state[params[0]]["exp_avg"]


def reordered(optimizer: CoordinatewiseOptimizer, _: list[nn.Parameter]) -> None:
    optimizer.param_groups[0]["params"].reverse()


def loaded(optimizer: CoordinatewiseOptimizer, _: list[nn.Parameter]) -> None:
    optimizer.load_state_dict(optimizer.state_dict())


def rate_changed(optimizer: CoordinatewiseOptimizer, _: list[nn.Parameter]) -> None:
    optimizer.param_groups[0] |= {"lr": 0.03, "weight_decay": 0.1, "maximize": True}


CHANGES: tuple[Change, ...] = (
    moved_in_place, replaced, exchanged, narrowed, narrowed_and_widened, turned_round, transposed_where_it_lies,
    params_moved, params_turned_round, params_narrowed, forgotten, entry_gone, reordered, loaded, rate_changed,
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:RNNprop")
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_between_two_steps_counts(change: Change) -> None:
    ends = []
    for kernel in ("auto", "reference"):
        params = params_of(*SHAPES, dtype=torch.float32)
        optimizer = rnnprop(params, kernel=kernel)
        run(optimizer, params, range(3))
        assert change(optimizer, params) is None
        run(optimizer, params, range(3, 6))
        ends.append(values(params))
    rough = change in (
        narrowed,
        narrowed_and_widened,
        params_narrowed,
    )  # roundings to bfloat16 may fall apart
    torch.testing.assert_close(*ends, rtol=2e-2 if rough else 1e-4, atol=2e-2 if rough else 1e-5)


@pytest.mark.filterwarnings("ignore:RNNprop")
def test_parameters_rest_and_come_back() -> None:
    ends = []
    for kernel in ("auto", "reference"):
        params = params_of(*SHAPES, dtype=torch.float32)
        optimizer = rnnprop(params, kernel=kernel)
        for step, resting in enumerate(((), (0,), (0, 2), (4,), (), (0, 1, 2, 3, 4), ())):
            set_grads(params, step)
            for index in resting:
                params[index].grad = None
            optimizer.step()
        ends.append(values(params))
        assert [float(optimizer.state[param]["step"]) for param in params] == [4, 6, 5, 6, 5]
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["exp_avg", "hidden"])
def test_a_state_that_was_cut_is_refused_and_nothing_moves(name: str) -> None:
    params = params_of(*SHAPES, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = rnnprop(params, kernel="auto")
        run(optimizer, params, range(2))
    before = values(params)
    value = optimizer.state[params[0]][name]
    value.data = value.data[:3]  # where it was
    set_grads(params, 2)
    with pytest.raises(ValueError, match=rf"{name} has the shape"):
        optimizer.step()
    assert torch.equal(values(params), before)


def test_two_optimizers_of_one_process_do_not_mix() -> None:
    first, second = (params_of(*SHAPES, dtype=torch.float32, seed=seed) for seed in (0, 1))
    alone = params_of(*SHAPES, dtype=torch.float32, seed=0)
    one, other, plain = (rnnprop(params, kernel="auto") for params in (first, second, alone))
    for step in range(4):
        for params, optimizer in ((first, one), (second, other), (alone, plain)):
            run(optimizer, params, range(step, step + 1))
    assert torch.equal(values(first), values(alone))
    assert not torch.equal(values(second), values(alone))
