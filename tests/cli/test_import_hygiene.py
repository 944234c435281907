"""`rnnprop --help` answers at once because it loads nothing heavy."""

import subprocess
import sys

HEAVY = {"torch", "textual", "sqlite_utils", "numpy", "sklearn", "scipy", "pydantic", "pooch", "matplotlib"}


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from rnnprop_cli.cli.app import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', sorted({HEAVY!r} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "LOADED []"
