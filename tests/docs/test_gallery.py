"""Pages of the gallery: what they say comes from the registry, the weights and the tables of the reproduction."""

import re
from pathlib import Path

import pytest
from gallery import OUTSIDE, Gallery
from reproduction import Line, read_lines, recorded_weights
from verdicts import horizons

from rnnprop_cli.components.learned import ARCHITECTURES
from rnnprop_cli.components.optimizers import OPTIMIZERS
from rnnprop_cli.runs.shipped_weights import shipped_names

REPRODUCTION = (Path(__file__).parents[2] / "docs" / "reproduction.md").read_text(encoding="utf-8")
ROWS = (
    (
        "100",
        "0.300 ±0.010 momentum @ 0.5 (paper 0.3)",
        "0.310 ±0.010 @ 0.1",
        "**0.290 ±0.010**",
        "0.350 ±0.010",
    ),
    ("2,000", "**0.200 ±0.010** adam cosine @ 0.5", "0.231 ±0.010 @ 0.1", "0.221 ±0.010", "0.250 ±0.010"),
    ("10,000", *(f"2.302 ±0.000{how}, 5 of 5 at chance" for how in (" adam @ 0.5", " @ 0.5", "")), ""),
)
TABLE = "\n".join(
    [
        "<!-- table small / mnist *: best tuned, adam, rnnprop, dm -->",
        "| | best tuned | adam | rnnprop | dm |",
        "| :--- | ---: | ---: | ---: | ---: |",
        *(f"| mnist · {steps} steps · 5 seeds | {' | '.join(cells)} |" for steps, *cells in ROWS),
        "<!-- end -->",
    ]
)


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return Gallery(REPRODUCTION)


@pytest.fixture(scope="module")
def pages(gallery: Gallery) -> dict[str, str]:
    return gallery.pages()


@pytest.fixture
def lines() -> list[Line]:
    return read_lines(TABLE)


def test_every_optimizer_has_a_page_with_every_setting_and_an_equation(pages: dict[str, str]) -> None:
    specs = {**OPTIMIZERS, **ARCHITECTURES}
    assert set(pages) == {"gallery/index.md"} | {f"gallery/{kind}.md" for kind in specs}
    for kind, spec in specs.items():
        assert f"[{kind}]({kind}.md)" in pages["gallery/index.md"]
        text = pages[f"gallery/{kind}.md"]
        assert all(f"\n| `{name}` | " in text for name in spec.model_fields if name != "kind")
        if kind not in OUTSIDE:
            assert re.search(r"## Equation\n.*(←|d = ).*## State\n\n\S", text, re.DOTALL), kind


def test_weights_stand_on_the_page_of_their_architecture(pages: dict[str, str]) -> None:
    text = "".join(pages[f"gallery/{kind}.md"] for kind in ("rnnprop", "dm", "law"))
    assert all(f"\n| `{name}` | " in text for name in shipped_names())


def test_no_number_of_a_result_is_on_a_page_but_not_in_the_reproduction(pages: dict[str, str]) -> None:
    for text in (*pages.values(), horizons(read_lines(REPRODUCTION))):
        for number in re.findall(r"[\d.]+ ±[\d.]+", text):
            assert number in REPRODUCTION


def test_changed_weights_are_said(gallery: Gallery) -> None:
    told = recorded_weights(REPRODUCTION)
    changed = gallery.weights["rnnprop"].tensors_sha256[:12]
    same = Gallery(REPRODUCTION.replace(told["rnnprop"], changed)).pages()["gallery/rnnprop.md"]
    other = Gallery(REPRODUCTION.replace(told["rnnprop"], "0" * 12)).pages()["gallery/rnnprop.md"]
    assert "with other weights" not in same
    assert "with other weights than those that come with this version** (`rnnprop`)" in other


def test_a_win_is_what_is_bold_and_a_loss_what_no_pairing_undoes(lines: list[Line]) -> None:
    short, long, _ = lines
    assert [short.verdict(name) for name in ("adam", "rnnprop", "dm")] == ["neither", "wins", "loses"]
    assert [long.verdict(name) for name in ("adam", "rnnprop", "dm")] == ["loses", "neither", "loses"]


def test_the_best_baseline_is_read_with_its_name(lines: list[Line]) -> None:
    assert [line.rival[0] for line in lines] == ["momentum", "adam cosine", "adam"]
    assert lines[2].verdict("adam") == "baseline"
    assert [line.steps for line in lines] == [100, 2000, 10000]
    assert [line.learns for line in lines] == [True, True, False]


def test_horizons_name_the_winners_or_nobody(lines: list[Line]) -> None:
    text = horizons(lines)
    assert "| rnnprop 0.290 ±0.010 | momentum 0.300 ±0.010 @ 0.5 |" in text
    assert "| nobody: all others of the table lose to it | adam cosine 0.200 ±0.010 @ 0.5 |" in text
    assert "| nobody: nothing learns |" in text
    assert text.index("## 100 steps") < text.index("## 2,000 steps") < text.index("## 10,000 steps")
