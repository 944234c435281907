"""Whether a loaded CPU kernel computes what it should: every function on a small problem, against known numbers.

Only the standard library is needed here. `try_in_a_process` asks the same of a file in a process of its own, so that a
library which was compiled wrongly ends that one and not ours.
"""

import ctypes
import math
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rnnprop_cli.kernels.cpu_interface import INT32, INT64, open_library

FEATURES, EMBEDDING, HIDDEN, LAYERS = 2, 3, 5, 2
COORDINATES: Final = 19  # more than one register of any instruction set, and no whole number of them
STEPS: Final = 2
META_PARAMS: Final = 9 + 4 * 5 * (3 + 5 + 1) + 4 * 5 * (5 + 5 + 1) + 6
WIDTHS: Final = (6, 5, 3)  # a perceptron
EXAMPLES: Final = 7
WEIGHTS: Final = 6 * 5 + 5 + 5 * 3 + 3
ADAM_COEFFICIENTS: Final = (0.1, 0.999, 0.001, 31.6386, 1e-8, 10.0, 0.0, 0.0)
# One rounding of float32 is 6e-8; a wrong instruction is wrong by far more than a few hundred of them.
TOLERANCE: Final = 5e-5
TRIAL_TIMEOUT_S: Final = 60
# Digests of the reference body's answers in float64; tests/kernels/test_cpu_self_check.py computes them anew.
KNOWN: Final = {
    "output": 0.1110209749,
    "h": -0.2180855685,
    "c": -0.4097074930,
    "window gradient": 1.4503055433,
    "loss": 0.5850352089,
    "perceptron gradient": -0.01573423528,
    "Adam": 1.6345708853,
}


def digest(values: Iterable[float]) -> float:
    """A weighted sum, so that no two values can change places."""
    return math.fsum(value * math.cos(1 + j) for j, value in enumerate(values))


def wave(count: int, scale: float, phase: float) -> list[float]:
    """Numbers that anyone can make."""
    return [scale * math.sin(phase + 0.7 * j) for j in range(count)]


def inputs() -> dict[str, list[float]]:
    """The numbers that go in, flat."""
    state = LAYERS * HIDDEN * COORDINATES
    return {
        "meta_params": wave(META_PARAMS, 0.4, 0.0),
        "features": wave(STEPS * FEATURES * COORDINATES, 1.0, 1.0),
        "h": wave(state, 0.3, 2.0),
        "c": wave(state, 0.5, 3.0),
        "output_grad": wave(STEPS * COORDINATES, 1.0, 4.0),
        "params": wave(WEIGHTS, 0.8, 5.0),
        "grads": wave(WEIGHTS, 0.2, 6.0),
        "first": wave(WEIGHTS, 0.1, 7.0),
        "second": [0.01 + value**2 for value in wave(WEIGHTS, 0.1, 8.0)],
    }


def images() -> tuple[list[int], list[int], list[int]]:
    """Pixels [2 EXAMPLES, WIDTHS[0]] of which some are blank in all images, labels, and which images are taken."""
    pixels = [37 * j % 256 if j % WIDTHS[0] != 2 else 0 for j in range(2 * EXAMPLES * WIDTHS[0])]
    return pixels, [j % WIDTHS[-1] for j in range(2 * EXAMPLES)], [2 * j for j in range(EXAMPLES)]


def answers(library: ctypes.CDLL) -> dict[str, float]:
    """Digests of what every function of the library answers."""
    given = {name: (ctypes.c_float * len(values))(*values) for name, values in inputs().items()}
    found: dict[str, float] = {}
    sigmoid, adam = library.rnnprop_code(b"activation", b"sigmoid"), library.rnnprop_code(b"rule", b"adam")
    sizes = (INT32 * 5)(FEATURES, EMBEDDING, HIDDEN, LAYERS, 1)
    q, features, h, c = (given[name] for name in ("meta_params", "features", "h", "c"))

    h_new, c_new = (ctypes.c_float * len(h))(), (ctypes.c_float * len(c))()
    output = (ctypes.c_float * COORDINATES)()
    _done(library.rnnprop_step(sizes, COORDINATES, 1, q, features, h, c, h_new, c_new, output, None))
    found |= {"output": digest(output), "h": digest(h_new), "c": digest(c_new)}

    grad = (ctypes.c_float * META_PARAMS)()
    window = (features, h, c, given["output_grad"], grad)
    _done(library.rnnprop_window_gradient(sizes, STEPS, COORDINATES, 1, q, *window))
    found["window gradient"] = digest(grad)

    pixels, labels, index = images()
    loss, grads = (ctypes.c_float * 1)(), (ctypes.c_float * WEIGHTS)()
    data = (
        (ctypes.c_uint8 * len(pixels))(*pixels),
        (INT64 * EXAMPLES)(*index),
        (INT64 * len(labels))(*labels),
    )
    perceptron = (1, 1, EXAMPLES, len(WIDTHS) - 1, (INT64 * len(WIDTHS))(*WIDTHS), sigmoid, 1, *data)
    _done(library.rnnprop_mlp_gradient(*perceptron, 1 / 255, 0.0, given["params"], loss, grads))
    found |= {"loss": digest(loss), "perceptron gradient": digest(grads)}

    slots = (given["first"], given["second"], given["params"])
    coefficients, rate = (ctypes.c_float * 8)(*ADAM_COEFFICIENTS), (ctypes.c_float * 1)(0.05)
    _done(library.rnnprop_rule_step(adam, 1, WEIGHTS, 1, coefficients, rate, given["grads"], *slots))
    found["Adam"] = digest(given["params"])
    return found


def problem_of(library: ctypes.CDLL) -> str | None:
    """What is wrong with the library's numbers, or None."""
    for name, value in answers(library).items():
        if not abs(value - KNOWN[name]) <= TOLERANCE * max(1.0, abs(KNOWN[name])):  # NaN is wrong, too
            return f"it fails its self-check ({name}: {value:.6g}, not {KNOWN[name]:.6g})"
    return None


def try_in_a_process(path: Path) -> str | None:
    """What is wrong with this file, found out in a process of its own, or None."""
    root = str(Path(__file__).parents[2])
    program = f"import sys; sys.path.insert(0, {root!r}); from {__name__} import main; main()"
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program, str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TRIAL_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return "it does not come to an end"
    if done.returncode < 0:
        return f"it ends a process by signal {-done.returncode}"
    lines = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else lines[-1] if lines else f"its trial ended with {done.returncode}"


def main() -> None:
    """Ends with 0 if the file that the command line names is a sound kernel."""
    path = Path(sys.argv[1])
    try:
        problem = problem_of(open_library(path.read_bytes(), path))
    except (OSError, AttributeError) as error:
        problem = f"it cannot be loaded ({error})"
    sys.exit(problem)


def _done(code: int) -> None:
    if code:
        raise MemoryError
