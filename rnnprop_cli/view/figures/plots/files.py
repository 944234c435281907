"""Figures into a folder, as PNG and SVG. The same results give the same bytes."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import matplotlib as mpl

from rnnprop_cli.files.writing import write_whole
from rnnprop_cli.view.figures.figure import Figure
from rnnprop_cli.view.figures.plots.draw import LOOKS, draw

DOTS_PER_INCH: Final = 200


def write_plots(figures: Iterable[Figure], folder: Path, database: Path | None = None) -> list[Path]:
    """Write `NAME.png` and `NAME.svg` for every figure; makes the folder, replaces files of the same name.

    Raises:
        StoreError: a file cannot be written, or is something that we read; see `write_whole`.
    """
    written = []
    with mpl.rc_context():
        mpl.rcdefaults()  # whatever a matplotlibrc of the user or of this folder says
        mpl.rcParams.update(LOOKS)
        for figure in figures:
            canvas = draw(figure)
            # None takes matplotlib's version and the date out of the files.
            for suffix, options in (
                ("png", {"dpi": DOTS_PER_INCH, "metadata": {"Software": None}}),
                ("svg", {"metadata": {"Date": None, "Creator": None}}),
            ):
                picture = io.BytesIO()
                canvas.savefig(picture, format=suffix, **options)
                path = folder / f"{figure.name}.{suffix}"
                write_whole(path, picture.getvalue(), database=database, replace=True)
                written.append(path)
    return written
