"""Random problems for the kernels, and the reference's answer to them in float64."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rnnprop_cli.kernels.cpu_library import kernel_of_this_process
from rnnprop_cli.kernels.kept import CACHE_DIR_VARIABLE
from rnnprop_cli.kernels.network import Hidden, Network
from rnnprop_cli.kernels.reference import ReferenceKernel

RNNPROP = Network()
DM = Network(embedding=0, bounded=False)


@dataclass(frozen=True)
class Problem:
    """Arguments of both methods of a kernel, in float32."""

    network: Network
    meta_params_Q: Tensor
    features_TFN: Tensor
    hidden: Hidden
    output_grad_TN: Tensor

    def double(self) -> "Problem":
        return Problem(
            self.network,
            self.meta_params_Q.double(),
            self.features_TFN.double(),
            Hidden(*(state.double() for state in self.hidden)),
            self.output_grad_TN.double(),
        )

    @property
    def window(self) -> tuple[Network, Tensor, Tensor, Hidden, Tensor]:
        return self.network, self.meta_params_Q, self.features_TFN, self.hidden, self.output_grad_TN

    def copy_of_hidden(self) -> Hidden:
        return Hidden(*(state.clone() for state in self.hidden))

    def true_gradient(self) -> Tensor:
        return ReferenceKernel().window_gradient(*self.double().window)


def make_problem(network: Network, n: int, steps: int = 5, seed: int = 0) -> Problem:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    state = (network.layers, network.hidden, n)
    return Problem(
        network,
        0.2 * normal(network.n_meta_params),
        normal(steps, network.features, n),
        Hidden(0.3 * normal(*state), 0.5 * normal(*state)),
        normal(steps, n),
    )


@pytest.fixture(scope="session")
def make_kernel_problem() -> Callable[..., Problem]:
    return make_problem


@pytest.fixture
def problem() -> Callable[..., Problem]:
    return make_problem


def distance(value: Tensor, truth: Tensor) -> float:
    """|value - truth| / |truth|, norm-wise: single entries may be near zero by cancellation."""
    return float((value.double() - truth).norm() / truth.norm().clamp_min(1e-30))


@pytest.fixture
def relative_error() -> Callable[[Tensor, Tensor], float]:
    return distance


@pytest.fixture(params=[RNNPROP, DM], ids=["rnnprop", "dm"])
def network(request: pytest.FixtureRequest) -> Network:
    return request.param


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, and a process that has not looked for a kernel yet."""
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path / "cache"))
    kernel_of_this_process.cache_clear()
    yield tmp_path / "cache"
    kernel_of_this_process.cache_clear()
