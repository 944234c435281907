"""What the C++ body does around the network agrees with the PyTorch operations that it replaces."""

from collections.abc import Iterator

import pytest
import torch

from rnnprop_cli.accelerate.learned import advance
from rnnprop_cli.accelerate.optimizees import build_optimizee
from rnnprop_cli.components.datasets import Dataset
from rnnprop_cli.components.learned.dm import DMSpec
from rnnprop_cli.components.learned.network import LearnedState
from rnnprop_cli.components.learned.rnnprop import RNNpropSpec
from rnnprop_cli.components.optimizees.base import Optimizee
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels.cpu import CpuKernel
from rnnprop_cli.kernels.network import Hidden
from rnnprop_cli.kernels.reference import ReferenceKernel

CPU, F32, F64 = torch.device("cpu"), torch.float32, torch.float64
SEEDS = (1, 2)
PER_SEED = 3
MLPS = {
    "base": MLPSpec(dataset="digits"),
    "softmax": MLPSpec(dataset="digits", depth=0),
    "deep relu": MLPSpec(dataset="digits", activation="relu", depth=3, hidden=7),
    "elu": MLPSpec(dataset="digits", activation="elu", hidden=1),
    "tanh": MLPSpec(dataset="digits", activation="tanh", depth=2, hidden=33),
    "too wide": MLPSpec(dataset="digits", hidden=80),
}


@pytest.fixture(scope="module")
def kernel() -> CpuKernel:
    try:
        return CpuKernel()
    except DeviceError as error:
        pytest.skip(str(error))


