"""Code of a user, in a folder of its own."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from rnnprop_cli.components import plugins
from rnnprop_cli.components.plugins import FOLDER, Code, CodeSource

HERE = Path(__file__).parent / "code"


@pytest.fixture(autouse=True)
def leave() -> Iterator[None]:
    """Whatever a test allows is forbidden again behind it."""
    yield
    plugins.allow_code(False)


@pytest.fixture
def allowed() -> None:
    plugins.allow_code()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in HERE.glob("*.py"):
        shutil.copy(file, tmp_path)
    return tmp_path


@pytest.fixture
def code(folder: Path) -> Callable[[str], Code]:
    """What a spec in the folder means by a source."""
    adapter: TypeAdapter[Code] = TypeAdapter(CodeSource)
    return lambda source: adapter.validate_python(source, context={FOLDER: folder})
