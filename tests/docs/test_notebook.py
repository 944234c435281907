"""docs/notebook.ipynb runs, and gives what it says it gave."""

import json
import re
from pathlib import Path

import pytest
from notebook import as_markdown, code_cells, output_of, run

PATH = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


def test_the_notebook_runs_and_gives_the_same_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(PATH.read_text(encoding="utf-8"))
    for cell, output in zip(code_cells(notebook), run(notebook), strict=True):
        assert without_numbers(output) == without_numbers(output_of(cell))
    assert list(tmp_path.iterdir()) == []


def without_numbers(text: str) -> str:
    """The last digits are the machine's."""
    return " ".join(re.sub(r"-?\d[\d.]*", "0", text).split())


def test_a_page_shows_cells_and_what_they_gave() -> None:
    page = as_markdown(PATH)
    assert page.startswith("# Read results in a notebook")
    assert "```text\n(15, 15, 0)\n```" in page
