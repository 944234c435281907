"""The example of the trainers of others."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import clients
import pytest
import torch
from clients import CLIENTS
from torch import nn
from torch.utils.data import TensorDataset

PROGRAM = Path(clients.__file__)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("client", CLIENTS)
def test_each_trains_a_model(client: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if find_spec(client) is None:
        pytest.skip(f"needs {client}: pip install -e '.[clients]'")
    monkeypatch.chdir(tmp_path)  # for what a client leaves behind
    monkeypatch.setattr(clients, "MINIBATCH", 8)
    torch.manual_seed(0)
    images = torch.rand(64, 1, 3, 3)
    labels = (images[:, 0, 0, 0] > 0.5).long()
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 2))

    def loss() -> float:
        return float(nn.functional.cross_entropy(model(images), labels).detach())

    before = loss()
    CLIENTS[client](model, TensorDataset(images, labels))
    assert loss() < 0.8 * before


def test_a_client_that_is_not_installed_is_named_with_what_to_do() -> None:
    lines = (
        "import runpy, sys",
        "sys.modules['accelerate'] = None",  # as if it were not there
        "sys.argv[1:] = ['accelerate']",
        f"runpy.run_path({str(PROGRAM)!r}, run_name='__main__')",
    )
    done = subprocess.run(
        [sys.executable, "-c", "; ".join(lines)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=PROGRAM.parent,
    )
    assert done.returncode == 1
    assert done.stderr == "error: accelerate is not installed: pip install 'rnnprop[clients]'\n"
