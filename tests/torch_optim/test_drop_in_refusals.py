"""What the learned optimizers refuse as `torch.optim.Optimizer`, before anything moves."""

from pathlib import Path
from typing import Any

import pytest
import torch
from drop_in_samples import DM, params_of, rnnprop, values
from torch import nn

from rnnprop_cli import RNNprop
from rnnprop_cli.errors import CheckpointError, UsageError


def test_parameters_and_rates_of_a_wrong_type_are_refused() -> None:
    with pytest.raises(TypeError, match=r"not torch.int64$"):
        rnnprop([torch.zeros(2, dtype=torch.int64)])
    with pytest.raises(TypeError, match=r"lr must be a number, not '0.1'"):
        rnnprop([{"params": params_of((2,)), "lr": "0.1"}])


def test_sparse_gradients_are_refused_before_anything_moves() -> None:
    table = nn.Embedding(5, 3, sparse=True)
    dense = nn.Linear(3, 1)
    optimizer = rnnprop([*dense.parameters(), *table.parameters()])
    before = values(list(optimizer.param_groups[0]["params"]))
    dense(table(torch.tensor([1, 2]))).sum().backward()
    with pytest.raises(RuntimeError, match=r"sparse gradients.*SparseAdam"):
        optimizer.step()
    assert torch.equal(values(list(optimizer.param_groups[0]["params"])), before)
    assert not optimizer.state


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_parameters_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match="view_as_real"):
        rnnprop([torch.zeros(2, dtype=dtype, requires_grad=True)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -0.1}, "lr must be 0 or more"),
        ({"lr": float("nan")}, "lr must be 0 or more"),
        ({"weight_decay": -1.0}, "weight_decay must be 0 or more"),
        ({"kernel": "nope"}, "kernel must be one of auto, reference, cpu, cuda, not 'nope'"),
        ({"state_dtype": torch.int8}, "state_dtype must be one of"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rnnprop(params_of((2,)), **options)


def test_a_refused_group_leaves_the_optimizer_as_it_was() -> None:
    optimizer = rnnprop(params_of((2,)))
    with pytest.raises(ValueError, match="lr"):
        optimizer.add_param_group({"params": params_of((3,)), "lr": -1.0})
    assert len(optimizer.param_groups) == 1


def test_weights_of_the_other_kind_are_refused() -> None:
    with pytest.raises(UsageError, match=r"weights of DMOptimizer.*use DMOptimizer"):
        rnnprop(params_of((2,)), weights=DM)


def test_a_database_that_is_not_there_is_an_error_not_a_reason_to_take_other_weights(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"typo\.db.*no such file"):
        RNNprop(params_of((2,)), weights="rnnprop", database=tmp_path / "typo.db")


def test_unknown_weights_say_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"no weights 'nothing'.*rnnprop"):
        rnnprop(params_of((2,)), weights="nothing")
    with pytest.raises(CheckpointError, match="no such file"):
        rnnprop(params_of((2,)), weights="nothing.safetensors")
