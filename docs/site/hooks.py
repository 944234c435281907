"""What mkdocs does not find in `docs/`: the gallery, pages made from other files, and links out of the folder."""

import re
from pathlib import Path
from typing import Any, Final

from gallery import gallery
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from notebook import as_markdown
from reproduction import read_lines
from verdicts import horizons

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
ROOT_PAGES: Final = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
HORIZONS: Final = """# Which optimizer for which horizon

Drawn from the tables of [reproduction.md](reproduction.md), and from nothing else: every line of every table, and who
wins over the best tuned baseline of the line, by a 95 % interval of the difference paired by seed that excludes zero.
Where nobody does, nothing here says that another is better than the baseline at the end of the line. These are small
networks on MNIST and an LSTM on sine waves: what holds for a problem of yours, a benchmark of it says
(`rnnprop spec init bench`).

"""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation lists the pages of the gallery."""
    pages = gallery(DOCS)
    nav: list[Any] = config.nav or []
    for entry in nav:
        if "Optimizers" in entry:
            entry["Optimizers"] = [*entry["Optimizers"], *pages]
    config.extra["generated"] = {
        **pages,
        "horizons.md": HORIZONS
        + horizons(read_lines((DOCS / "reproduction.md").read_text(encoding="utf-8"))),
        "notebook.md": as_markdown(DOCS / "notebook.ipynb"),
        **{page: _of_root(ROOT / name) for name, page in ROOT_PAGES.items()},
    }
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The generated pages, and the programs that pages link to."""
    for path, text in config.extra["generated"].items():
        files.append(File.generated(config, path, content=text))
    for path in sorted((ROOT / "examples").iterdir()):
        if path.is_file():
            name = f"examples/{path.name}"
            added = File.generated(config, name, abs_src_path=str(path), inclusion=InclusionLevel.INCLUDED)
            files.append(added)
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links out of `docs/` lead to where the file lies in the site."""
    for name, page in ROOT_PAGES.items():
        markdown = markdown.replace(f"](../{name}", f"]({page}")
    return markdown.replace("](../examples/", "](examples/")


def _of_root(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    for name, page in ROOT_PAGES.items():
        text = text.replace(f"]({name}", f"]({page}")
    return re.sub(r"\]\(docs/", "](", text)
