"""Any optimizer of torch walks as it walks by itself."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from rnnprop_cli.components.conformance import check_optimizer
from rnnprop_cli.components.optimizers.adam import AdamWSpec
from rnnprop_cli.components.optimizers.base import Given
from rnnprop_cli.components.optimizers.torch_any import TorchOptimizer, TorchSpec, _is_coordinatewise
from rnnprop_cli.components.plugins import Code
from rnnprop_cli.errors import CodeError

pytestmark = pytest.mark.usefixtures("allowed")
Read = Callable[[str], Code]
SHAPES = ((3, 2), (2,))
RATES = (0.1, 0.01)


def spec_of(code: Code, **settings: Any) -> TorchSpec:
    return TorchSpec.model_validate({"source": code, **settings})


def walked(spec: Any, steps: int = 9) -> torch.Tensor:
    """[C, P] after some steps, two seeds with two rates each."""
    generator = torch.Generator().manual_seed(3)
    params_CP = torch.randn(4, 8, generator=generator, dtype=torch.float64)
    lr_C = torch.tensor(RATES * 2, dtype=torch.float64)
    optimizer = spec.build(Given(lr_C, steps, SHAPES))
    state = optimizer.init(params_CP)
    for _ in range(steps):
        grads_CP = torch.randn(4, 8, generator=generator, dtype=torch.float64)
        state = optimizer.advance(grads_CP, state, params_CP)
    return optimizer.evaluated(params_CP, state)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "wsd"])
def test_adamw_of_torch_walks_as_ours(schedule: str, code: Read) -> None:
    theirs = spec_of(code("torch.optim:AdamW"), schedule=schedule)
    ours = AdamWSpec.model_validate({"schedule": schedule})
    torch.testing.assert_close(walked(theirs), walked(ours), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("source", "together"),
    [
        ("torch.optim:RAdam", True),
        ("torch.optim:SGD", True),
        ("rules.py:Plain", True),
        ("rules.py:Clipped", False),
        ("torch.optim:Adafactor", False),
    ],
)
def test_cells_share_an_instance_where_that_changes_nothing(source: str, together: bool, code: Read) -> None:
    spec = spec_of(code(source))
    assert _is_coordinatewise(spec) is together
    assert (spec.rehearse() is None) is together
    assert [check for check in check_optimizer(spec) if check.wrong] == []


@pytest.mark.parametrize("together", [True, False])
def test_both_lanes_walk_alike(together: bool, code: Read) -> None:
    spec = spec_of(code("torch.optim:NAdam"))
    lane = spec.model_copy(update={"coordinatewise": together})
    torch.testing.assert_close(walked(lane), walked(spec), rtol=1e-10, atol=1e-12)


def test_an_update_leaves_what_it_is_given(code: Read) -> None:
    spec = spec_of(code("torch.optim:RAdam"))
    optimizer = spec.build(Given(torch.full((2,), 0.1), 5, ((4,),)))
    params_CP, grads_CP = torch.ones(2, 4), torch.ones(2, 4)
    state = optimizer.init(params_CP)
    first, _ = optimizer.update(grads_CP, state, params_CP)
    again, _ = optimizer.update(grads_CP, state, params_CP)
    assert torch.equal(first, again)
    assert torch.equal(params_CP, torch.ones(2, 4))


def test_schedule_free_is_evaluated_where_it_says(code: Read) -> None:
    schedulefree = pytest.importorskip("schedulefree")
    spec = spec_of(code("schedulefree:AdamWScheduleFree"))
    found = walked(spec)
    generator = torch.Generator().manual_seed(3)
    start = torch.randn(4, 8, generator=generator, dtype=torch.float64)
    grads = [torch.randn(4, 8, generator=generator, dtype=torch.float64) for _ in range(9)]
    param = start[0].clone().requires_grad_()
    optimizer = schedulefree.AdamWScheduleFree([param], lr=RATES[0])
    optimizer.train()
    for grad in grads:
        param.grad = grad[0]
        optimizer.step()
    optimizer.eval()
    torch.testing.assert_close(found[0], param.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("source", ["prodigyopt:Prodigy", "pytorch_optimizer:SOAP", "pytorch_optimizer:Lamb"])
@pytest.mark.filterwarnings("ignore")
def test_optimizers_of_packages_are_taken(source: str, code: Read) -> None:
    pytest.importorskip(source.partition(":")[0])
    spec = spec_of(code(source))
    assert not _is_coordinatewise(spec)
    assert [check for check in check_optimizer(spec) if check.wrong] == []


def test_the_search_starts_where_it_is_told_and_the_default_is_that_of_the_signature(code: Read) -> None:
    spec = spec_of(code("torch.optim:RAdam"), centre=0.5)
    assert (spec.start_k, spec.default_rate) == (2, 0.001)
    assert spec_of(code("rules.py:Unrated"), lr="default").default_rate is None


def test_an_optimizer_without_a_rate_runs_untuned(code: Read) -> None:
    params_CP = torch.ones(1, 8)
    optimizer = spec_of(code("rules.py:Unrated"), lr="default").build(
        Given(torch.tensor([float("nan")]), 3, SHAPES)
    )
    assert isinstance(optimizer, TorchOptimizer)
    optimizer.advance(params_CP, optimizer.init(params_CP), params_CP)
    torch.testing.assert_close(params_CP, torch.full((1, 8), 0.9))


@pytest.mark.parametrize(
    ("source", "settings", "told"),
    [
        ("torch.optim:LBFGS", {}, "closure"),
        ("rules.py:NoOptimizer", {}, "not a torch.optim.Optimizer"),
        ("rules.py:Unrated", {}, "no argument lr"),
        ("torch.optim:RAdam", {"betas": 3}, "TypeError"),
        ("torch.optim:RAdam", {"beta": 0.9}, "unexpected keyword argument"),
        ("nets.py:Rings", {}, "TypeError|not a torch.optim.Optimizer"),
    ],
)
def test_what_is_no_optimizer_is_told(source: str, settings: dict[str, Any], told: str, code: Read) -> None:
    with pytest.raises(CodeError, match=told):
        spec_of(code(source), settings=settings).rehearse()
