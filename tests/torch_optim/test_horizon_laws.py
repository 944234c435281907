"""The drop-ins under a horizon law: as in a benchmark, saved and loaded, with and without an end."""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from law_samples import OURS, SHAPES, STEPS, each_of_ours, model, walk
from torch import Tensor, nn

from rnnprop_cli import Mixture, RNNprop
from rnnprop_cli.components.learned.base import SteppedOptimizer
from rnnprop_cli.errors import UsageError
from rnnprop_cli.execute.weights import Weights


@each_of_ours
@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_it_goes_as_in_a_benchmark(make: Callable[..., Any], own: Weights, kernel: str) -> None:
    net = model()
    start_1P = torch.cat([param.detach().reshape(-1) for param in net.parameters()])[None].clone()
    found = walk(net, make(net.parameters(), weights=own, total_steps=STEPS, kernel=kernel), STEPS)
    flat_Q = own.meta_params(torch.float32, torch.device("cpu"))
    fan_ins = (3, 3, 4, 4)
    plain = SteppedOptimizer(own.rule(), flat_Q, torch.ones(1), SHAPES, STEPS, fan_ins=fan_ins)
    state = plain.init(start_1P)
    for step in range(STEPS):
        generator = torch.Generator().manual_seed(step)
        parts = torch.split(start_1P, [12, 4, 8, 2], 1)
        grads = [torch.randn(s, generator=generator).reshape(1, -1) for s in SHAPES]
        state = plain.advance(torch.cat(grads, 1) + torch.cat(parts, 1), state, start_1P)
    torch.testing.assert_close(found, start_1P[0], rtol=1e-3, atol=1e-5)


@each_of_ours
def test_it_goes_on_exactly_from_a_saved_state_and_as_a_copy(make: Callable[..., Any], own: Weights) -> None:
    net = model()
    optimizer = make(net.parameters(), weights=own, total_steps=STEPS)
    walk(net, optimizer, 5)
    twin, saved = copy.deepcopy(net), io.BytesIO()
    torch.save(optimizer.state_dict(), saved)
    saved.seek(0)
    again = make(twin.parameters(), weights=own, total_steps=STEPS)
    again.load_state_dict(torch.load(saved))
    third, whole = pickle.loads(pickle.dumps((net, optimizer)))
    expected = walk(net, optimizer, 5, 5)
    assert torch.equal(walk(twin, again, 5, 5), expected)
    assert whole.total_steps == STEPS
    assert torch.equal(walk(third, whole, 5, 5), expected)


@each_of_ours
def test_half_precision_parameters_keep_their_state_in_float32(
    make: Callable[..., Any], own: Weights
) -> None:
    net = model(torch.bfloat16)
    optimizer = make(net.parameters(), weights=own, total_steps=STEPS)
    whole = walk(model(), make((wide := model()).parameters(), weights=own, total_steps=STEPS), 0)
    found = walk(net, optimizer, STEPS)
    reference = walk(wide, make(wide.parameters(), weights=own, total_steps=STEPS), STEPS)
    assert len(whole) == len(found)
    assert (found.float() - reference).abs().max() < 0.05
    entries = optimizer.state[next(net.parameters())]
    assert all(e.dtype == torch.float32 for e in entries.values() if isinstance(e, Tensor))
    other = make((twin := copy.deepcopy(net)).parameters(), weights=own, total_steps=2 * STEPS)
    other.load_state_dict(optimizer.state_dict())
    loaded = other.state[next(twin.parameters())]
    assert all(torch.equal(loaded[k], e) for k, e in entries.items() if isinstance(e, Tensor))


@each_of_ours
def test_a_run_without_an_end_is_cooled_down(make: Callable[..., Any], own: Weights) -> None:
    net = model()
    optimizer = make(net.parameters(), weights=own)
    walk(net, optimizer, 20)
    optimizer.cool_down(4)
    sizes, before = [], walk(net, optimizer, 0)
    for step in range(20, 24):
        after = walk(net, optimizer, 1, step)
        sizes.append(float((after - before).norm()))
        before = after
    assert sizes[3] < 0.6 * sizes[0]
    assert sizes[3] > 0
    with pytest.warns(UserWarning, match="step 25 is behind the last of 24"):
        assert torch.equal(walk(net, optimizer, 1, 24), before)
    twin = copy.deepcopy(net)
    other = make(twin.parameters(), weights=own)
    other.load_state_dict(optimizer.state_dict())
    with pytest.warns(UserWarning, match="behind the last"):
        assert torch.equal(walk(twin, other, 1, 24), before)


@each_of_ours
def test_who_comes_late_is_where_all_others_are(make: Callable[..., Any], own: Weights) -> None:
    params = [nn.Parameter(torch.full((4,), 0.3)) for _ in range(3)]
    optimizer = make(params[:2], weights=own, total_steps=20)
    moved = []
    for step in range(20):
        before = [param.detach().clone() for param in params]
        for index, param in enumerate(params):
            param.grad = torch.ones(4) if step >= (0, 10, 15)[index] else None
        if step == 15:
            optimizer.add_param_group({"params": [params[2]]})
        optimizer.step()
        moved.append([float((new - old).norm()) for new, old in zip(params, before, strict=True)])
    assert moved[9][1] == 0
    averaged = "averaging" in own.tensors  # these go on towards the average
    assert 0 < moved[19][1] < (0.8 if averaged else 0.3) * moved[10][1]
    assert 0 < moved[19][2] < (0.8 if averaged else 0.5) * moved[15][2]
    assert [group["taken"] for group in optimizer.param_groups] == [20, 20]


