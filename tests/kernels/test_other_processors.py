"""The C++ body as other processors take it: cross-compiled and run by an emulator, or with narrower registers."""

import platform
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
import torch

from rnnprop_cli.kernels import compiler
from rnnprop_cli.kernels.instructions import host_instructions
from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.recipe import FLAGS, INSTRUCTION_FLAGS
from rnnprop_cli.kernels.reference import ReferenceKernel

KERNELS = Path(compiler.__file__).parent
CHECK = Path(__file__).parent / "cpu_check.cpp"
NETWORKS = (
    Network(),
    Network(embedding=0, bounded=False),
    Network(features=3, embedding=7, hidden=13, layers=3),
    Network(features=1, embedding=0, hidden=1, layers=1, bounded=False),
)
STEPS = 4


def problems(make) -> tuple[bytes, int]:
    """What cpu_check.cpp reads, with answers in float64, and the number of problems."""
    parts: list[bytes] = []
    count = 0
    for network in NETWORKS:
        for n in (1, 37, 300):
            p = make(network, n, STEPS)
            d = p.double()
            output, new = ReferenceKernel().step(
                network, d.meta_params_Q, d.features_TFN[0], Hidden(*(state.clone() for state in d.hidden))
            )
            gradient = p.true_gradient()
            sizes = (network.features, network.embedding, network.hidden, network.layers, network.bounded)
            parts.append(struct.pack("7i", *sizes, STEPS, n))
            tensors = (
                p.meta_params_Q, p.features_TFN, *p.hidden, p.output_grad_TN, *new, output, gradient
            )  # fmt: skip
            parts.extend(tensor.to(torch.float32).contiguous().numpy().tobytes() for tensor in tensors)
            count += 1
    return b"".join(parts), count


def run_check(make, tmp_path: Path, compile_command: list[str], run_command: list[str], lanes: int) -> None:
    program = tmp_path / "check"
    flags = [flag for flag in FLAGS if flag != "-shared"]
    subprocess.run(
        [*compile_command, *flags, "-I", str(KERNELS), str(CHECK), "-o", str(program)],
        check=True,
        timeout=300,
    )
    given, count = problems(make)
    result = subprocess.run([*run_command, str(program)], input=given, capture_output=True, timeout=300)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.decode().splitlines()
    assert len(lines) == count
    for line in lines:
        got_lanes, *errors = line.split()
        assert int(got_lanes) == lanes
        # float32 leaves about 3e-7; one coordinate's output may be near zero by cancellation.
        assert max(map(float, errors)) < 1e-4, line


@pytest.mark.slow
def test_aarch64_agrees_with_the_reference(make_kernel_problem, tmp_path):
    for tool in ("aarch64-linux-gnu-g++", "qemu-aarch64"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed (Debian: g++-aarch64-linux-gnu, qemu-user)")
    run_check(make_kernel_problem, tmp_path, ["aarch64-linux-gnu-g++", "-static"], ["qemu-aarch64"], lanes=4)


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of x86-64")
@pytest.mark.parametrize(("instructions", "lanes"), [("x86-64", 4), ("avx2", 8), ("avx512", 16)])
def test_levels_of_x86_agree_with_the_reference(make_kernel_problem, tmp_path, instructions, lanes):
    widest_first = [*INSTRUCTION_FLAGS]
    if widest_first.index(instructions) < widest_first.index(host_instructions()):
        pytest.skip(f"this processor has no {instructions}")
    command = [*compiler.find_compiler(), *INSTRUCTION_FLAGS[instructions]]
    run_check(make_kernel_problem, tmp_path, command, [], lanes)
