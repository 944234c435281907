import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnprop_cli.tui.plot.canvas import Role
from rnnprop_cli.tui.plot.frame import FrameOptions, draw_frame, with_crosshair
from rnnprop_cli.tui.plot.palette import MINIMUM_CONTRAST, PALETTES, PATTERNS, contrast, line_pattern
from rnnprop_cli.tui.plot.raster import NOBODY, Charset, Raster
from rnnprop_cli.tui.plot.scale import Axis
from rnnprop_cli.tui.plot.series import PlotSeries

nan, inf = np.nan, np.inf


def picture(raster: Raster) -> list[str]:
    return ["".join(map(chr, row)) for row in raster.cells().codes]


def drawn(
    x: list[float], y: list[float], columns: int = 4, rows: int = 2, charset: str = "ascii"
) -> list[str]:
    raster = Raster(columns, rows, Charset(charset))
    raster.line(np.array(x, dtype=float), np.array(y, dtype=float), 0)
    return picture(raster)


def frame_text(series: list[PlotSeries], columns: int, rows: int, axis: Axis, **options: object) -> list[str]:
    frame = draw_frame(series, axis, columns, rows, FrameOptions(**options))  # type: ignore[arg-type]
    return ["".join(map(chr, row)) for row in frame.codes]


# Lines


def test_a_diagonal_is_one_dot_thin() -> None:
    assert drawn([0, 1], [0, 1], 4, 2) == ["  .'", ".'  "]
    assert drawn([0, 1], [1, 0], 2, 1, "braille") == ["⠑⢄"]


@pytest.mark.parametrize(("charset", "expected"), [("braille", "⠉⠉⠉⠉"), ("block", "▀▀▀▀"), ("ascii", "''''")])
def test_a_constant_is_a_level_line(charset: str, expected: str) -> None:
    assert drawn([0, 1], [1, 1], 4, 1, charset) == [expected]


def test_one_point_is_one_dot() -> None:
    assert drawn([0.5], [0.0], 3, 1, "braille") == [" ⡀ "]


@pytest.mark.parametrize("y", [[], [nan], [nan, nan]])
def test_nothing_draws_nothing(y: list[float]) -> None:
    assert drawn(list(np.linspace(0, 1, len(y))), y) == ["    ", "    "]


def test_a_missing_value_breaks_the_line() -> None:
    assert drawn([0, 1 / 3, 2 / 3, 1], [0, 0, nan, 0], 4, 1) == [".. ."]


def test_missing_values_between_far_points_leave_a_gap() -> None:
    assert drawn([0, 0.5, 1], [0, nan, 0], 9, 1) == [".       ."]


def test_infinity_runs_to_the_edge_and_comes_back() -> None:
    assert drawn([0, 1 / 3, 2 / 3, 1], [0, 0, inf, 0], 4, 3) == ["  | ", " .'.", ".| |"]
    assert drawn([0, 1 / 3, 2 / 3, 1], [1, 1, -inf, 1], 4, 3) == ["'| |", " | |", "  | "]


def test_a_line_wholly_beyond_an_edge_is_not_drawn_along_it() -> None:
    assert drawn([0, 1], [inf, inf]) == ["    ", "    "]
    assert drawn([0, 1], [-inf, -inf]) == ["    ", "    "]
    assert drawn([0, 1], [1.5, 7]) == ["    ", "    "]


def test_a_line_is_cut_where_it_crosses_the_side() -> None:
    # From (-1, 0) to (1, 1): half-way up where it enters.
    assert drawn([-1, 1], [0, 1], 4, 2) == drawn([0, 1], [0.5, 1], 4, 2)
    assert drawn([0, 2], [0, 1], 4, 2) == drawn([0, 1], [0, 0.5], 4, 2)
    assert drawn([-1, 2], [0.2, 0.2], 4, 1) == ["...."]


def test_points_out_of_view_are_not_drawn() -> None:
    assert drawn([2, 3], [0, 1]) == ["    ", "    "]
    assert drawn([-3, -2], [0, 1]) == ["    ", "    "]


