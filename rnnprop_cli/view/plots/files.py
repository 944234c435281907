"""Figures into a folder, as PNG and SVG. The same results give the same bytes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import matplotlib as mpl

from rnnprop_cli.view.figures import Figure
from rnnprop_cli.view.plots.draw import LOOKS, draw

DOTS_PER_INCH: Final = 200


def write_plots(figures: Iterable[Figure], folder: Path) -> list[Path]:
    """Write `NAME.png` and `NAME.svg` for every figure; makes the folder, replaces files of the same name."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context(LOOKS):
        for figure in figures:
            canvas = draw(figure)
            png, svg = folder / f"{figure.name}.png", folder / f"{figure.name}.svg"
            # None takes matplotlib's version and the date out of the files.
            canvas.savefig(png, dpi=DOTS_PER_INCH, metadata={"Software": None})
            canvas.savefig(svg, metadata={"Date": None, "Creator": None})
            written += [png, svg]
    return written
