"""Devices, slots on several GPUs, float32 that means float32, and what of it identifies a run. No GPU is needed."""

import pytest
import torch

from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizers.sgd import SGDSpec
from rnnprop_cli.errors import DeviceError, DeviceLostError
from rnnprop_cli.execute import device, identity, local, train
from rnnprop_cli.execute.bench import BatchJob
from rnnprop_cli.execute.device import Engine, find_engine, is_lost, slot_devices
from rnnprop_cli.execute.train import MetaTraining
from rnnprop_cli.plan.cells import CellBatch, Problem
from rnnprop_cli.spec.train import TrainSpec

CUDA = torch.device("cuda")


current: list[torch.device] = []  # GPUs that were made the current one


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine whose GPUs are of these models."""
    names = ["A100", "A100", "T4", "A100"]
    current.clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: names[torch.device(device).index or 0])
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    return names


@pytest.fixture(autouse=True)
def same_process_afterwards() -> object:
    before = torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.set_num_threads(before[0])
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before[1:]


def tf32() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def test_float32_means_float32_unless_tf32_is_asked_for(gpus: list[str]) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True  # cuDNN's default
    find_engine("cuda", None)
    assert tf32() == (False, False)
    asked = find_engine("cuda", None, tf32=True)
    assert tf32() == (True, True)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    asked.prepare()  # what a worker does with the engine of its job
    assert tf32() == (True, True)


def test_tf32_is_refused_on_a_cpu() -> None:
    with pytest.raises(DeviceError, match="--tf32"):
        find_engine("cpu", None, tf32=True)


@pytest.mark.parametrize(
    ("name", "why"), [("cuda:4", "there are 4 GPUs"), ("gpu", "cuda:N"), ("cuda:", "cuda:N")]
)
def test_gpus_that_are_not_there_are_refused(gpus: list[str], name: str, why: str) -> None:
    with pytest.raises(DeviceError, match=why):
        find_engine(name, None)


def test_a_gpu_can_be_named(gpus: list[str]) -> None:
    assert find_engine("cuda:2", None).torch_device == torch.device("cuda", 2)
    assert current == [torch.device("cuda", 2)]
    assert find_engine("auto", None).device == "cuda"


def test_slots_take_gpus_of_one_model_in_turns(gpus: list[str]) -> None:
    assert slot_devices("cuda") == ("cuda:0", "cuda:1", "cuda:3")
    assert slot_devices("cuda:2") == ("cuda:2",)
    assert slot_devices("cpu") == ("cpu",)
    problem = Problem(MLPSpec(dataset="digits", hidden=2), 4, 8, "float32")
    batch = CellBatch(problem, SGDSpec(), (0.1,), (0,), "final")
    job = BatchJob(batch, ("a",), None, Engine("cuda", 1, None, "reference"), 100)
    placed = [local._placed(job, slot).engine.device for slot in range(5)]
    assert placed == ["cuda:0", "cuda:1", "cuda:3", "cuda:0", "cuda:1"]


def test_a_run_on_a_gpu_is_identified_by_its_model_and_not_by_threads_or_number(
    gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def facts(name: str, threads: int, precise: bool = True) -> dict[str, str | int]:
        return identity.identity_facts(Engine(name, threads, None, "reference", not precise), "float32")

    one = facts("cuda", 8)
    assert one["gpu"] == "A100"
    assert "threads" not in one
    assert facts("cuda:1", 1) == one
    assert facts("cuda:2", 8) != one
    assert facts("cuda", 8, precise=False) != one

    class Triton:
        name = "cuda"

    monkeypatch.setattr(identity, "select_kernel", lambda *_: (Triton(), ""))
    monkeypatch.setattr(identity, "version", lambda package: f"{package} 1.2")
    assert facts("cuda", 8)["triton"] == "triton 1.2"


def test_a_run_on_the_cpu_is_identified_by_threads_and_instructions_and_by_no_gpu() -> None:
    facts = identity.identity_facts(Engine("cpu", 3, None, "reference"), "float32")
    assert set(facts) == {"device", "threads", "instructions", "dtype", "kernel", "torch", "numerics"}


def test_a_training_that_loses_its_gpu_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")

    spec = TrainSpec(name="tiny", optimizer=RNNpropSpec(), optimizee=MLPSpec(dataset="digits", hidden=2))
    training = MetaTraining(spec, Engine("cpu", torch.get_num_threads(), None, "reference"))
    monkeypatch.setattr(train, "meta_iteration", dead)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        next(training.run())
    monkeypatch.setattr(train, "is_lost", lambda _: True)
    with pytest.raises(
        DeviceLostError, match=r"an illegal memory access was encountered\); train --resume tiny"
    ):
        next(training.run())


def test_a_gpu_is_lost_when_every_further_call_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(device.torch.cuda, "synchronize", dead)
    assert is_lost(CUDA)
    assert not is_lost(torch.device("cpu"))
    monkeypatch.setattr(device.torch.cuda, "synchronize", lambda _: None)
    assert not is_lost(CUDA)
