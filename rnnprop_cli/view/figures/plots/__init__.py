"""Figures as PNG and SVG files, with matplotlib.

matplotlib is an optional dependency and takes half a second to import: import this package only where it is needed.
The same figures as inline SVG in the HTML report come from `figures/svg.py`, which needs nothing.
"""
