"""A connection to Ray: to the cluster at an address, or to one of this machine that lives as long as the connection."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from relight_eval.engines.local import available_cpus
from relight_eval.engines.options import Cluster
from relight_eval.errors import UsageError

PORT_S = 10.0  # that the port of a cluster has to answer
STORE_BYTES = 2**27  # of shared memory, on this machine: for settings and rows

# While Ray starts, where the user does not say otherwise: it reports to nobody; workers of a Ray of our own do not wait
# for other programs, as no thread of the local engine does; what answers and is no cluster is asked once, not 20 times.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
OWN = QUIET | {"RAY_worker_niceness": "0"}
IMPATIENT = QUIET | {"RAY_gcs_server_port_wait_time_s": "1"}


@contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """Within, there is a connection: that of the caller, who has one already, or an own one that ends with it.

    Raises UsageError where Ray is not installed, or nothing answers at the address.
    """
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    address, name = cluster.address, "--ray-address"
    if address is None:
        address, name = os.environ.get("RAY_ADDRESS") or "local", "RAY_ADDRESS"
    with _silent(ray):
        try:
            _connect(ray, address, name)
            yield
        finally:
            ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError(f"the engine ray needs Ray ({error}): pip install 'relight-eval[ray]'") from error
    return ray


def _connect(ray: Any, address: str, name: str) -> None:
    """`name` is what the user calls the address."""
    own: dict[str, Any] = {}
    if address == "local":
        own = {"num_cpus": available_cpus(), "include_dashboard": False, "object_store_memory": STORE_BYTES}
    else:
        _require_answer(address, name)
    with _environment(OWN if address == "local" else IMPATIENT), _own_signals():
        try:
            with chdir(os.sep):  # workers import from the folder that this is done in: it must not be one of images
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
        except (OSError, RuntimeError, ValueError) as error:
            said = " ".join(str(error).split())
            what = "Ray could not be started" if address == "local" else f"no connection to the cluster at {address}"
            raise UsageError(f"{what}: {said}") from error


def _require_answer(address: str, name: str) -> None:
    """Raises UsageError where nothing listens at HOST:PORT: Ray would ask again for two minutes."""
    if address == "auto":
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not host or not port.isdecimal() or "/" in host:
        raise UsageError(f"{name} {address!r} is none; write auto, local, HOST:PORT, or ray://HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PORT_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"nothing answers at {name} {address} ({error}); `ray status` on the head of the cluster tells "
            "whether it runs, and `ray start --head` which address it has"
        ) from error


@contextmanager
def _silent(ray: Any) -> Iterator[None]:
    """Within, Ray does not print what it hears of nodes that are lost, pages in colour, to standard output: scores may
    go there. (It has no switch for that but this one, of its debugger.)"""
    module: Any = getattr(getattr(ray, "_private", None), "worker", None)
    before = getattr(module, "_worker_logs_enabled", None)
    if before is None:  # another Ray, which may print
        yield
        return
    module._worker_logs_enabled = False
    try:
        yield
    finally:
        module._worker_logs_enabled = before


@contextmanager
def _environment(words: Mapping[str, str]) -> Iterator[None]:
    """Within, these stand in the environment, where the user has no others."""
    added = {name: value for name, value in words.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes the signal to terminate for itself: afterwards it is as before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        with suppress(TypeError):  # one that was not set from Python
            signal.signal(signal.SIGTERM, before)


# --- what a cluster has -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """What each worker asks of the cluster, and how many threads it has."""

    cpus: int
    gpus: int

    @property
    def threads(self) -> int:
        return max(1, self.cpus)

    def __str__(self) -> str:
        cpus = f"{self.cpus} CPU{'s' * (self.cpus != 1)}"
        return f"1 GPU and {cpus}" if self.gpus else cpus


def nodes() -> list[tuple[int, int]]:
    """CPUs and GPUs of every node that is alive."""
    import ray

    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(int(found.get("CPU", 0)), int(found.get("GPU", 0))) for found in resources]


def share(cluster: Cluster, device: str) -> Share:
    """Of a GPU each on cuda, with its part of the CPUs of its node; else of the CPUs that were asked for, or one: the
    threads of one process wait for each other, two processes do not (`make bench` measures both)."""
    if device != "cuda":
        return Share(cluster.cpus_per_worker or 1, 0)
    parts = [cpus // gpus for cpus, gpus in nodes() if gpus]
    return Share(cluster.cpus_per_worker or min(parts, default=1), 1)


def capacity(share: Share) -> int:
    """How many workers of this share the cluster has room for, were it idle."""

    def of_node(cpus: int, gpus: int) -> int:
        of_each = [(cpus, share.cpus), (gpus, share.gpus)]
        return min(there // asked for there, asked in of_each if asked)

    return sum(of_node(*node) for node in nodes())


def free() -> str:
    """What nobody uses at present, in words."""
    import ray

    found = ray.available_resources()
    return f"{int(found.get('CPU', 0))} CPUs and {int(found.get('GPU', 0))} GPUs"
