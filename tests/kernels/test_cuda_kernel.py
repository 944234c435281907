"""The Triton programs, interpreted on the CPU in a process of their own, and on a CUDA device where there is one.

Triton decides at its import whether it interprets, and PyTorch may have imported it before a test runs.
"""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels import cuda
from rnnprop_cli.kernels.base import Hidden, Network
from rnnprop_cli.kernels.reference import ReferenceKernel

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
TOLERANCE = 1e-4  # as for the CPU body
ODD = Network(features=3, embedding=7, hidden=13, layers=3)
DM = Network(embedding=0, bounded=False)
CASES = {
    "rnnprop-1": (Network(), 1),
    "rnnprop-33": (Network(), 33),
    "dm-7": (DM, 7),
    "dm-70": (DM, 70),
    "odd-40": (ODD, 40),
}
INTERPRET = """
import sys, torch
from rnnprop_cli.kernels import cuda
from rnnprop_cli.kernels.base import Hidden
kernel = cuda.CudaKernel()
results = {}
for name, window in torch.load(sys.argv[1], weights_only=False).items():
    network, q, features, hidden, grad = window
    kept = kernel.step(network, q, features[0], hidden)
    donated = Hidden(hidden.h_LHN.clone(), hidden.c_LHN.clone())
    _, new = kernel.step(network, q, features[0], donated, donate=True)
    gradients = [kernel.window_gradient(*window)]
    if name == "dm-70":
        gradients.append(kernel.window_gradient(*window))
        cuda.MAX_KEPT_BYTES = 1  # stretches of one block
        gradients.append(kernel.window_gradient(*window))
        cuda.MAX_KEPT_BYTES, cuda.MAX_PROGRAMS = 2**30, 1  # one program takes all blocks
        gradients.append(kernel.window_gradient(*window))
    results[name] = (kept, new, new.h_LHN.data_ptr() == donated.h_LHN.data_ptr(), gradients)
torch.save(results, sys.argv[2])
"""


@pytest.fixture(scope="module")
def problems(make_kernel_problem):
    problems = {name: make_kernel_problem(network, n, steps=3) for name, (network, n) in CASES.items()}
    problems["dm-70"].output_grad_TN[:, 20:50] = 0
    problems["dm-70"].output_grad_TN[-1] = 0
    return problems


@pytest.fixture(scope="module")
def interpreted(problems, tmp_path_factory):
    folder = tmp_path_factory.mktemp("interpreted")
    torch.save({name: p.window for name, p in problems.items()}, folder / "problems")
    result = subprocess.run(
        [sys.executable, "-c", INTERPRET, str(folder / "problems"), str(folder / "results")],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return torch.load(folder / "results", weights_only=False)


@needs_triton
@pytest.mark.parametrize("case", CASES)
def test_interpreted_step_agrees_with_reference(interpreted, problems, relative_error, case):
    (output, new), donated, in_place, _ = interpreted[case]
    p = problems[case].double()
    truth, true_new = ReferenceKernel().step(p.network, p.meta_params_Q, p.features_TFN[0], p.hidden)
    assert (output.double() - truth).norm() <= TOLERANCE * truth.norm() + 1e-6
    assert relative_error(new.h_LHN, true_new.h_LHN) < 1e-6
    assert relative_error(new.c_LHN, true_new.c_LHN) < 1e-6
    assert in_place
    assert torch.equal(donated.h_LHN, new.h_LHN)
    assert torch.equal(donated.c_LHN, new.c_LHN)


@needs_triton
@pytest.mark.parametrize("case", CASES)
def test_interpreted_window_gradient_agrees_with_reference(interpreted, problems, relative_error, case):
    gradients = interpreted[case][-1]
    truth = problems[case].true_gradient()
    for gradient in gradients:
        assert relative_error(gradient, truth) < TOLERANCE
    if len(gradients) > 1:
        assert torch.equal(gradients[0], gradients[1])


def test_without_triton_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rnnprop_cli.kernels.cuda_kernels", None)
    with pytest.raises(DeviceError, match="pip install triton"):
        cuda.CudaKernel()


@needs_triton
@pytest.mark.slow
def test_programs_compile_for_an_h100_without_one(tmp_path):
    """The interpreter accepts what the compiler refuses."""
    program = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from rnnprop_cli.kernels import cuda, cuda_kernels
INTEGERS = ("N", "T", "Q", "layer_start", "out_start")
layer = dict(D=20, H=20, F=2, FP=16, DP=32, HP=32, BLOCK=cuda.BLOCK)
for function, constants in (
    (cuda_kernels.step_program, dict(layer, E=20, LAYERS=2, BOUNDED=True)),
    (cuda_kernels.step_program, dict(layer, E=0, LAYERS=2, DP=16, BOUNDED=False)),
    (cuda_kernels.forward_program, dict(layer, E=20)),
    (cuda_kernels.forward_program, dict(layer, E=0, D=2, DP=16)),
    (cuda_kernels.backward_program, dict(layer, E=0, TOP=True, BELOW=True, BOUNDED=True)),
    (cuda_kernels.backward_program, dict(layer, E=20, TOP=False, BELOW=False, BOUNDED=True)),
):
    constants = {name: value for name, value in constants.items() if name in function.arg_names}
    signature = {
        name: "constexpr" if name in constants else "i32" if name in INTEGERS else "*fp32"
        for name in function.arg_names
    }
    compile(
        ASTSource(fn=function, signature=signature, constexprs=constants),
        target=GPUTarget("cuda", 90, 32), options=cuda.LAUNCH,
    )
"""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@needs_triton
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("n", [1, 33, 4097])
def test_device_agrees_with_reference_and_can_be_captured(problem, relative_error, network, n):
    p = problem(network, n, steps=20)
    q, features, grad = (x.cuda() for x in (p.meta_params_Q, p.features_TFN, p.output_grad_TN))
    hidden = Hidden(*(state.cuda() for state in p.hidden))
    kernel = cuda.CudaKernel()
    eager = kernel.window_gradient(network, q, features, hidden, grad)
    assert relative_error(eager.cpu(), p.true_gradient()) < TOLERANCE
    output, _ = kernel.step(network, q, features[0], hidden)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = kernel.window_gradient(network, q, features, hidden, grad)
        captured_output, _ = kernel.step(network, q, features[0], hidden)
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(captured, eager)
    assert torch.equal(captured_output, output)
