"""Drives the app in tests: waits for the store, reads the screen as text."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from textual.pilot import Pilot

from rnnprop_cli.tui.app import RnnpropApp
from rnnprop_cli.tui.plot import Charset

Script = Callable[[RnnpropApp, Pilot[None]], Awaitable[None]]
SNAPSHOTS = Path(__file__).parent / "snapshots"
_PATIENCE_S = 10.0


def play(
    path: Path,
    script: Script,
    *,
    more: Sequence[Path] = (),
    size: tuple[int, int] = (80, 24),
    loaded: bool = True,
    charset: Charset = Charset.BRAILLE,
    theme: str = "dark",
) -> RnnpropApp:
    """Run a script against the app looking at a database."""
    app = RnnpropApp(path, more=more, fps=10, charset=charset, theme=theme)

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            if loaded:
                await until(pilot, lambda: app.state.loaded)
            await settle(app, pilot)
            await script(app, pilot)

    asyncio.run(run())
    return app


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Wait until something is true."""
    for _ in range(int(_PATIENCE_S / 0.02)):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not come true in time")


async def settle(app: RnnpropApp, pilot: Pilot[None]) -> None:
    """Wait until what the screen wants has been read and drawn."""
    await pilot.pause()
    for _ in range(100):
        screen = app.screen
        wanted = set(screen.wanted_groups()) if hasattr(screen, "wanted_groups") else set()
        if wanted <= set(app.state.snapshot.lines):
            break
        await pilot.pause(0.02)
    await pilot.pause(0.02)
    await pilot.pause()


def screen_text(app: RnnpropApp) -> str:
    """What a reader sees, without colours."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips) + "\n"


def check_snapshot(name: str, text: str) -> None:
    """Compare with the stored file; UPDATE_SNAPSHOTS=1 writes it, and a person reads the diff."""
    path = SNAPSHOTS / name
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), (
        f"differs from {path.name}; UPDATE_SNAPSHOTS=1 accepts it"
    )
