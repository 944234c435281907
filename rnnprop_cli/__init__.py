"""rnnprop: meta-train learned optimizers and measure them honestly against tuned classical ones."""

__version__ = "0.1.0"
