"""The Triton programs, interpreted on the CPU in a process of their own, and on a CUDA device where there is one.

Triton decides at its import whether it interprets, and PyTorch may have imported it before a test runs.
"""

import importlib.util
import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
import torch

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels import cuda
from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.reference import ReferenceKernel

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
TOLERANCE = 1e-4  # as for the CPU body
ODD = Network(features=3, embedding=7, hidden=13, layers=3)
WIDE = Network(features=3, embedding=35, hidden=40, layers=2)  # two tiles of units, neither whole
DM = Network(embedding=0, bounded=False)
CASES = {
    "rnnprop-1": (Network(), 1),
    "rnnprop-33": (Network(), 33),
    "dm-7": (DM, 7),
    "dm-70": (DM, 70),
    "odd-40": (ODD, 40),
    "wide-5": (WIDE, 5),
}
INTERPRET = """
import sys, torch
from rnnprop_cli.kernels import cuda, cuda_window
from rnnprop_cli.kernels.network import Hidden
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
        cuda.MAX_KEPT_BYTES, cuda_window.OUTER_PROGRAMS = 2**30, 1  # one program sums everything
        gradients.append(kernel.window_gradient(*window))
    if name in ("rnnprop-33", "wide-5"):
        tape = kernel.tape(network, len(features), features[0, :1])
        for own, given in zip(tape.start, hidden):
            own.copy_(given)
        state = hidden
        for step, inputs in enumerate(features):
            _, state = kernel.step(network, q, inputs, state, kept=tape.at(step))
        gradients.append(kernel.window_gradient(*window, tape=tape))
    in_place = [a.data_ptr() == b.data_ptr() for a, b in zip(new, donated)]
    results[name] = (kept, new, in_place, gradients)
torch.save(results, sys.argv[2])
"""
TRIAL = """
import sys, torch
from rnnprop_cli.kernels import cuda, cuda_check
torch.save(cuda_check.find_trouble(cuda.CudaKernel(), torch.device("cpu")), sys.argv[1])
"""
# One block of coordinates among so many that offsets pass 2^31, in memory of which only the touched pages are there.
FAR = """
import mmap, sys
import numpy as np, torch
from rnnprop_cli.kernels import cuda, cuda_kernels as programs, cuda_launch
from rnnprop_cli.kernels.network import Network

network, steps, near, far = Network(), 2, cuda.BLOCK, 60_000_000
tiles = cuda_launch.tiles()
q = 0.2 * torch.randn(network.n_meta_params)
draw = np.random.default_rng(0)

def memory(rows, n):
    \"\"\"[rows, n] floats, of which a kernel is shown the address only.\"\"\"
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # MAP_NORESERVE
    region = mmap.mmap(-1, 4 * rows * n, flags=flags)
    return np.frombuffer(region, np.float32).reshape(rows, n), torch.frombuffer(region, dtype=torch.float32, count=1)

def run(n, values):
    arrays = {name: memory(len(value), n) for name, value in values.items()}
    for name, value in values.items():
        arrays[name][0][:, :near] = value
    at = {name: address for name, (_, address) in arrays.items()}
    grid = (1,)
    programs.window_program[grid](
        q, at["features"], at["x"], at["h"], at["c"], at["kept"], at["output"], steps, n,
        F=2, E=20, H=20, LAYERS=2, BOUNDED=True, **tiles,
    )
    programs.step_program[grid](
        q, at["features"], at["x_1"], at["h"], at["c"], at["h_1"], at["c_1"], at["kept"], at["output_1"], n,
        F=2, E=20, H=20, LAYERS=2, BOUNDED=True, KEEP=False, **tiles,
    )
    programs.backward_program[grid](
        q[60 + 3280 :], at["kept"], at["c"], at["inner"], at["output"], at["output_grads"], at["carried_h"],
        at["carried_c"], at["gate_grads"], at["x"], at["below"], steps, n, 2 * 20 * n,
        D=20, H=20, TOP=True, BOUNDED=True, BELOW=True, EMBEDDED=True, **tiles,
    )
    return {name: torch.tensor(array[:, :near]) for name, (array, _) in arrays.items()}

rows = dict(
    features=4, x=40, h=120, c=120, kept=320, output=2, x_1=20, h_1=40, c_1=40, output_1=1, inner=2, output_grads=2,
    carried_h=20, carried_c=20, gate_grads=160, below=40,
)
values = {name: draw.normal(size=(count, near)).astype(np.float32) for name, count in rows.items()}
torch.save([values, run(near, values), run(far, values)], sys.argv[1])
"""


SLOW = {"rnnprop-1", "dm-70", "odd-40"}
each_case = pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] * (case in SLOW)) for case in CASES]
)


@pytest.fixture(scope="module")
def problems(make_kernel_problem):
    problems = {name: make_kernel_problem(network, n, steps=3) for name, (network, n) in CASES.items()}
    problems["dm-70"].output_grad_TN[:, 20:50] = 0
    problems["dm-70"].output_grad_TN[-1] = 0
    return problems


@pytest.fixture(scope="module")
def interpreted(problems, tmp_path_factory):
    """What the interpreted programs give in a case; the slow cases are run together, and so are the others."""

    @lru_cache
    def run(slow):
        folder = tmp_path_factory.mktemp("interpreted")
        windows = {name: p.window for name, p in problems.items() if (name in SLOW) == slow}
        torch.save(windows, folder / "problems")
        interpret(INTERPRET, folder / "problems", folder / "results")
        return torch.load(folder / "results", weights_only=False)

    return lambda case: run(case in SLOW)[case]


