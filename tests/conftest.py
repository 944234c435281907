"""Every test process and every child of it computes with one thread, so that tests can run side by side."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


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
