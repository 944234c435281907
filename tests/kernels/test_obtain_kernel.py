"""Where the compiled kernel comes from, and what is said where it cannot be had."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from kernel_files import copying_compiler, put_kernel, write_compiler

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels import compiler, instructions, obtain, recipe
from rnnprop_cli.kernels.cpu_library import loaded_kernel
from rnnprop_cli.kernels.instructions import host_instructions
from rnnprop_cli.kernels.select import select_kernel

CPU = torch.device("cpu")
X86 = pytest.mark.skipif("avx2" not in recipe.instruction_sets(), reason="not an x86-64 processor")


@pytest.fixture
def counted(tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that counts its calls and hands out a sound library."""
    calls = tmp_path / "calls"
    monkeypatch.setenv("CXX", copying_compiler(tmp_path / "cxx", library, calls))
    return calls


def test_a_kernel_is_compiled_once(cache: Path, counted: Path) -> None:
    first, second = obtain.obtain_kernel(), obtain.obtain_kernel()
    assert (first.origin, second.origin) == ("compiled now", "from the cache")
    assert first.path == second.path
    assert counted.read_text() == "x"
    assert {path.name for path in (cache / "kernels").iterdir()} == {first.path.name, "lock"}
    assert (cache / "kernels").stat().st_mode & 0o777 == 0o700


def test_a_kept_kernel_is_used_without_a_compiler(cache: Path, library: Path, monkeypatch) -> None:
    kept = put_kernel(cache, library)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert loaded_kernel().path == kept
    kernel, reason = select_kernel("auto", CPU, torch.float32)
    assert kernel.name == "cpu"
    assert reason == f"kernel: cpu ({host_instructions()}, from the cache), the fast one here"


def test_a_prebuilt_kernel_comes_before_the_cache(
    cache: Path, library: Path, tmp_path: Path, monkeypatch
) -> None:
    put_kernel(cache, library)
    prebuilt = put_kernel(tmp_path / "wheel", library)
    monkeypatch.setattr(obtain, "PREBUILT_FOLDER", prebuilt.parent)
    assert loaded_kernel()[2:4] == ("from the wheel", prebuilt)


def test_a_damaged_prebuilt_kernel_is_passed_over(
    cache: Path, library: Path, tmp_path: Path, monkeypatch
) -> None:
    kept = put_kernel(cache, library)
    prebuilt = put_kernel(tmp_path / "wheel", library)
    prebuilt.write_bytes(prebuilt.read_bytes()[:-1])
    monkeypatch.setattr(obtain, "PREBUILT_FOLDER", prebuilt.parent)
    found = loaded_kernel()
    assert (found.origin, found.path) == ("from the cache", kept)
    assert "is damaged" in found.passed_over[0]


def test_sources_flags_instructions_and_system_name_the_file(monkeypatch) -> None:
    sets = recipe.instruction_sets()
    stems = [recipe.file_stem(each) for each in sets]
    monkeypatch.setattr(recipe, "FLAGS", (*recipe.FLAGS, "-g"))
    stems.append(recipe.file_stem(sets[0]))
    monkeypatch.setattr(sys, "platform", "plan9")
    stems.append(recipe.file_stem(sets[0]))
    monkeypatch.setattr(recipe, "_c_library", lambda: "musl")
    stems.append(recipe.file_stem(sets[0]))
    assert len(set(stems)) == len(sets) + 3


def test_a_changed_source_names_another_file(tmp_path: Path, monkeypatch) -> None:
    before = recipe.file_stem("avx2")
    for source in recipe.SOURCE_FOLDER.glob("cpu*"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(recipe, "SOURCE_FOLDER", tmp_path)
    assert recipe.file_stem("avx2") == before
    with (tmp_path / "cpu_simd.h").open("a") as header:
        header.write("\n")
    assert recipe.file_stem("avx2") != before


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("no-such-compiler -O1", r"none was found \(\$CXX = no-such-compiler\)"),
        ("g++ '-O1", r"CXX is not a command \(No closing quotation\)"),
        ("g++ \\", r"CXX is not a command \(No escaped character\)"),
        (f"{sys.executable} -c raise(SystemExit('an_error'))", "an_error"),
        (f"{sys.executable} -c pass", "no message"),
    ],
)
def test_without_a_compiler_auto_takes_the_reference_and_says_why(
    cache: Path, monkeypatch, command: str, message: str
) -> None:
    monkeypatch.setenv("CXX", command)
    kernel, reason = select_kernel("auto", CPU, torch.float32)
    assert kernel.name == "reference"
    assert "\n" not in reason
    with pytest.raises(DeviceError, match=message) as caught:
        select_kernel("cpu", CPU, torch.float32)
    assert str(caught.value) in reason


