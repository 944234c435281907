"""The learned optimizers as `torch.optim.Optimizer`: steps, param groups, gradients."""

import warnings

import pytest
import torch
from drop_in_samples import CPU, SHAPES, Make, both, params_of, rnnprop, run, set_grads, values
from torch import nn

from rnnprop_cli import RNNprop
from rnnprop_cli.accelerate.optimizers import build_learned
from rnnprop_cli.components.optimizers.base import Given
from rnnprop_cli.kernels.reference import ReferenceKernel


@both
def test_the_steps_are_those_of_the_benchmark(make: Make) -> None:
    params = params_of(*SHAPES)
    optimizer = make(params)
    weights = optimizer.weights
    plain = build_learned(
        weights.rule(),
        weights.meta_params(torch.float64, CPU),
        Given(torch.tensor([0.1], dtype=torch.float64), 20),
        ReferenceKernel(),
    )
    params_CP = values(params)[None].clone()
    state = plain.init(params_CP)
    for step in range(20):
        set_grads(params, step)
        grads_CP = torch.cat([param.grad.reshape(-1) for param in params if param.grad is not None])[None]
        optimizer.step()
        state = plain.advance(grads_CP, state, params_CP)
        torch.testing.assert_close(values(params)[None], params_CP, rtol=1e-12, atol=1e-13)


