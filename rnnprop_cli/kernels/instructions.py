"""Which of the kernel's instruction sets this processor has."""

from functools import cache
from pathlib import Path
from typing import Final

from rnnprop_cli.kernels.recipe import INSTRUCTION_FLAGS, instruction_sets

_CPU_FLAGS_FILE: Final = Path("/proc/cpuinfo")


def host_instructions() -> str:
    """The widest set that PyTorch uses here and that the processor says it has.

    PyTorch's choice counts because its own loops differ in the last bits from set to set as ours do, and because
    ATEN_CPU_CAPABILITY=avx2 then narrows both. The processor's word counts because an instruction that it lacks ends
    the process.
    """
    sets = instruction_sets()
    if len(sets) == 1:
        return sets[0]
    import torch  # here: all else about a kernel's file can be found out without waiting for it

    capability = torch.backends.cpu.get_cpu_capability().lower()
    narrower = sets[sets.index(capability) :] if capability in sets else sets[-1:]
    flags = _cpu_flags()
    return next(each for each in narrower if each == sets[-1] or flags is None or _needs(each) <= flags)


def _needs(instructions: str) -> set[str]:
    """The processor's flags that a set stands for, as the compiler's flags name them."""
    return {
        flag.removeprefix("-m")
        for flag in INSTRUCTION_FLAGS[instructions]
        if not flag.startswith(("-march=", "-mtune="))
    }


@cache
def _cpu_flags() -> frozenset[str] | None:
    """What the first processor says it has; None where the system does not tell."""
    try:
        lines = _CPU_FLAGS_FILE.read_text().splitlines()
    except OSError:
        return None
    return next(
        (frozenset(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), None
    )
