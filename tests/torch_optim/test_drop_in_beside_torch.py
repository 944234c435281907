"""What PyTorch asks of its own optimizers in its tests, asked of the drop-in; what Adam does stands beside it."""

import copy
from typing import Any

import pytest
import torch
from drop_in_samples import Make, both, params_of, rnnprop, run, set_grads, values
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from rnnprop_cli import RNNprop
from rnnprop_cli.errors import DeviceError

KERNELS = pytest.mark.parametrize("kernel", ["reference", "auto"])


@KERNELS
@pytest.mark.parametrize("maximize", [False, True])
def test_it_goes_the_right_way_on_parameters_that_do_not_lie_row_by_row(kernel: Any, maximize: bool) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(10, 5, 2)[..., 0])
    bias = nn.Parameter(torch.randn(10, 2)[..., 0])
    assert not weight.is_contiguous()
    assert not bias.is_contiguous()
    inputs = torch.randn(5)
    optimizer = RNNprop([weight, bias], lr=0.01, maximize=maximize, kernel=kernel)

    def loss() -> Tensor:
        return (weight.mv(inputs) + bias).square().sum()

    start = float(loss().detach())
    for _ in range(20):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    end = float(loss().detach())
    assert end > start if maximize else end < start
    assert not weight.is_contiguous()
    assert optimizer.state[weight]["exp_avg"].is_contiguous()


@KERNELS
def test_strided_parameters_take_the_steps_of_plain_ones(kernel: str) -> None:
    plain = params_of((10, 5), (10,), dtype=torch.float32)
    strided = [nn.Parameter(torch.stack([p.detach(), p.detach()], -1)[..., 0]) for p in plain]
    one, other = rnnprop(plain, kernel=kernel), rnnprop(strided, kernel=kernel)
    run(one, plain, range(4))
    run(other, strided, range(4))
    assert torch.equal(values(plain), values(strided))


@KERNELS
def test_parameters_without_coordinates_are_taken(kernel: str) -> None:
    params = params_of((0,), (3,), (2, 0), dtype=torch.float32)
    alone = params_of((0,), (3,), (2, 0), dtype=torch.float32)[1:2]
    optimizer, other = rnnprop(params, kernel=kernel), rnnprop(alone, kernel=kernel)
    for step in range(3):
        set_grads(params, step)
        alone[0].grad = params[1].grad
        optimizer.step()
        other.step()
    assert torch.equal(params[1], alone[0])
    assert optimizer.state[params[0]]["hidden"].shape == (8, 0)
    again = rnnprop(params, kernel=kernel)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert again.state[params[2]]["step"] == 3


def test_empty_groups_are_taken_and_empty_lists_refused() -> None:
    params = params_of((2,))
    optimizer = rnnprop([{"params": []}, {"params": params}, {"params": [], "lr": 1.0}])
    run(optimizer, params, range(2))
    saved = copy.deepcopy(optimizer.state_dict())
    optimizer.load_state_dict(saved)
    assert optimizer.state[params[0]]["step"] == 2
    with pytest.raises(ValueError, match="empty parameter list"):
        rnnprop([])


def test_what_is_no_leaf_or_no_tensor_is_refused_as_by_adam() -> None:
    leaf = params_of((2,))[0]
    for make in (rnnprop, Adam):
        with pytest.raises(ValueError, match="non-leaf"):
            make([leaf * 2])
        with pytest.raises(TypeError):
            make([3.0])
        with pytest.raises(ValueError, match="more than one parameter group"):
            make([{"params": [leaf]}, {"params": [leaf]}])


@both
def test_one_parameter_twice_in_a_group_warns_as_adam_does(make: Make) -> None:
    leaf = params_of((2,))[0]
    for each in (make, Adam):
        with pytest.warns(UserWarning, match="duplicate parameters"):
            each([leaf, leaf])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"betas": (0.9, 0.999)}, "RNNprop cannot be had with betas"),
        ({"eps": 1e-3}, "RNNprop cannot be had with eps"),
        ({"amsgrad": True}, "RNNprop cannot be had with amsgrad=True"),
        ({"capturable": True}, "RNNprop cannot be had with capturable=True"),
    ],
)
def test_a_group_cannot_ask_for_what_the_optimizer_cannot_do(setting: dict[str, Any], message: str) -> None:
    optimizer = rnnprop(params_of((2,)))
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": params_of((3,)), **setting})
    assert len(optimizer.param_groups) == 1
    optimizer.add_param_group({"params": params_of((3,)), "foreach": True, "name": "head", "lr_scale": 3})
    assert optimizer.param_groups[1]["name"] == "head"


def test_defaults_that_change_later_do_not_reach_groups_that_are_there() -> None:
    optimizer = rnnprop(params_of((2,)), lr=0.1)
    optimizer.defaults["lr"] = 0.5
    optimizer.add_param_group({"params": params_of((2,))})
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5]


def _hooked(optimizer: Optimizer, seen: list[str]) -> None:
    optimizer.register_state_dict_pre_hook(lambda _: seen.append("before saving"))
    optimizer.register_state_dict_post_hook(lambda _, saved: {**saved, "note": 1})
    optimizer.register_load_state_dict_pre_hook(
        lambda _, saved: {name: value for name, value in saved.items() if name != "note"}
    )
    optimizer.register_load_state_dict_post_hook(lambda _: seen.append("after loading"))


@pytest.mark.parametrize("make", [rnnprop, Adam])
def test_hooks_around_saving_and_loading_run_and_may_change_what_is_saved(make: Any) -> None:
    params = params_of((2,))
    optimizer, seen = make(params), []
    _hooked(optimizer, seen)
    set_grads(params, 0)
    optimizer.step()
    saved = optimizer.state_dict()
    assert saved["note"] == 1
    optimizer.load_state_dict(copy.deepcopy(saved))
    assert seen == ["before saving", "after loading"]
    assert optimizer.state[params[0]]["step"] == 1


