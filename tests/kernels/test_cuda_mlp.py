"""Loss and gradient of a perceptron as Triton programs, interpreted in a process of their own: they are PyTorch's."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from rnnprop_cli.kernels import cuda_perceptrons
from rnnprop_cli.kernels.passes import Perceptron

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
PROGRAM = """
import sys, torch
from rnnprop_cli.accelerate.optimizees import build_optimizee
from rnnprop_cli.components.datasets import Dataset
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizees.transforms import RandomScaling
from rnnprop_cli.kernels import cuda_mlp
from rnnprop_cli.kernels.cuda_passes import CudaPasses

specs = {
    "softmax": MLPSpec(dataset="digits", depth=0),
    "sigmoid": MLPSpec(dataset="digits", hidden=20),
    "relu": MLPSpec(dataset="digits", activation="relu", depth=3, hidden=7),
    "elu": MLPSpec(dataset="digits", activation="elu", hidden=1),
    "tanh": MLPSpec(dataset="digits", activation="tanh", depth=2, hidden=33),
}
launches = []
for name in ("pixels_program", "examples_program", "weights_program"):
    class Counted:
        def __init__(self, program, name):
            self.program, self.name = program, name
        def __getitem__(self, grid):
            launches.append(self.name)
            return self.program[grid]
    setattr(cuda_mlp, name, Counted(getattr(cuda_mlp, name), name))

generator = torch.Generator().manual_seed(0)
images = torch.randint(0, 256, (50, 1, 9, 8), generator=generator, dtype=torch.uint8)
labels = torch.randint(0, 10, (50,), generator=generator)
cpu, results = torch.device("cpu"), {}
for name in sys.argv[2:]:
    kind, minibatch, shift = name.split()
    data = Dataset("random", images, labels, None, None, scale=1 / 255, shift=float(shift), classes=10)
    plain, fast = (
        build_optimizee(specs[kind], data, (1, 2), int(minibatch), dtype, cpu, passes)
        for dtype, passes in ((torch.float64, None), (torch.float32, CudaPasses()))
    )
    params = plain.init_params().repeat_interleave(2, dim=0)
    params += 0.3 * torch.randn(params.shape, generator=generator, dtype=torch.float64)
    truth = plain.loss_and_grad(params, 2)
    launches.clear()
    found = fast.loss_and_grad(params.float(), 2)
    counted = list(launches)
    loss = fast.loss(params.float(), 2)
    wild = params.float()
    wild[1] = torch.nan
    factor = 0.5 + torch.rand(2, params.shape[1], generator=generator, dtype=torch.float64)
    scaled = [RandomScaling(each, 1.0, (1, 2), "f") for each in (plain, fast)]
    for each in scaled:
        each.factor_SP = factor.to(each.factor_SP.dtype)
    wider = torch.zeros(4, params.shape[1] + 3)[:, 2:-1]  # rows that do not lie one behind the other
    wider.copy_(params)
    launches.clear()
    scaled = [scaled[0].loss_and_grad(params, 2), scaled[1].loss_and_grad(wider, 2), list(launches)]
    fast.load(0, fast.tensors(1, 3))  # read from a table of steps, as in a recording
    results[name] = truth, found, loss, fast.loss_and_grad(wild, 1), counted, scaled
torch.save(results, sys.argv[1])
"""
CASES = ["sigmoid 17 -0.5", "relu 6 0.0"]
MORE = ["softmax 37 0.0", "elu 1 -0.5", "tanh 40 0.0", "sigmoid 48 0.0"]


@pytest.fixture(
    scope="module", params=[CASES, pytest.param(MORE, marks=pytest.mark.slow)], ids=["few", "more"]
)
def results(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("interpreted") / "found"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), *request.param],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = torch.load(path, weights_only=False)
    assert list(found) == request.param
    return found


@needs_triton
def test_interpreted_gradient_of_a_perceptron_is_pytorchs_in_two_launches(results):
    for name, ((truth_C, grads_CP), (loss_C, found_CP), alone_C, _, launches, _) in results.items():
        # float32 rounding of sums of some dozens of terms
        torch.testing.assert_close(loss_C.double(), truth_C, rtol=1e-5, atol=1e-6, msg=name)
        torch.testing.assert_close(alone_C, loss_C, rtol=1e-6, atol=1e-6, msg=name)
        for found, grads in zip(found_CP, grads_CP, strict=True):
            assert (found - grads).norm() < 1e-5 * grads.norm(), name
        assert launches == ["examples_program", "weights_program"]


@needs_triton
def test_a_scaled_perceptron_takes_one_launch_more_and_no_operation_beside(results):
    for name, (*_, ((truth_C, grads_CP), (loss_C, found_CP), launches)) in results.items():
        torch.testing.assert_close(loss_C.double(), truth_C, rtol=1e-5, atol=1e-6, msg=name)
        for found, grads in zip(found_CP, grads_CP, strict=True):
            assert (found - grads).norm() < 1e-5 * grads.norm(), name
        assert launches == ["pixels_program", "examples_program", "weights_program"]


@needs_triton
def test_a_cell_that_has_diverged_changes_no_bit_of_the_others(results):
    for name, (_, (loss_C, grads_CP), _, (wild_C, wild_CP), _, _) in results.items():
        assert wild_C[1].isnan(), name
        assert wild_CP[1].isnan().any(), name
        others = [0, 2, 3]
        assert torch.equal(wild_C[others], loss_C[others]), name
        assert torch.equal(wild_CP[others], grads_CP[others]), name


def perceptron(*widths: int, activation: str = "sigmoid") -> Perceptron:
    images = torch.zeros(3, widths[0], dtype=torch.uint8)
    return Perceptron(widths, activation, images, torch.zeros(3, dtype=torch.int64), 1.0, 0.0)


@pytest.mark.parametrize(
    "given",
    [
        perceptron(8, 65, 10),
        perceptron(8, 5, 100),
        perceptron(8, 5, 6, 10),
        perceptron(8, *[5] * 9, 10),
        perceptron(8, 5, 10, activation="gelu"),
    ],
    ids=["wide", "many classes", "uneven", "deep", "activation"],
)
def test_what_the_programs_are_not_for_is_left_to_pytorch(given):
    params_CP = torch.zeros(1, 1)
    assert cuda_perceptrons.tiled(given) is None
    found = cuda_perceptrons.losses_and_gradient(
        cuda_perceptrons, given, torch.zeros(1, 2, dtype=torch.int64), params_CP, gradient=True
    )
    assert found is None


@pytest.mark.parametrize(("cells", "coordinates"), [(1, 7), (3, 8 * 5 + 5 + 5 * 10 + 10)])
def test_wrong_sizes_are_refused_before_a_launch(cells, coordinates):
    index_SM = torch.zeros(2, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"do not fit the widths|cells on 2 seeds"):
        cuda_perceptrons.losses_and_gradient(
            cuda_perceptrons, perceptron(8, 5, 10), index_SM, torch.zeros(cells, coordinates), gradient=True
        )
