"""What Triton's launcher makes of the arguments of our programs. Neither compiling nor interpreting goes through it."""

import importlib
import importlib.util
import subprocess
import sys

import pytest

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
# In a process of its own: a JIT function of a process that interprets has no launcher.
BIND = """
import importlib
from triton.backends.compiler import GPUTarget
from triton.compiler import make_backend
from triton.runtime.jit import JITFunction, create_function_from_signature

backend, seen = make_backend(GPUTarget("cuda", 90, 32)), 0
for module in ("cuda_kernels", "cuda_mlp", "cuda_quadratic", "cuda_rules"):
    for name, program in vars(importlib.import_module(f"rnnprop_cli.kernels.{module}")).items():
        if isinstance(program, JITFunction) and name.endswith("_program"):
            bind = create_function_from_signature(program.signature, program.params, backend)
            values = range(1, 1 + len(program.arg_names))
            bound, _, options = bind(*values, num_warps=4)
            assert list(bound.values()) == list(values) and options == {"num_warps": 4}, name
            seen += 1
print(seen)
"""


@needs_triton
def test_every_argument_reaches_its_program():
    """The launcher is written from the names of arguments, and has variables of its own, such as `params`."""
    try:
        importlib.import_module("triton.runtime.jit").create_function_from_signature  # noqa: B018
    except AttributeError:
        pytest.skip("this triton binds arguments in another way")
    result = subprocess.run([sys.executable, "-c", BIND], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-800:]
    assert int(result.stdout) >= 9
