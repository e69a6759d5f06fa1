"""Ray clusters of several nodes on this machine, for tests, and what is done to them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NODE = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 2**20}

# Runs first in every process of a cluster: images of these names are slow to open, make a metric fail, or kill; a file
# `opened` in the working folder gets the names of slow ones, and a file `broken` beside this one spoils a library.
TRAPS = """
import os, signal, sys, time
broken = os.path.join(os.path.dirname(__file__), "broken")
def watch(event, args):
    if event == "import" and args[0] == "imagecodecs" and os.path.exists(broken):
        raise ImportError("a library is broken")
    if event == "open" and str(args[0]).endswith(".png"):
        name = os.path.basename(args[0])
        if name.startswith("slow"):
            time.sleep(0.02)
            if os.path.exists("opened"):
                with open("opened", "a") as log:
                    print(name, file=log)
        if name.startswith("bug"):
            raise RuntimeError("a bug of a metric")
        if name.startswith("poison"):
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
"""


@contextmanager
def cluster_of(nodes: int, *, traps: Path) -> Iterator[Any]:
    """A `ray.cluster_utils.Cluster` of so many nodes of one CPU each, that nobody is connected to.

    TRAPS lie in a folder that is empty yet.
    """
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # by default, workers wait for other programs
        (traps / "sitecustomize.py").write_text(TRAPS, encoding="utf-8")
        patch.setenv("PYTHONPATH", str(traps), prepend=os.pathsep)
        found = Cluster(initialize_head=True, head_node_args=NODE)
        try:
            for _ in range(nodes - 1):
                found.add_node(**NODE)
            yield found
        finally:
            found.shutdown()


@contextmanager
def a_library_broken(traps: Path) -> Iterator[None]:
    """Within, workers that start cannot import what they need."""
    flag = traps / "broken"
    flag.touch()
    try:
        yield
    finally:
        flag.unlink()


def worker_pids(cluster: Any) -> list[int]:
    """The workers of this cluster that are at work: children of its nodes."""
    raylets = {info.process.pid for node in cluster.list_all_nodes() for info in node.all_processes["raylet"]}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent in raylets and b"ray::Worker.score" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it has ended
            continue
    return found


def kill_a_worker(cluster: Any) -> bool:
    """Kills one that is at work, if there is one."""
    for pid in worker_pids(cluster)[:1]:
        os.kill(pid, signal.SIGKILL)
        return True
    return False
