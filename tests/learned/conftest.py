"""Learned optimizers from outside, written to files; code is allowed in these tests unless one says otherwise."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from outside_samples import SMALL

from rnnprop_cli.components import plugins
from rnnprop_cli.components.learned.outside import OutsideSpec


@pytest.fixture(autouse=True)
def _code_is_allowed() -> Iterator[None]:
    plugins.allow_code()
    yield
    plugins.allow_code(False)


@pytest.fixture
def outside(tmp_path: Path) -> Callable[..., OutsideSpec]:
    """A spec of a class in a file beside it, from the file's text."""

    def made(text: str = SMALL, name: str = "Small", **settings: object) -> OutsideSpec:
        (tmp_path / "own.py").write_text(text)
        given = {"kind": "architecture", "source": f"own.py:{name}", "settings": settings}
        return OutsideSpec.model_validate(given, context={plugins.FOLDER: tmp_path})

    return made
