"""The drop-ins where a law averages iterates."""

from typing import Any

import pytest
import torch
from law_samples import OURS, STEPS, model, walk
from torch import Tensor, nn

from rnnprop_cli import LearnedOptimizer, Mixture
from rnnprop_cli.execute.weights import Weights


@pytest.mark.parametrize(
    ("own", "dtype", "size"),
    [
        (OURS[1][1], torch.float32, 16),
        (OURS[4][1], torch.float32, 20),
        (OURS[4][1], torch.bfloat16, 24),
    ],
)
def test_bytes_of_a_mixtures_state_for_a_coordinate(own: Weights, dtype: torch.dtype, size: int) -> None:
    param = nn.Parameter(torch.randn(50, 20, dtype=dtype))
    optimizer = Mixture([param], weights=own, total_steps=STEPS)
    param.grad = torch.ones_like(param)
    optimizer.step()
    kept = [entry for entry in optimizer.state[param].values() if isinstance(entry, Tensor) and entry.dim()]
    assert sum(entry.nbytes for entry in kept) == size * param.numel()


def test_averages_of_half_precision_lose_no_digits_and_see_what_others_change() -> None:
    wide, narrow = model(), model(torch.bfloat16)
    for param, other in zip(wide.parameters(), narrow.parameters(), strict=True):
        param.detach().copy_(other.detach())
    own = OURS[4][1]
    optimizers = [Mixture(net.parameters(), weights=own, total_steps=300) for net in (wide, narrow)]
    for step in range(290):
        generator = torch.Generator().manual_seed(step)
        for param, other in zip(wide.parameters(), narrow.parameters(), strict=True):
            param.grad = torch.randn(param.shape, generator=generator).bfloat16().float()
            other.grad = param.grad.bfloat16()
        for optimizer in optimizers:
            optimizer.step()
    for param, other in zip(wide.parameters(), narrow.parameters(), strict=True):
        torch.testing.assert_close(other.float(), param.detach(), rtol=0.02, atol=2e-3)
    last = next(narrow.parameters())
    last.detach().fill_(3.0)
    optimizers[1].step()
    assert (last.detach() - 3).abs().max() < 0.5


@pytest.mark.parametrize(
    ("name", "value"), [("inputs", 0.5), ("matrices", None), ("place", 1.5), ("iterate", None)]
)
def test_a_saved_state_that_averages_cannot_have_is_refused(name: str, value: Any) -> None:
    net, own = model(), OURS[4][1]
    optimizer = Mixture(net.parameters(), weights=own, total_steps=STEPS)
    walk(net, optimizer, 1)
    saved = optimizer.state_dict()
    saved["state"][0][name] = value
    with pytest.raises(ValueError, match=name):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize("own", [OURS[1][1], OURS[4][1]], ids=["mixture", "mixture averaged"])
def test_weight_decay_is_that_of_a_law_for_whoever_takes_its_steps(own: Weights) -> None:
    nets = [model(), model()]
    first = Mixture(nets[0].parameters(), weights=own, total_steps=STEPS, weight_decay=0.3)
    second = LearnedOptimizer(nets[1].parameters(), own, total_steps=STEPS, weight_decay=0.3)
    found, expected = walk(nets[0], first, STEPS), walk(nets[1], second, STEPS)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    plain = model()
    assert (
        walk(plain, Mixture(plain.parameters(), weights=own, total_steps=STEPS), STEPS) - found
    ).abs().max() > 1e-3
