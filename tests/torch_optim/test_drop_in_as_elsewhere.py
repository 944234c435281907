"""The learned optimizers take arguments, hooks and whatever is done to their state as torch.optim's own do."""

import copy
import os
import pickle
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drop_in_samples import RNN, SHAPES, Make, both, params_of, rnnprop, run, set_grads, values
from torch import nn

from rnnprop_cli import RNNprop
from rnnprop_cli.errors import CheckpointError
from rnnprop_cli.execute.weights import Weights

KERNELS = pytest.mark.parametrize("kernel", ["reference", "auto"])


@KERNELS
@both
def test_a_coordinate_sleeps_until_its_first_gradient_that_is_not_zero(make: Make, kernel: str) -> None:
    params, plain = (params_of((5, 7), (40,), dtype=torch.float32) for _ in range(2))
    optimizer, other = make(params, kernel=kernel), make(plain, kernel=kernel)
    before = values(params)
    resting = torch.zeros(5, 7, dtype=torch.bool)
    resting[:, ::2] = True
    for step in range(6):
        for these in (params, plain):
            set_grads(these, step)
        params[0].grad = params[0].grad.masked_fill(resting, 0)  # type: ignore[union-attr]
        optimizer.step()
        other.step()
    moved = values(params) != before
    assert not moved[: 5 * 7].view(5, 7)[resting].any()
    assert not any(bool(optimizer.state[params[0]][name][:, resting].any()) for name in ("hidden", "cell"))
    assert torch.equal(params[0][~resting], plain[0][~resting])
    assert torch.equal(params[1], plain[1])
    run(optimizer, params, range(6, 7))
    assert (values(params) != before).all()
    set_grads(params, 7)
    at = values(params)
    for param in params:
        param.grad = torch.zeros_like(param)
    optimizer.step()
    assert (values(params) != at).any()  # whoever has woken stays awake


@pytest.mark.parametrize("lr", [np.float32(0.05), np.float64(0.05), np.array(0.05), torch.tensor([0.05]), 1])
def test_rates_may_be_numbers_of_any_kind(lr: Any) -> None:
    params, plain = params_of((3,)), params_of((3,))
    run(rnnprop(params, lr=lr), params, range(2))
    run(rnnprop(plain, lr=float(np.asarray(lr).reshape(-1)[0])), plain, range(2))
    torch.testing.assert_close(values(params), values(plain))


def test_arguments_that_mean_the_same_here_are_taken() -> None:
    rnnprop(
        params_of((2,)),
        betas=(0.95, 0.95), eps=1e-8, foreach=True, fused=False, capturable=False, differentiable=False,
        amsgrad=False, decoupled_weight_decay=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"betas": (0.9, 0.999)}, ValueError, r"RNNprop cannot be had with betas=.*0\.95.*rnnprop train"),
        ({"capturable": True}, ValueError, "RNNprop cannot be had with capturable=True.*CUDA graphs"),
        ({"differentiable": True}, ValueError, "RNNprop cannot be had with differentiable=True"),
        ({"momentum": 0.9}, TypeError, r"RNNprop\(\) got an unexpected keyword argument 'momentum'"),
        ({"weight_decy": 0.1}, TypeError, "did you mean weight_decay"),
        ({"lr": float("inf")}, ValueError, "lr must be 0 or more and finite"),
        ({"lr": 1j}, TypeError, "lr must be a number"),
        ({"lr": torch.ones(2)}, TypeError, "lr must be a number"),
    ],
)
def test_others_are_refused_by_the_name_of_the_class(
    options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        rnnprop(params_of((2,)), **options)


@both
def test_state_that_was_moved_in_place_is_what_is_trained_with(make: Make) -> None:
    params, plain = params_of(*SHAPES), params_of(*SHAPES)
    optimizer, other = make(params), make(plain)
    run(optimizer, params, range(3))
    run(other, plain, range(3))
    for state in optimizer.state.values():
        for value in state.values():
            value.data = value.data.clone()
    run(optimizer, params, range(3, 6))
    run(other, plain, range(3, 6))
    assert torch.equal(values(params), values(plain))
    for name, value in optimizer.state[params[0]].items():
        assert torch.equal(value, other.state[plain[0]][name])


def test_what_a_hook_makes_of_a_loaded_state_stays() -> None:
    params = params_of((3,))
    optimizer = rnnprop(params)
    run(optimizer, params, range(2))
    saved = copy.deepcopy(optimizer.state_dict())
    saved["state"][0]["note"], saved["state"][0]["mine"] = 7, torch.ones(2)

    def forget(loaded: Any) -> None:
        for state in loaded.state.values():
            state["exp_avg"] = torch.zeros_like(state["exp_avg"])
            state["step"] = torch.tensor(0.0)

    optimizer.register_load_state_dict_post_hook(forget)
    optimizer.load_state_dict(saved)
    state = optimizer.state[params[0]]
    assert float(state["step"]) == 0
    assert not state["exp_avg"].any()
    assert state["note"] == 7  # foreign entries are kept
    assert torch.equal(state["mine"], torch.ones(2))


def test_a_pickled_state_is_as_large_as_the_state() -> None:
    params = params_of(*[(32, 32)] * 10, dtype=torch.float32)
    optimizer = rnnprop(params)
    run(optimizer, params, range(1))
    size = sum(value.nbytes for state in optimizer.state.values() for value in state.values())
    assert len(pickle.dumps(optimizer.state_dict())) < 1.2 * size


def test_a_state_of_version_0_1_loads() -> None:
    params, others = params_of(*SHAPES), params_of(*SHAPES)
    optimizer, other = rnnprop(params), rnnprop(others)
    run(optimizer, params, range(3))
    run(other, others, range(3))
    old = copy.deepcopy(optimizer.state_dict())
    for group in old["param_groups"]:
        del group["skip_nonfinite"], group["skipped_steps"], group["maximize"]
    for state in old["state"].values():
        for name in ("hidden", "cell"):
            state[name] = state[name].reshape(2, 4, -1)
    other.load_state_dict(old)
    run(optimizer, params, range(3, 6))
    run(other, others, range(3, 6))
    assert torch.equal(values(params), values(others))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("exp_avg", torch.zeros(4, 3), r"shape \(4, 3\), not \(3, 4\)"),
        ("hidden", torch.zeros(8, 4, 3), "shape"),
        ("exp_avg_sq", torch.zeros(3, 4, dtype=torch.complex64), "complex64, not real"),
        ("cell", torch.zeros(8, 3, 4, dtype=torch.bool), "bool, not real"),
        ("step", torch.tensor(-1.0), "step is -1.0"),
        ("step", float("nan"), "step is nan"),
        ("step", True, "step is True"),
    ],
)
def test_a_state_that_cannot_be_is_refused_before_anything_changes(
    name: str, value: Any, message: str
) -> None:
    params = params_of((3, 4))
    optimizer = rnnprop(params)
    run(optimizer, params, range(2))
    before, broken = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(optimizer.state_dict())
    broken["state"][0][name] = value
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(broken)
    broken = copy.deepcopy(before)
    broken["param_groups"][0]["lr"] = float("nan")
    with pytest.raises(ValueError, match="lr must be 0 or more"):
        optimizer.load_state_dict(broken)
    for key, entry in optimizer.state_dict()["state"][0].items():
        assert torch.equal(entry, before["state"][0][key])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    tensors = {name: value.copy() for name, value in RNN.tensors.items()}
    tensors["out.weight"][0] = bad
    with pytest.raises(CheckpointError, match=r"out\.weight holds NaN or infinity"):
        Weights(RNN.architecture, tensors, "0" * 64, "a test")


