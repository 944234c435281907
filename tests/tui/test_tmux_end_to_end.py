"""The real command in a real terminal, with a benchmark running beside it."""

import re
import shutil
import subprocess
import sys
import time

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]

SPEC = """
name = "live"
seeds = 2
horizon = [4000]
[[optimizees]]
kind = "mlp"
dataset = "digits"
[[optimizers]]
kind = ["sgd", "adam"]
lr = "tuned"
[tuning]
seeds = 1
confirm_seeds = false
points = 3
max_rounds = 1
"""
_PATIENCE_S = 90.0


class Terminal:
    """A tmux server of our own."""

    def __init__(self, socket, command: str, cwd) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        self._run("new-session", "-d", "-x", "100", "-y", "30", "-c", str(cwd), command)

    def _run(self, *words: str) -> str:
        return subprocess.run([*self._tmux, *words], check=True, capture_output=True, text=True).stdout

    def text(self) -> str:
        return self._run("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def wait_for(self, word: str) -> str:
        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end:
            text = self.text()
            if word in text:
                return text
            time.sleep(0.1)
        raise AssertionError(f"no {word!r} on the screen:\n{self.text()}")

    def wait_until_gone(self, word: str) -> None:
        end = time.monotonic() + _PATIENCE_S
        while word in self.text() and time.monotonic() < end:
            time.sleep(0.1)

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


def test_a_bench_beside_it_moves_on_the_screen_and_q_leaves_the_terminal_clean(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "spec.toml").write_text(SPEC)
    terminal = Terminal(
        tmp_path / "socket", f"{sys.executable} -m rnnprop_cli tui; echo ended with $?; cat", tmp_path
    )
    bench = None
    try:
        terminal.wait_for("there is no database")
        command = [sys.executable, "-m", "rnnprop_cli", "bench", "--spec", "spec.toml", "--threads", "1"]
        with (tmp_path / "bench.log").open("w") as log:
            bench = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
        terminal.wait_for("live ●")
        seen = set()
        while bench.poll() is None:
            seen |= set(re.findall(r" (\d+)%", terminal.text()))
            time.sleep(0.1)
        assert bench.returncode == 0, (tmp_path / "bench.log").read_text()
        assert len(seen) > 2, f"progress seen: {seen}"
        text = terminal.wait_for("★")
        assert "best" in text
        terminal.press("3")
        terminal.wait_for("final loss by learning rate")
        terminal.press("4")
        terminal.wait_for("newest first")
        terminal.press("1", "?")
        terminal.wait_for("Everywhere")
        terminal.press("Escape")
        terminal.wait_until_gone("Everywhere")  # escape and q in one breath would be alt+q
        terminal.press("q")
        terminal.wait_for("ended with 0")
    finally:
        if bench is not None and bench.poll() is None:
            bench.kill()
            bench.wait()
        terminal.close()
