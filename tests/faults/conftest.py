"""Commands that start in milliseconds, and what they end with when nothing goes wrong."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_tools import (
    BENCH_COMMAND,
    LONG_BENCH,
    TALLY,
    TRAIN_COMMAND,
    Nursery,
    fingerprint,
    hear_signals,
    prepare,
    table,
)

hear_signals()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_command_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that fails amid a command does not fail those after it."""
    yield
    for name in {"nursery", "shimmed"} & {*request.fixturenames}:
        request.getfixturevalue(name).end_latest()


@pytest.fixture(scope="session")
def shimmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Starts commands whose calls to the system can be made to fail; see `shim.c`."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).parent / "shim.c"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    made = Nursery(preload=library)
    yield made
    made.close()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where compiled kernels are kept."""
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare(tmp_path / "work")


@pytest.fixture(scope="session")
def undisturbed_table(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[object, ...]]:
    """What the benchmark ends with when nobody interferes."""
    folder = prepare(tmp_path_factory.mktemp("whole_bench"))
    command = nursery.run(folder, *BENCH_COMMAND)
    assert command.code == 0, command.said
    return table(folder)


@pytest.fixture(scope="session")
def undisturbed_long_table(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[object, ...]]:
    """What the longer benchmark ends with."""
    folder = prepare(tmp_path_factory.mktemp("whole_long_bench"), bench=LONG_BENCH)
    command = nursery.run(folder, *BENCH_COMMAND)
    assert command.code == 0, command.said
    return table(folder)


@pytest.fixture(scope="session")
def undisturbed_training(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the meta-training ends with when nobody interferes."""
    folder = prepare(tmp_path_factory.mktemp("whole_train"))
    command = nursery.run(folder, *TRAIN_COMMAND)
    assert command.code == 0, command.said
    return fingerprint(folder)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How much was injected."""
    for what, count in sorted(TALLY.items()):
        terminalreporter.write_line(f"injected: {count:>6,} {what}")