def test_an_empty_path_holds_no_compiler(cache: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CXX", " ")
    with pytest.raises(DeviceError, match=r"none was found \(g\+\+, clang\+\+, c\+\+\)"):
        select_kernel("cpu", CPU, torch.float32)


def test_what_was_found_once_is_what_a_process_computes_with(cache: Path, counted: Path, monkeypatch) -> None:
    works = os.environ["CXX"]
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert select_kernel("auto", CPU, torch.float32)[0].name == "reference"
    monkeypatch.setenv("CXX", works)
    assert select_kernel("auto", CPU, torch.float32)[0].name == "reference"
    assert not counted.exists()


def test_a_compiler_that_makes_no_library_is_not_asked_twice(
    cache: Path, tmp_path: Path, monkeypatch
) -> None:
    calls = tmp_path / "calls"
    program = f"open({str(calls)!r}, 'a').write('x')\npathlib.Path(sys.argv[-1]).write_text('not a library')"
    path = write_compiler(tmp_path / "cxx", program)
    monkeypatch.setenv("CXX", str(path))
    for _ in range(2):
        with pytest.raises(DeviceError, match="cannot be loaded"):
            obtain.obtain_kernel()
    assert calls.read_text() == "x"
    with pytest.raises(DeviceError, match=r"remove .*\.refused") as caught:
        obtain.obtain_kernel()
    assert "\n" not in str(caught.value)
    os.utime(path, ns=(0, 0))  # another compiler
    with pytest.raises(DeviceError, match="cannot be loaded"):
        obtain.obtain_kernel()
    assert calls.read_text() == "xx"


def test_a_kernel_with_wrong_numbers_is_compiled_anew(cache: Path, counted: Path, monkeypatch) -> None:
    obtain.obtain_kernel()
    bad = "it fails its self-check (a test says so)"
    verdicts = iter(
        [bad, bad]
    )  # at first sight, and again under the lock: another process might have mended it
    monkeypatch.setattr(obtain, "problem_of", lambda library: next(verdicts, None))
    found = obtain.obtain_kernel()
    assert found.origin == "compiled now"
    assert bad in found.passed_over[0]
    assert counted.read_text() == "xx"


def test_a_kernel_whose_numbers_stay_wrong_is_left_for_the_reference(
    cache: Path, counted: Path, monkeypatch
) -> None:
    obtain.obtain_kernel()
    monkeypatch.setattr(obtain, "problem_of", lambda library: "it fails its self-check (a test says so)")
    monkeypatch.setattr(compiler, "try_in_a_process", lambda path: "it fails its self-check (a test says so)")
    for _ in range(3):
        with pytest.raises(DeviceError, match="self-check"):
            obtain.obtain_kernel()
    assert counted.read_text() == "xx"


def test_cache_folder_is_the_users_unless_the_variable_says_otherwise(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RNNPROP_CACHE_DIR", str(tmp_path))
    assert obtain.cache_folder() == tmp_path / "kernels"
    monkeypatch.setenv("RNNPROP_CACHE_DIR", "")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: f"/cache/{name}")
    assert obtain.cache_folder() == Path("/cache/rnnprop/kernels")


@X86
@pytest.mark.parametrize(
    ("capability", "flags", "expected"),
    [
        ("AVX512", "avx512f avx512bw avx512dq avx512vl avx2 fma sse2", "avx512"),
        ("AVX512", "avx512f avx512bw avx512dq avx2 fma", "avx2"),  # one is missing
        ("AVX512", "avx2 sse2", "x86-64"),  # no fma
        ("AVX2", "avx512f avx512bw avx512dq avx512vl avx2 fma", "avx2"),  # ATEN_CPU_CAPABILITY=avx2
        ("DEFAULT", "avx2 fma", "x86-64"),
        ("NO AVX", "", "x86-64"),
        ("AVX2", None, "avx2"),  # the system does not tell
    ],
)
def test_no_instruction_is_used_that_the_processor_lacks(
    monkeypatch, capability: str, flags: str | None, expected: str
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(
        instructions, "_cpu_flags", lambda: None if flags is None else frozenset(flags.split())
    )
    assert host_instructions() == expected


def test_another_machine_has_one_instruction_set_named_like_it(monkeypatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert host_instructions() == "aarch64"
    command = recipe.compile_command(["c++"], "aarch64", Path("x.so"))
    assert not any(word.startswith("-m") for word in command)


@X86
@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_narrower_instruction_sets_agree_with_reference(tmp_path: Path, capability: str) -> None:
    """In a process of its own, because the capability is read when PyTorch starts."""
    try:
        compiler.find_compiler()
    except DeviceError as error:
        pytest.skip(str(error))
    if capability == "avx2" and torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("this processor has no AVX2")
    program = """
import torch
from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.cpu import CpuKernel
from rnnprop_cli.kernels.instructions import host_instructions
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
print(host_instructions())
"""
    environment = {
        "ATEN_CPU_CAPABILITY": capability,
        "RNNPROP_CACHE_DIR": str(tmp_path),
        "PATH": os.environ["PATH"],
    }
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == {"default": "x86-64", "avx2": "avx2"}[capability]