def test_a_step_with_a_gradient_that_is_not_finite_is_skipped_and_counted() -> None:
    params, plain = params_of((3,), (2,)), params_of((3,), (2,))
    optimizer = rnnprop(params, skip_nonfinite=True)
    run(optimizer, params, range(2))
    before = values(params)
    set_grads(params, 2)
    params[1].grad[0] = float("nan")  # type: ignore[index]
    with pytest.warns(UserWarning, match="left out"):
        optimizer.step()
    assert torch.equal(values(params), before)
    assert optimizer.skipped_steps == optimizer.state_dict()["param_groups"][0]["skipped_steps"] == 1
    assert optimizer.state[params[0]]["step"] == 2
    set_grads(plain, 0)
    plain[0].grad[1] = float("nan")  # type: ignore[index]
    rnnprop(plain).step()
    assert plain[0].isnan().tolist() == [False, True, False]


def test_a_rate_that_dwarfs_the_initial_values_is_told_once() -> None:
    params = [nn.Parameter(torch.randn(30) * 1e-3), nn.Parameter(torch.zeros(4))]
    optimizer = rnnprop(params)
    with pytest.warns(UserWarning, match=r"lr = 0.1 is .* times the root mean square") as caught:
        run(optimizer, params, range(1))
    assert caught[0].filename.endswith("drop_in_samples.py")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(optimizer, params, range(1, 2))


def test_steps_are_counted_on_the_cpu_whatever_the_default_device_is() -> None:
    params = params_of((3,))
    torch.set_default_device("meta")
    try:
        optimizer = rnnprop(params, maximize=True)
        for param in params:
            param.grad = torch.ones_like(param)
        optimizer.step()
        optimizer.step()
    finally:
        torch.set_default_device(None)
    assert optimizer.state[params[0]]["step"].device.type == "cpu"
    assert optimizer.state[params[0]]["step"] == 2


def test_parameters_may_change_their_dtype() -> None:
    model = nn.Linear(3, 2)
    optimizer = rnnprop(model.parameters(), kernel="auto")
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        for dtype in (torch.float32, torch.bfloat16, torch.float64):
            model.to(dtype)
            model.zero_grad()
            model(torch.ones(1, 3, dtype=dtype)).sum().backward()
            optimizer.step()
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    assert all(state["step"] == 3 for state in optimizer.state.values())


def test_an_optimizer_is_made_and_steps_on_the_meta_device() -> None:
    with torch.device("meta"):
        model = nn.Linear(3, 2)
    optimizer = rnnprop(model.parameters())
    model(torch.ones(1, 3, device="meta")).sum().backward()
    optimizer.step()
    assert all(state["hidden"].is_meta for state in optimizer.state.values())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_steps_on() -> None:
    torch.set_num_threads(2)
    params = params_of((1000,), dtype=torch.float32)
    optimizer = rnnprop(params, kernel="auto")
    run(optimizer, params, range(2))
    child = os.fork()
    if child == 0:
        optimizer.step()
        os._exit(0)
    for _ in range(200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0
            return
        time.sleep(0.1)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail("the child hangs")


def test_a_meta_training_is_found_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Path | None]] = []

    def find(name: str, database: Path | None, *, must_be_finished: bool) -> Weights:
        assert must_be_finished
        asked.append((name, database))
        return RNN

    monkeypatch.setattr("rnnprop_cli.torch_optim.find.find_weights", find)
    monkeypatch.delenv("RNNPROP_DB", raising=False)
    RNNprop(params_of((2,)), weights="mine")
    monkeypatch.setenv("RNNPROP_DB", str(tmp_path / "a.db"))
    RNNprop(params_of((2,)), weights="mine")
    RNNprop(params_of((2,)), weights="rnnprop")
    assert asked == [("mine", Path("results/rnnprop.db")), ("mine", tmp_path / "a.db"), ("rnnprop", None)]
