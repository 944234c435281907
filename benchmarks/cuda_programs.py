"""What the Triton programs of the CUDA body compile to: registers, bytes spilled, shared memory. Needs no GPU.

Triton compiles for any architecture; the `ptxas` that comes with it tells registers and spills. Nothing is timed.

    python benchmarks/cuda_programs.py                     # every program, every architecture
    python benchmarks/cuda_programs.py --hidden 256 --arch 86 --program backward_program
"""

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rnnprop_cli.kernels.network import Network

ARCHITECTURES = (80, 86, 89, 90, 120)
INTEGERS = (
    "N", "T", "Q", "P", "M", "blocks", "pieces", "per_seed", "index_stride", "theta_stride", "stride",
    "x_stride", "h_stride", "x_start", "h_start", "sum_start",
)  # fmt: skip
FLOATS = ("of_m", "of_v", "rest1", "beta2", "rest2", "eps", "scale", "shift", "clip")
# Arguments that are not pointers to float32.
TYPES = dict.fromkeys(INTEGERS, "i32") | dict.fromkeys(FLOATS, "fp32")
TYPES |= {"pixels": "*u8", "index": "*i64", "labels": "*i64"}
# Perceptrons of the benchmarks: hidden units, hidden layers.
PERCEPTRONS = ((20, 1), (20, 5), (64, 2))


@dataclass(frozen=True)
class Compiled:
    """What became of one program."""

    program: str
    arch: int
    registers: int  # of a thread
    spilled_bytes: int  # of local memory that a thread has for what no register holds
    shared_bytes: int  # of a program


def compile_program(
    function: Any, constants: dict[str, object], options: dict[str, Any], arch: int
) -> Compiled:
    """Compiles a program with given constants; `TYPES` tells what other arguments are."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    options = options | {name: value for name, value in constants.items() if name in options}
    constants = {name: value for name, value in constants.items() if name in function.arg_names}
    signature = {
        name: "constexpr" if name in constants else TYPES.get(name, "*fp32") for name in function.arg_names
    }
    # As at a launch, where Triton finds that memory begins at multiples of 16 bytes.
    aligned = {
        (index,): [["tt.divisibility", 16]]
        for index, name in enumerate(function.arg_names)
        if signature[name].startswith("*")
    }
    source = ASTSource(fn=function, signature=signature, constexprs=constants, attrs=aligned)
    compiled = compile(source, target=GPUTarget("cuda", arch, 32), options=options)
    dump = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage = subprocess.run(
            [dump, "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    found = {name: int(number) for name, number in re.findall(r"(REG|STACK|LOCAL):(\d+)", usage)}
    registers, spilled = found["REG"], found["STACK"] + found["LOCAL"]
    return Compiled(function.__name__, arch, registers, spilled, compiled.metadata.shared)


def programs(network: Network) -> Iterator[tuple[Any, dict[str, object]]]:
    """Every program with the constants that `CudaKernel` gives it, options of its launch among them."""
    from rnnprop_cli.kernels import cuda_kernels, cuda_launch, cuda_passes, cuda_quadratic, cuda_rules

    tiles = cuda_launch.tiles()
    network_sizes = {
        "F": network.features,
        "E": network.embedding,
        "H": network.hidden,
        "LAYERS": network.layers,
        "BOUNDED": network.bounded,
    }
    below = network.embedding or network.features
    yield cuda_kernels.step_program, {**tiles, **network_sizes, "KEEP": False}
    if network.features == 2:
        for kept in (False, True):
            yield (
                cuda_kernels.relative_program,
                {**tiles, **network_sizes, "FROM_TABLE": not kept, "KEEP": kept},
            )
    yield cuda_kernels.window_program, {**tiles, **network_sizes}
    sizes = {**tiles, "H": network.hidden, "BOUNDED": network.bounded}
    for top, width in ((True, network.hidden), (False, below)):
        want = {"BELOW": width != network.features, "EMBEDDED": not top and network.embedding > 0}
        yield cuda_kernels.backward_program, {**sizes, "D": width, "TOP": top, **want}
    large = {"R": 4 * network.hidden, "D": below, "H": network.hidden}
    for sizes in (large, {"R": 1, "D": network.hidden, "H": 0}):
        tile = cuda_launch.outer_tile(sizes["R"], sizes["D"] + sizes["H"] + 1)
        yield cuda_kernels.outer_program, {**tile, **sizes}
    for rule in sorted(cuda_passes.RULES):
        yield cuda_rules.rule_program, {"RULE": rule, "K": 8, "BLOCK": cuda_passes.RULE_BLOCK}
    yield cuda_quadratic.quadratic_program, {"SCALED": True, "BLOCK": 32}
    for hidden, layers in PERCEPTRONS if network == Network() else ():
        yield from perceptron_programs(hidden, layers)


def perceptron_programs(hidden: int, layers: int) -> Iterator[tuple[Any, dict[str, object]]]:
    """Those of one kind of perceptron on MNIST."""
    import torch

    from rnnprop_cli.kernels import cuda_mlp, cuda_perceptrons
    from rnnprop_cli.kernels.passes import Perceptron

    none = torch.empty(0)
    widths = (784, *[hidden] * layers, 10)
    constants = cuda_perceptrons.tiled(Perceptron(widths, "sigmoid", none, none, 1 / 255, 0.0))
    assert constants is not None
    units = constants["UNITS"]
    few = cuda_perceptrons.PIXELS
    split = {"W": widths[1], "PIXELS": few, "PIECES": -(-784 // few), "SCALED": True}
    yield (
        cuda_mlp.pixels_program,
        {**constants, **cuda_perceptrons.sized(cuda_perceptrons.OF_FEW, units), **split},
    )
    for gradient in (True, False):
        kind = {"ACTIVATION": "sigmoid", "GRADIENT": gradient, "SCALED": gradient, "PIECES": 0}
        yield (
            cuda_mlp.examples_program,
            {**constants, **cuda_perceptrons.sized(cuda_perceptrons.OF_MANY, units), **kind},
        )
    for summing in (cuda_perceptrons.SUMS_OF_FEW, cuda_perceptrons.SUMS_OF_MANY):
        yield (
            cuda_mlp.weights_program,
            {**constants, **cuda_perceptrons.sized(summing, units), "LOSSES": 8, "SCALED": True},
        )


def main() -> None:
    import triton

    from rnnprop_cli.kernels import cuda_launch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hidden", type=int, default=20)
    parser.add_argument("--embedding", type=int, default=20)
    parser.add_argument("--arch", type=int, nargs="+", default=ARCHITECTURES)
    parser.add_argument("--program", nargs="+", help="only these")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    network = Network(embedding=args.embedding, hidden=args.hidden)
    rows = [
        compile_program(function, constants, cuda_launch.LAUNCH, arch)
        for function, constants in programs(network)
        if args.program is None or function.__name__ in args.program
        for arch in args.arch
    ]
    if args.json:
        print(json.dumps({"triton": triton.__version__, "programs": [asdict(row) for row in rows]}))
        return
    print(f"Triton {triton.__version__}, {args.hidden} hidden units")
    for row in rows:
        print(
            f"sm_{row.arch:<4}{row.program:<18}{row.registers:>4} registers{row.spilled_bytes:>6} B spilled"
            f"{row.shared_bytes / 1024:>6.1f} KB shared"
        )


if __name__ == "__main__":
    main()
