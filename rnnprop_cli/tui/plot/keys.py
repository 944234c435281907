"""Which keys do what in a plot."""

from typing import Final

from textual.binding import Binding, BindingType

PLOT_KEYS: Final[list[BindingType]] = [
    Binding("y", "toggle_log_y", "log y"),
    Binding("x", "toggle_log_x", "log x", show=False),
    Binding("left,h", "move(-1)", "crosshair", show=False),
    Binding("right,l", "move(1)", "crosshair", show=False),
    Binding("shift+left,H", "move(-10)", "crosshair x10", show=False),
    Binding("shift+right,L", "move(10)", "crosshair x10", show=False),
    Binding("g,home", "move_to_end(-1)", "first step", show=False),
    Binding("G,end", "move_to_end(1)", "last step", show=False),
    Binding("escape", "hide_crosshair", "hide crosshair", show=False),
    Binding("plus,equals_sign", "zoom(2.0)", "zoom in", show=False),
    Binding("minus", "zoom(0.5)", "zoom out", show=False),
    Binding("0", "reset_view", "reset zoom", show=False),
    Binding("less_than_sign,comma,ctrl+left", "pan(-0.25)", "pan left", show=False),
    Binding("greater_than_sign,full_stop,ctrl+right", "pan(0.25)", "pan right", show=False),
    Binding("f", "toggle_follow", "follow"),
]
