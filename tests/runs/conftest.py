"""Tests of whole runs compute with one thread, as the bits that they compare do."""

from collections.abc import Iterator

import pytest
import torch
from train_samples import fingerprint, run


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Fingerprint of the tiny meta-training that nobody disturbed."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("whole") / "a.db"
    run(path)
    return fingerprint(path)
