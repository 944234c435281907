"""One `Figure` as inline SVG. Its colours are CSS variables, so that it follows the page into the dark."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Final

from rnnprop_cli.view.figures.figure import Figure, Line, Scale
from rnnprop_cli.view.figures.styles import Style
from rnnprop_cli.view.figures.ticks import linear_ticks, log_ticks, tick_text
from rnnprop_cli.view.safe_text import safe_text

# The picture, in its own units; the page scales it.
_WIDTH: Final = 480
_HEIGHT: Final = 280
_LEFT: Final = 58
_RIGHT: Final = 48
_TOP: Final = 12
_BOTTOM: Final = 42
_STROKE: Final = 1.7
_MARKER: Final = 3.4  # half its size
# Outlines on [-1, 1]^2 for matplotlib's signs; a circle for all others.
_OUTLINES: Final = {
    "s": "M-.9-.9H.9V.9H-.9Z",
    "^": "M0-1L1 .9H-1Z",
    "v": "M0 1L1-.9H-1Z",
    "<": "M-1 0L.9-1V1Z",
    ">": "M1 0L-.9-1V1Z",
    "D": "M0-1.2L1.2 0L0 1.2L-1.2 0Z",
    "d": "M0-1.2L.8 0L0 1.2L-.8 0Z",
    "P": "M-.4-1H.4V-.4H1V.4H.4V1H-.4V.4H-1V-.4H-.4Z",
    "X": "M-1-.6L-.6-1L0-.4L.6-1L1-.6L.4 0L1 .6L.6 1L0 .4L-.6 1L-1 .6L-.4 0Z",
}
_CIRCLE: Final = "M-1 0A1 1 0 1 0 1 0A1 1 0 1 0-1 0Z"

Place = Callable[[float], float]


def figure_svg(figure: Figure, colours: Mapping[str, str]) -> str:
    """The picture as an `<svg>` element.

    Args:
        figure: what to draw.
        colours: CSS colour of each line, by label.
    """
    place_x = _place(figure.x_scale, figure.x_limits, _LEFT, _WIDTH - _RIGHT)
    place_y = _place(figure.y_scale, figure.y_limits, _HEIGHT - _BOTTOM, _TOP)
    clip = f"clip-{figure.name}"
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{_text(figure.title)}: '
        f'{_text(figure.y_label)} against {_text(figure.x_label)}">',
        f'<clipPath id="{clip}"><rect x="{_LEFT}" y="{_TOP}" width="{_WIDTH - _LEFT - _RIGHT}" '
        f'height="{_HEIGHT - _TOP - _BOTTOM}"/></clipPath>',
        *_frame(figure, place_x, place_y),
        f'<g clip-path="url(#{clip})">',
        *(part for one in figure.lines for part in _line(one, colours[one.label], place_x, place_y)),
        "</g>",
        *(part for one in figure.lines for part in _crosses(one, colours[one.label], figure, place_x)),
        "</svg>",
    ]
    return "\n".join(parts)


def swatch_svg(one: Line, colour: str) -> str:
    """A short piece of a line, for the legend."""
    marker = _marker(one.style, 18, 6) if one.marked else ""
    return (
        f'<svg viewBox="0 0 36 12" class="swatch" style="color:{colour}" aria-hidden="true">'
        f'<path d="M1 6H35" {_stroke(one)}/>{marker}</svg>'
    )


def _place(scale: Scale, limits: tuple[float, float], start: float, end: float) -> Place:
    """From a value to its place in the picture; far beyond the edge at most, so that numbers stay short."""
    low, high = (math.log(limit) for limit in limits) if scale == "log" else limits

    def place(value: float) -> float:
        if scale == "log":
            value = math.log(value) if value > 0 else -math.inf
        share = min(max((value - low) / (high - low), -1.0), 2.0)
        return start + share * (end - start)

    return place


def _frame(figure: Figure, place_x: Place, place_y: Place) -> Iterator[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for tick in figure.x_ticks or _ticks(figure.x_scale, figure.x_limits):
        x = f"{place_x(tick):.1f}"
        yield f'<path class="grid" d="M{x} {_TOP}V{bottom}"/>'
        yield f'<text x="{x}" y="{bottom + 15}" text-anchor="middle">{tick_text(tick)}</text>'
    for tick in _ticks(figure.y_scale, figure.y_limits):
        y = place_y(tick)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick_text(tick)}</text>'
    yield f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>'
    if figure.reference is not None and figure.y_limits[0] <= figure.reference[0] <= figure.y_limits[1]:
        level, name = figure.reference
        yield f'<path class="reference" d="M{_LEFT} {place_y(level):.1f}H{right}"/>'
        yield f'<text class="small" x="{right + 4}" y="{place_y(level) + 3:.1f}">{_text(name)}</text>'
    middle_x, middle_y = (_LEFT + right) / 2, (_TOP + bottom) / 2
    yield f'<text x="{middle_x}" y="{_HEIGHT - 8}" text-anchor="middle">{_text(figure.x_label)}</text>'
    yield (
        f'<text transform="translate(13 {middle_y}) rotate(-90)" text-anchor="middle">{_text(figure.y_label)}</text>'
    )


def _ticks(scale: Scale, limits: tuple[float, float]) -> Sequence[float]:
    return log_ticks(*limits) if scale == "log" else linear_ticks(*limits)


def _line(one: Line, colour: str, place_x: Place, place_y: Place) -> Iterator[str]:
    xs = [place_x(x) for x in one.x.tolist()]
    low, middle, high = (values.tolist() for values in (one.low, one.middle, one.high))
    yield f'<g style="color:{colour}"><title>{_text(one.name)}</title>'
    if one.marked:
        whiskers = "".join(
            f"M{x:.1f} {place_y(bottom):.1f}V{place_y(top):.1f}"
            for x, bottom, centre, top in zip(xs, low, middle, high, strict=True)
            if all(map(math.isfinite, (bottom, centre, top)))
        )
        yield f'<path class="whisker" d="{whiskers}"/>' if whiskers else ""
    else:
        ends = [(x, *end) for x, *end in zip(xs, low, high, strict=True) if not any(map(math.isnan, end))]
        if len(ends) > 1:
            there = "L".join(f"{x:.1f} {place_y(bottom):.1f}" for x, bottom, _ in ends)
            back = "L".join(f"{x:.1f} {place_y(top):.1f}" for x, _, top in reversed(ends))
            yield f'<path class="band" d="M{there}L{back}Z"/>'
    ys = [place_y(value) if math.isfinite(value) else None for value in middle]
    yield f'<path d="{_path(xs, ys, steps=one.steps)}" {_stroke(one)}/>'
    if one.marked:
        yield "".join(_marker(one.style, x, y) for x, y in zip(xs, ys, strict=True) if y is not None)
    yield "</g>"


def _path(xs: Sequence[float], ys: Sequence[float | None], *, steps: bool) -> str:
    """Straight pieces or steps from point to point; a gap where there is none."""
    parts: list[str] = []
    pen_down = False
    for x, y in zip(xs, ys, strict=True):
        if y is None:
            pen_down = False
        elif not pen_down:
            parts.append(f"M{x:.1f} {y:.1f}")
            pen_down = True
        else:
            parts.append(f"H{x:.1f}V{y:.1f}" if steps else f"L{x:.1f} {y:.1f}")
    return "".join(parts)


def _crosses(one: Line, colour: str, figure: Figure, place_x: Place) -> Iterator[str]:
    """Marks at the top for what diverged or lies beyond the axis."""
    if one.marked or one.level:
        for x, value in zip(one.x.tolist(), one.middle.tolist(), strict=True):
            if value > figure.y_limits[1]:
                yield (
                    f'<path class="cross" style="color:{colour}" '
                    f'd="M{place_x(x) - 3:.1f} {_TOP - 3}l6 6m0-6l-6 6"/>'
                )


def _stroke(one: Line) -> str:
    width = _STROKE * one.width
    dashes = " ".join(f"{dash * width:.1f}" for dash in one.style.dashes)
    pattern = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'class="line" stroke-width="{width:.2f}"{pattern}'


def _marker(style: Style, x: float, y: float) -> str:
    outline = _OUTLINES.get(style.marker, _CIRCLE)
    return f'<path class="marker" transform="translate({x:.1f} {y:.1f}) scale({_MARKER})" d="{outline}"/>'


def _text(text: str) -> str:
    return escape(safe_text(text), quote=True)
