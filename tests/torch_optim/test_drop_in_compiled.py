"""The drop-in beside torch.compile with inductor: the step stays outside, whatever is compiled around it."""

import copy
import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest
import torch
from drop_in_samples import RNN
from torch import Tensor, nn

from rnnprop_cli import RNNprop

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of torch.compile itself
]
needs_a_compiler = pytest.mark.skipif(
    not any(map(which, (os.environ.get("CXX", "c++"), "g++", "clang++"))),
    reason="inductor needs a C++ compiler",
)


def optimizer_of(model: nn.Module) -> RNNprop:
    return RNNprop(model.parameters(), weights=RNN, kernel="auto", lr=0.02)


def inputs(step: int) -> Tensor:
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(step))


@needs_a_compiler
def test_a_whole_training_step_compiles_and_takes_the_same_steps() -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1))
    plain = copy.deepcopy(model)
    compiled, other = optimizer_of(model), optimizer_of(plain)
    rates = torch.optim.lr_scheduler.ExponentialLR(compiled, 0.8)
    plain_rates = torch.optim.lr_scheduler.ExponentialLR(other, 0.8)

    def train(net: nn.Module, optimizer: RNNprop, x: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    fast = torch.compile(train)
    for step in range(4):
        torch.testing.assert_close(fast(model, compiled, inputs(step)), train(plain, other, inputs(step)))
        rates.step()
        plain_rates.step()
    for one, two in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)  # inductor sums in another order
    assert all(state["step"] == 4 for state in compiled.state.values())


@needs_a_compiler
def test_a_checkpoint_of_a_compiled_model_is_gone_on_with(tmp_path: Path) -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = nn.Linear(5, 1)
    start = copy.deepcopy(model)
    compiled = torch.compile(model)
    optimizer = optimizer_of(compiled)

    def train(net: nn.Module, one: RNNprop, steps: range) -> None:
        for step in steps:
            one.zero_grad()
            net(inputs(step)).square().mean().backward()
            one.step()

    train(compiled, optimizer, range(3))
    torch.save([model.state_dict(), optimizer.state_dict()], tmp_path / "saved.pt")
    train(compiled, optimizer, range(3, 6))
    params, state = torch.load(tmp_path / "saved.pt", weights_only=True)
    start.load_state_dict(params)
    again = optimizer_of(start)
    again.load_state_dict(state)
    train(torch.compile(start), again, range(3, 6))
    assert all(map(torch.equal, model.parameters(), start.parameters()))


def test_a_step_that_must_be_in_the_graph_is_refused_with_what_to_do() -> None:
    model = nn.Linear(2, 1)
    optimizer = optimizer_of(model)
    model(torch.ones(1, 2)).sum().backward()
    with pytest.raises(torch._dynamo.exc.Unsupported) as refused:
        torch.compile(optimizer.step, fullgraph=True)()
    if torch.__version__ >= "2.7":
        assert "call step() outside of it" in str(refused.value)


def test_the_step_needs_no_compiler(tmp_path: Path) -> None:
    """Where there is none, inductor says so of the model; the step has nothing to compile."""
    program = (
        "import torch; from torch import nn; from rnnprop_cli import RNNprop\n"
        "model = nn.Linear(2, 1); optimizer = RNNprop(model.parameters(), lr=0.01)\n"
        "model(torch.ones(1, 2)).sum().backward(); before = model.weight.detach().clone()\n"
        "torch.compile(lambda: optimizer.step())()\n"
        "assert not torch.equal(model.weight, before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, timeout=300,
        env={
            **os.environ, "CXX": "/nonexistent", "PATH": "", "RNNPROP_CACHE_DIR": str(tmp_path / "kernels"),
            "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor"),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (notice,) = [line for line in done.stderr.splitlines() if "UserWarning" in line]
    assert "rnnprop: " in notice
    assert "compiler" in notice
