"""Whether the CUDA body works here: a trial launch of every program, compared with the reference.

Triton compiles at the first launch, with the C compiler and the Python headers of the machine, and a program may ask
for more than the device has. What can go wrong there has no common class of exception.
"""

from itertools import pairwise
from threading import Timer
from typing import Final

import torch

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels.base import Kernel
from rnnprop_cli.kernels.compiler import say
from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.passes import Perceptron, RelativeInputs
from rnnprop_cli.kernels.reference import ReferenceKernel

COORDINATES: Final = 70  # two blocks and a part of one
STEPS: Final = 3
RESULTS: Final = (
    "step", "meta-gradient", "meta-gradient from a tape", "fused step", "step of Adam", "gradient of a perceptron",
    "gradient of a scaled perceptron", "gradient of a convex function",
)  # fmt: skip
WIDTHS: Final = (70, 5, 3)  # of a perceptron: two loads of pixels, the second in part
IMAGES: Final = 20  # two blocks of examples, the second in part
CELLS: Final = 2
PATIENCE_S: Final = 4.0  # a trial that takes longer is explained
TOLERANCE: Final = 1e-4  # the accuracy that meta-gradients need, relative


def check_kernel(kernel: Kernel, device: torch.device) -> None:
    """Tries the body on a small problem; nothing happens the second time on the same device.

    Args:
        kernel: to try.
        device: where.

    Raises:
        DeviceError: it cannot be launched, or gives other numbers than the reference.
        OutOfMemoryError: the device has no room even for that, which says nothing about the body.
    """
    key = kernel.name, device
    if key not in _found:
        waiting = Timer(
            PATIENCE_S, say, ("Triton is compiling the CUDA programs, once for this kind of GPU",)
        )
        waiting.daemon = True
        waiting.start()
        try:
            _found[key] = find_trouble(kernel, device)
        finally:
            waiting.cancel()
    if _found[key]:
        raise DeviceError(f"the fast CUDA kernel does not work here ({_found[key]})")


_found: dict[tuple[str, torch.device], str] = {}  # by body and device: a process tries each once


def find_trouble(kernel: Kernel, device: torch.device) -> str:
    """What is wrong with this body here, in one line; empty if it works."""
    network = Network()
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    state = (network.layers, network.hidden, COORDINATES)
    q, features_TFN = 0.2 * normal(network.n_meta_params), normal(STEPS, network.features, COORDINATES)
    pixels_ND = torch.randint(0, 256, (IMAGES, WIDTHS[0]), generator=generator, dtype=torch.uint8)
    weights_CP = 0.3 * normal(CELLS, sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(WIDTHS)))
    hidden, output_grad_TN = Hidden(0.3 * normal(*state), 0.5 * normal(*state)), normal(STEPS, COORDINATES)

    def results(body: Kernel, dtype: torch.dtype, where: torch.device) -> list[torch.Tensor]:
        """What `RESULTS` tells of."""
        own_q, own_features, grad = (x.to(where, dtype) for x in (q, features_TFN, output_grad_TN))
        own_hidden = Hidden(*(x.to(where, dtype) for x in hidden))
        output, _ = body.step(network, own_q, own_features[0], own_hidden)
        gradient = body.window_gradient(network, own_q, own_features, own_hidden, grad)
        taped = _taped_gradient(body, network, own_q, own_features[:, 0].contiguous(), own_hidden, grad)
        params = _first_steps(body, network, own_q, own_features[0, :1], own_hidden)
        data, weights = pixels_ND.to(where), weights_CP.to(where, dtype)
        factors = torch.linspace(0.5, 2.0, weights.shape[1], dtype=torch.float64).to(where, dtype)[None]
        grads = [_perceptron_gradient(body, data, weights, each) for each in (None, factors)]
        convex = _quadratic_gradient(body, weights[:, :COORDINATES], factors[:, :COORDINATES])
        return [each.cpu() for each in (output, gradient, taped, *params, *grads, convex)]

    try:
        found = results(kernel, torch.float32, device)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    truth = results(ReferenceKernel(), torch.float64, torch.device("cpu"))
    for what, value, true in zip(RESULTS, found, truth, strict=True):
        error_norm = float((value.double() - true).norm() / true.norm())
        if not error_norm <= TOLERANCE:
            return f"its {what} is wrong: relative error {error_norm:.1e}"
    return ""


