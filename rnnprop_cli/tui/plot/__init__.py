"""A plot widget for loss curves, made for this program.

General plotting packages for terminals redraw a dozen long curves fewer than five times a second, so this one
is ours: numpy thins and rasters (`raster`), a frame of character codes and colour roles is put together without
any Textual (`frame`), and the widget only turns frames into strips and keys into views (`widget`). What was given
up is generality: x never falls, and there are lines and bands, nothing else.
"""

from rnnprop_cli.tui.plot.palette import PALETTES, Palette
from rnnprop_cli.tui.plot.raster import Charset
from rnnprop_cli.tui.plot.series import PlotSeries, Reading
from rnnprop_cli.tui.plot.widget import Plot

__all__ = ["PALETTES", "Charset", "Palette", "Plot", "PlotSeries", "Reading"]
