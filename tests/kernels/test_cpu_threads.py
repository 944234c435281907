"""Threads of the C++ body: forks, calls at the same time, signals, and rest between calls."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from rnnprop_cli.errors import DeviceError
from rnnprop_cli.kernels.cpu import CpuKernel
from rnnprop_cli.kernels.network import Network

THREADS = 3


@pytest.fixture(scope="module")
def kernel():
    try:
        return CpuKernel()
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def some_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_computes_the_same_bits(kernel, problem, network):
    p = problem(network, 1000)
    expected = kernel.window_gradient(*p.window)  # the parent's threads exist now
    child = os.fork()
    if child == 0:
        os._exit(0 if torch.equal(kernel.window_gradient(*p.window), expected) else 1)
    deadline = time.monotonic() + 60
    done, status = 0, 0
    while not done and time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not done:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert status == 0
    assert torch.equal(kernel.window_gradient(*p.window), expected)


def test_calls_at_the_same_time_give_the_same_bits(kernel, problem, network):
    p = problem(network, 1000)
    expected = kernel.window_gradient(*p.window)
    same: list[bool] = []

    def call() -> None:
        torch.set_num_threads(THREADS)
        same.extend(torch.equal(kernel.window_gradient(*p.window), expected) for _ in range(5))

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert same == [True] * 15


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_helpers_sleep_between_calls_and_leave_signals_alone(kernel, problem):
    torch.set_num_threads(THREADS + 3)  # more than any test before: some helpers are new
    p = problem(Network(), 1000)
    tasks = Path("/proc/self/task")
    before = {each.name for each in tasks.iterdir()}
    kernel.window_gradient(*p.window)
    time.sleep(0.1)
    helpers = {each.name for each in tasks.iterdir()} - before
    assert helpers

    def ticks() -> int:
        times = ((tasks / each / "stat").read_text().rsplit(")")[1].split() for each in helpers)
        return sum(int(fields[11]) + int(fields[12]) for fields in times)

    start = ticks()
    time.sleep(0.3)
    assert ticks() == start
    for each in helpers:
        status = (tasks / each / "status").read_text()
        blocked = next(line for line in status.splitlines() if line.startswith("SigBlk"))
        assert int(blocked.split()[1], 16) & (1 << 1), "SIGINT could arrive at a helper"