def interpret(program, *paths):
    result = subprocess.run(
        [sys.executable, "-c", program, *map(str, paths)],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


@needs_triton
@each_case
def test_interpreted_step_agrees_with_reference(interpreted, problems, relative_error, case):
    (output, new), donated, in_place, _ = interpreted(case)
    p = problems[case].double()
    truth, true_new = ReferenceKernel().step(p.network, p.meta_params_Q, p.features_TFN[0], p.hidden)
    assert (output.double() - truth).norm() <= TOLERANCE * truth.norm() + 1e-6
    assert relative_error(new.h_LHN, true_new.h_LHN) < 1e-6
    assert relative_error(new.c_LHN, true_new.c_LHN) < 1e-6
    assert in_place == [case != "wide-5", True]  # wide networks: units still read what others would overwrite
    assert torch.equal(donated.h_LHN, new.h_LHN)
    assert torch.equal(donated.c_LHN, new.c_LHN)


@needs_triton
@each_case
def test_interpreted_window_gradient_agrees_with_reference(interpreted, problems, relative_error, case):
    gradients = interpreted(case)[-1]
    truth = problems[case].true_gradient()
    for gradient in gradients:
        assert relative_error(gradient, truth) < TOLERANCE
    if len(gradients) > 1:
        assert torch.equal(gradients[0], gradients[1])


@needs_triton
def test_interpreted_programs_pass_the_check_that_chooses_them(tmp_path):
    interpret(TRIAL, tmp_path / "trouble")
    assert torch.load(tmp_path / "trouble") == ""


def test_without_triton_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rnnprop_cli.kernels.cuda_kernels", None)
    with pytest.raises(DeviceError, match="pip install triton"):
        cuda.CudaKernel()


@needs_triton
@pytest.mark.skipif(sys.platform != "linux", reason="needs memory that is there when it is touched")
def test_offsets_of_more_than_31_bits_reach_the_same_numbers(tmp_path):
    interpret(FAR, tmp_path / "found")
    before, near, far = torch.load(tmp_path / "found", weights_only=False)
    changed = {name for name in near if not torch.equal(near[name], torch.tensor(before[name]))}
    assert changed == {
        "x",
        "h",
        "c",
        "kept",
        "output",
        "x_1",
        "h_1",
        "c_1",
        "output_1",
        "inner",
        "carried_h",
        "carried_c",
        "gate_grads",
        "below",
    }
    for name, value in near.items():
        assert torch.equal(far[name], value), name


CONSUMER_SHARED_BYTES = 100 * 1024  # of a program on sm_86, sm_89 and sm_120; sm_80 and sm_90 have more
SPILLED_BYTES = 64  # a thread may keep a few numbers in memory; a bad compilation keeps thousands


def compiled_programs(tmp_path, *arguments):
    """The interpreter accepts what the compiler refuses, and says nothing about registers."""
    script = Path(__file__).parents[2] / "benchmarks" / "cuda_programs.py"
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    command = [sys.executable, str(script), *arguments, "--json"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)["programs"]


def check_compiled(programs):
    for program in programs:
        assert program["spilled_bytes"] <= SPILLED_BYTES, program
        assert program["shared_bytes"] <= CONSUMER_SHARED_BYTES, program


@needs_triton
def test_the_largest_program_compiles_for_consumer_cards_without_one(tmp_path):
    programs = compiled_programs(tmp_path, "--arch", "86", "--program", "backward_program")
    assert {row["program"] for row in programs} == {"backward_program"}
    check_compiled(programs)


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize(("embedding", "hidden"), [(20, 20), (0, 20), (20, 64), (256, 256)])
def test_every_program_fits_every_architecture_and_spills_next_to_nothing(tmp_path, embedding, hidden):
    programs = compiled_programs(tmp_path, "--embedding", str(embedding), "--hidden", str(hidden))
    assert {row["arch"] for row in programs} == {80, 86, 89, 90, 120}
    assert ("weights_program" in {row["program"] for row in programs}) == ((embedding, hidden) == (20, 20))
    check_compiled(programs)


@needs_triton
def test_without_room_for_a_tape_the_steps_are_taken_again(monkeypatch):
    network, calls = Network(), []
    q, features = torch.zeros(network.n_meta_params), torch.zeros(3, 2, 5)
    state = torch.zeros(network.layers, network.hidden, 5)

    def full(*given):
        calls.append("full")
        raise torch.OutOfMemoryError("CUDA out of memory.")

    kernel = cuda.CudaKernel()
    tape = kernel.tape(network, 3, torch.zeros(1, 5))
    monkeypatch.setattr(kernel, "_taken", lambda *given: calls.append("taken again"))

    def only_the_second(*given):
        return full() if not calls else torch.ones_like(q)

    monkeypatch.setattr(cuda, "window_gradient", only_the_second)
    found = kernel.window_gradient(network, q, features, Hidden(state, state), torch.zeros(3, 5), tape=tape)
    assert torch.equal(found, torch.ones_like(q))
    assert calls == ["full", "taken again"]
    assert kernel.tape(network, 3, torch.zeros(1, 5)) is None  # once is enough

    kernel = cuda.CudaKernel()
    monkeypatch.setattr(cuda.Tape, "empty", full)
    assert kernel.tape(network, 3, torch.zeros(1, 5)) is None
    assert calls[-1] == "full"


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
