"""Every key of the app, once: what Textual binds, what the line at the bottom says, what ? explains.

A `Key` names an action; whoever has that action binds it: a widget, a screen or the app.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from textual.binding import Binding, BindingType

TABS: Final = ("runs", "matrix", "compare", "log", "spec", "train")


@dataclass(frozen=True)
class Key:
    """One thing that keys do.

    Args:
        id: its name, also for key maps.
        shown: the keys as a reader types them; "" for a line that only explains.
        does: what ? says, and the tooltip.
        bound: Textual's names of the keys, each with its action.
        word: what the line at the bottom says; "" where it never stands there.
        line: the keys as that line shows them, where that is shorter than `shown`.
        priority: it goes before whatever has the focus.
    """

    id: str
    shown: str
    does: str
    bound: tuple[tuple[str, str], ...] = ()
    word: str = ""
    line: str = ""
    priority: bool = False

    def called(self, word: str, line: str = "") -> "Key":
        """The same key under another word in the line at the bottom."""
        return replace(self, word=word, line=line or self.line)

    @property
    def in_line(self) -> tuple[str, str]:
        """Keys and word for the line at the bottom."""
        return self.line or self.shown, self.word


def bindings(*keys: Key) -> list[BindingType]:
    """What Textual binds; nothing goes into its own footer."""
    return [
        Binding(
            names,
            action,
            key.word or key.does,
            show=False,
            key_display=key.shown,
            priority=key.priority,
            tooltip=key.does,
            id=key.id if len(key.bound) == 1 else f"{key.id}-{number}",
        )
        for key in keys
        for number, (names, action) in enumerate(key.bound, 1)
    ]


def forwarded(widget: str, keys: Iterable[Key]) -> list[BindingType]:
    """Keys of a widget for the screen around it, so that they work wherever the focus is.

    The screen's action is called as the widget is, and gets the name of the widget's action and its arguments.
    """
    return bindings(
        *(
            replace(key, bound=tuple((names, _forward(widget, action)) for names, action in key.bound))
            for key in keys
        )
    )


def _forward(widget: str, action: str) -> str:
    name, _, arguments = action.rstrip(")").partition("(")
    return f"{widget}({', '.join(filter(None, (repr(name), arguments)))})"


# Everywhere
SHOW_TAB: Final = Key(
    "tab",
    f"1-{len(TABS)}",
    ", ".join(tab.capitalize() for tab in TABS),
    tuple((str(number), f"show_tab('{tab}')") for number, tab in enumerate(TABS, 1)),
)
QUIT: Final = Key(
    "quit", "q", "quit; asks if a process that was started here still runs", (("q", "quit"),), "quit"
)
QUIT_ANYWHERE: Final = Key(
    "quit-anywhere", "ctrl+q", "the same, while something is typed too", (("ctrl+q", "quit"),), priority=True
)
HELP: Final = Key("help", "?", "these keys", (("question_mark,f1", "help"),), "help")
BACK: Final = Key("back", "esc", "one layer back: crosshair, full-screen pane, filter", (("escape", "back"),))
NEXT_PANE: Final = Key("next-pane", "tab", "next pane", word="pane")
FULL: Final = Key("full", "z", "the focused pane full-screen, and back", (("z", "full"),), "full")
FILTER: Final = Key(
    "filter",
    "/",
    "filter: words that must all fit; regex, !not, key:value, key:>1, key:1..3",
    (("slash", "filter"),),
    "filter",
)
EXPERIMENTS: Final = Key(
    "experiments", "w", "choose the experiment", (("w", "choose_experiment"),), "experiments"
)
NEIGHBOUR: Final = Key(
    "neighbour",
    "[ ]",
    "the experiment before, the next",
    (("left_square_bracket", "neighbour(-1)"), ("right_square_bracket", "neighbour(1)")),
)
START: Final = Key("start", "r", "start a bench or train as a process of its own", (("r", "start"),), "start")
INTERRUPT: Final = Key(
    "interrupt", "i", "interrupt what was started here", (("i", "interrupt"),), "interrupt"
)
EXPORT: Final = Key("export", "e", "export as CSV or SVG", (("e", "export"),), "export")
COPY: Final = Key("copy", "ctrl+o", "copy what is under the cursor", (("ctrl+o", "copy"),), "copy", "^o")
THEME: Final = Key("theme", "t", "next theme", (("t", "next_theme"),), "theme")
PALETTE: Final = Key("palette", "ctrl+p", "command palette", word="palette", line="^p")

# Lists and tables
ROWS: Final = Key(
    "rows",
    "up down  j k  g G",
    "move over the rows",
    (
        ("up,k", "move(-1)"),
        ("down,j", "move(1)"),
        ("pageup,ctrl+u", "page(-1)"),
        ("pagedown,ctrl+d", "page(1)"),
        ("g,home", "end(-1)"),
        ("G,end", "end(1)"),
    ),
)
CELLS: Final = Key(
    "cells",
    "left right  h l",
    "Matrix: move over the columns",
    (("left,h", "move(0, -1)"), ("right,l", "move(0, 1)")),
)
OPEN: Final = Key("open", "enter", "everything about the row, seed by seed", (("enter", "open"),), "open")

# Runs
DRAW: Final = Key("draw", "space", "draw or hide the line of the row", (("space", "draw"),), "draw", "spc")
PIN: Final = Key("pin", "p", "pin the row: its line stays, and Compare shows it", (("p", "pin"),), "pin")
COMPARE: Final = Key("compare", "c", "compare all problems", (("c", "compare"),), "compare")
SORT: Final = Key("sort", "o", "next order", (("o", "sort"),), "sort")
REVERSE: Final = Key("reverse", "O", "reversed order", (("O", "reverse"),))
SEARCHES: Final = Key(
    "searches", "u", "show the searches for learning rates", (("u", "searches"),), "searches"
)

# Plots
LOG_Y: Final = Key("log-y", "y", "logarithmic y axis", (("y", "toggle_log_y"),), "log y")
LOG_X: Final = Key("log-x", "x", "logarithmic x axis", (("x", "toggle_log_x"),))
CROSSHAIR: Final = Key(
    "crosshair",
    "left right  h l",
    "crosshair; with shift ten times as far",
    (
        ("left,h", "move(-1)"),
        ("right,l", "move(1)"),
        ("shift+left,H", "move(-10)"),
        ("shift+right,L", "move(10)"),
    ),
)
ENDS: Final = Key(
    "ends",
    "g G",
    "crosshair to the first step, the last",
    (("g,home", "move_to_end(-1)"), ("G,end", "move_to_end(1)")),
)
HIDE: Final = Key("hide", "esc", "hide the crosshair", (("escape", "hide_crosshair"),))
ZOOM: Final = Key(
    "zoom",
    "+ - 0",
    "zoom in, out, reset",
    (("plus,equals_sign", "zoom(2.0)"), ("minus", "zoom(0.5)"), ("0", "reset_view")),
)
PAN: Final = Key(
    "pan",
    "< >",
    "pan",
    (
        ("less_than_sign,comma,ctrl+left", "pan(-0.25)"),
        ("greater_than_sign,full_stop,ctrl+right", "pan(0.25)"),
    ),
)
FOLLOW: Final = Key("follow", "f", "follow the live end", (("f", "toggle_follow"),), "follow")
BAND: Final = Key("band", "b", "band over seeds: IQR, min-max, none", (("b", "band"),), "band")
SMOOTH: Final = Key(
    "smooth", "s", "smoothing: over 2 %, 10 % of the steps, none", (("s", "smooth"),), "smooth"
)
OF_A_PLOT: Final = (LOG_Y, LOG_X, CROSSHAIR, ZOOM, PAN, FOLLOW)  # these work from the screen around it too

# Matrix, Compare, Spec
COLUMNS: Final = Key("columns", "v", "Matrix: next axis for the columns", (("v", "columns"),), "columns")
BASELINES: Final = Key(
    "baselines", "a", "Matrix: learned optimizers alone, or all", (("a", "baselines"),), "baselines"
)
MODE: Final = Key("mode", "v", "Compare: curves, rates or both", (("v", "mode"),), "curves/rates")
PANELS: Final = Key(
    "panels",
    "pgup pgdn",
    "Compare: other panels",
    (("pagedown", "page(1)"), ("pageup", "page(-1)")),
    "next",
    "pgdn",
)
RESOLVED: Final = Key(
    "resolved",
    "v",
    "Spec: as written, or resolved with every default",
    (("v", "resolved"),),
    "as written / resolved",
)

# Layers
CLOSE: Final = Key("close", "esc q", "close", (("escape,q", "close"),))
CLOSE_READ: Final = Key("close-read", "enter ?", "close", (("enter,question_mark,f1", "close"),))

EVERYWHERE: Final = (
    *(SHOW_TAB, QUIT, QUIT_ANYWHERE, HELP, NEXT_PANE, EXPERIMENTS, NEIGHBOUR, START, INTERRUPT),
    *(EXPORT, COPY, THEME, PALETTE),
)
ON_A_SCREEN: Final = (FILTER, BACK, FULL)