@pytest.mark.parametrize("make", [rnnprop, Adam])
def test_a_hook_that_is_put_first_sees_what_was_given(make: Any) -> None:
    params = params_of((2,))
    optimizer, seen = make(params), []
    optimizer.register_load_state_dict_pre_hook(lambda *_: seen.append("second"))
    optimizer.register_load_state_dict_pre_hook(lambda *_: seen.append("first"), prepend=True)
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == ["first", "second"]


def test_global_hooks_and_those_that_change_the_arguments_of_a_step() -> None:
    from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

    params = params_of((2,))
    optimizer = rnnprop(params)
    seen: list[str] = []
    handles = [
        register_optimizer_step_pre_hook(lambda *_: seen.append("global before")),
        register_optimizer_step_post_hook(lambda *_: seen.append("global after")),
    ]
    optimizer.register_step_pre_hook(lambda *_: ((optimizer, lambda: 3.5), {}))  # a closure
    try:
        set_grads(params, 0)
        assert optimizer.step() == 3.5
    finally:
        for handle in handles:
            handle.remove()
    assert seen == ["global before", "global after"]


def test_a_step_that_is_a_plain_number_loads() -> None:
    params, others = params_of((3,)), params_of((3,))
    optimizer, other = rnnprop(params), rnnprop(others)
    run(optimizer, params, range(3))
    run(other, others, range(3))
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][0]["step"] = 3
    other.load_state_dict(saved)
    run(optimizer, params, range(3, 5))
    run(other, others, range(3, 5))
    assert torch.equal(values(params), values(others))
    assert other.state[others[0]]["step"].dtype == torch.float32


def test_a_state_of_other_groups_is_refused_as_by_adam() -> None:
    params, others = params_of((2,), (3,)), params_of((2,), (3,))
    for make in (rnnprop, Adam):
        saved = make(params).state_dict()
        with pytest.raises(ValueError, match="parameter group"):
            make([{"params": others[:1]}, {"params": others[1:]}]).load_state_dict(saved)
        with pytest.raises(ValueError, match="size of optimizer's group"):
            make(others[:1]).load_state_dict(saved)


def test_saved_states_of_the_same_optimizer_are_the_same() -> None:
    params = params_of((2,), (3,))
    optimizer = rnnprop([{"params": params[:1]}, {"params": params[1:], "lr": 0.01}])
    run(optimizer, params, range(2))
    first, second = optimizer.state_dict(), optimizer.state_dict()
    assert first["param_groups"] == second["param_groups"]
    assert all(
        torch.equal(value, second["state"][key][name])
        for key, state in first["state"].items()
        for name, value in state.items()
    )


@pytest.mark.parametrize("make", [rnnprop, Adam])
def test_a_copy_has_no_hooks_and_takes_its_own(make: Any) -> None:
    params, seen = params_of((2,)), []
    optimizer = make(params)
    optimizer.register_step_pre_hook(lambda *_: seen.append("original"))
    other_params, other = copy.deepcopy((params, optimizer))
    other.register_step_pre_hook(lambda *_: seen.append("copy"))
    set_grads(other_params, 0)
    other.step()
    assert seen == ["copy"]


@KERNELS
def test_a_rate_of_zero_moves_nothing(kernel: str) -> None:
    params = params_of((200,), (3,), dtype=torch.float32)
    before = values(params)
    run(rnnprop(params, lr=0.0, weight_decay=0.1, kernel=kernel), params, range(3))
    assert torch.equal(values(params), before)


def test_a_parameter_that_is_frozen_and_thawed_keeps_its_state() -> None:
    params = params_of((3,), (2,))
    optimizer = rnnprop(params)
    run(optimizer, params, range(2))
    at = params[0].detach().clone()
    params[0].requires_grad_(False).grad = None
    set_grads(params[1:], 2)
    optimizer.step()
    assert torch.equal(params[0], at)
    params[0].requires_grad_(True)
    run(optimizer, params, range(3, 4))
    assert [float(optimizer.state[param]["step"]) for param in params] == [3, 4]


def test_averaged_models_and_gradient_hooks_see_a_plain_optimizer() -> None:
    """The step inside of the backward pass, and a running mean of the parameters."""
    model = nn.Linear(3, 1)
    averaged = torch.optim.swa_utils.AveragedModel(model)
    optimizers = {param: rnnprop([param], lr=0.01) for param in model.parameters()}
    for param in model.parameters():
        param.register_post_accumulate_grad_hook(
            lambda each: (optimizers[each].step(), optimizers[each].zero_grad())[0]
        )
    start = model.weight.detach().clone()
    for _ in range(3):
        model(torch.ones(2, 3)).square().mean().backward()
        averaged.update_parameters(model)
    assert not torch.equal(model.weight, start)
    assert all(float(one.state[param]["step"]) == 3 for param, one in optimizers.items())


def test_peak_memory_of_a_step_beside_the_state_is_small() -> None:
    """As PyTorch asks of its own: nothing of the size of the state is allocated by a step."""
    from torch.profiler import ProfilerActivity, profile

    params = params_of((300, 300), (40,), dtype=torch.float32)
    optimizer = rnnprop(params, kernel="cpu")
    try:
        run(optimizer, params, range(1))
    except DeviceError as error:
        pytest.skip(str(error))
    set_grads(params, 1)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        optimizer.step()
    state = sum(value.nbytes for value in optimizer.state[params[0]].values())
    allocated = sum(max(0, event.self_cpu_memory_usage) for event in profiled.key_averages())
    assert allocated < 0.01 * state
