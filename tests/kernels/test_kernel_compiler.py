import os
import stat
import subprocess
import sys

import pytest
import torch

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels import compiler, cpu
from rnnprop_cli.kernels.select import select_kernel

CPU = torch.device("cpu")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(compiler.CACHE_DIR_VARIABLE, str(tmp_path / "cache"))
    cpu.load_library.cache_clear()
    yield tmp_path / "cache"
    cpu.load_library.cache_clear()


@pytest.fixture
def fake_compiler(tmp_path, monkeypatch):
    """A compiler that counts its calls, and writes a text file instead of a library."""
    path, calls = tmp_path / "fake-cxx", tmp_path / "calls"
    path.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        "if '--version' in sys.argv: sys.exit(print('fake 1.0'))\n"
        f"with open({str(calls)!r}, 'a') as log: log.write('compiled\\n')\n"
        "pathlib.Path(sys.argv[-1]).write_text('not a library')\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", str(path))
    return calls


def test_a_library_is_compiled_once(empty_cache, fake_compiler):
    first, second = compiler.compile_library(), compiler.compile_library()
    assert first == second
    assert first.parent == empty_cache
    assert fake_compiler.read_text() == "compiled\n"
    assert [path.name for path in empty_cache.iterdir()] == [first.name]


def test_other_flags_make_another_library(empty_cache, fake_compiler, monkeypatch):
    first = compiler.compile_library()
    monkeypatch.setattr(compiler, "FLAGS", (*compiler.FLAGS, "-g"))
    assert compiler.compile_library() != first


def test_without_compiler_auto_takes_the_reference_and_says_why(empty_cache, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    kernel, reason = select_kernel("auto", CPU, torch.float32)
    assert kernel.name == "reference"
    assert "C++ compiler" in reason
    assert "\n" not in reason
    with pytest.raises(DeviceError, match="no-such-compiler"):
        select_kernel("cpu", CPU, torch.float32)


def test_a_failing_compiler_is_reported(empty_cache, monkeypatch):
    monkeypatch.setenv("CXX", f"{sys.executable} -c raise(SystemExit('out_of_luck'))")
    kernel, reason = select_kernel("auto", CPU, torch.float32)
    assert kernel.name == "reference"
    assert "out_of_luck" in reason


def test_a_library_that_does_not_load_is_reported(empty_cache, fake_compiler):
    kernel, reason = select_kernel("auto", CPU, torch.float32)
    assert kernel.name == "reference"
    assert "could not be loaded" in reason
    assert "\n" not in reason


def test_a_cache_that_cannot_be_written_is_reported(tmp_path, fake_compiler, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(compiler.CACHE_DIR_VARIABLE, str(tmp_path / "file" / "below"))
    with pytest.raises(DeviceError, match=compiler.CACHE_DIR_VARIABLE):
        compiler.compile_library()


@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_narrower_instruction_sets_agree_with_reference(tmp_path, capability):
    """In a process of its own, because the capability is read when PyTorch starts."""
    try:
        compiler.find_compiler()
    except DeviceError as error:
        pytest.skip(str(error))
    if capability == "avx2" and torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("this processor has no AVX2")
    program = """
import torch
from rnnprop_cli.kernels.base import Hidden, Network
from rnnprop_cli.kernels.cpu import CpuKernel
from rnnprop_cli.kernels.reference import ReferenceKernel
for network in (Network(), Network(features=3, embedding=7, hidden=13, layers=1, bounded=False)):
    q, grad = 0.2 * torch.randn(network.n_meta_params), torch.randn(3, 37)
    features = torch.randn(3, network.features, 37)
    hidden = network.zero_hidden(37, torch.float32, torch.device("cpu"))
    truth = ReferenceKernel().window_gradient(
        network, q.double(), features.double(), Hidden(*(s.double() for s in hidden)), grad.double()
    )
    gradient = CpuKernel().window_gradient(network, q, features, hidden, grad)
    assert (gradient.double() - truth).norm() < 1e-4 * truth.norm()
print(torch.backends.cpu.get_cpu_capability())
"""
    environment = {
        "ATEN_CPU_CAPABILITY": capability,
        compiler.CACHE_DIR_VARIABLE: str(tmp_path),
        "PATH": os.environ["PATH"],
    }
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().lower() in (capability, "no avx")
