"""`rnnprop doctor`: what this machine has, and what is missing."""

import json
import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import typer

from rnnprop_cli import __version__
from rnnprop_cli.cli.console import EXIT_FAILED, settings, stdout
from rnnprop_cli.cli.options import DataDirOption, JsonOption
from rnnprop_cli.errors import DeviceError, StoreError
from rnnprop_cli.view.safe_text import safe_text

SAFE_SQLITE: Final = (3, 51, 3)
LITTLE_ROOM_BYTES: Final = 1 << 30
_STYLES: Final = {"ok": "green", "note": "yellow", "broken": "bold red"}


@dataclass(frozen=True)
class Finding:
    """One line of the report. A note can be lived with; what is broken makes the command fail."""

    topic: str
    status: Literal["ok", "note", "broken"]
    text: str


def doctor(ctx: typer.Context, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Show versions, devices, datasets, the database and the terminal. Exits 1 if something is broken."""
    findings = list(examine(settings(ctx).db, data_dir))
    if as_json:
        typer.echo(json.dumps({"findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        width = max(len(finding.topic) for finding in findings)
        for finding in findings:
            out = stdout()
            out.print(f"{finding.status:<6}", style=_STYLES[finding.status], end="  ")
            first, *rest = safe_text(finding.text, keep_newlines=True).split("\n")
            out.print(f"{finding.topic:<{width}}  {first}", soft_wrap=True)
            for line in rest:
                out.print(f"{'':<{width + 10}}{line}", soft_wrap=True)
    if any(finding.status == "broken" for finding in findings):
        raise typer.Exit(EXIT_FAILED)


def examine(db: Path, data_dir: Path | None) -> Iterator[Finding]:
    """Everything there is to tell, in reading order."""
    yield Finding("rnnprop", "ok", f"{__version__} ({Path(__file__).parents[1]})")
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}")
    yield from _torch()
    yield _sqlite()
    yield from _engines()
    yield from _data(data_dir)
    yield _database(db)
    yield _writing(db)
    yield _room(db)
    yield _terminal()


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("torch", "broken", f"cannot be imported: {error}")
        return
    yield Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda")
        for index in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(index)
            memory = f"{about.total_memory / 2**30:.0f} GiB"
            yield Finding("device", "ok", f"cuda:{index} {about.name}, {memory}, CUDA {torch.version.cuda}")
    else:
        why = "this torch has no CUDA" if torch.version.cuda is None else "torch finds no CUDA device"
        yield Finding("device", "ok", f"cpu, {os.cpu_count()} cores ({why})")
    from rnnprop_cli.kernels.select import select_kernel

    try:
        kernel, reason = select_kernel("auto", device, torch.float32)
    except DeviceError as error:
        yield Finding("kernel", "broken", str(error))
    else:
        slow = kernel.name == "reference"
        where = _kernel_file() if kernel.name == "cpu" else ""
        yield Finding("kernel", "note" if slow else "ok", reason.removeprefix("kernel: ") + where)


def _kernel_file() -> str:
    """The compiled kernel's file, and those that were passed over, a line each."""
    from rnnprop_cli.kernels.cpu_library import loaded_kernel

    found = loaded_kernel()
    return "".join(f"\n{line}" for line in (found.path, *found.passed_over))


def _sqlite() -> Finding:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < SAFE_SQLITE:
        safe = ".".join(map(str, SAFE_SQLITE))
        return Finding(
            "sqlite",
            "note",
            f"{version}: before {safe} a rare bug in WAL mode can lose a write when two connections write and\n"
            "checkpoint at once; rnnprop writes from one process only, so let no other program write there",
        )
    return Finding("sqlite", "ok", version)


def _engines() -> Iterator[Finding]:
    """Who can carry out a benchmark's batches."""
    from importlib.metadata import version

    from rnnprop_cli.execute.available import missing
    from rnnprop_cli.execute.slurm_control import reached

    yield Finding("engine local", "ok", f"worker processes here, {os.cpu_count()} cores")
    ray, slurm = missing("ray"), missing("slurm")
    answers, words = (False, slurm) if slurm else reached()
    yield Finding("engine ray", "note" if ray else "ok", ray or f"Ray {version('ray')}")
    yield Finding("engine slurm", "ok" if answers else "note", words)


def _data(data_dir: Path | None) -> Iterator[Finding]:
    from rnnprop_cli.cli.data import datasets_here

    for row in datasets_here(data_dir):
        here = row["status"] != "absent"
        text = f"{row['status']}: {row['where']}" if here else f"absent; rnnprop data fetch {row['name']}"
        yield Finding(f"data {row['name']}", "ok" if here else "note", text)


def _database(db: Path) -> Finding:
    where = db.expanduser().absolute()
    if not where.exists():
        return Finding("database", "ok", f"{where}: not there yet, the first run makes it")
    from rnnprop_cli.store.reader import Reader

    try:
        with Reader.open(db) as reader:
            counts = reader.status_counts()
            experiments = len(reader.experiments())
    except StoreError as error:
        return Finding("database", "broken", str(error))
    runs = sum(sum(of_one.values()) for of_one in counts.values())
    size = where.stat().st_size / 2**20
    return Finding("database", "ok", f"{where}: {experiments:,} experiments, {runs:,} runs, {size:.1f} MiB")


def _writing(db: Path) -> Finding:
    """Whether a run could record its results."""
    from rnnprop_cli.store.lock import find_holder
    from rnnprop_cli.store.trouble import why_unlockable

    where = db.expanduser().resolve()
    holder = find_holder(where)
    if holder is not None:
        return Finding("writing", "note", f"process {holder.pid} is writing here: {holder.command}")
    folder = _existing(where.parent)
    if not os.access(folder, os.W_OK | os.X_OK) or (where.exists() and not os.access(where, os.W_OK)):
        return Finding("writing", "broken", f"{where}: not permitted; choose another place with --db")
    if reason := why_unlockable(where):
        return Finding("writing", "broken", f"{folder}: this file system cannot lock ({reason})")
    return Finding("writing", "ok", "nobody is writing; runs can be recorded")


def _room(db: Path) -> Finding:
    folder = _existing(db.expanduser().resolve().parent)
    free = shutil.disk_usage(folder).free
    low = free < LITTLE_ROOM_BYTES
    text = f"{free / 2**30:.1f} GiB free where results go" + (", which is little" if low else "")
    return Finding("disk", "note" if low else "ok", text)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next((each for each in (folder, *folder.parents) if each.exists()), folder)


def _terminal() -> Finding:
    columns, lines = shutil.get_terminal_size()
    encoding = sys.stdout.encoding or "unknown"
    is_terminal = sys.stdout.isatty()
    kind = (
        f"{os.environ.get('TERM') or 'TERM is not set'}, {columns}x{lines}"
        if is_terminal
        else "not a terminal"
    )
    console = stdout()
    colour = "none" if console.no_color else console.color_system or "none"
    text = f"{kind}, {encoding}, colours: {colour}"
    if is_terminal and encoding.lower().replace("-", "") != "utf8":
        return Finding("terminal", "note", f"{text}; plots need UTF-8, or rnnprop tui --charset ascii")
    return Finding("terminal", "ok", text)
