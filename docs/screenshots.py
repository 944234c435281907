"""Makes the screenshots of the README from a database.

    python docs/screenshots.py results/rnnprop.db [--out docs/images]

Needs `pip install resvg-py` and a monospace font with braille, such as DejaVu Sans Mono.
"""

import argparse
import asyncio
import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
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
            await pilot.press("right", *["L"] * 5)
            await pilot.pause(0.5)
        return app.export_screenshot(title="rnnprop tui")


def to_png(svg: str, path: Path) -> None:
    """Without xml:space, blanks are dropped; without a local font, the braille."""
    import resvg_py

    svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = re.sub(r"Fira Code|arial", FONT, svg)
    path.write_bytes(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=PIXELS_WIDE, monospace_family=FONT)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--theme", default="dark")
    arguments = parser.parse_args()
    if find_spec("resvg_py") is None:
        sys.exit("resvg is not installed: pip install resvg-py")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, keys in SHOTS.items():
        svg = asyncio.run(take(arguments.database, keys, arguments.theme))
        to_png(svg, arguments.out / f"{name}.png")


if __name__ == "__main__":
    main()
