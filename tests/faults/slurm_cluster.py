"""A real SLURM on this machine: its own controller, node daemon, key and ports, all on loopback."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
_CONFIGURATION = """\
ClusterName=rnnprop
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmdParameters=config_overrides
AuthType=auth/munge
AuthInfo=socket={socket}
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
MpiDefault=none
ReturnToService=2
KillWait=1
MinJobAge=300
SlurmdTimeout={patience}
InactiveLimit=0
Waittime=0
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=60 State=UP
"""


def absent() -> str | None:
    """Why no SLURM can be started here."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed"
    return None if os.geteuid() == 0 else "slurmd is started as root"


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def wait_for(condition: Callable[[], bool], seconds: float = 60.0, what: str = "it") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.1)


class SlurmCluster:
    """Starts the daemons; `environment` leads the commands to them."""

    def __init__(self, folder: Path, patience: int = 20) -> None:
        self.folder = folder
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        (folder / "run").mkdir(mode=0o755)
        folder.chmod(0o755)
        self.socket = folder / "run" / "munge.socket"
        self.host = socket.gethostname().partition(".")[0]
        self.configuration = folder / "slurm.conf"
        self.configuration.write_text(
            _CONFIGURATION.format(
                host=self.host,
                folder=folder,
                socket=self.socket,
                controller=free_port(),
                daemon=free_port(),
                patience=patience,
            )
        )
        self.environment = {"SLURM_CONF": str(self.configuration)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.start_munge()
        self.start_controller()
        self.start_daemon()
        wait_for(lambda: "idle" in self.call("sinfo", "-h", "-o", "%t"), what="the node")

    def call(self, *command: str) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **self.environment}, timeout=60
        )
        return done.stdout + done.stderr

    def _start(self, name: str, *command: str) -> None:
        log = (self.folder / f"{name}.out").open("ab")
        self.processes[name] = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **self.environment}, start_new_session=True
        )
        log.close()

    def start_munge(self) -> None:
        self._start(
            "munged",
            "munged",
            "--foreground",
            "--force",
            f"--key-file={self.folder}/munge.key",
            f"--socket={self.socket}",
            f"--pid-file={self.folder}/munged.pid",
            f"--log-file={self.folder}/munged.log",
            f"--seed-file={self.folder}/munge.seed",
            "--num-threads=2",
        )
        wait_for(self.socket.exists, what="munged")

    def start_controller(self) -> None:
        self._start("slurmctld", "slurmctld", "-D", "-f", str(self.configuration))
        wait_for(lambda: "UP" in self.call("scontrol", "ping"), what="slurmctld")

    def start_daemon(self) -> None:
        self._start("slurmd", "slurmd", "-D", "-f", str(self.configuration), "-N", self.host)

    def kill(self, name: str) -> None:
        """kill -9 of a daemon; what it has started lives on."""
        self.processes[name].kill()
        self.processes[name].wait()

    def jobs(self) -> list[str]:
        """States of all tasks that wait or run."""
        return self.call("squeue", "-h", "-r", "-o", "%t").split()

    def close(self) -> None:
        self.call("scancel", "--me")
        deadline = time.monotonic() + 15
        while self.jobs() and time.monotonic() < deadline:
            time.sleep(0.2)
        for name in ("slurmd", "slurmctld", "munged"):
            process = self.processes[name]
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
