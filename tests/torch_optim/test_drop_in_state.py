"""The state of the learned optimizers as `torch.optim.Optimizer`: saved, loaded, copied, moved, its size and dtype."""

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from drop_in_samples import (
    RNN,
    SHAPES,
    Make,
    both,
    make_weights,
    params_of,
    rnnprop,
    run,
    values,
)
from torch import nn

from rnnprop_cli import RNNprop
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.torch_optim.learned_optimizer import CoordinatewiseOptimizer


@both
def test_a_saved_state_continues_exactly(make: Make) -> None:
    params = params_of(*SHAPES, dtype=torch.float32)
    optimizer = make(params)
    run(optimizer, params, range(6))
    file = io.BytesIO()
    torch.save({"params": [param.detach() for param in params], "optimizer": optimizer.state_dict()}, file)
    run(optimizer, params, range(6, 12))
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    fresh = [nn.Parameter(value.clone()) for value in saved["params"]]
    other = make(fresh, lr=123.0)
    other.load_state_dict(saved["optimizer"])
    assert other.param_groups[0]["lr"] == 0.1
    run(other, fresh, range(6, 12))
    assert torch.equal(values(fresh), values(params))


@both
def test_loading_does_not_share_memory_with_what_was_loaded(make: Make) -> None:
    params, others = params_of((3,)), params_of((3,))
    optimizer, other = make(params), make(others)
    run(optimizer, params, range(3))
    saved = optimizer.state_dict()
    before = copy.deepcopy(saved)
    other.load_state_dict(saved)
    run(other, others, range(3, 6))
    for name, value in saved["state"][0].items():
        assert torch.equal(value, before["state"][0][name])


@both
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_goes_on_by_itself_with_the_same_steps(make: Make, copied: Any) -> None:
    params = params_of(*SHAPES)
    optimizer = make(params)
    run(optimizer, params, range(4))
    other_params, other = copied((params, optimizer))
    at_copy = values(params)
    run(optimizer, params, range(4, 8))
    assert torch.equal(values(other_params), at_copy)
    run(other, other_params, range(4, 8))
    assert torch.equal(values(other_params), values(params))


@both
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_parameters_keep_a_state_of_float32_also_through_a_saved_state(
    make: Make, dtype: torch.dtype
) -> None:
    params = params_of(*SHAPES, dtype=dtype)
    optimizer = make(params)
    run(optimizer, params, range(4))
    narrow = [value.dtype for state in optimizer.state.values() for value in state.values()]
    assert set(narrow) == {torch.float32}
    others = [nn.Parameter(param.detach().clone()) for param in params]
    other = make(others)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(optimizer, params, range(4, 8))
    run(other, others, range(4, 8))
    assert torch.equal(values(params), values(others))
    assert params[0].dtype == dtype


@both
@pytest.mark.parametrize("state_dtype", [torch.bfloat16, torch.float16])
def test_a_narrow_state_takes_half_the_memory_and_stays_close(make: Make, state_dtype: torch.dtype) -> None:
    wide, narrow = (params_of((30, 40), dtype=torch.float32) for _ in range(2))
    plain, small = make(wide), make(narrow, state_dtype=state_dtype)
    run(plain, wide, range(30))
    run(small, narrow, range(30))

    def size(optimizer: CoordinatewiseOptimizer, names: tuple[str, ...]) -> int:
        states = optimizer.state.values()
        return sum(state[name].nbytes for state in states for name in names)

    assert size(small, ("hidden", "cell")) * 2 == size(plain, ("hidden", "cell"))
    distance = (values(wide) - values(params_of((30, 40), dtype=torch.float32))).abs().mean()
    assert (values(narrow) - values(wide)).abs().mean() < 0.02 * distance
    assert not torch.equal(values(narrow), values(wide))


def test_a_narrow_state_is_computed_in_pieces_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = (params_of((7, 5), (3,), dtype=torch.float32) for _ in range(2))
    run(rnnprop(whole, state_dtype=torch.bfloat16), whole, range(8))
    monkeypatch.setattr("rnnprop_cli.torch_optim.stepper.COORDINATES_PER_PIECE", 4)
    run(rnnprop(parts, state_dtype=torch.bfloat16), parts, range(8))
    torch.testing.assert_close(values(parts), values(whole), rtol=1e-2, atol=1e-4)  # one rounding to bfloat16


