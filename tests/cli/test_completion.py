"""What Tab offers, as a shell asks for it."""

from pathlib import Path

import pytest
from stored_bench import EVIL, store_bench
from typer.testing import CliRunner

from rnnprop_cli.cli.app import app
from rnnprop_cli.spec.shipped import shipped_specs


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    store_bench(Path("a.db"))
    return Path("a.db")


def offered(*words: str) -> list[str]:
    """For the last of the words."""
    environment = {
        "_RNNPROP_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["rnnprop", *words]),
        "COMP_CWORD": str(len(words)),
    }
    result = CliRunner().invoke(app, [], env=environment, prog_name="rnnprop")
    assert result.exit_code == 0
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("report", "d"), ["demo"]),
        (("runs", "list", ""), ["demo"]),
        (("runs", "export", "--experiment", ""), ["demo"]),
        (("runs", "show", "1"), ["12", "11", "10", "1"]),
        (("runs", "show", "000c"), ["000c" + "c" * 60]),
        (("weights", "show", "rnnprop-n"), ["rnnprop-no-convex", "rnnprop-no-scaling"]),
        (("weights", "export", "qui"), ["quick"]),
        (("train", "--resume", ""), ["latest"]),
        (("bench", "--spec", "deep"), ["deep_mlp"]),
        (("spec", "copy", "train_d"), ["train_dm", "train_dm_tricks"]),
    ],
)
def test_names_are_offered(database: Path, words: tuple[str, ...], expected: list[str]) -> None:
    assert offered("--db", str(database), *words) == expected


def test_files_go_before_shipped_specs_and_folders_can_be_entered(database: Path) -> None:
    Path("q.toml").write_text("")
    Path("quarry").mkdir()
    Path("quarry", "mine.toml").write_text("")
    Path("q.txt").write_text("")
    assert offered("bench", "--spec", "q") == ["q.toml", "quarry/", "quickstart"]
    assert offered("bench", "--spec", "quarry/m") == ["quarry/mine.toml"]
    assert set(offered("spec", "check", "")) >= {"q.toml", *shipped_specs()}


@pytest.mark.parametrize("name", ["absent.db", "damaged.db"])
def test_no_database_is_no_error(database: Path, name: str) -> None:
    Path("damaged.db").write_bytes(database.read_bytes()[:5000])
    assert offered("--db", name, "report", "") == []
    assert "quick" in offered("--db", name, "weights", "show", "")


def test_names_that_could_move_the_cursor_are_left_out(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rnnprop_cli.cli import completion

    monkeypatch.setattr(completion, "_experiments", lambda ctx, kind: ["fine", EVIL])
    assert offered("report", "") == ["fine"]
