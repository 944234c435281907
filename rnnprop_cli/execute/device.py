"""Which device, how many threads, and what they cost in memory."""

import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import torch

from rnnprop_cli.errors import DeviceError

DeviceName = Literal["auto", "cpu", "cuda"]
KernelName = Literal["auto", "reference", "cpu", "cuda"]
DTYPES: Final = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Engine:
    """Where and how cells are run. A plain picklable value."""

    device: str  # "cpu" or "cuda"
    threads: int
    data_dir: Path | None
    kernel: KernelName = "auto"

    @property
    def torch_device(self) -> torch.device:
        """As torch knows it."""
        return torch.device(self.device)


def find_engine(
    device: DeviceName,
    data_dir: Path | None,
    kernel: KernelName = "auto",
    threads: int | None = None,
    slots: int = 1,
) -> Engine:
    """The engine that was asked for.

    Args:
        device: where to compute; "auto" takes CUDA where there is one.
        data_dir: where datasets are looked for first.
        kernel: which implementation of the learned optimizer's network.
        threads: of every slot; None shares the cores out among the slots.
        slots: batches that will run side by side.

    Raises:
        DeviceError: CUDA was asked for and is not there; nothing ever falls back to the CPU in silence.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        reason = (
            "this build of torch has no CUDA" if torch.version.cuda is None else "torch finds no CUDA device"
        )
        raise DeviceError(
            f"--device cuda: {reason}. Use --device cpu, or --device auto to take what is there."
        )
    if threads is None and slots > 1:
        threads = max(1, torch.get_num_threads() // slots)
    if threads is not None:
        torch.set_num_threads(threads)
    name = "cuda" if device == "cuda" or (device == "auto" and available) else "cpu"
    return Engine(name, torch.get_num_threads(), data_dir, kernel)


class PeakMemory:
    """Peak memory since the object was made: of the device on CUDA, of the process on the CPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            _reset_process_peak()

    def bytes(self) -> int:
        """The peak so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        status = Path("/proc/self/status")
        if status.exists():
            for line in status.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _reset_process_peak() -> None:
    """Linux lets a process reset its own high-water mark; elsewhere the peak is that of the process's whole life."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return
