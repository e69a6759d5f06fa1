"""The workers of a cluster: started as it has room for them, replaced when they die, each given what it does next."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relight_eval.engines.ray.dealing import Chunk, Pace
from relight_eval.engines.ray.session import Share, capacity, free
from relight_eval.engines.ray.worker import Answer, Greeting, Worker, versions
from relight_eval.errors import RelightEvalError, UsageError, shown
from relight_eval.pairs import Pair
from relight_eval.text import counted

# Chunks that a worker has at most: the next one lies ready when it is done with one.
AT_HAND = 2

START_S = 120.0  # without a single worker, until it is an error: machines of a cluster may have to be started first
LOOK_S = 2.0  # between two looks at what room the cluster has
MOST_FAILED = 5  # workers that die, one after the other, before they are ready


@dataclass
class Member:
    """A worker. `asked` are the answers that are to come, oldest first; before it is ready its greeting."""

    actor: Any
    asked: deque[tuple[Any, Chunk | None]] = field(default_factory=deque)
    node: str = ""
    is_ready: bool = False
    pace: Pace = field(default_factory=Pace)

    @property
    def chunks(self) -> list[Chunk]:
        return [chunk for _, chunk in self.asked if chunk is not None]


@dataclass(frozen=True)
class Done:
    """A chunk, and the answer to it; None where its worker died of it. `unbegun` is what else it had."""

    chunk: Chunk
    answer: Answer | None
    unbegun: tuple[Chunk, ...] = ()


class Team:
    """All workers, of one share and device. They stay from run to run, until they are dismissed."""

    def __init__(self, device: str, share: Share) -> None:
        self.device, self.share = device, share
        self.members: list[Member] = []
        self.deaths: list[str] = []  # the nodes of workers that died, of this run
        self._run = 0
        self._files: tuple[Path, ...] = ()
        self._failed = 0
        self._looked = self._had_one = 0.0  # when it was looked for room, and when a worker was ready last

    # --- a run ---------------------------------------------------------------------------------------------

    def begin(self, pairs: Sequence[Pair]) -> None:
        """A new run. Its first files, those that are there, every worker must see, too."""
        first = pairs[0]
        sides = (None if first.floor else first.prediction, first.target, first.input, first.mask)
        self._files = tuple(side for side in sides if isinstance(side, Path) and side.exists())
        self._run += 1
        self._failed, self.deaths = 0, []
        self._had_one, self._looked = time.monotonic(), 0.0
        for member in self.members:
            member.is_ready, member.pace = False, Pace()
            member.asked.clear()  # of a run that was left
            self._greet(member)

    def give(self, member: Member, chunk: Chunk, job: Any) -> None:
        """`job` is a `worker.Job`, in the store of Ray."""
        member.asked.append((member.actor.score.remote(self._run, chunk.pairs, job), chunk))

    def readiest(self) -> Member | None:
        """The one with the least to do; None when all have enough."""
        able = (member for member in self.members if member.is_ready and len(member.asked) < AT_HAND)
        return min(able, key=lambda member: len(member.asked), default=None)

    @property
    def is_busy(self) -> bool:
        return any(member.chunks for member in self.members)

    def stop(self) -> None:
        """Every worker ends after the batch that it is at."""
        for member in self.members:
            if member.chunks:
                member.actor.stop.options(concurrency_group="control").remote(self._run)

    def done(self, timeout_s: float) -> Iterator[Done]:
        """What has been done, after so many seconds at most. Raises what a worker raised."""
        import ray

        oldest = {member.asked[0][0]: member for member in self.members if member.asked}
        if not oldest:
            time.sleep(timeout_s)
            return
        found, _ = ray.wait(list(oldest), num_returns=1, timeout=timeout_s)
        more, _ = ray.wait(list(oldest), num_returns=len(oldest), timeout=0)
        for answer in dict.fromkeys([*found, *more]):
            yield from self._received(oldest[answer], answer)

    def _received(self, member: Member, answer: Any) -> Iterator[Done]:
        import ray

        try:
            found = ray.get(answer)
        except ray.exceptions.RayTaskError as error:
            raise _of_worker(error) from None
        except ray.exceptions.RayError as error:
            yield from self._lost(member, str(error))
            return
        _, chunk = member.asked.popleft()
        if isinstance(found, Greeting):
            self._greeted(member, found)
        elif chunk is not None:
            member.pace.took(len(chunk.pairs), found.seconds)
            yield Done(chunk, found)

    def _lost(self, member: Member, why: str) -> Iterator[Done]:
        """Raises UsageError where no worker can begin, RelightEvalError where none does."""
        self.dismiss(member)
        if member.is_ready:
            self._had_one, self._looked = time.monotonic(), 0.0  # (there is room again)
        if not member.node:
            if "failed to import on the worker" in why:
                last = why.strip().splitlines()[-1]
                raise UsageError(f"a worker cannot import relight-eval ({last}); install the same on all nodes")
            self._failed += 1
            if self._failed >= MOST_FAILED and not any(other.is_ready for other in self.members):
                raise RelightEvalError(
                    f"{counted(self._failed, 'worker')} died before they began, each with {self.share}; look into the "
                    "logs of Ray, most likely their memory ran out"
                )
            return
        self.deaths.append(member.node)
        if member.chunks:
            first, *unbegun = member.chunks
            yield Done(first, None, tuple(unbegun))

    # --- who is there --------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Starts as many workers as the cluster has room for. Raises RelightEvalError when it has none for long."""
        now = time.monotonic()
        if now - self._had_one > START_S and not any(member.is_ready for member in self.members):
            raise RelightEvalError(
                f"for {START_S:.0f} s no worker could be started: each needs {self.share}, and the cluster has "
                f"{free()} free; wait for other jobs to end, or add nodes"
            )
        if now - self._looked > LOOK_S:
            self._looked = now
            for _ in range(max(1, capacity(self.share)) - len(self.members)):
                self._start()

    def dismiss(self, *members: Member) -> None:
        """Ends these workers at once; all, when none is named."""
        import ray

        for member in members or tuple(self.members):
            self.members.remove(member)
            with suppress(Exception):  # it is gone, or the connection is
                ray.kill(member.actor)

    def _start(self) -> None:
        import ray

        of_share = {"num_cpus": self.share.cpus, "num_gpus": self.share.gpus, "concurrency_groups": {"control": 1}}
        member = Member(ray.remote(**of_share)(Worker).remote())
        self.members.append(member)
        self._greet(member)

    def _greet(self, member: Member) -> None:
        folder = ""
        with suppress(OSError):  # it was deleted
            folder = os.getcwd()
        member.asked.append((member.actor.greet.remote(folder, self._files, self.device), None))

    def _greeted(self, member: Member, greeting: Greeting) -> None:
        """Raises UsageError for a worker that would give other scores, or does not see the files."""
        ours, theirs = versions(), greeting.versions
        names = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
        other = [f"{name} {theirs.get(name)} (here {ours.get(name)})" for name in names]
        if other:
            raise UsageError(
                f"node {greeting.node} has {', '.join(other)}; scores must be of one version of everything, "
                "install the same on all nodes"
            )
        if greeting.unseen:
            raise UsageError(
                f"{shown(greeting.unseen[0])} is not there on node {greeting.node}; all nodes must reach the images "
                "under the same path: name a folder that they share, or an address such as s3://bucket/folder"
            )
        member.node, member.is_ready = greeting.node, True
        self._failed = 0


def _of_worker(error: Any) -> Exception:
    """What a worker raised: a message for the user as it is, a bug with the traceback of the worker in its text."""
    cause = error.cause
    if isinstance(cause, RelightEvalError):
        return cause
    return error if isinstance(error, Exception) else RuntimeError(str(error))
