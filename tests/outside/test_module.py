"""Modules from outside as optimizees."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from rnnprop_cli.components.conformance import check_optimizee
from rnnprop_cli.components.datasets import load_dataset
from rnnprop_cli.components.optimizees.base import Given
from rnnprop_cli.components.optimizees.module import ModuleSpec
from rnnprop_cli.components.optimizees.module_cells import ModuleOptimizee
from rnnprop_cli.components.plugins import Code
from rnnprop_cli.errors import CodeError

pytestmark = pytest.mark.usefixtures("allowed")
Read = Callable[[str], Code]
CPU = torch.device("cpu")


def built(spec: ModuleSpec, *seeds: int, dtype: torch.dtype = torch.float64) -> ModuleOptimizee:
    dataset = load_dataset(spec.dataset) if spec.dataset else None
    return spec.build(Given(dataset, seeds or (1, 2), 5, dtype, CPU, "replacement"))


@pytest.mark.parametrize(
    ("source", "settings", "dataset", "batched"),
    [
        ("nets.py:Rings", {"width": 4}, None, True),
        ("nets.py:Rings", {"dropout": 0.3}, None, False),
        ("nets.py:Recurrent", {}, None, False),
        ("nets.py:Normed", {}, "digits", False),
    ],
)
def test_they_are_what_a_benchmark_expects_batched_or_not(
    source: str, settings: dict[str, Any], dataset: str | None, batched: bool, code: Read
) -> None:
    spec = ModuleSpec.model_validate({"source": code(source), "settings": settings, "dataset": dataset})
    data = load_dataset(dataset) if dataset else None
    assert [check for check in check_optimizee(spec, data) if check.wrong] == []
    optimizee = built(spec)
    assert optimizee.batched is batched
    assert (optimizee.notice is None) is batched
    assert spec.numbers_per_example() > 0


def test_a_batch_by_vmap_is_that_of_the_module_itself(code: Read) -> None:
    optimizee = built(ModuleSpec(source=code("nets.py:Rings")))
    params_CP = optimizee.init_params().repeat_interleave(2, dim=0)
    params_CP[1] += 0.1
    loss_C, grads_CP = optimizee.loss_and_grad(params_CP, 7)
    module = optimizee.module
    points, ring = (part[0] for part in optimizee.batch(7))
    torch.nn.utils.vector_to_parameters(params_CP[1], module.parameters())
    loss: Any = module.loss(points, ring)
    module.zero_grad()
    loss.backward()
    grad_P = torch.cat([param.grad.reshape(-1) for param in module.parameters() if param.grad is not None])
    torch.testing.assert_close(loss.detach(), loss_C[1])
    torch.testing.assert_close(grad_P, grads_CP[1])


def test_dropout_follows_from_seed_and_step(code: Read) -> None:
    spec = ModuleSpec.model_validate({"source": code("nets.py:Rings"), "settings": {"dropout": 0.5}})
    optimizee = built(spec)
    params_CP = optimizee.init_params()
    torch.manual_seed(5)
    first = optimizee.loss(params_CP, 1)
    torch.manual_seed(6)
    assert torch.equal(optimizee.loss(params_CP, 1), first)
    assert not torch.equal(optimizee.loss(params_CP, 2), first)


def test_heldout_data_are_seen_without_dropout(code: Read) -> None:
    plain, dropped = (
        built(ModuleSpec.model_validate({"source": code("nets.py:Rings"), "settings": settings}))
        for settings in ({}, {"dropout": 0.5})
    )
    params_CP = plain.init_params()
    one, other = plain.heldout(params_CP), dropped.heldout(params_CP)
    assert one is not None
    assert other is not None
    torch.testing.assert_close(one.loss_C, other.loss_C)
    assert one.accuracy_C is not None


def test_recorded_steps_read_the_data_that_they_are_given(code: Read) -> None:
    spec = ModuleSpec(source=code("nets.py:Rings"))
    one, other = built(spec, 1, 2), built(spec, 3, 4)
    params_CP = one.init_params()
    tensors = other.tensors(4, 2)
    assert tensors is not None
    one.load(4, tensors)
    assert torch.equal(one.loss(params_CP, 5), other.loss(params_CP, 5))


def test_what_draws_by_itself_is_found_out(code: Read) -> None:
    wrong = [
        check.name
        for check in check_optimizee(ModuleSpec(source=code("nets.py:Forgets")), None)
        if check.wrong
    ]
    assert "everything random is a function of the seed" in wrong


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Vector", "must be one floating-point number"),
        ("Breaks", r"line \d+, in loss: AttributeError: .*absent"),
        ("Bare", "has no minibatch"),
        ("Empty", "has no parameters"),
        ("Ends", "it ended the program"),
        ("number", "TypeError"),
    ],
)
def test_what_is_no_optimizee_is_told(name: str, told: str, code: Read) -> None:
    with pytest.raises(CodeError, match=told):
        built(ModuleSpec(source=code(f"nets.py:{name}")))


def test_settings_that_it_does_not_take_are_told(code: Read) -> None:
    spec = ModuleSpec.model_validate({"source": code("nets.py:Rings"), "settings": {"depth": 3}})
    with pytest.raises(CodeError, match="unexpected keyword argument 'depth'"):
        built(spec)


def test_the_class_says_what_chance_costs(code: Read) -> None:
    assert ModuleSpec(source=code("nets.py:Rings")).chance_loss == 0.6931
    assert ModuleSpec(source=code("nets.py:Recurrent")).chance_loss is None
    assert ModuleSpec(source=code("nets.py:Normed"), dataset="digits").chance_loss == pytest.approx(2.302585)
