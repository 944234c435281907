"""LearnedOptimizer: any learned optimizer in a training loop, as it runs in a benchmark."""

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnnprop_cli import LearnedOptimizer, RNNprop
from rnnprop_cli.components import plugins
from rnnprop_cli.components.learned.base import SteppedOptimizer
from rnnprop_cli.components.learned.outside import OutsideSpec
from rnnprop_cli.errors import UsageError
from rnnprop_cli.execute.weights import Weights
from rnnprop_cli.store.checkpoints import save_checkpoint

SOURCE = """\
import torch
from typing import NamedTuple


class State(NamedTuple):
    m: torch.Tensor
    sizes: list
    count: int


class Own:
    def named_shapes(self):
        return [("w", (3,))]

    def init_meta_params(self, generator):
        return {"w": torch.tensor([0.9, 0.5, 0.1])}

    def init(self, params, shapes):
        return State(torch.zeros_like(params), [torch.ones(len(params), dtype=params.dtype) for _ in shapes], 0)

    def step(self, meta_params, state, grads, params, context):
        w = meta_params["w"]
        m = w[0] * state.m + (1 - w[0]) * grads
        parts = torch.split(m, [torch.Size(shape).numel() for shape in context.shapes], 1)
        sizes = [0.5 * size + part.square().mean(1).sqrt() for size, part in zip(state.sizes, parts)]
        moves = [part / (size[:, None] + w[1]) for size, part in zip(sizes, parts)]
        factor = 1.0 if context.horizon is None else 1 - (context.t - 1) / context.horizon
        if context.loss_C is not None:
            factor = factor * torch.tanh(context.loss_C)[:, None]
        step = -context.rate_C[:, None] * factor * (torch.cat(moves, 1) + w[2] * params)
        return step, State(m, sizes, state.count + 1)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.py").write_text(SOURCE)
    given = {"kind": "architecture", "source": "own.py:Own", "alpha": 0.05}
    spec = OutsideSpec.model_validate(given, context={plugins.FOLDER: folder})
    with plugins.code_allowed(True):
        tensors = {name: value.numpy() for name, value in spec.build().init_meta_params(0).items()}
    (folder / "own.py").unlink()
    return save_checkpoint(folder, "own", tensors, {"optimizer": spec.model_dump(mode="json")}).path


def params(dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 2), (2,), (), (2, 1, 2)]
    return [
        nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype))
        for shape in shapes
    ]


def loss_of(held: list[nn.Parameter], step: int) -> Tensor:
    total = torch.zeros((), dtype=held[0].dtype)
    for number, param in enumerate(held):
        total = total + ((param - 0.1 * number) * (1 + 0.1 * step)).square().sum()
    return total


def run(optimizer: Any, held: list[nn.Parameter], steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        loss_of(held, step).backward()
        optimizer.step()


def flat(held: list[nn.Parameter]) -> Tensor:
    return torch.cat([param.detach().reshape(-1) for param in held])


def make(held: Any, file: Path, **settings: Any) -> LearnedOptimizer:
    return LearnedOptimizer(held, file, allow_code=True, **settings)


@pytest.mark.parametrize("total_steps", [None, 10])
def test_its_steps_are_those_of_a_benchmark(file: Path, total_steps: int | None) -> None:
    held = params()
    optimizer = make(held, file, total_steps=total_steps)
    theta_1P = flat(held)[None].clone()
    shapes = [tuple(param.shape) for param in held]
    with plugins.code_allowed(True):
        meta_params_Q = optimizer.weights.meta_params(torch.float64, torch.device("cpu"))
        architecture = optimizer.weights.rule()
    rate_1 = torch.tensor([0.05], dtype=torch.float64)
    bench = SteppedOptimizer(architecture, meta_params_Q, rate_1, shapes, total_steps)
    state = bench.init(theta_1P)
    for step in range(5):
        optimizer.zero_grad()
        loss_of(held, step).backward()
        grads_1P = torch.cat([param.grad.reshape(-1) for param in held if param.grad is not None])[None]
        state = bench.advance(grads_1P, state, theta_1P)
        optimizer.step()
        assert torch.equal(flat(held)[None], theta_1P)


def test_a_closure_gives_the_loss_to_architectures_that_look_at_it(file: Path) -> None:
    with_loss, without = params(), params()
    one, other = make(with_loss, file), make(without, file)
    run(other, without, range(1))

    def closure() -> Tensor:
        one.zero_grad()
        loss = loss_of(with_loss, 0)
        loss.backward()
        return loss

    assert one.step(closure) == loss_of(params(), 0)  # type: ignore[arg-type]
    ratio = (flat(with_loss) - flat(params())) / (flat(without) - flat(params()))
    torch.testing.assert_close(ratio, torch.tanh(loss_of(params(), 0)).expand_as(ratio))


def test_shipped_weights_of_a_network_take_the_steps_that_their_own_class_takes() -> None:
    ours, theirs = params(), params()
    run(LearnedOptimizer(ours, "rnnprop", lr=0.02), ours, range(4))
    run(RNNprop(theirs, lr=0.02, kernel="reference"), theirs, range(4))
    torch.testing.assert_close(flat(ours), flat(theirs), rtol=1e-12, atol=1e-12)


COPIES = {
    "state_dict": lambda optimizer: torch.load(_saved(optimizer.state_dict()), weights_only=True),
    "deepcopy": lambda optimizer: copy.deepcopy(optimizer.state_dict()),
}


def _saved(value: object) -> io.BytesIO:
    content = io.BytesIO()
    torch.save(value, content)
    content.seek(0)
    return content


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_saved_state_goes_on_exactly(file: Path, how: str, dtype: torch.dtype) -> None:
    through, first, second = params(dtype), params(dtype), params(dtype)
    run(make(through, file, total_steps=20), through, range(7))
    begun = make(first, file, total_steps=20)
    run(begun, first, range(3))
    for own, value in zip(second, first, strict=True):
        own.data.copy_(value.data)
    resumed = make(second, file, total_steps=20)
    resumed.load_state_dict(COPIES[how](begun))
    run(begun, first, range(3, 7))  # shares no memory with what was loaded
    run(resumed, second, range(3, 7))
    assert torch.equal(flat(second), flat(through))
    assert torch.equal(flat(first), flat(through))


def test_copies_and_pickles_of_the_whole_go_on(file: Path) -> None:
    held = params()
    optimizer = make(held, file, total_steps=20)
    run(optimizer, held, range(3))
    model, whole = copy.deepcopy((nn.ParameterList(held), optimizer))
    again, other = pickle.loads(pickle.dumps((nn.ParameterList(held), optimizer)))
    for own, stepper in ((list(model), whole), (list(again), other), (held, optimizer)):
        run(stepper, own, range(3, 6))
    assert torch.equal(flat(list(model)), flat(held))
    assert torch.equal(flat(list(again)), flat(held))


def test_a_parameter_without_a_gradient_stays_and_the_others_move(file: Path) -> None:
    held = params()
    held[1].requires_grad_(False)
    before = [param.detach().clone() for param in held]
    run(make(held, file, weight_decay=0.1), held, range(2))
    assert [torch.equal(param, old) for param, old in zip(held, before, strict=True)] == [
        False,
        True,
        False,
        False,
    ]


def test_groups_have_their_own_rate_decay_and_direction(file: Path) -> None:
    held = params()
    groups = [
        {"params": held[:1], "lr": 0.0, "weight_decay": 0.5},
        {"params": held[1:2], "maximize": True},
        {"params": held[2:]},
    ]
    before = loss_of(held[1:2], 0)
    optimizer = make(groups, file)
    run(optimizer, held, range(1))
    assert torch.equal(held[0], params()[0])  # decay is times the rate
    assert loss_of(held[1:2], 0) > before
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.05, 0.05]
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5)
    assert optimizer.param_groups[2]["lr"] == 0.025


def test_code_is_run_where_it_is_allowed_and_only_there(file: Path) -> None:
    make(params(), file)
    with pytest.raises(UsageError, match=r"own.py:Own is code.*in Python allow_code=True"):
        LearnedOptimizer(params(), file)
    with pytest.raises(UsageError, match="is code"):
        RNNprop(params(), weights=file)


def test_weights_of_another_kind_name_the_class_that_takes_them(file: Path) -> None:
    with (
        plugins.code_allowed(True),
        pytest.raises(UsageError, match=r"use LearnedOptimizer\(\.\.\., weights"),
    ):
        RNNprop(params(), weights=file)


def test_what_cannot_be_stepped_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match="total_steps must be a whole number of at least 1, not 0"):
        make(params(), file, total_steps=0)
    with pytest.raises(ValueError, match="lr must be 0 or more"):
        make(params(), file, lr=-1.0)
    with pytest.raises(TypeError, match="real floating-point parameters"):
        make([torch.zeros(2, dtype=torch.complex64, requires_grad=True)], file)
    table = nn.Embedding(4, 2, sparse=True)
    optimizer = make(table.parameters(), file)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse gradients"):
        optimizer.step()


def test_a_state_of_others_is_refused_and_nothing_changes(file: Path) -> None:
    held = params()
    optimizer = make(held, file)
    run(optimizer, held, range(2))
    saved = optimizer.state_dict()
    with pytest.raises(ValueError, match="saved with other weights"):
        LearnedOptimizer(params(), "rnnprop").load_state_dict(saved)
    with pytest.raises(ValueError, match="in another order"):
        make(params()[::-1], file).load_state_dict(saved)
    broken = copy.deepcopy(saved)
    broken["state"][0]["leaves"].pop()
    with pytest.raises(ValueError, match="is not the state of LearnedOptimizer for these parameters"):
        optimizer.load_state_dict(broken)
    assert optimizer.state[held[0]]["step"] == 2


def test_weights_as_they_are_need_no_file(file: Path) -> None:
    with plugins.code_allowed(True):
        weights: Weights = make(params(), file).weights
    one, other = params(), params()
    run(make(one, file), one, range(2))
    run(LearnedOptimizer(other, weights, allow_code=True), other, range(2))
    assert torch.equal(flat(one), flat(other))
