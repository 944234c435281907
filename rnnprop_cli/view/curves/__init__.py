"""Curves: one value for every recorded step, of one run or of several that differ in their seed.

Here: smoothing, bands, bins, how soon a curve comes down, a curve in one line of text. Not here: what a run is, which
runs belong together (`table`), how a plot looks (`figures`, `tui.plot`).
"""
