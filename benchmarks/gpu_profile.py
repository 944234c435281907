"""What a GPU does in a piece of work, program by program, for `gpu_suite.py`."""

from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

MOST = 12  # programs that are told of


def device_times(work: Callable[[], object], times: int = 3) -> dict[str, Any]:
    """Milliseconds of one of so many, all in all and by program: the longest first."""
    work()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(times):
            work()
        torch.cuda.synchronize()
    return summed(
        [
            (event.name, event.time_range.elapsed_us())
            for event in profiler.events() or ()
            if event.device_type == torch.autograd.DeviceType.CUDA
        ],
        times,
    )


def summed(launches: list[tuple[str, float]], times: int) -> dict[str, Any]:
    """Launches, each with its microseconds, added up by program."""
    programs: dict[str, list[float]] = {}
    for name, us in launches:
        count_us = programs.setdefault(name, [0, 0.0])
        count_us[0] += 1
        count_us[1] += us
    longest = sorted(programs.items(), key=lambda item: -item[1][1])[:MOST]
    return {
        "ms": sum(us for _, us in launches) / times / 1e3,
        "launches": len(launches) / times,
        "programs": {
            name[:60]: {"ms": us / times / 1e3, "launches": n / times, "us": us / n}
            for name, (n, us) in longest
        },
    }
