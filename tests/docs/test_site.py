"""`make docs`: the site builds, every link leads somewhere, and nothing comes from the network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="needs pip install 'rnnprop[docs]'")
    pytest.importorskip("mkdocstrings", reason="needs pip install 'rnnprop[docs]'")
    folder = tmp_path_factory.mktemp("built") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    return folder


def test_the_site_has_every_page_and_takes_nothing_from_the_network(site: Path) -> None:
    pages = {path.relative_to(site).with_suffix("").as_posix(): path for path in site.rglob("*.html")}
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= pages.keys()
    assert {"index", "horizons", "notebook", "changelog", "gallery/rnnprop", "gallery/adam"} <= pages.keys()
    for path in pages.values():
        text = path.read_text(encoding="utf-8")
        assert not re.findall(
            r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"?(?:https?:)?//[^>]*", text
        ), path
        assert "fonts.googleapis" not in text
    python = pages["api/results"].read_text(encoding="utf-8")
    assert "the one that was used last" in python  # from a docstring
    assert (site / "examples" / "mlp_optimizer.py").exists()
