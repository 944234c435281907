"""Which device, how many threads, and what they cost in memory."""

import re
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from rnnprop_cli.components import plugins
from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels import KernelName

DTYPES: Final = {"float32": torch.float32, "float64": torch.float64}


_DEVICE: Final = re.compile(r"auto|cpu|cuda(:[0-9]{1,3})?")


@dataclass(frozen=True)
class Engine:
    """Where and how cells are run. A plain picklable value."""

    device: str  # "cpu", "cuda" (the first GPU; slots are spread over all that are alike) or "cuda:1"
    threads: int
    data_dir: Path | None
    kernel: KernelName = "auto"
    tf32: bool = False  # float32 means float32 unless somebody asks for less
    allow_code: bool = False  # whether code that a spec names may be imported

    @property
    def torch_device(self) -> torch.device:
        """As torch knows it."""
        return torch.device(self.device)

    def prepare(self) -> None:
        """Gives this process what the engine says: threads, the precision of float32 products on a GPU, and which; and
        whether it may import code from outside."""
        plugins.allow_code(self.allow_code)
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        torch.backends.cudnn.allow_tf32 = self.tf32  # PyTorch allows it unless told
        if self.torch_device.index is not None:
            torch.cuda.set_device(self.torch_device)  # graphs are captured on the current one


MOST_THREADS: Final = 4096  # of all slots together


def find_engine(
    device: str,
    data_dir: Path | None,
    kernel: KernelName = "auto",
    threads: int | None = None,
    slots: int = 1,
    *,
    tf32: bool = False,
    allow_code: bool = False,
) -> Engine:
    """The engine that was asked for; this process is prepared for it.

    Args:
        device: where to compute: "cpu", "cuda", "cuda:1"; "auto" takes CUDA where there is one.
        data_dir: where datasets are looked for first.
        kernel: which implementation of the learned optimizer's network.
        threads: of every slot; None shares the cores out among the slots.
        slots: batches that will run side by side.
        tf32: whether float32 products on a GPU may be rounded to TF32.
        allow_code: whether code that a spec names may be imported.

    Raises:
        DeviceError: CUDA was asked for and is not there; nothing ever falls back to the CPU in silence.
    """
    if not _DEVICE.fullmatch(device):
        raise DeviceError(f"--device {device}: there are auto, cpu, cuda and cuda:N")
    available = torch.cuda.is_available()
    if device.startswith("cuda") and not available:
        reason = (
            "this build of torch has no CUDA" if torch.version.cuda is None else "torch finds no CUDA device"
        )
        raise DeviceError(
            f"--device {device}: {reason}. Use --device cpu, or --device auto to take what is there."
        )
    name = ("cuda" if available else "cpu") if device == "auto" else device
    index = torch.device(name).index
    if index is not None and index >= torch.cuda.device_count():
        raise DeviceError(f"--device {device}: there are {torch.cuda.device_count()} GPUs, from cuda:0 on")
    if tf32 and name == "cpu":
        raise DeviceError("--tf32 is a precision of GPUs, and this would run on the CPU; leave it out")
    if threads is None:
        threads = max(1, torch.get_num_threads() // slots)
    if threads * slots > MOST_THREADS:  # a system without room for another process is of use to nobody
        raise DeviceError(
            f"{slots} slots of {threads} threads are {slots * threads:,}; at most {MOST_THREADS:,} are started"
        )
    engine = Engine(name, threads, data_dir, kernel, tf32, allow_code)
    engine.prepare()
    return engine


def gpu_name(device: torch.device) -> str:
    """The GPU's model, as its driver calls it."""
    return torch.cuda.get_device_name(device)


def slot_devices(device: str) -> tuple[str, ...]:
    """The devices that slots take in turns: all GPUs of the first one's model, unless one was named.

    GPUs of another model would give other bits, and a result's identity names one model.
    """
    if device != "cuda":
        return (device,)
    names = [gpu_name(torch.device("cuda", index)) for index in range(torch.cuda.device_count())]
    return tuple(f"cuda:{index}" for index, name in enumerate(names) if name == names[0])


def is_lost(device: torch.device) -> bool:
    """Whether a GPU answers this process no more.

    After an illegal access, a failed assertion on the device and the like every call gives that error again, until the
    process ends. Any other error leaves the device as it was.
    """
    if device.type != "cuda":
        return False
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return True
    return False


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
