"""A Ray cluster as the engine sees it: the only place that calls Ray."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from rnnprop_cli.errors import RunError, UsageError
from rnnprop_cli.execute import ray_node

_CLIENT: Final = "ray://"
_CLIENT_PORT: Final = 10001  # where none is said
_NODE_ID: Final = "ray.io/node-id"
OBJECT_STORE_BYTES: Final = 80 * 2**20  # of a cluster of our own: results are small, the least that Ray takes
LOOPBACK: Final = "127.0.0.1"
SECONDS_GONE: Final = 20.0  # that a head may not answer
_OURS: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is told to anybody
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # a cluster of our own: the address of this machine is 127.0.0.1
}
# What a worker must have in its environment as the driver has it: it decides about bits.
_TRAVELLING: Final = ("ATEN_CPU_CAPABILITY",)


class DiedError(Exception):
    """A worker died over a batch.

    Attributes:
        innocent: whether its whole machine did, which says nothing about the batch.
    """

    def __init__(self, how: str, innocent: bool) -> None:
        super().__init__(how)
        self.innocent = innocent


class Cluster:
    """A cluster that this process has joined."""

    def __init__(self, ray: Any, address: str | None) -> None:
        self._ray = ray
        self._own = address is None  # started by us
        client = address is not None and address.startswith(_CLIENT)
        self._client = client  # through Ray Client, which takes no generators
        self._gone_since: float | None = None
        head = address.removeprefix(_CLIENT) if client and address else ray.get_runtime_context().gcs_address
        self._head = _place(head)
        # Retrying is ours.
        body, returns = (ray_node.run_whole, 1) if client else (ray_node.run, "streaming")
        self._run = ray.remote(max_retries=0, num_returns=returns)(body)
        self._check = ray.remote(max_retries=0)(ray_node.check)

    @classmethod
    def join(cls, address: str | None, cpus: int | None) -> "Cluster":
        """Joins the cluster at an address, or starts one here.

        Args:
            address: auto, HOST:PORT, ray://HOST:PORT; None starts one.
            cpus: of a cluster that is started; None: all.

        Raises:
            UsageError: there is none at the address, or it cannot be joined.
        """
        if address not in (None, "auto") and not _answers(_place(str(address).removeprefix(_CLIENT))):
            raise UsageError(
                f"cannot use the Ray cluster at {address}: nobody answers there."
            )  # Ray would try for long
        for name, value in _OURS.items():
            if address is None or name != "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER":
                os.environ.setdefault(name, value)
        with _signals_kept():
            import ray

            _silence()
            options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
            if address is None:
                options |= {
                    "num_cpus": cpus,
                    "include_dashboard": False,
                    "object_store_memory": OBJECT_STORE_BYTES,
                }
            else:
                options["address"] = address
            variables = {name: os.environ[name] for name in _TRAVELLING if name in os.environ}
            if variables and address is not None:
                options["runtime_env"] = {"env_vars": variables}
            try:
                ray.init(**options)
            except Exception as error:
                where = "a Ray cluster here" if address is None else f"the Ray cluster at {address}"
                words = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise UsageError(f"cannot use {where}: {words}") from error
        cluster = cls(ray, address)
        if address is None and cluster._addresses() != {LOOPBACK}:
            cluster.leave()
            raise UsageError(
                "Ray would listen on more than this machine: it was loaded by other code before. Start in a fresh "
                "process, or start a cluster yourself and give its address."
            )
        return cluster

    def _addresses(self) -> set[str]:
        return {each["NodeManagerAddress"] for each in self._ray.nodes()}

    def leave(self) -> None:
        """Leaves the cluster, which drops all our tasks; one that we started ends."""
        with _signals_kept(), suppress(Exception):
            self._ray.shutdown()

    @property
    def elsewhere(self) -> bool:
        """Whether its machines may have other disks than this one."""
        return not self._own

    def put(self, content: bytes) -> Any:
        """A reference to bytes that many tasks take."""
        return self._ray.put(content)

    def nodes(self) -> dict[str, dict[str, float]]:
        """Resources of every living node, by its id."""
        return {each["NodeID"]: each["Resources"] for each in self._ray.nodes() if each["Alive"]}

    def ask_every_node(
        self, arguments: tuple[Any, ...], gpus: float, seconds: float
    ) -> dict[str, tuple[str, str | None] | str]:
        """What `ray_node.check` says on every node, or why it cannot be asked.

        Nodes that do not answer in time are left out: they are asked before their first batch.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        asked = {}
        for node_id, resources in self.nodes().items():
            place = NodeAffinitySchedulingStrategy(node_id, soft=False)
            some = gpus if resources.get("GPU", 0.0) >= gpus else 0
            asked[node_id] = self._check.options(num_cpus=0, num_gpus=some, scheduling_strategy=place).remote(
                *arguments
            )
        answers: dict[str, tuple[str, str | None] | str] = {}
        ready, _ = self._ray.wait(list(asked.values()), num_returns=len(asked), timeout=seconds)
        for node_id, reference in asked.items():
            if reference in ready:
                try:
                    answers[node_id] = self._ray.get(reference)
                except Exception as error:  # whatever keeps a machine without this program from running it
                    answers[node_id] = _first_line(error)
        return answers

    def run(self, arguments: tuple[Any, ...], cpus: float, gpus: float, without: Sequence[str]) -> Any:
        """Has a batch run by `ray_node.run`; its handle.

        Args:
            arguments: of `run`.
            cpus: that it takes.
            gpus: that it takes.
            without: ids of nodes that may not run it.
        """
        selector = {_NODE_ID: f"!in({','.join(without)})"} if without else None
        return self._run.options(num_cpus=cpus, num_gpus=gpus, label_selector=selector).remote(*arguments)

    def ready(self, handles: Sequence[Any], timeout_s: float) -> list[Any]:
        """Those of which something has come, within a moment."""
        if not handles:
            time.sleep(timeout_s)
            return []
        found, _ = self._ray.wait(list(handles), num_returns=1, timeout=timeout_s, fetch_local=False)
        if found and len(handles) > 1:
            found, _ = self._ray.wait(list(handles), num_returns=len(handles), timeout=0, fetch_local=False)
        return list(found)

    def next_messages(self, handle: Any) -> list[bytes]:
        """What has come.

        Raises:
            DiedError: the worker died.
            RunError: it ended with an error that is no death.
        """
        exceptions = self._ray.exceptions
        try:
            found = self._ray.get(handle if self._client else next(handle))
        except exceptions.RayTaskError as error:
            raise RunError(f"a batch ended with an error on a node: {_last_line(error)}") from error
        except exceptions.LocalRayletDiedError as error:
            raise self._gone("the part of it on this machine has died") from error
        except exceptions.RayError as error:
            innocent = isinstance(error, exceptions.NodeDiedError | exceptions.ObjectLostError)
            raise DiedError(_first_line(error), innocent) from error
        except StopIteration:
            raise DiedError("it ended without a result", innocent=False) from None
        return list(found) if self._client else [found]

    def check_alive(self) -> None:
        """Raises RunError where the head has not answered for a while, or no node is left."""
        if _answers(self._head) and self.nodes():
            self._gone_since = None
            return
        now = time.monotonic()
        self._gone_since = self._gone_since or now
        if now - self._gone_since > SECONDS_GONE:
            raise self._gone("its head does not answer, or no node is left")

    def _gone(self, why: str) -> RunError:
        again = "." if self._own else " when there is one again."
        return RunError(
            f"the Ray cluster is gone: {why}. What is done is recorded; the same command goes on{again}"
        )


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdecimal() else (address, _CLIENT_PORT)


def _answers(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place, timeout=2).close()
    except OSError:
        return False
    return True


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _silence() -> None:
    """Ray prints on our stdout what its daemons report; what matters of it comes as an exception."""
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself; it is the driver's to handle."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
