"""The numbers that a compiled kernel is held to are the reference's, and a kernel with others is found out."""

import ctypes
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels import cpu_self_check
from rnnprop_cli.kernels.cpu_library import load_library
from rnnprop_cli.kernels.cpu_self_check import (
    ADAM_COEFFICIENTS,
    COORDINATES,
    EMBEDDING,
    EXAMPLES,
    FEATURES,
    HIDDEN,
    KNOWN,
    LAYERS,
    META_PARAMS,
    STEPS,
    WIDTHS,
    digest,
    images,
    inputs,
    problem_of,
)
from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.reference import ReferenceKernel

NETWORK = Network(FEATURES, EMBEDDING, HIDDEN, LAYERS, bounded=True)


def _given() -> dict[str, torch.Tensor]:
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in inputs().items()}


def _digest(values: torch.Tensor) -> float:
    return digest(values.flatten().tolist())


def test_known_numbers_of_the_network_are_the_references() -> None:
    assert NETWORK.n_meta_params == META_PARAMS
    given, state = _given(), (LAYERS, HIDDEN, COORDINATES)
    features = given["features"].view(STEPS, FEATURES, COORDINATES)
    hidden = Hidden(given["h"].view(state), given["c"].view(state))
    output, new = ReferenceKernel().step(NETWORK, given["meta_params"], features[0], hidden)
    grad = ReferenceKernel().window_gradient(
        NETWORK, given["meta_params"], features, hidden, given["output_grad"].view(STEPS, COORDINATES)
    )
    found = {"output": output, "h": new.h_LHN, "c": new.c_LHN, "window gradient": grad}
    for name, values in found.items():
        assert math.isclose(KNOWN[name], _digest(values), rel_tol=1e-6), (name, _digest(values))


def test_known_numbers_of_the_perceptron_are_those_of_autograd() -> None:
    params = _given()["params"].requires_grad_()
    sizes = [size for a, b in pairwise(WIDTHS) for size in (a * b, b)]
    w1, b1, w2, b2 = params.split(sizes)
    pixels, labels, index = (torch.tensor(each) for each in images())
    x = pixels.view(2 * EXAMPLES, WIDTHS[0])[index].double() / 255
    z = torch.sigmoid(x @ w1.view(WIDTHS[:2]) + b1) @ w2.view(WIDTHS[1:]) + b2
    loss = torch.nn.functional.cross_entropy(z, labels[index])
    (grad,) = torch.autograd.grad(loss, params)
    for name, values in {"loss": loss, "perceptron gradient": grad}.items():
        assert math.isclose(KNOWN[name], _digest(values), rel_tol=1e-6), (name, _digest(values))


def test_known_number_of_adam_is_that_of_its_formula() -> None:
    given = _given()
    rest1, beta2, rest2, correct2, eps, correct1, *_ = ADAM_COEFFICIENTS
    m = given["first"] + rest1 * (given["grads"] - given["first"])
    v = beta2 * given["second"] + rest2 * given["grads"] ** 2
    params = given["params"] - 0.05 * m * correct1 / (v.sqrt() * correct2 + eps)
    assert math.isclose(KNOWN["Adam"], _digest(params), rel_tol=1e-6), _digest(params)


def test_the_kernel_here_is_sound() -> None:
    try:
        assert problem_of(load_library()) is None
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("wrong", [0.0, math.nan, math.inf, None])
def test_one_wrong_answer_is_found(name: str, wrong: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    off = 1.001 * KNOWN[name] + 1e-4 if wrong is None else wrong
    monkeypatch.setattr(cpu_self_check, "answers", lambda library: {**KNOWN, name: off})
    problem = problem_of(ctypes.CDLL(None))
    assert problem is not None
    assert name in problem


def test_a_file_that_is_no_library_is_refused_by_its_trial(tmp_path: Path) -> None:
    path = tmp_path / "x.so"
    path.write_bytes(b"not a library")
    problem = cpu_self_check.try_in_a_process(path)
    assert problem is not None
    assert "cannot be loaded" in problem
