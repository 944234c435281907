"""Every example runs as a user runs it, and what it feeds its model is what it says."""

import os
import re
import subprocess
import sys
from math import isfinite
from pathlib import Path

import pytest
import torch
from char_transformer import ALPHABET, CONTEXT, SCHEDULES, CharTransformer, load_text
from images import load_images
from torch.optim import SGD

from rnnprop_cli.errors import DataError

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = ("mlp.py", "cnn.py", "char_transformer.py")
FALLS_TO = 0.8  # of the loss at the start, within the few steps of --quick


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "RNNPROP_DATA_DIR"}
    return subprocess.run(
        [sys.executable, str(EXAMPLES / program), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment | {"PYTHONIOENCODING": "utf-8", "COLUMNS": "120"},
        timeout=120,
    )


def _losses(output: str, row: str) -> tuple[float, float]:
    """Training and held-out loss of a row of the table."""
    (line,) = re.findall(rf"^{row} .*$", output, flags=re.MULTILINE)
    training, heldout, _accuracy = re.findall(r"(\S+) ±", line)
    return float(training), float(heldout)


@pytest.mark.parametrize("program", PROGRAMS)
def test_example_compares_rnnprop_with_adam(program: str) -> None:
    done = _run(program, "--quick", "--threads", "1")
    assert done.returncode == 0, done.stderr
    start = _losses(done.stdout, "at the start")
    rnnprop = _losses(done.stdout, "RNNprop")
    adam = _losses(done.stdout, "Adam, tuned")
    assert all(map(isfinite, (*start, *rnnprop, *adam)))
    assert all(after < FALLS_TO * before for before, after in zip(start, rnnprop, strict=True))
    assert re.search(r"^Training loss: .*(better|no difference)", done.stdout, flags=re.MULTILINE)
    assert "RNNprop (weights 'rnnprop') was not tuned." in " ".join(done.stdout.split())


def test_the_race_is_between_the_untuned_and_a_tuned_one() -> None:
    done = _run("race.py", "--quick", "--threads", "1")
    assert done.returncode == 0, done.stderr
    for name in ("Mixture", "RNNprop, law", "AdamW, law", "RNNprop, alpha 0.1"):
        assert re.search(rf"^{name} +0\.\d+|^{name} +\d\.\d+", done.stdout, flags=re.MULTILINE), done.stdout
    assert re.search(r"^AdamW \+ cosine, tuned, 0\.\d+ ", done.stdout, flags=re.MULTILINE)
    assert "digits · 30 steps · 2 seeds" in done.stdout


def test_unknown_weights_are_refused_in_one_line() -> None:
    done = _run("mlp.py", "--quick", "--weights", "nonesuch")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no weights 'nonesuch'")
    assert "Traceback" not in done.stderr


def test_a_folder_without_mnist_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda app: tmp_path / "cache" / app)
    with pytest.raises(DataError, match="mnist"):
        load_images(tmp_path)


def test_images_are_digits_where_there_is_no_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda app: tmp_path / "cache" / app)
    monkeypatch.delenv("RNNPROP_DATA_DIR", raising=False)
    images = load_images(None)
    assert images.name == "digits"
    assert images.train_images.shape == (1438, 1, 8, 8)
    assert sum(len(labels) for _, labels in images.heldout) == 359
    assert images.train_images.min() == 0
    assert images.train_images.max() == 1


def test_minibatches_are_those_of_their_seed() -> None:
    text = load_text()
    once, again, other = (list(text.minibatches(seed, steps=3)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(once[2], again[2], strict=True))
    assert not torch.equal(once[2][0], other[2][0])


def test_the_transformer_is_asked_for_the_next_character() -> None:
    (characters, following), *_ = load_text().minibatches(seed=0, steps=1)
    assert characters.shape == following.shape == (32, CONTEXT)
    assert torch.equal(characters[:, 1:], following[:, :-1])


def test_the_transformer_does_not_see_what_it_must_predict() -> None:
    torch.manual_seed(0)
    model = CharTransformer().eval()
    characters = torch.randint(len(ALPHABET), (4, CONTEXT))
    changed = characters.clone()
    changed[:, 10:] = (changed[:, 10:] + 1) % len(ALPHABET)
    with torch.no_grad():
        before, after = model(characters), model(changed)
    torch.testing.assert_close(before[:, :10], after[:, :10])
    assert not torch.allclose(before[:, 10:], after[:, 10:])


@pytest.mark.parametrize(("name", "last"), [("decay", 1 / 30), ("cosine", 0.00027), ("none", 1.0)])
def test_schedule_starts_at_the_whole_rate(name: str, last: float) -> None:
    """`last`: share of the rate at the last of 100 steps; of "cosine" it is (1 + cos(0.99 pi)) / 2."""
    steps = 100
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = SCHEDULES[name](optimizer, steps)
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates[0] == 1
    assert rates == sorted(rates, reverse=True)
    # The cosine is computed step by step: 1e-4 is its rounding and the digits of `last`.
    assert rates[-1] == pytest.approx(last, abs=1e-4)
