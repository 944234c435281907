"""`rnnprop data`."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rnnprop_cli.cli.app import app

runner = CliRunner()


@pytest.fixture(autouse=True)
def _no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda app: tmp_path / "cache" / app)
    monkeypatch.delenv("RNNPROP_DATA_DIR", raising=False)


def _subset(root: Path, content: bytes = bytes(3073)) -> Path:
    (root / "cifar10").mkdir(parents=True)
    (root / "cifar10" / "data_batch_1.bin").write_bytes(content)
    return root


def test_list_shows_what_is_here_and_how_to_get_the_rest(tmp_path: Path) -> None:
    result = runner.invoke(app, ["data", "list", "--data-dir", str(_subset(tmp_path / "d"))])
    digits, mnist, cifar, half, sentences = result.stdout.splitlines()
    assert digits.split() == ["digits", "bundled", "scikit-learn"]
    assert mnist.endswith("rnnprop data fetch mnist")
    assert half.split()[:2] == ["mnist14", "absent"]
    assert sentences.split() == ["sentences", "bundled", "made", "here"]
    assert cifar.split() == ["cifar10", "found", str(tmp_path / "d" / "cifar10")]


def test_list_as_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RNNPROP_DATA_DIR", str(_subset(tmp_path / "d")))
    rows = json.loads(runner.invoke(app, ["data", "list", "--json"]).stdout)["datasets"]
    assert [(row["name"], row["status"]) for row in rows] == [
        ("digits", "bundled"),
        ("mnist", "absent"),
        ("cifar10", "found"),
        ("mnist14", "absent"),
        ("sentences", "bundled"),
    ]


def test_verify_reads_what_is_here(tmp_path: Path) -> None:
    result = runner.invoke(app, ["data", "verify", "--data-dir", str(_subset(tmp_path / "d"))])
    assert result.exit_code == 0
    assert "cifar10: ok, sha256 " in result.stdout
    assert "1 of 60,000 CIFAR-10 images" in result.stdout


def test_verify_takes_data_of_ones_own(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x=np.eye(4), y=np.arange(4) % 2)
    result = runner.invoke(app, ["data", "verify", str(tmp_path / "mine.npz")])
    assert (result.exit_code, "mine.npz: ok, sha256 " in result.stdout) == (0, True)
    np.savez(tmp_path / "mine.npz", x=np.eye(4), y=np.arange(5))
    result = runner.invoke(app, ["data", "verify", str(tmp_path / "mine.npz")])
    assert (result.exit_code, "array x has 4 examples, y has 5" in result.stderr) == (4, True)


def test_verify_exits_4_on_damage_and_absence_but_looks_at_all(tmp_path: Path) -> None:
    root = _subset(tmp_path / "d", b"short")
    result = runner.invoke(app, ["data", "verify", "--data-dir", str(root), "cifar10", "mnist", "digits"])
    assert result.exit_code == 4
    assert "no multiple of 3,073" in result.stderr
    assert "rnnprop data fetch mnist" in result.stderr
    assert "digits: ok" in result.stdout


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_unknown_dataset_exits_2(command: str) -> None:
    result = runner.invoke(app, ["data", command, "digits", "imagenet"])
    assert result.exit_code == 2
    assert "choose from digits, mnist, cifar10" in result.stderr


def test_fetch_of_what_is_bundled_does_nothing() -> None:
    result = runner.invoke(app, ["data", "fetch", "digits"])
    assert result.exit_code == 0
    assert "is here already" in result.stderr


def test_fetch_offline_exits_4(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("pooch.retrieve", offline)
    result = runner.invoke(app, ["data", "fetch", "mnist"])
    assert result.exit_code == 4
    assert "is this machine offline?" in result.stderr


def test_a_progress_bar_speaks_what_pooch_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    from rnnprop_cli.cli.data import _bars

    with _bars(shown=True) as bar:
        assert bar is not None
        one = bar("file.gz")
        one.total = 10
        one.update(4)
        assert one.total == 10
        one.reset()
        one.update(10)
        one.close()
    assert capsys.readouterr().out == ""


def test_list_needs_no_torch() -> None:
    script = (
        "import sys; from rnnprop_cli.cli.data import datasets_here; datasets_here(None); "
        "print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
