"""Pictures as plain values (`figure`), what they show (`loss_figures`, `summary_figures`), and two ways to draw them.

`svg` needs nothing and is what the HTML report uses; `plots` needs matplotlib, which is optional and takes half a
second to import. Not here: the live plots of the terminal (`tui.plot`), which answer to keys.
"""