def pictures(shift: float = 0.0) -> Dataset:
    """Random pictures of which some pixels are blank in all."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (50, 1, 9, 7), generator=generator, dtype=torch.uint8)
    images[:, :, 2:4] = 0
    labels = torch.randint(0, 10, (50,), generator=generator)
    return Dataset("random", images, labels, None, None, scale=1 / 255, shift=shift, classes=10)


def build(
    spec: MLPSpec, minibatch: int, dtype: torch.dtype, kernel: CpuKernel | None, shift: float
) -> Optimizee:
    passes = None if kernel is None else kernel.passes
    return build_optimizee(spec, pictures(shift), SEEDS, minibatch, dtype, CPU, passes)


@pytest.mark.parametrize("name", MLPS)
@pytest.mark.parametrize(("minibatch", "shift"), [(1, 0.0), (6, -0.5), (16, 0.0), (37, 0.0), (48, -0.5)])
def test_gradient_of_a_perceptron_is_that_of_pytorch(
    kernel: CpuKernel, name: str, minibatch: int, shift: float
) -> None:
    plain = build(MLPS[name], minibatch, F64, None, shift)
    fast = build(MLPS[name], minibatch, F32, kernel, shift)
    params_CP = plain.init_params().repeat_interleave(PER_SEED, dim=0)
    params_CP += 0.3 * torch.randn(params_CP.shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    loss_C, grad_CP = plain.loss_and_grad(params_CP, 2)
    fast_loss_C, fast_grad_CP = fast.loss_and_grad(params_CP.float(), 2)
    # float32 rounding of sums of some hundred terms
    torch.testing.assert_close(fast_loss_C.double(), loss_C, rtol=1e-5, atol=1e-6)
    assert torch.equal(fast.loss(params_CP.float(), 2), fast_loss_C) or name == "too wide"
    for cell in range(len(params_CP)):
        assert (fast_grad_CP[cell] - grad_CP[cell]).norm() < 1e-5 * grad_CP[cell].norm()


def test_only_what_the_pass_can_take_goes_to_it(kernel: CpuKernel) -> None:
    assert kernel.passes is not None
    double = build(MLPS["base"], 8, F64, kernel, 0.0)
    plain = build(MLPS["base"], 8, F64, None, 0.0)
    params_CP = double.init_params()
    assert torch.equal(double.loss_and_grad(params_CP, 0)[1], plain.loss_and_grad(params_CP, 0)[1])


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "elu", "tanh"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_diverged_cell_changes_no_bit_of_its_neighbours(
    kernel: CpuKernel, activation: str, bad: float
) -> None:
    fast = build(MLPSpec(dataset="digits", activation=activation), 20, F32, kernel, 0.0)  # type: ignore[arg-type]
    params_CP = fast.init_params().repeat_interleave(PER_SEED, dim=0)
    loss_C, grad_CP = fast.loss_and_grad(params_CP, 0)
    params_CP[1] = bad
    sick_loss_C, sick_grad_CP = fast.loss_and_grad(params_CP, 0)
    others = torch.arange(len(params_CP)) != 1
    assert torch.equal(sick_loss_C[others], loss_C[others])
    assert torch.equal(sick_grad_CP[others], grad_CP[others])
    assert not sick_loss_C[1].isfinite()


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_gradient_does_not_depend_on_the_number_of_threads(kernel: CpuKernel, threads: None) -> None:
    fast = build(MLPS["base"], 20, F32, kernel, 0.0)
    params_CP = fast.init_params().repeat_interleave(PER_SEED, dim=0)
    results = []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(fast.loss_and_grad(params_CP, 0))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("spec", [RNNpropSpec(), RNNpropSpec(hidden=7, layers=1), DMSpec()])
def test_a_learned_step_in_one_pass_is_the_plain_step(
    kernel: CpuKernel, spec: RNNpropSpec | DMSpec, relative_error: object
) -> None:
    """47 coordinates in each of three cells: registers straddle cells, and the last one is not full."""
    rule = spec.build()
    rate_C = rule.sign * torch.tensor([0.1, 0.2, 0.3])
    trajectories = []
    for body, dtype in ((ReferenceKernel(), F64), (kernel, F32)):
        meta_params_Q = rule.start(0, F64, CPU).to(dtype)
        generator = torch.Generator().manual_seed(1)
        params_CP = torch.zeros(3, 47, dtype=dtype)
        features_TFN = torch.empty(12, 2, 3 * 47, dtype=dtype)
        state = rule.init(params_CP)
        for features_FN in features_TFN:
            grads_CP = torch.randn(3, 47, generator=generator, dtype=F64).to(dtype)
            grads_CP[:, 5:30] = 0  # never seen a gradient
            state = advance(
                rule, body, meta_params_Q, rate_C.to(dtype), grads_CP, state, params_CP, features_FN
            )
        trajectories.append((params_CP, features_TFN, *state.hidden, *state.features[1:]))
    for fast, plain in zip(trajectories[1], trajectories[0], strict=True):
        assert relative_error(fast, plain) < 1e-5  # type: ignore[operator]


def test_coordinates_that_are_alike_are_computed_as_any_other(kernel: CpuKernel) -> None:
    """Whole registers of them are copies of one another: the same bits as without company of their kind."""
    rule = RNNpropSpec().build()
    meta_params_Q = rule.start(0, F32, CPU)
    grads_CP = torch.randn(1, 640, generator=torch.Generator().manual_seed(1))
    grads_CP[:, 64:512] = 0
    results = []
    for order in (torch.arange(640), torch.randperm(640, generator=torch.Generator().manual_seed(2))):
        params_CP = torch.zeros(1, 640)
        state: LearnedState = rule.init(params_CP)
        for step in range(4):
            grads = grads_CP[:, order] * (1 if step != 2 else -0.3)
            if step == 3:
                grads[:, order.argsort()[100:140]] = 0.7  # some see their first gradient
            state = advance(rule, kernel, meta_params_Q, torch.tensor([-0.1]), grads, state, params_CP)
        back = order.argsort()
        results.append((params_CP[:, back], *(part[..., back] for part in state.hidden)))
    for here, there in zip(*results, strict=True):
        assert torch.equal(here, there)


def test_wrong_tensors_are_refused(kernel: CpuKernel) -> None:
    assert kernel.passes is not None
    params_CP = torch.zeros(2, 4)
    with pytest.raises(ValueError, match="not contiguous float32"):
        kernel.passes.rule_step("sgd", (), torch.ones(3), params_CP, (), params_CP)
    with pytest.raises(ValueError, match="not contiguous float32"):
        kernel.passes.rule_step(
            "momentum", (0.9, 1), torch.ones(2), params_CP, (params_CP[:, :3],), params_CP
        )


def test_step_of_alike_coordinates_leaves_their_state_apart(kernel: CpuKernel) -> None:
    """Equal features with unequal states are not taken for equal."""
    rule = RNNpropSpec().build()
    network, meta_params_Q = rule.network, rule.start(0, F32, CPU)
    hidden = Hidden(torch.zeros(2, 20, 64), torch.zeros(2, 20, 64))
    hidden.c_LHN[1, 7, 40] = 0.5
    output_N, _ = kernel.step(network, meta_params_Q, torch.zeros(2, 64), hidden)
    truth_N, _ = ReferenceKernel().step(network, meta_params_Q, torch.zeros(2, 64), hidden)
    torch.testing.assert_close(output_N, truth_N, rtol=1e-5, atol=1e-6)
    assert output_N[40] != output_N[39]
