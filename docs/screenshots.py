"""Makes the screenshots of the README from a database.

    python docs/screenshots.py results/rnnprop.db [--out docs/images]

Needs rsvg-convert (librsvg2-bin) and a monospace font with braille, such as DejaVu Sans Mono.
"""

import argparse
import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rnnprop_cli.tui.app import RnnpropApp

FONT = "DejaVu Sans Mono"
SIZE = (120, 36)
PIXELS_WIDE = 940
SHOTS: dict[str, Sequence[str]] = {"tui-runs": ("1",), "tui-compare": ("3",)}


async def take(database: Path, keys: Sequence[str], theme: str) -> str:
    """The app's screen after some keys, as SVG."""
    app = RnnpropApp(database, theme=theme)
    async with app.run_test(size=SIZE) as pilot:
        for key in ("", *keys):
            if key:
                await pilot.press(key)
            await pilot.pause(1.0)  # for the store to be read
        if app.current_mode == "runs" and app.state.bench is not None:
            learned = next((group for group in app.state.bench.groups if group.is_learned), None)
            if learned is not None:
                app.state.jump_to = learned.id
                app.show_front()
            await pilot.press("right", *["L"] * 3)
            await pilot.pause(0.5)
        return app.export_screenshot(title="rnnprop tui")


def to_png(svg: str, path: Path) -> None:
    """Without xml:space, rsvg-convert drops the blanks; without a local font, the braille."""
    svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)
    svg = re.sub(r"Fira Code", FONT, svg)
    source = path.with_suffix(".svg")
    source.write_text(svg, encoding="utf-8")
    try:
        subprocess.run(["rsvg-convert", "-w", str(PIXELS_WIDE), "-o", str(path), str(source)], check=True)
    finally:
        source.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--theme", default="dark")
    arguments = parser.parse_args()
    if shutil.which("rsvg-convert") is None:
        sys.exit("rsvg-convert is not installed (librsvg2-bin)")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, keys in SHOTS.items():
        svg = asyncio.run(take(arguments.database, keys, arguments.theme))
        to_png(svg, arguments.out / f"{name}.png")


if __name__ == "__main__":
    main()
