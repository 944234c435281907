"""Figures as files."""

import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from bench_samples import EXPERIMENT, small_matrix

from rnnprop_cli.view.figures.loss_figures import loss_figures
from rnnprop_cli.view.figures.summary_figures import summary_figures
from rnnprop_cli.view.table.summary import summarize

pytest.importorskip("matplotlib")

PNG_START = b"\x89PNG\r\n\x1a\n"


def figures():
    runs, load = small_matrix()
    summary = summarize(EXPERIMENT, runs, load)
    by_kind = {figure.name.split("-")[0]: figure for figure in loss_figures(summary, load)}
    by_kind |= {figure.name.split("-")[0]: figure for figure in summary_figures(summary)}
    return list(by_kind.values())


@pytest.mark.filterwarnings("error")
def test_every_kind_is_written_as_png_and_svg_and_twice_the_same(tmp_path):
    from rnnprop_cli.view.figures.plots.files import write_plots

    first = write_plots(figures(), tmp_path / "a" / "b")
    second = write_plots(figures(), tmp_path / "c")
    assert len(first) == 2 * 4
    for one, other in zip(first, second, strict=True):
        content = one.read_bytes()
        assert content == other.read_bytes(), one.name
        assert len(content) > 5000
        if one.suffix == ".png":
            assert content.startswith(PNG_START)
        else:
            assert ET.fromstring(content).tag.endswith("svg")
            assert b"<dc:date>" not in content


def test_drawing_leaves_matplotlibs_global_state_alone(tmp_path):
    import matplotlib as mpl

    from rnnprop_cli.view.figures.plots.files import write_plots

    before = dict(mpl.rcParams)
    write_plots(figures()[:1], tmp_path)
    assert dict(mpl.rcParams) == before


def test_drawing_needs_no_pyplot_and_reporting_without_plots_no_matplotlib():
    code = (
        "import sys, rnnprop_cli.cli.report, rnnprop_cli.view.formats.html_page, rnnprop_cli.view.figures.loss_figures;"
        "import rnnprop_cli.view.figures.summary_figures;"
        "assert 'matplotlib' not in sys.modules;"
        "import rnnprop_cli.view.figures.plots.files;"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
