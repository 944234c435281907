"""Code from outside is read with the spec, known by its hash, and imported only where that is allowed."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from rnnprop_cli.components import plugins
from rnnprop_cli.components.plugins import IDENTITY, Code
from rnnprop_cli.errors import CodeError, UsageError

Read = Callable[[str], Code]


def test_a_file_is_read_with_its_hash_and_is_itself_again_without_the_file(code: Read, folder: Path) -> None:
    found = code("nets.py:Rings")
    (folder / "nets.py").unlink()
    again = Code.model_validate(found.model_dump(mode="json"))
    assert again == found
    assert hash(again) == hash(found)
    plugins.allow_code()
    assert again.load().__name__ == "Rings"


def test_its_identity_is_the_hash_and_not_the_folder(code: Read, folder: Path) -> None:
    one = code("nets.py:Rings")
    (folder / "sub").mkdir()
    (folder / "nets.py").rename(folder / "sub" / "nets.py")
    moved = code("sub/nets.py:Rings")
    assert moved.model_dump(context=IDENTITY) == one.model_dump(context=IDENTITY)
    assert set(one.model_dump(context=IDENTITY)) == {"source", "sha256"}
    with (folder / "sub" / "nets.py").open("a") as file:
        file.write("# another version\n")
    assert code("sub/nets.py:Rings").sha256 != one.sha256


def test_nothing_is_imported_without_leave(code: Read, folder: Path) -> None:
    mark = folder / "mark"
    (folder / "hostile.py").write_text(f"open({str(mark)!r}, 'w').close()\nThing = 1\n")
    found = code("hostile.py:Thing")
    with pytest.raises(UsageError, match="--allow-code"):
        found.load()
    assert f"rnnprop_outside_{found.sha256[:16]}" not in sys.modules
    assert not mark.exists()
    with pytest.raises(UsageError, match="--allow-code"):
        code("numpy:array").load()


def test_torch_optim_needs_no_leave_and_is_known_by_its_version(code: Read) -> None:
    found = code("torch.optim:RAdam")
    assert found.load().__name__ == "RAdam"
    assert found.package.startswith("torch ")


def test_another_version_of_a_package_is_not_the_recorded_one(code: Read, allowed: None) -> None:
    old = code("torch.optim:Adam").model_copy(update={"package": "torch 0.4"})
    with pytest.raises(UsageError, match=r"recorded with torch 0\.4"):
        old.load()


def test_one_file_is_imported_once(code: Read, allowed: None) -> None:
    assert code("nets.py:Rings").load() is code("nets.py:Recurrent").load().__init__.__globals__["Rings"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = (", r"mine\.py:Thing: line 1: SyntaxError"),
        (
            "import absent_module",
            r"mine\.py:Thing: line 1, in <module>: ModuleNotFoundError: .*absent_module",
        ),
        ("\n\nraise ValueError('so')", r"line 3, in <module>: ValueError: so"),
        ("Other = 1", r"AttributeError: .*Thing"),
        ("raise SystemExit(2)", r"it ended the program"),
    ],
)
def test_what_goes_wrong_is_told_with_the_users_line(
    text: str, told: str, code: Read, folder: Path, allowed: None
) -> None:
    (folder / "mine.py").write_text(text)
    for _ in "12":  # the second time too
        with pytest.raises(CodeError, match=told):
            code("mine.py:Thing").load()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("nets.py", "must be FILE.py:NAME"),
        ("absent.py:Thing", "No such file"),
        ("nets.txt:Thing", "no installed package|must name a file"),
        ("no_such_package.nets:Thing", "no installed package"),
        ("a-b:Thing", "must name a file"),
        ("pipe.py:Thing", "cannot be read"),
        ("binary.py:Thing", "not UTF-8"),
        ("empty.py:Thing", "is empty"),
        ("large.py:Thing", "cannot be read"),
    ],
)
def test_what_is_no_code_is_refused_when_the_spec_is_read(
    source: str, told: str, code: Read, folder: Path
) -> None:
    os.mkfifo(folder / "pipe.py")
    (folder / "binary.py").write_bytes(b"\xff\xfe")
    (folder / "empty.py").write_text(" \n")
    with (folder / "large.py").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ValidationError, match=told):
        code(source)