@pytest.mark.parametrize("charset", list(Charset))
def test_a_spike_of_one_step_survives_thinning(charset: Charset) -> None:
    y = np.full(10_000, 0.1)
    y[4321] = 5.0
    series = PlotSeries("run", "a", np.arange(10_000.0), y)
    frame = draw_frame([series], Axis(0, 9999), 60, 20, FrameOptions(charset=charset, y_kind="log"))
    spike = frame.area.left + int(0.4321 * frame.area.columns)
    column = frame.codes[: frame.area.rows, spike - 1 : spike + 2]
    assert all(chr(code) not in " ·." for code in column.max(axis=1)[1:12])


@given(
    st.lists(st.tuples(st.floats(-2, 3), st.floats() | st.just(nan)), max_size=40),
    st.integers(0, 12),
    st.integers(0, 6),
    st.sampled_from(list(Charset)),
)
def test_any_line_and_band_in_any_size_is_drawn(
    points: list[tuple[float, float]], columns: int, rows: int, charset: Charset
) -> None:
    points = sorted(points, key=lambda point: point[0])
    x = np.array([point[0] for point in points])
    y = np.array([point[1] for point in points])
    raster = Raster(columns, rows, charset)
    raster.band(x, y, y + 0.2, 1)
    raster.line(x, y, 0)
    cells = raster.cells()
    assert cells.codes.shape == cells.band_top.shape == (rows, columns)
    assert ((cells.codes == ord(" ")) == (cells.line_owner == NOBODY)).all()
    if columns and rows:
        shown = {max(0, min(round(at * (raster.dot_columns - 1)), raster.dot_columns - 1)) for at, height in points
                 if 0 <= at <= 1 and 0 <= height <= 1}  # fmt: skip
        for dot in shown:
            assert (cells.line_owner[:, dot // raster.glyphs.dots_x] == 0).any()


@given(st.lists(st.floats(0, 1), min_size=2, max_size=60))
def test_a_line_without_gaps_has_none_on_screen(heights: list[float]) -> None:
    raster = Raster(20, 5)
    raster.line(np.linspace(0, 1, len(heights)), np.array(heights), 0)
    assert (raster.cells().line_owner == 0).any(axis=0).all()


# Several lines, bands, patterns


def test_lines_that_share_cells_take_them_by_turns() -> None:
    raster = Raster(6, 1)
    flat = np.array([0.0, 1.0])
    raster.line(flat, np.array([0.0, 0.0]), 1)
    raster.line(flat, np.array([1.0, 1.0]), 0)
    cells = raster.cells()
    assert cells.line_owner.tolist() == [[0, 1, 0, 1, 0, 1]]
    assert picture(raster) == ["⠉⣀⠉⣀⠉⣀"]


def test_merged_lines_show_all_their_dots() -> None:
    raster = Raster(3, 1, merged=True)
    flat = np.array([0.0, 1.0])
    raster.line(flat, np.array([0.0, 0.0]), 1)
    raster.line(flat, np.array([1.0, 1.0]), 0)
    assert picture(raster) == ["⣉⣉⣉"]


def test_a_band_fills_half_cells() -> None:
    raster = Raster(3, 2)
    raster.band(np.array([0.0, 1.0]), np.array([0.3, 0.3]), np.array([1.0, 1.0]), 7)
    cells = raster.cells()
    assert (cells.band_top == 7).all()
    assert (cells.band_bottom[0] == 7).all()
    assert (cells.band_bottom[1] == NOBODY).all()


def test_a_band_has_a_gap_where_either_edge_is_missing() -> None:
    raster = Raster(3, 1, Charset.ASCII)
    raster.band(np.array([0, 0.5, 1]), np.array([0, nan, 0]), np.array([1.0, 1, 1]), 0)
    assert raster.cells().band_top.tolist() == [[0, NOBODY, 0]]


def test_a_pattern_leaves_out_dot_columns() -> None:
    raster = Raster(4, 1, Charset.ASCII)
    raster.line(np.array([0.0, 1.0]), np.array([0.0, 0.0]), 0, (True, False))
    assert picture(raster) == [". . "]


def test_no_pattern_leaves_out_a_spike() -> None:
    raster = Raster(4, 5, Charset.ASCII)
    raster.line(np.array([0, 1 / 3, 1 / 3, 1]), np.array([0.0, 0, 1, 0]), 0, (True, False))
    assert [row[1] for row in picture(raster)] == ["|"] * 5


# Frames


def loss(letter: str, y: list[float], **style: object) -> PlotSeries:
    return PlotSeries("run", letter, np.arange(float(len(y))), np.array(y), **style)  # type: ignore[arg-type]


def test_letters_stand_where_lines_end_and_never_collide() -> None:
    rows = frame_text([loss("a", [1, 0.5]), loss("b", [2, 0.5]), loss("c", [0, 1])], 40, 12, Axis(0, 1))
    at = {row[-1]: number for number, row in enumerate(rows) if row[-1] != " "}
    assert set(at) == {"a", "b", "c"}
    assert at["c"] < at["a"]


def test_a_line_that_ends_early_has_its_letter_beside_it() -> None:
    rows = frame_text([loss("a", [1, 1, 1]), loss("b", [0.0] * 10)], 40, 12, Axis(0, 9))
    (row,) = [row for row in rows if "a" in row]
    assert row.index("a") < 20


def test_divergence_is_marked_where_it_happened() -> None:
    rows = frame_text([loss("a", [1, 2, inf, inf]), loss("b", [1.0] * 9)], 40, 12, Axis(0, 8))
    assert "✗a" in rows[0]
    rows = frame_text([loss("a", [1, 2, inf, inf])], 40, 12, Axis(0, 8), charset=Charset.ASCII)
    assert "xa" in rows[0]


def test_a_diverged_series_does_not_flatten_the_others() -> None:
    frame = draw_frame(
        [loss("a", [1, 0.1]), loss("b", [1, 1e30], end_marker="✗")],
        Axis(0, 1),
        40,
        12,
        FrameOptions(y_kind="log"),
    )
    assert frame.y_axis.high <= 10


def test_log_axis_runs_zero_down_to_the_bottom_edge() -> None:
    y = np.ones(201)
    y[100] = 0.0
    y[200] = 0.1
    series = PlotSeries("run", "", np.arange(201.0), y)
    frame = draw_frame([series], Axis(0, 200), 40, 12, FrameOptions(y_kind="log"))
    middle = frame.area.left + frame.area.columns // 2
    assert (frame.ink[: frame.area.rows, middle] >= Role.SERIES).all()


def test_no_data_show_the_empty_text_without_control_characters() -> None:
    rows = frame_text([], 20, 3, Axis(0, 1), empty_text="no\x1bdata")
    assert rows[1].strip() == "no�data"


def test_letters_and_markers_hold_no_control_or_wide_characters() -> None:
    rows = frame_text([loss("\x1b", [1, 1]), loss("日", [2, 2], end_marker="\x07")], 40, 12, Axis(0, 1))
    text = "".join(rows)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "日" not in text


def test_the_crosshair_leaves_lines_alone_and_names_its_step() -> None:
    options = FrameOptions()
    frame = draw_frame([loss("a", [1.0] * 11)], Axis(0, 10), 40, 12, options)
    crossed = with_crosshair(frame, 5, options)
    column = (frame.codes != crossed.codes).any(axis=0).nonzero()[0]
    assert "@5" in "".join(map(chr, crossed.codes[-1]))
    line_cells = frame.ink >= Role.SERIES
    assert (crossed.codes[line_cells] == frame.codes[line_cells]).all()
    assert column.size
    assert with_crosshair(frame, 99, options) is frame


@given(st.integers(0, 40), st.integers(0, 12), st.sampled_from(list(Charset)), st.booleans())
def test_a_frame_of_any_size_can_be_drawn(columns: int, rows: int, charset: Charset, log: bool) -> None:
    options = FrameOptions(charset=charset, y_kind="log" if log else "linear")
    series = [
        loss("a", [1, 0, nan, inf, 2]),
        loss("b", [3.0]),
        loss("c", []),
        loss("d", [1, 2], end_marker="✗"),
    ]
    frame = draw_frame(series, Axis(0, 4), columns, rows, options)
    crossed = with_crosshair(frame, 2, options)
    assert crossed.codes.shape == frame.ink.shape == frame.ground.shape == (rows, columns)
    if charset is Charset.ASCII:
        assert (crossed.codes < 128).all()


@pytest.mark.parametrize(
    "wrong", [{"low": np.ones(2)}, {"color_index": -1}, {"low": np.ones(3), "high": np.ones(3)}]
)
def test_malformed_series_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"band|colour|steps"):
        loss("a", [1, 2], **wrong)


# Palettes


@pytest.mark.parametrize("name", sorted(PALETTES))
def test_every_colour_stands_out_from_its_ground(name: str) -> None:
    palette = PALETTES[name]
    for color in (*palette.series, palette.text, palette.accent):
        assert contrast(color, palette.ground) >= MINIMUM_CONTRAST
    for index in range(len(palette.series)):
        # On its own band a line is still told from the ground it lies on.
        assert contrast(palette.series_color(index), palette.band_color(index)) >= 2.0
    assert len(set(palette.series)) == len(palette.series) == len(PATTERNS)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_without_colour_each_series_has_a_pattern_of_its_own() -> None:
    patterns = {line_pattern(index, dashed=False, colorless=True) for index in range(len(PATTERNS))}
    assert len(patterns) == len(PATTERNS)


@pytest.mark.parametrize("charset", list(Charset))
def test_without_colour_the_best_baseline_is_heavy_and_nothing_is_a_band(charset: Charset) -> None:
    steps = np.arange(2.0)

    def dots(*, dashed: bool) -> int:
        series = PlotSeries("adam", "", steps, np.array([1.0, 1.0]), dashed=dashed)
        frame = draw_frame([series], Axis(0, 1), 60, 12, FrameOptions(charset=charset, colorless=True))
        area = frame.codes[: frame.area.rows, frame.area.left : frame.area.left + frame.area.columns]
        lines = area[
            frame.ink[: frame.area.rows, frame.area.left : frame.area.left + frame.area.columns] >= 16
        ]
        return sum(_dots(chr(code)) for code in lines)

    assert dots(dashed=True) == 2 * dots(dashed=False)
    banded = PlotSeries("adam", "", steps, np.array([1.0, 1.0]), np.array([0.5, 0.5]), np.array([2.0, 2.0]))
    frame = draw_frame([banded], Axis(0, 1), 60, 12, FrameOptions(charset=charset, colorless=True))
    assert (frame.ground == 0).all()
    assert "▀" not in "".join(map(chr, frame.codes.ravel()))


def _dots(character: str) -> int:
    """How many dots of a cell a character shows."""
    quadrants = {
        "▘": 1,
        "▝": 1,
        "▀": 2,
        "▖": 1,
        "▌": 2,
        "▞": 2,
        "▛": 3,
        "▗": 1,
        "▚": 2,
        "▐": 2,
        "▜": 3,
        "▄": 2,
    }
    known = quadrants | {"▙": 3, "▟": 3, "█": 4, "'": 1, ".": 1, "|": 2}
    return known.get(character, bin(ord(character) - 0x2800).count("1") if ord(character) > 0x2800 else 0)


def test_the_gaps_of_a_dashed_line_show_in_braille() -> None:
    series = PlotSeries("adam", "", np.arange(2.0), np.array([1.0, 1.0]), dashed=True)
    frame = draw_frame([series], Axis(0, 1), 60, 12, FrameOptions())
    row = next(row for row in frame.codes if (row > 0x2800).sum() > 10)
    drawn = row[frame.area.left : frame.area.left + frame.area.columns] > 0x2800
    assert 0.25 < 1 - drawn.mean() < 0.6  # whole cells are empty, not half ones