def test_the_state_is_as_large_as_stated() -> None:
    params = params_of((50, 4), dtype=torch.float32)
    optimizer = RNNprop(params, weights="rnnprop", kernel="reference")
    run(optimizer, params, range(1))
    (state,) = optimizer.state.values()
    numbers = sum(value.numel() for name, value in state.items() if name != "step")
    assert numbers == 200 * (2 * 2 * 20 + 2)
    assert state["hidden"].shape == state["cell"].shape == (2 * 20, 50, 4)


def test_every_entry_of_the_state_is_contiguous_with_a_storage_of_its_own() -> None:
    params = params_of(*SHAPES, dtype=torch.float32)
    optimizer = rnnprop(params, kernel="auto")
    run(optimizer, params, range(2))
    entries = [value for state in optimizer.state.values() for value in state.values()]
    assert all(value.is_contiguous() for value in entries)
    assert all(value.untyped_storage().nbytes() == value.nbytes for value in entries)
    assert len({value.untyped_storage().data_ptr() for value in entries}) == len(entries)


def test_a_state_that_somebody_moved_or_replaced_is_used_as_it_is() -> None:
    params, plain = params_of(*SHAPES), params_of(*SHAPES)
    optimizer, other = rnnprop(params), rnnprop(plain)
    run(optimizer, params, range(3))
    run(other, plain, range(3))
    for state in optimizer.state.values():  # what trainers do after loading, to move it to a device
        for name, value in state.items():
            state[name] = value.clone()
    run(optimizer, params, range(3, 6))
    run(other, plain, range(3, 6))
    assert torch.equal(values(params), values(plain))


def test_steps_that_somebody_sets_count() -> None:
    params, plain = params_of((3,)), params_of((3,))
    optimizer, other = rnnprop(params), rnnprop(plain)
    for these, one in ((params, optimizer), (plain, other)):
        run(one, these, range(3))
    optimizer.state[params[0]]["step"].zero_()
    saved = copy.deepcopy(other.state_dict())
    saved["state"][0]["step"].zero_()
    other.load_state_dict(saved)
    for these, one in ((params, optimizer), (plain, other)):
        run(one, these, range(3, 6))
    assert torch.equal(values(params), values(plain))


def test_the_state_of_another_optimizer_is_refused() -> None:
    params = params_of((2,))
    adam = torch.optim.Adam(params)
    with pytest.raises(ValueError, match="not the state of RNNprop"):
        rnnprop(params).load_state_dict(adam.state_dict())
    optimizer = rnnprop(params)
    run(optimizer, params, range(1))
    broken = optimizer.state_dict()
    broken["state"][0]["hidden"] = 3
    with pytest.raises(ValueError, match="hidden is 3, not a tensor"):
        rnnprop(params).load_state_dict(broken)


@both
def test_reset_starts_anew(make: Make) -> None:
    params, plain = params_of((3,)), params_of((3,))
    optimizer = make(params)
    run(optimizer, params, range(3))
    optimizer.reset()
    with torch.no_grad():
        params[0].copy_(plain[0])
    run(optimizer, params, range(3))
    run(make(plain), plain, range(3))
    assert torch.equal(values(params), values(plain))


def test_a_state_of_other_weights_is_refused_and_nothing_changes() -> None:
    params, others = params_of((2,)), params_of((2,))
    optimizer = rnnprop(params, weights=make_weights(RNNpropSpec(embedding=4, hidden=4), seed=1))
    other = rnnprop(others)
    run(optimizer, params, range(2))
    run(other, others, range(1))
    with pytest.raises(ValueError, match="other weights"):
        other.load_state_dict(optimizer.state_dict())
    assert other.state[others[0]]["step"] == 1


def test_the_printed_form_tells_the_weights() -> None:
    assert f"weights_sha256: {RNN.tensors_sha256[:12]} (a test)" in repr(rnnprop(params_of((2,))))
