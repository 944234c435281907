"""The style sheet of the HTML report: one column, light or dark as the reader's system is, fit for print."""

from collections.abc import Mapping

from rnnprop_cli.view.figures.styles import Style

_SHEET = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1b1b; --soft: #5c5c5c; --rule: #dcdcdc; --wash: #f5f5f3;
  --bad: #a3340a; LIGHT }
@media (prefers-color-scheme: dark) { :root { --paper: #16181b; --ink: #e8e8e6; --soft: #a5a7aa; --rule: #3a3d42;
  --wash: #1f2226; --bad: #ff9d70; DARK } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 90rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 } h1, h2, h3, p, summary { overflow-wrap: anywhere }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .4rem }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem } p { max-width: 46rem; margin: .4rem 0 } a { color: inherit }
.lead, .caption, .note { color: var(--soft) } .caption, .note { font-size: .85rem }
.tag { font-size: .8rem; font-weight: normal; color: var(--soft); border: 1px solid var(--rule); border-radius: 1rem;
  padding: .1rem .6rem; margin-left: .4rem; overflow-wrap: anywhere }
.scroll { overflow-x: auto; overscroll-behavior-x: contain; max-width: 100% }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .82rem; margin: .5rem 0 }
th, td { padding: .2rem .5rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule) }
th { font-weight: 600; color: var(--soft); border-bottom: 2px solid var(--rule) }
th.left, td.left { text-align: left } tr.best td { font-weight: 700 } tr.untuned td { color: var(--soft) }
td.bad { color: var(--bad) }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .1rem 1rem;
  font-size: .87rem; margin: 1rem 0 }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
details { margin: .6rem 0 } summary { cursor: pointer; color: var(--soft); font-size: .87rem }
pre { background: var(--wash); padding: .8rem 1rem; overflow-x: auto; font-size: .8rem; line-height: 1.4 }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem 2rem }
figure { margin: .6rem 0; max-width: 38rem } figure h3 { margin: 0 0 .2rem }
figure svg:not(.swatch) { width: 100%; height: auto; display: block }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .82rem; margin: .2rem 0 .3rem 2.5rem }
.legend span { overflow-wrap: anywhere } .swatch { width: 36px; height: 12px; margin-right: .35rem }
svg text { font: 11.5px system-ui, sans-serif; fill: var(--soft) } svg text.small { font-size: 10px }
.grid { stroke: var(--rule); stroke-width: .7 } .axis { stroke: var(--soft); fill: none }
.reference { stroke: var(--soft); stroke-dasharray: 1 3 }
.line { fill: none; stroke: currentColor; stroke-linejoin: round } .marker { fill: currentColor }
.band { fill: currentColor; opacity: .15 } .whisker { stroke: currentColor; opacity: .5 }
.cross { stroke: currentColor; fill: none; stroke-width: 1.3 }
@media (max-width: 36rem) { body { padding: .8rem .7rem 3rem } dl { display: block } dd { margin: 0 0 .4rem }
  td.left, th.left { white-space: normal; min-width: 7rem; overflow-wrap: anywhere } .legend { margin-left: 0 } }
@media print { section { break-inside: avoid } details { display: none } }
"""


def style_sheet(styles: Mapping[str, Style], names: Mapping[str, str]) -> str:
    """The sheet, with a variable for the colour of every optimizer.

    Args:
        styles: by optimizer.
        names: of its variable, by optimizer.
    """
    light = " ".join(f"{names[optimizer]}: {style.light};" for optimizer, style in styles.items())
    dark = " ".join(f"{names[optimizer]}: {style.dark};" for optimizer, style in styles.items())
    return _SHEET.replace("LIGHT", light).replace("DARK", dark)
