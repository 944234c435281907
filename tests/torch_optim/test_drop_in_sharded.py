"""The learned optimizers on parameters that are spread over processes: two processes of gloo on the CPU."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from drop_in_samples import RNN
from torch import Tensor, nn

from rnnprop_cli import Mixture, RNNprop
from rnnprop_cli.components.learned.law import AveragingSpec, LawSpec, ShapeSpec
from rnnprop_cli.components.learned.mixture import MixtureSpec
from rnnprop_cli.execute.weights import Weights

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="PyTorch without torch.distributed")
STEPS = 3


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3))  # neither divides by 2 or 4


def optimizer_of(module: nn.Module) -> RNNprop:
    return RNNprop(module.parameters(), weights=RNN, kernel="auto")


def train(module: nn.Module, optimizer: RNNprop | Mixture, steps: range) -> None:
    for step in steps:
        torch.manual_seed(
            100 + step
        )  # the same data for every process, so that means of gradients change nothing
        optimizer.zero_grad()
        module(torch.randn(4, 3)).square().mean().backward()
        optimizer.step()


def expected(steps: int) -> dict[str, Tensor]:
    module = model()
    train(module, optimizer_of(module), range(steps))
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def in_processes(count: int, work: Any, folder: Path, *args: Any) -> None:
    file = folder / f"rendezvous-{work.__name__}-{count}"
    mp.spawn(started, (count, str(file), work, folder, *args), nprocs=count)


def started(rank: int, count: int, file: str, work: Any, *args: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=count)
    try:
        work(*args)
    finally:
        dist.destroy_process_group()
    # PyTorch's own teardown of a process that had gloo aborts now and then, with torch.optim.Adam too (3 of 24 times).
    # What is tested is over; an exception of the work never comes here.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def assert_same(found: dict[str, Any], wanted: dict[str, Tensor]) -> None:
    for name, value in wanted.items():
        whole = found[name].full_tensor() if hasattr(found[name], "full_tensor") else found[name]
        torch.testing.assert_close(whole, value, rtol=0, atol=1e-6)  # a mean over processes rounds


def fully_sharded() -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    module = model()
    fully_shard(module, mesh=init_device_mesh("cpu", (dist.get_world_size(),)))
    return module


def save_fsdp2(folder: Path) -> None:
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict

    module = fully_sharded()
    optimizer = optimizer_of(module)
    train(module, optimizer, range(STEPS))
    assert_same(module.state_dict(), expected(STEPS))
    for param, state in optimizer.state.items():
        assert state["hidden"].shape == (8, *param.shape)
        assert state["hidden"].to_local().shape == (8, *param.to_local().shape)
    params, state = get_state_dict(module, optimizer)
    dcp.save({"model": params, "optimizer": state}, checkpoint_id=str(folder / "saved"))


def load_fsdp2(folder: Path) -> None:
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

    module = fully_sharded()
    optimizer = optimizer_of(module)
    params, state = get_state_dict(module, optimizer)
    saved = {"model": params, "optimizer": state}
    dcp.load(saved, checkpoint_id=str(folder / "saved"))
    set_state_dict(module, optimizer, model_state_dict=saved["model"], optim_state_dict=saved["optimizer"])
    train(module, optimizer, range(STEPS, 2 * STEPS))
    assert_same(module.state_dict(), expected(2 * STEPS))


@pytest.mark.slow
@pytest.mark.parametrize(("saved_by", "loaded_by"), [(2, 1), (1, 2), (1, 4)])
def test_fsdp2_takes_the_same_steps_and_goes_on_with_another_number_of_processes(
    tmp_path: Path, saved_by: int, loaded_by: int
) -> None:
    in_processes(saved_by, save_fsdp2, tmp_path)
    in_processes(loaded_by, load_fsdp2, tmp_path)


def go_on_with_fsdp1(folder: Path, original: bool) -> None:
    from torch.distributed.fsdp import (
        FullOptimStateDictConfig,
        FullStateDictConfig,
        FullyShardedDataParallel,
        StateDictType,
    )

    def sharded() -> tuple[Any, RNNprop]:
        module = FullyShardedDataParallel(model(), use_orig_params=original, device_id=torch.device("cpu"))
        return module, optimizer_of(module)

    # Moving to the CPU what is there already, as is the default, makes PyTorch hand out one buffer for all entries.
    kept = FullOptimStateDictConfig(offload_to_cpu=False)
    module, optimizer = sharded()
    FullyShardedDataParallel.set_state_dict_type(
        module, StateDictType.FULL_STATE_DICT, FullStateDictConfig(offload_to_cpu=False), kept
    )
    train(module, optimizer, range(STEPS))
    whole = FullyShardedDataParallel.optim_state_dict(module, optimizer)
    params = {name: value.clone() for name, value in module.state_dict().items()}
    train(module, optimizer, range(STEPS, 2 * STEPS))
    again, other = sharded()
    again.load_state_dict(params)
    other.load_state_dict(FullyShardedDataParallel.optim_state_dict_to_load(again, other, whole))
    train(again, other, range(STEPS, 2 * STEPS))
    for one, two in zip(module.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
    assert_same(module.state_dict(), expected(2 * STEPS))


@pytest.mark.slow
@pytest.mark.parametrize("original", [True, False])
def test_fsdp1_gathers_and_cuts_the_state(tmp_path: Path, original: bool) -> None:
    in_processes(2, go_on_with_fsdp1, tmp_path, original)


def ddp_and_zero(folder: Path) -> None:
    from torch.distributed.optim import ZeroRedundancyOptimizer
    from torch.nn.parallel import DistributedDataParallel

    module = DistributedDataParallel(model())
    optimizer: Any = ZeroRedundancyOptimizer(
        module.parameters(), optimizer_class=RNNprop, weights=RNN, kernel="auto", lr=0.1
    )
    train(module, optimizer, range(STEPS))
    assert_same(module.module.state_dict(), expected(STEPS))
    optimizer.consolidate_state_dict(0)
    if dist.get_rank() == 0:
        assert len(optimizer.state_dict()["state"]) == 4


@pytest.mark.slow
def test_ddp_with_a_state_spread_by_zero_takes_the_same_steps(tmp_path: Path) -> None:
    in_processes(2, ddp_and_zero, tmp_path)


def skip_everywhere(folder: Path) -> None:
    module = fully_sharded()
    optimizer = RNNprop(module.parameters(), weights=RNN, kernel="auto", skip_nonfinite=True)
    train(module, optimizer, range(1))
    before = {name: value.full_tensor().clone() for name, value in module.state_dict().items()}
    optimizer.zero_grad()
    module(torch.randn(4, 3)).square().mean().backward()
    if dist.get_rank() == 1:
        grad: Any = module[2].weight.grad  # type: ignore[index]
        grad.to_local().fill_(float("nan"))
    optimizer.step()
    assert optimizer.skipped_steps == 1
    assert_same(module.state_dict(), before)


@pytest.mark.slow
def test_a_gradient_that_is_not_finite_in_one_process_skips_the_step_in_all(tmp_path: Path) -> None:
    in_processes(2, skip_everywhere, tmp_path)


def averaged() -> Weights:
    spec = LawSpec(base=MixtureSpec(hidden=2), shape=ShapeSpec(), averaging=AveragingSpec(landing=-0.5))
    rule = spec.build()
    named = rule.named(rule.start(0, torch.float32, torch.device("cpu")))
    return Weights(spec, {name: value.numpy() for name, value in named.items()}, "0" * 64, "a test")


def average_fsdp2(folder: Path) -> None:
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    whole, module = model(), fully_sharded()
    optimizers = [Mixture(each.parameters(), weights=averaged(), total_steps=8) for each in (whole, module)]
    for each, optimizer in zip((whole, module), optimizers, strict=True):
        train(each, optimizer, range(5))
    assert_same(module.state_dict(), whole.state_dict())
    again = Mixture(module.parameters(), weights=averaged(), total_steps=8)
    saved = get_optimizer_state_dict(module, optimizers[1])
    set_optimizer_state_dict(module, again, saved)
    for each, optimizer in ((whole, optimizers[0]), (module, again)):
        train(each, optimizer, range(5, 8))
    assert_same(module.state_dict(), whole.state_dict())


@pytest.mark.slow
def test_averages_of_iterates_are_those_of_one_process(tmp_path: Path) -> None:
    in_processes(2, average_fsdp2, tmp_path)


def all_at_once(folder: Path) -> None:
    average_fsdp2(folder)
    save_fsdp2(folder)
    load_fsdp2(folder)
    go_on_with_fsdp1(folder, True)
    ddp_and_zero(folder)
    skip_everywhere(folder)


def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    """All of the above at once: most of the time of each is the start of its processes."""
    in_processes(2, all_at_once, tmp_path)
