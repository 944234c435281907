"""Every classical rule walks the same trajectory as torch.optim's, in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rnnprop_cli.components.optimizers.adadelta import Adadelta
from rnnprop_cli.components.optimizers.adagrad import Adagrad
from rnnprop_cli.components.optimizers.adam import Adam
from rnnprop_cli.components.optimizers.base import Baseline, Rule
from rnnprop_cli.components.optimizers.momentum import Momentum
from rnnprop_cli.components.optimizers.nadam import NAdam
from rnnprop_cli.components.optimizers.rmsprop import RMSprop
from rnnprop_cli.components.optimizers.sgd import SGD

STEPS = 40
# float64 rounding over 40 steps of numbers of order 1
TOLERANCE = 1e-11
# torch.optim.NAdam keeps the running product of its momenta in float32
NADAM_TOLERANCE = 1e-7

PAIRS: dict[str, tuple[Rule, Callable[..., torch.optim.Optimizer]]] = {
    "sgd": (SGD(), lambda p, lr: torch.optim.SGD(p, lr)),
    "momentum": (Momentum(0.9), lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)),
    "nesterov": (
        Momentum(0.9, nesterov=True),
        lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9, nesterov=True),
    ),
    "adagrad": (Adagrad(0.0, 1e-10), lambda p, lr: torch.optim.Adagrad(p, lr)),
    "adagrad 0.1": (
        Adagrad(0.1, 1e-10),
        lambda p, lr: torch.optim.Adagrad(p, lr, initial_accumulator_value=0.1),
    ),
    "adadelta": (Adadelta(0.9, 1e-6), lambda p, lr: torch.optim.Adadelta(p, lr)),
    "rmsprop": (RMSprop(0.99, 1e-8, False, 0.0), lambda p, lr: torch.optim.RMSprop(p, lr)),
    "adam": (Adam(), lambda p, lr: torch.optim.Adam(p, lr)),
    "adam betas": (Adam(0.8, 0.95, 1e-3), lambda p, lr: torch.optim.Adam(p, lr, betas=(0.8, 0.95), eps=1e-3)),
    "adamw": (Adam(weight_decay=0.01), lambda p, lr: torch.optim.AdamW(p, lr, weight_decay=0.01)),
    "nadam": (NAdam(), lambda p, lr: torch.optim.NAdam(p, lr)),
    "nadamw": (
        NAdam(weight_decay=0.05),
        lambda p, lr: torch.optim.NAdam(p, lr, weight_decay=0.05, decoupled_weight_decay=True),
    ),
}


def rosenbrock(theta: Tensor) -> Tensor:
    """Mean over pairs; curved enough that a wrong moment shows."""
    x, y = theta[..., ::2], theta[..., 1::2]
    return ((1 - x) ** 2 + 5 * (y - x * x) ** 2).mean(-1)


def start(n_cells: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(n_cells, 6, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("donate", [False, True])
def test_rule_walks_torchs_trajectory_at_every_learning_rate_of_a_batch(name: str, donate: bool) -> None:
    rule, make = PAIRS[name]
    rates = [0.001, 0.01, 0.05]
    params_CP = start(len(rates))
    theirs = [params_CP[cell].clone().requires_grad_() for cell in range(len(rates))]
    optimizers = [make([theta], rate) for theta, rate in zip(theirs, rates, strict=True)]

    ours = Baseline(rule, torch.tensor(rates, dtype=torch.float64))
    state = ours.init(params_CP)
    for _ in range(STEPS):
        leaf = params_CP.clone().requires_grad_()
        (grads_CP,) = torch.autograd.grad(rosenbrock(leaf).sum(), leaf)
        updates_CP, state = ours.update(grads_CP, state, params_CP, donate=donate)
        params_CP = params_CP + updates_CP
        for theta, optimizer in zip(theirs, optimizers, strict=True):
            optimizer.zero_grad()
            rosenbrock(theta).backward()
            optimizer.step()
    tolerance = NADAM_TOLERANCE if name.startswith("nadam") else TOLERANCE
    torch.testing.assert_close(params_CP, torch.stack(theirs).detach(), rtol=tolerance, atol=tolerance)


def test_a_rule_without_donation_leaves_the_old_state_alone() -> None:
    ours = Baseline(Adam(), torch.tensor([0.1], dtype=torch.float64))
    params_CP = start(1)
    state = ours.init(params_CP)
    ours.update(torch.ones_like(params_CP), state, params_CP)
    assert all(slot.abs().max() == 0 for slot in state.slots_CP)


def test_table_1_momentum_is_tensorflows_with_a_tenfold_learning_rate() -> None:
    params_CP = start(1)
    grads = [torch.full_like(params_CP, value) for value in (1.0, -2.0, 0.5)]
    sums = []
    for rule, rate in ((Momentum(0.9), 0.1), (Momentum(0.9, dampening=0.9), 1.0)):
        optimizer = Baseline(rule, torch.tensor([rate], dtype=torch.float64))
        state, total = optimizer.init(params_CP), torch.zeros_like(params_CP)
        for grad in grads:
            updates_CP, state = optimizer.update(grad, state, params_CP)
            total += updates_CP
        sums.append(total)
    torch.testing.assert_close(*sums)


def test_tensorflows_rmsprop_starts_from_a_mean_square_of_one() -> None:
    optimizer = Baseline(RMSprop(), torch.tensor([1.0], dtype=torch.float64))
    params_CP = torch.zeros(1, 1, dtype=torch.float64)
    updates_CP, _ = optimizer.update(
        torch.full((1, 1), 2.0, dtype=torch.float64), optimizer.init(params_CP), params_CP
    )
    assert updates_CP.item() == pytest.approx(-2.0 / (0.9 * 1 + 0.1 * 4 + 1e-10) ** 0.5)


def test_adagrad_does_not_move_a_coordinate_that_never_saw_a_gradient() -> None:
    optimizer = Baseline(Adagrad(0.0, 0.0), torch.tensor([1.0], dtype=torch.float64))
    params_CP = torch.zeros(1, 2, dtype=torch.float64)
    grads_CP = torch.tensor([[0.0, 3.0]], dtype=torch.float64)
    updates_CP, _ = optimizer.update(grads_CP, optimizer.init(params_CP), params_CP)
    assert updates_CP.tolist() == [[0.0, -1.0]]
