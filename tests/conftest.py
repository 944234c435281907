"""Every test process and every child of it computes with one thread, so that tests can run side by side.

Nor does it know how this machine's user has set rnnprop and his terminal up.
"""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
if "RNNPROP_DATA_DIR" in os.environ:  # for tests that are about the real datasets
    os.environ["REAL_DATA_DIR"] = os.environ["RNNPROP_DATA_DIR"]
# Here and not in a fixture: modules that are collected, fixtures of a session and children of both see it too.
for _name in [name for name in os.environ if name.startswith("RNNPROP_")]:
    del os.environ[_name]
# PYTHONUNBUFFERED hides what becomes of a buffer that nobody takes.
for _name in (
    "COLUMNS",
    "LINES",
    "NO_COLOR",
    "FORCE_COLOR",
    "MPLBACKEND",
    "MATPLOTLIBRC",
    "PYTHONUNBUFFERED",
):
    os.environ.pop(_name, None)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound compiled kernel for this processor."""
    from rnnprop_cli.errors import DeviceError
    from rnnprop_cli.kernels.compiler import compile_kernel, find_compiler
    from rnnprop_cli.kernels.instructions import host_instructions

    try:
        content = compile_kernel(find_compiler(), host_instructions())
    except DeviceError as error:
        pytest.skip(str(error))
    path = tmp_path_factory.mktemp("kernel") / "sound.so"
    path.write_bytes(content)
    return path