@each_of_ours
def test_reset_forgets_the_run(make: Callable[..., Any], own: Weights) -> None:
    net = model()
    optimizer = make(net.parameters(), weights=own)
    walk(net, optimizer, 3)
    optimizer.cool_down(4)
    optimizer.reset()
    twin = copy.deepcopy(net)
    assert torch.equal(walk(net, optimizer, 9), walk(twin, make(twin.parameters(), weights=own), 9))


@each_of_ours
def test_zeros_have_the_size_of_the_tensor_before_them_in_another_group_too(
    make: Callable[..., Any], own: Weights
) -> None:
    params = [nn.Parameter(torch.full((4,), 0.001)), nn.Parameter(torch.zeros(4))]
    optimizer = make([{"params": [param]} for param in params], weights=own, total_steps=20)
    for param in params:
        param.grad = torch.ones(4)
    optimizer.step()
    assert [optimizer.state[param]["initial_size"] for param in params] == [pytest.approx(0.01)] * 2


@each_of_ours
@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("state", "initial_size", "large"),
        ("state", "initial_size", 0.0),
        ("state", "step", -1.0),
        ("param_groups", "cooling_from", "x"),
        ("param_groups", "taken", -1),
    ],
)
def test_a_saved_state_that_cannot_be_is_refused(
    make: Callable[..., Any], own: Weights, where: str, name: str, value: Any
) -> None:
    net = model()
    optimizer = make(net.parameters(), weights=own, total_steps=STEPS)
    walk(net, optimizer, 1)
    saved = optimizer.state_dict()
    saved[where][0][name] = value
    with pytest.raises(ValueError, match=name):
        optimizer.load_state_dict(saved)


@each_of_ours
def test_steps_behind_the_last_have_no_length(make: Callable[..., Any], own: Weights) -> None:
    net = model()
    optimizer = make(net.parameters(), weights=own, total_steps=3)
    end = walk(net, optimizer, 3)
    with pytest.warns(UserWarning, match="step 4 is behind the last of 3: its length is 0"):
        assert torch.equal(walk(net, optimizer, 2, 3), end)
    late = make(model().parameters(), weights=own, total_steps=2)
    with pytest.raises(ValueError, match="saved after 5 steps, and total_steps is 2"):
        late.load_state_dict(optimizer.state_dict())
    assert not late.state


@each_of_ours
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "10"])
def test_total_steps_is_a_whole_number_from_1_on(make: Callable[..., Any], own: Weights, value: Any) -> None:
    with pytest.raises(ValueError, match="total_steps must be a whole number of at least 1"):
        make(model().parameters(), weights=own, total_steps=value)


def test_a_law_for_another_architecture_and_weights_without_one_are_refused() -> None:
    with pytest.raises(UsageError, match="weights of RNNprop, not of Mixture"):
        Mixture(model().parameters(), weights=OURS[0][1], total_steps=5)
    with pytest.raises(UsageError, match="weights of Mixture, not of RNNprop"):
        RNNprop(model().parameters(), weights=OURS[1][1], total_steps=5)
    with pytest.raises(UsageError, match="no horizon law, which total_steps is for"):
        RNNprop(model().parameters(), weights="rnnprop", total_steps=5)
    with pytest.raises(ValueError, match="cool_down is for weights with a horizon law"):
        RNNprop(model().parameters(), weights="rnnprop").cool_down(5)
    with pytest.raises(ValueError, match="whole number of steps, at least 1, not 0"):
        RNNprop(model().parameters(), weights=OURS[0][1]).cool_down(0)


@each_of_ours
def test_odd_tensors(make: Callable[..., Any], own: Weights) -> None:
    params = [
        nn.Parameter(torch.zeros(3, 3)),
        nn.Parameter(torch.tensor(0.5)),
        nn.Parameter(torch.zeros(0, 4)),
        nn.Parameter(torch.ones(2), requires_grad=False),
        nn.Parameter(torch.randn(6, 4).t()),  # does not lie row by row
        nn.Parameter(torch.randn(5).double()),
    ]
    optimizer = make(params, weights=own, total_steps=STEPS)
    before = [param.detach().clone() for param in params]
    for _ in range(3):
        for param in params:
            if param.requires_grad:
                param.grad = torch.ones_like(param)
        optimizer.step()
    moved = [not torch.equal(param.detach(), old) for param, old in zip(params, before, strict=True)]
    assert moved == [True, True, False, False, True, True]
    assert all(param.isfinite().all() for param in params)


@each_of_ours
def test_groups_have_their_own_factor_of_the_law_and_maximize(make: Callable[..., Any], own: Weights) -> None:
    params = [nn.Parameter(torch.full((4,), 0.3)) for _ in range(3)]
    groups = [
        {"params": [params[0]]},
        {"params": [params[1]], "lr": 0.0},
        {"params": [params[2]], "maximize": True},
    ]
    optimizer = make(groups, weights=own, total_steps=STEPS)
    for param in params:
        param.grad = torch.ones(4) if param is not params[2] else -torch.ones(4)
    optimizer.step()
    assert not torch.equal(params[0], torch.full((4,), 0.3))
    assert torch.equal(params[1], torch.full((4,), 0.3))
    assert torch.equal(params[2], params[0])
