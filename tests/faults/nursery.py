"""Runs the command line in children that have torch and all of ours loaded already: a child costs milliseconds
instead of seconds. What goes wrong inside is put in afterwards, so it replaces names where they are looked up.

A process of its own, because forking is safe only while nothing has been computed. Reads an order a line on stdin,
answers with the child's pid and, when it has ended, with its return code.
"""

import importlib
import json
import os
import pkgutil
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import sklearn.datasets
import torch
from faults import VARIABLE, inject

from rnnprop_cli.__main__ import main
from rnnprop_cli.runs.interrupt import ENDING, unwind_on_signals

SIGNALS = {*ENDING, signal.SIGINT}


def child(order: dict[str, Any]) -> NoReturn:
    """Becomes `rnnprop` with the order's arguments."""
    os.chdir(order["folder"])
    if order["terminal"]:
        os.setsid()  # the first terminal that the leader of a session opens becomes its own, with its Ctrl+C
        terminal = os.open(order["terminal"], os.O_RDWR)
        streams = (terminal, terminal, terminal)
    else:
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        streams = (os.open(os.devnull, os.O_RDONLY), output, output)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, most in order["limits"].items():
        resource.setrlimit(getattr(resource, name), (most, most))
    if order["cgroup"]:
        (Path(order["cgroup"]) / "cgroup.procs").write_text(str(os.getpid()))
    if order["user"]:
        os.setgroups([])
        os.setresgid(order["user"], order["user"], order["user"])
        os.setresuid(order["user"], order["user"], order["user"])
        os.umask(order["umask"])
    os.environ.update(order["environment"])
    os.environ[VARIABLE] = order["faults"]
    sys.path.insert(0, str(Path(__file__).parent / "worker_site"))
    inject(order["faults"])
    sys.argv = ["rnnprop", *order["arguments"]]
    try:
        unwind_on_signals()  # as the first thing that the program does
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        main()
        code = 0
    except KeyboardInterrupt:
        code = 130
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def load_commands() -> None:
    """Every module that a command imports when it is called."""
    for package in ("cli", "runs", "execute", "view", "store", "spec", "components", "accelerate", "meta"):
        found = importlib.import_module(f"rnnprop_cli.{package}")
        for module in pkgutil.walk_packages(found.__path__, f"{found.__name__}."):
            if ".exports" not in module.name:  # these need libraries that may not be here
                importlib.import_module(module.name)


if __name__ == "__main__":
    load_commands()
    torch.set_num_threads(1)
    sklearn.datasets.load_digits()
    print("ready", flush=True)
    for line in sys.stdin:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the program itself has begun
        pid = os.fork()
        if not pid:
            child(json.loads(line))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
