"""No test here sees the user's own data."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def empty_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and no RNNPROP_DATA_DIR."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda app: cache / app)
    monkeypatch.delenv("RNNPROP_DATA_DIR", raising=False)
    return cache / "rnnprop" / "data"
