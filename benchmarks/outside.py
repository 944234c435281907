"""What code from outside costs: a module under vmap against our MLP, an optimizer of torch against a loop over it.

The module is the base MLP as one writes it in torch.nn, on MNIST (noise of its shape where that is not here): loss and
gradient of 8 seeds x 7 rates. The optimizer is RAdam on the base MLP, 8 seeds x 14 rates: a step with its gradient,
against one cell after the other.

    python benchmarks/outside.py
    python benchmarks/outside.py --rounds 10 --threads 1 --json
"""

import argparse
import hashlib
import json

import torch
from matrix_work import MINIBATCH, BatchedMatrix, LoopedCells
from measuring import Timings, add_isa, conditions, mnist, use_isa

from rnnprop_cli.accelerate.optimizees import build_optimizee
from rnnprop_cli.components import plugins
from rnnprop_cli.components.optimizees.mlp import MLPSpec
from rnnprop_cli.components.optimizees.module import ModuleSpec
from rnnprop_cli.components.optimizers.torch_any import TorchSpec
from rnnprop_cli.components.plugins import Code
from rnnprop_cli.execute.device import Engine
from rnnprop_cli.kernels.select import select_kernel

SEEDS, RATES = range(8), 7
CPU = torch.device("cpu")
TEXT = """
from torch import nn


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(784, 20), nn.Sigmoid(), nn.Linear(20, 10))

    def forward(self, images):
        return self.net(images)
"""


def main() -> None:
    """Measures both, in turns with the machine's matrix product."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50, help="of RAdam, a round")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    add_isa(parser)
    options = parser.parse_args()
    use_isa(options.isa)
    torch.set_num_threads(options.threads)
    plugins.allow_code()
    dataset = mnist()
    kernel, _ = select_kernel("auto", CPU, torch.float32)
    code = Code(
        source="perceptron.py:Perceptron", sha256=hashlib.sha256(TEXT.encode()).hexdigest(), text=TEXT
    )
    timings = Timings()
    timings.add_matrix_product()
    for name, spec, passes in (
        ("mlp, fused", MLPSpec(), kernel.passes),
        ("mlp, plain", MLPSpec(), None),
        ("module", ModuleSpec(source=code, dataset="mnist"), None),
    ):
        optimizee = build_optimizee(spec, dataset, SEEDS, MINIBATCH, torch.float32, CPU, passes)
        params_CP = optimizee.init_params().repeat_interleave(RATES, dim=0)
        timings.add(name, lambda o=optimizee, p=params_CP: o.loss_and_grad(p, 0))
    engine = Engine("cpu", options.threads, None)
    radam = TorchSpec(source=Code(source="torch.optim:RAdam", package=plugins.package_of("torch.optim")))
    batched = BatchedMatrix(MLPSpec(), radam, len(SEEDS), 14, options.steps, engine, dataset)
    looped = LoopedCells(
        MLPSpec(), lambda params, lr: torch.optim.RAdam(params, lr), 2, options.steps, dataset, CPU
    )
    timings.add("radam, batched", batched)
    timings.add("radam, loop", looped)
    timings.measure(options.rounds)
    step_us = {
        "batched": min(batched.steps_s) / batched.cells / options.steps * 1e6,
        "loop": min(looped.steps_s) / looped.cells / options.steps * 1e6,
    }
    found = {
        "module_ms": timings.best("module") * 1e3,
        "module_over_plain": timings.best("module") / timings.best("mlp, plain"),
        "module_over_fused": timings.best("module") / timings.best("mlp, fused"),
        "radam_us_a_cell_step": step_us["batched"],
        "radam_loop_over_batched": step_us["loop"] / step_us["batched"],
    }
    if options.json:
        print(json.dumps({**conditions(CPU), **found}))
        return
    ratios = f"{found['module_over_plain']:.2f} of the plain MLP's, {found['module_over_fused']:.2f} of the fused one's"
    print(f"module, {len(SEEDS) * RATES} cells: {found['module_ms']:.2f} ms a loss and gradient, {ratios}")
    ratio = f"{found['radam_loop_over_batched']:.1f} times as fast as a loop ({step_us['loop']:.0f} us)"
    print(f"RAdam, {batched.cells} cells: {step_us['batched']:.0f} us a cell and step, {ratio}")


if __name__ == "__main__":
    main()
