"""How many times a second the plot of the terminal interface can be redrawn.

A headless app shows one plot; every redraw gets new data, so nothing but Textual's own caches can help. A redraw is
everything from `set_series` to the escape sequences that would go to the terminal; `draw` is the part of it
that makes the picture. The target is 15 redraws a second at 160x48 with 12 series of 10,000 points.

    python benchmarks/tui_plot.py [--series 12] [--points 10000] [--size 160x48] [--redraws 40] [--json]
"""

import argparse
import asyncio
import json
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import textual
from textual.app import App, ComposeResult

from rnnprop_cli.tui.plot import Charset, Plot, PlotSeries

TARGET_PER_S = 15.0


def make_series(count: int, points: int, seed: int) -> list[PlotSeries]:
    """Noisy, falling, loss-like lines with bands."""
    rng = np.random.default_rng(seed)
    step = np.arange(points, dtype=np.float64)
    made = []
    for index in range(count):
        floor = 10.0 ** rng.uniform(-4, -1)
        line = (2.3 * np.exp(-step * 10.0 / points * rng.uniform(0.3, 2)) + floor) * np.exp(
            0.1 * rng.standard_normal(points)
        )
        letter = chr(ord("a") + index % 26)
        dashed = index % 3 == 2
        made.append(PlotSeries(f"run {index}", letter, step, line, line * 0.7, line * 1.4, dashed, index))
    return made


class PlotApp(App[None]):
    def __init__(self, charset: Charset) -> None:
        super().__init__()
        self.plot = Plot(title="loss", x_label="step", log_y=True, charset=charset)

    def compose(self) -> ComposeResult:
        yield self.plot


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


async def measure(
    charset: Charset, count: int, points: int, size: tuple[int, int], redraws: int
) -> dict[str, object]:
    """Median times over ``redraws`` redraws, each of other data."""
    app = PlotApp(charset)
    frames = [make_series(count, points, seed) for seed in range(4)]
    draw_s, redraw_s, frame_bytes = [], [], []
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for turn in range(redraws + 3):
            data = frames[turn % len(frames)]

            def redraw(data: list[PlotSeries] = data) -> None:
                app.plot.set_series(data)
                draw_s.append(_timed(lambda: app.plot.render_line(0)))
                update = app.screen._compositor.render_update(full=True)
                assert update is not None
                frame_bytes.append(len(update.render_segments(app.console).encode()))

            redraw_s.append(_timed(redraw))
            await asyncio.sleep(0)
    median_s = statistics.median(redraw_s[3:])  # the first few warm caches
    return {
        "charset": charset.value,
        "redraws_per_s": round(1 / median_s, 1),
        "redraw_ms": round(1000 * median_s, 2),
        "draw_ms": round(1000 * statistics.median(draw_s[3:]), 2),
        "frame_bytes": int(statistics.median(frame_bytes[3:])),
        "meets_target": 1 / median_s >= TARGET_PER_S,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--series", type=int, default=12)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--size", default="160x48")
    parser.add_argument("--redraws", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    columns, rows = (int(part) for part in options.size.split("x"))
    rows_of_table = [
        asyncio.run(measure(charset, options.series, options.points, (columns, rows), options.redraws))
        for charset in Charset
    ]
    if options.json:
        setting = {
            "series": options.series,
            "points": options.points,
            "size": options.size,
            "redraws": options.redraws,
        }
        versions = {
            "python": platform.python_version(),
            "textual": textual.__version__,
            "numpy": np.__version__,
        }
        print(json.dumps({"setting": setting, "versions": versions, "results": rows_of_table}, indent=2))
        return
    print(f"{options.series} series x {options.points:,} points with bands, log y, {options.size}")
    print(f"{'charset':10}{'redraws/s':>10}{'redraw ms':>11}{'draw ms':>9}{'KB/frame':>10}")
    for row in rows_of_table:
        print(
            f"{row['charset']:10}{row['redraws_per_s']:>10}{row['redraw_ms']:>11}{row['draw_ms']:>9}"
            f"{int(str(row['frame_bytes'])) / 1000:>10.1f}"
        )


if __name__ == "__main__":
    main()