@both
def test_the_fast_kernel_takes_the_same_steps(make: Make) -> None:
    ours, plain = (params_of(*SHAPES, dtype=torch.float32) for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where there is no compiler, auto is the reference and says so
        fast = make(ours, kernel="auto")
        run(fast, ours, range(20))
    run(make(plain), plain, range(20))
    torch.testing.assert_close(values(ours), values(plain), rtol=1e-4, atol=1e-5)


@both
def test_all_tensors_together_move_as_each_alone(make: Make) -> None:
    together, alone = params_of(*SHAPES), params_of(*SHAPES)
    optimizer = make(together)
    others = [make([param]) for param in alone]
    for step in range(5):
        set_grads(together, step)
        set_grads(alone, step)
        optimizer.step()
        for other in others:
            other.step()
    torch.testing.assert_close(values(together), values(alone), rtol=1e-12, atol=1e-13)


@both
def test_dtypes_may_be_mixed(make: Make) -> None:
    dtypes = (torch.float32, torch.bfloat16, torch.float64)
    mixed = [params_of((3, 2), dtype=dtype)[0] for dtype in dtypes]
    optimizer = make(mixed)
    run(optimizer, mixed, range(3))
    for index, dtype in enumerate(dtypes):
        alone = params_of((3, 2), dtype=dtype)
        other = make(alone)
        for step in range(3):
            padded = [nn.Parameter(torch.zeros(3, 2, dtype=dtype)) for _ in range(index)] + alone
            set_grads(padded, step)
            other.step()
        torch.testing.assert_close(alone[0], mixed[index])


@both
def test_param_groups_have_their_own_rate_decay_and_direction(make: Make) -> None:
    together = params_of((3, 2), (4,), (2,))
    optimizer = make(
        [
            {"params": [together[0]], "lr": 0.02},
            {"params": [together[1]], "weight_decay": 0.5},
            {"params": [together[2]], "maximize": True},
        ]
    )
    expected = params_of((3, 2), (4,), (2,))
    singles = [
        make([expected[0]], lr=0.02),
        make([expected[1]], weight_decay=0.5),
        make([expected[2]], maximize=True),
    ]
    for step in range(5):
        set_grads(together, step)
        set_grads(expected, step)
        optimizer.step()
        for single in singles:
            single.step()
    torch.testing.assert_close(values(together), values(expected), rtol=1e-12, atol=1e-13)


@both
def test_maximize_is_the_step_of_the_negated_gradient(make: Make) -> None:
    up, down = params_of((5,)), params_of((5,))
    climbing, descending = make(up, maximize=True), make(down)
    for step in range(4):
        set_grads(up, step)
        given = [param.grad.clone() for param in up if param.grad is not None]
        set_grads(down, step)
        for param in down:
            assert param.grad is not None
            param.grad.neg_()
        climbing.step()
        descending.step()
        assert all(torch.equal(param.grad, grad) for param, grad in zip(up, given, strict=True))  # type: ignore[arg-type]
    assert torch.equal(values(up), values(down))


def test_weight_decay_is_decoupled_from_the_gradient() -> None:
    params, plain = params_of((5,)), params_of((5,))
    decayed, other = rnnprop(params, weight_decay=0.1), rnnprop(plain)
    start = values(params)
    run(decayed, params, range(1))
    run(other, plain, range(1))
    torch.testing.assert_close(values(params), values(plain) - 0.1 * 0.1 * start)


def test_no_step_is_longer_than_the_rate() -> None:
    params = params_of((200,))
    optimizer = rnnprop(params, lr=0.03)
    for step in range(10):
        before = values(params)
        run(optimizer, params, range(step, step + 1))
        assert (values(params) - before).abs().max() <= 0.03


@both
def test_schedulers_change_the_rate(make: Make) -> None:
    params, plain = params_of((4, 3)), params_of((4, 3))
    optimizer, other = make(params), make(plain)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    for step in range(6):
        run(optimizer, params, range(step, step + 1))
        other.param_groups[0]["lr"] = 0.1 * 0.5 ** (step // 2)
        run(other, plain, range(step, step + 1))
        scheduler.step()
    torch.testing.assert_close(values(params), values(plain), rtol=1e-12, atol=1e-13)
    warm = torch.optim.lr_scheduler.OneCycleLR(
        rnnprop(params_of((2,)), lr=0.1), max_lr=0.2, total_steps=5, cycle_momentum=False
    )
    assert warm.get_last_lr()[0] < 0.1


def test_the_rate_may_be_a_tensor() -> None:
    params, plain = params_of((3,)), params_of((3,))
    run(rnnprop(params, lr=torch.tensor(0.05, dtype=torch.float64)), params, range(3))
    run(rnnprop(plain, lr=0.05), plain, range(3))
    assert torch.equal(values(params), values(plain))


@both
def test_parameters_without_a_gradient_stay_and_keep_their_state(make: Make) -> None:
    params, alone = params_of((3,), (2, 2)), params_of((3,), (2, 2))
    optimizer = make(params)
    others = [make([param]) for param in alone]
    rests = {2: 0, 3: 0, 5: 1}
    for step in range(8):
        set_grads(params, step)
        set_grads(alone, step)
        if step in rests:
            params[rests[step]].grad = None
        optimizer.step()
        for index, other in enumerate(others):
            if rests.get(step) != index:
                other.step()
    torch.testing.assert_close(values(params), values(alone), rtol=1e-12, atol=1e-13)


def test_a_step_without_any_gradient_changes_nothing() -> None:
    params = params_of((3,))
    optimizer = rnnprop(params)
    before = values(params)
    optimizer.step()
    assert torch.equal(values(params), before)
    assert not optimizer.state


@both
def test_a_param_group_that_comes_later_starts_its_own_trajectory(make: Make) -> None:
    params, late = params_of((3,)), params_of((2,), seed=1)
    expected, expected_late = params_of((3,)), params_of((2,), seed=1)
    optimizer, first, second = make(params), make(expected), make(expected_late)
    run(optimizer, params, range(3))
    run(first, expected, range(3))
    optimizer.add_param_group({"params": late, "lr": 0.01})
    second.param_groups[0]["lr"] = 0.01
    for step in range(3, 6):
        for these in (params, late, expected, expected_late):
            set_grads(these, step)
        optimizer.step()
        first.step()
        second.step()
    torch.testing.assert_close(values(params), values(expected), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(values(late), values(expected_late), rtol=1e-12, atol=1e-13)


def test_a_closure_is_called_once_with_gradients_and_its_loss_comes_back() -> None:
    params = params_of((3,))
    optimizer = rnnprop(params)
    calls = []

    def closure() -> float:
        optimizer.zero_grad()
        loss = params[0].square().sum()
        loss.backward()
        calls.append(float(loss.detach()))
        return calls[-1]

    before = float(values(params).square().sum())
    assert optimizer.step(closure) == before == calls[0]
    assert len(calls) == 1
    assert optimizer.step() is None


@both
@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad_works_both_ways(make: Make, set_to_none: bool) -> None:
    params = params_of((3,))
    optimizer = make(params)
    set_grads(params, 0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=set_to_none)
    grad = params[0].grad
    assert grad is None if set_to_none else grad is not None and not grad.any()
    optimizer.step()
    assert optimizer.state[params[0]]["step"] == (1 if set_to_none else 2)


def test_layouts_of_memory_do_not_matter() -> None:
    plain = params_of((2, 3, 4, 5))
    last = [nn.Parameter(plain[0].detach().clone(memory_format=torch.channels_last))]
    one, other = rnnprop(plain), rnnprop(last)
    for step in range(3):
        set_grads(plain, step)
        assert plain[0].grad is not None
        last[0].grad = plain[0].grad.clone(memory_format=torch.channels_last)
        one.step()
        other.step()
    assert torch.equal(plain[0], last[0])


def test_a_step_may_stand_in_a_compiled_function() -> None:
    params, plain = params_of((3,)), params_of((3,))
    compiled, other = rnnprop(params), rnnprop(plain)
    step = torch.compile(lambda: compiled.step(), backend="eager")
    for at in range(3):
        set_grads(params, at)
        set_grads(plain, at)
        step()
        other.step()
    assert torch.equal(values(params), values(plain))


def test_none_as_the_rate_of_a_group_is_alpha() -> None:
    optimizer = rnnprop([{"params": params_of((2,)), "lr": None}])
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_steps_are_counted_under_any_default_dtype() -> None:
    params = params_of((1,))
    optimizer = rnnprop(params)
    torch.set_default_dtype(torch.bfloat16)
    try:
        run(optimizer, params, range(300))
    finally:
        torch.set_default_dtype(torch.float32)
    assert optimizer.state[params[0]]["step"] == 300


def test_the_shipped_weights_train_a_model() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
    inputs = torch.randn(64, 8)
    targets = inputs.square().sum(1, keepdim=True) / 8
    optimizer = RNNprop(model.parameters(), kernel="reference")
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = (model(inputs) - targets).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]


def test_hooks_run_around_each_step() -> None:
    params = params_of((2,))
    optimizer = rnnprop(params)
    seen: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    run(optimizer, params, range(2))
    assert seen == ["before", "after"] * 2


def test_named_parameters_are_taken() -> None:
    model = nn.Linear(2, 1)
    optimizer = rnnprop(model.named_parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert len(optimizer.state) == 2


def test_a_gradient_scaler_steps_and_skips() -> None:
    params = params_of((3,), dtype=torch.float32)
    optimizer = rnnprop(params)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    before = values(params)
    scaler.scale((params[0] * torch.tensor([1.0, float("inf"), 1.0])).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(values(params), before)
    optimizer.zero_grad()
    scaler.scale(params[0].sum()).backward()
    scaler.step(optimizer)
    assert not torch.equal(values(params), before)