def _taped_gradient(
    body: Kernel,
    network: Network,
    meta_params_Q: torch.Tensor,
    grads_TN: torch.Tensor,
    hidden: Hidden,
    output_grad_TN: torch.Tensor,
) -> torch.Tensor:
    """The gradient of a window of RNNprop's steps, as meta-training takes them: in one pass, on a tape."""
    beta1, beta2, eps = 0.9, 0.99, 1e-8
    steps, n = grads_TN.shape
    features_TFN = grads_TN.new_empty(steps, 2, n)
    m, v, params = (torch.zeros_like(grads_TN[:1]) for _ in range(3))
    tape = None if body.passes is None else body.tape(network, steps, params)
    state = hidden
    if tape is not None:
        for room in tape:
            room.fill_(torch.nan)  # what is read must have been written
        for own, given in zip(tape.start, hidden, strict=True):
            own.copy_(given)
    for step in range(steps):
        g = grads_TN[step, None]
        if body.passes is None or tape is None:
            m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
            root = (v / (1 - beta2 ** (step + 1))).sqrt() + eps
            features_TFN[step] = torch.cat([g / root, m / (1 - beta1 ** (step + 1)) / root])
            continue
        kept, inputs = tape.at(step), RelativeInputs(beta1, beta2, eps, step + 1)
        rate_1 = grads_TN.new_tensor([0.1])
        body.passes.relative_step(
            network, meta_params_Q, inputs, g, m, v, state, rate_1, params, features_TFN[step], kept
        )
        state = kept.hidden
    return body.window_gradient(network, meta_params_Q, features_TFN, hidden, output_grad_TN, tape=tape)


def _quadratic_gradient(body: Kernel, params_CP: torch.Tensor, factor_1P: torch.Tensor) -> torch.Tensor:
    """[C, P] of distances from 0.1, of factor times params."""
    target_1P, clip = torch.full_like(factor_1P, 0.1), 0.04
    if body.passes is not None:
        found = body.passes.quadratic_gradient(target_1P, clip, params_CP, factor_1P)
        assert found is not None, "a small one pays"
        return found[1]
    distance_CP = factor_1P * params_CP - target_1P
    slope_CP = (2 / distance_CP.shape[1] * distance_CP).masked_fill(distance_CP.square() > clip, 0.0)
    return slope_CP * factor_1P


def _perceptron_gradient(
    body: Kernel, pixels_ND: torch.Tensor, params_CP: torch.Tensor, factor_1P: torch.Tensor | None
) -> torch.Tensor:
    """[C, P] of two perceptrons on all images, the last of which comes first; with factors of factor times params."""
    index_1M = torch.arange(IMAGES - 1, -1, -1, device=pixels_ND.device)[None]
    labels_N = torch.arange(IMAGES, device=pixels_ND.device) % WIDTHS[-1]
    perceptron = Perceptron(WIDTHS, "sigmoid", pixels_ND, labels_N, 1 / 255, -0.5)
    if body.passes is not None:
        found = body.passes.perceptron_gradient(perceptron, index_1M, params_CP, factor_1P)
        assert found is not None, "a small one pays"
        return found[1]
    leaf_CP = params_CP.clone().requires_grad_()
    n_inputs, width, classes = WIDTHS
    with torch.enable_grad():
        theta_CP = leaf_CP if factor_1P is None else factor_1P * leaf_CP
        parts = torch.split_with_sizes(theta_CP, [n_inputs * width, width, width * classes, classes], dim=1)
        inputs_MD = pixels_ND[index_1M[0]].to(params_CP.dtype) * perceptron.scale + perceptron.shift
        a_CMH = torch.sigmoid(inputs_MD @ parts[0].reshape(-1, n_inputs, width) + parts[1][:, None])
        logits_CMO = a_CMH @ parts[2].reshape(-1, width, classes) + parts[3][:, None]
        targets = labels_N[index_1M[0]].repeat(CELLS)
        loss = torch.nn.functional.cross_entropy(logits_CMO.flatten(0, 1), targets, reduction="sum") / IMAGES
        (grads_CP,) = torch.autograd.grad(loss, leaf_CP)
    return grads_CP


def _first_steps(
    body: Kernel, network: Network, meta_params_Q: torch.Tensor, grads_1N: torch.Tensor, hidden: Hidden
) -> list[torch.Tensor]:
    """Params behind the first step of RNNprop and of Adam from zero, where both averages are those of one gradient."""
    beta1, beta2, eps = 0.9, 0.99, 1e-8
    rate_1 = grads_1N.new_tensor([0.1])
    if body.passes is None:
        relative_1N = grads_1N / (grads_1N.abs() + eps)
        output_N, _ = body.step(network, meta_params_Q, relative_1N.expand(2, -1), hidden)
        return [rate_1 * output_N[None], -rate_1 * relative_1N]
    fused, adam = torch.zeros_like(grads_1N), torch.zeros_like(grads_1N)
    zeros = [torch.zeros_like(grads_1N) for _ in range(4)]
    own = Hidden(hidden.h_LHN.clone(), hidden.c_LHN.clone())
    inputs = RelativeInputs(beta1, beta2, eps, 1)
    body.passes.relative_step(
        network, meta_params_Q, inputs, grads_1N, zeros[0], zeros[1], own, rate_1, fused, None
    )
    coefficients = (1 - beta1, beta2, 1 - beta2, (1 - beta2) ** -0.5, eps, 1 / (1 - beta1), 0.0)
    body.passes.rule_step("adam", coefficients, rate_1, grads_1N, (zeros[2], zeros[3]), adam)
    return [fused, adam]
