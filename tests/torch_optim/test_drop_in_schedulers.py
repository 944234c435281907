"""The drop-in under every scheduler of PyTorch, its rate a number or a tensor; what Adam does stands beside it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from drop_in_samples import params_of, rnnprop, run, values
from torch.optim import Adam, lr_scheduler
from torch.optim.swa_utils import SWALR

Schedule = Callable[[Any], Any]
SCHEDULES: dict[str, Schedule] = {
    "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t)),
    "multiplicative": lambda o: lr_scheduler.MultiplicativeLR(o, lambda t: 0.9),
    "step": lambda o: lr_scheduler.StepLR(o, 2, gamma=0.5),
    "multi step": lambda o: lr_scheduler.MultiStepLR(o, [1, 3], gamma=0.3),
    "constant": lambda o: lr_scheduler.ConstantLR(o, factor=0.4, total_iters=3),
    "linear": lambda o: lr_scheduler.LinearLR(o, start_factor=0.4, total_iters=4),
    "exponential": lambda o: lr_scheduler.ExponentialLR(o, 0.8),
    "polynomial": lambda o: lr_scheduler.PolynomialLR(o, total_iters=4, power=0.9),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=4),
    "warm restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=2),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.2, total_steps=8, cycle_momentum=False),
    "cyclic": lambda o: lr_scheduler.CyclicLR(o, base_lr=0.01, max_lr=0.1, step_size_up=2, cycle_momentum=False),
    "sequential": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o, 0.1, total_iters=2), lr_scheduler.ExponentialLR(o, 0.9)], milestones=[2]
    ),
    "chained": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.LinearLR(o, 0.5, total_iters=3), lr_scheduler.ExponentialLR(o, 0.9)], optimizer=o
    ),
    "averaging": lambda o: SWALR(o, swa_lr=0.01, anneal_epochs=3),
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("as_tensor", [False, True])
def test_every_scheduler_gives_the_rates_that_it_gives_adam(name: str, as_tensor: bool) -> None:
    params, others, plain = (params_of((3,)) for _ in range(3))
    lr: Any = torch.tensor(0.1, dtype=torch.float64) if as_tensor else 0.1
    optimizer, adam, by_hand = rnnprop(params, lr=lr), Adam(others, lr=0.1), rnnprop(plain)
    scheduler, beside = SCHEDULES[name](optimizer), SCHEDULES[name](adam)
    for step in range(6):
        run(optimizer, params, range(step, step + 1))
        adam.step()
        rate = float(adam.param_groups[0]["lr"])
        assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(rate)
        by_hand.param_groups[0]["lr"] = float(optimizer.param_groups[0]["lr"])
        if step < 5:
            run(by_hand, plain, range(step, step + 1))
            assert torch.equal(values(params), values(plain))
        scheduler.step()
        beside.step()


def test_a_plateau_lowers_the_rate_of_every_group() -> None:
    optimizer = rnnprop([{"params": params_of((2,))}, {"params": params_of((2,)), "lr": 0.02}])
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    for loss in (1.0, 2.0, 3.0):
        plateau.step(loss)
    assert [group["lr"] for group in optimizer.param_groups] == [0.025, 0.005]


def test_a_scheduler_of_the_momentum_is_refused_as_for_an_optimizer_without_one() -> None:
    with pytest.raises(ValueError, match="momentum"):
        lr_scheduler.OneCycleLR(rnnprop(params_of((2,))), max_lr=0.2, total_steps=5)
