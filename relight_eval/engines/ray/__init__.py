"""The workers of a Ray cluster: one for each GPU, or for so many CPUs, each with the engine of its machine.

The driver deals out targets with all their pairs, a few seconds of work at a time, and yields rows as they come: it
holds what is being worked on and no more. A worker that dies costs time: what it had is done again by others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Self

from relight_eval.engines.local import DEVICES
from relight_eval.engines.options import Cluster, Options, Tell, never
from relight_eval.engines.ray.dealing import Deck
from relight_eval.engines.ray.session import capacity, connected, nodes, share
from relight_eval.engines.ray.team import Team
from relight_eval.engines.ray.worker import Job
from relight_eval.errors import UsageError
from relight_eval.metrics import Settings
from relight_eval.pairs import Pair
from relight_eval.results import Row
from relight_eval.text import counted, some

POLL_S = 0.5  # between two looks at whether to stop


class Ray:
    """The engine of a cluster. See `engines.Engine`."""

    def __init__(self, cluster: Cluster = Cluster()) -> None:  # noqa: B008 (frozen)
        self._cluster = cluster
        self._opened = ExitStack()
        self._team: Team | None = None

    def __enter__(self) -> Self:
        self._opened.enter_context(connected(self._cluster))
        self._opened.callback(self._dismiss)
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def device(self, asked: str) -> str:
        """`cuda` or `cpu`: all workers are of one kind, and which GPU is whose is up to Ray."""
        kind, colon, _ = asked.partition(":")
        if kind not in ("auto", *DEVICES):
            raise UsageError(f"device {asked!r} is not known. Use auto, cpu or cuda.")
        if colon or kind == "mps":
            raise UsageError(f"device {asked!r} is one of a single machine; with a cluster, use auto, cpu or cuda")
        has_gpus = any(gpus for _, gpus in nodes())
        if kind == "cuda" and not has_gpus:
            raise UsageError("device 'cuda' cannot be used here: the cluster has no GPU. Use auto or cpu.")
        return kind if kind != "auto" else "cuda" if has_gpus else "cpu"

    def score(
        self,
        pairs: Sequence[Pair],
        metrics: Sequence[str],
        settings: Settings,
        options: Options,
        tell: Tell = lambda line: None,
    ) -> Iterator[Row]:
        """See `engines.Engine`; one run at a time. Raises UsageError where a worker has other versions or does not see
        the files, and RelightEvalError when no worker can be started for long."""
        if not pairs:
            return
        import ray

        team = self._team_for(self.device(options.device))
        chosen = replace(options, device=team.device, workers=options.workers or team.share.threads, stop=never)
        job = ray.put(Job(tuple(metrics), settings, chosen))
        told: dict[str, None] = {}  # each line once
        deck = Deck(pairs)
        team.begin(pairs)
        try:
            yield from _rows(team, deck, job, options, told)
        finally:
            team.stop()  # where it was left in the middle
        if team.deaths:
            died = some(sorted({f"on {node}" for node in team.deaths}))
            told[f"{counted(len(team.deaths), 'worker')} died ({died}); what they had was scored again"] = None
        for line in told:
            tell(line)

    def _team_for(self, device: str) -> Team:
        """The workers for this device, yet to be started if there are none. Raises UsageError where none can be."""
        if self._team is None or self._team.device != device:
            self._dismiss()
            wanted = share(self._cluster, device)
            if not capacity(wanted) and any(cpus for cpus, _ in nodes()):
                most = max((cpus for cpus, gpus in nodes() if gpus >= wanted.gpus), default=0)
                asked = f"--cpus-per-worker {wanted.cpus}"
                raise UsageError(f"{asked} is more than any node of the cluster has; the largest has {most}")
            self._team = Team(device, wanted)
        return self._team

    def _dismiss(self) -> None:
        if self._team is not None:
            self._team.dismiss()
        self._team = None


def _rows(team: Team, deck: Deck, job: object, options: Options, told: dict[str, None]) -> Iterator[Row]:
    """Deals out and gathers until all is done, or what has begun when the run is stopped."""
    stopped = False
    while team.is_busy or (deck.left and not stopped):
        if not stopped and options.stop():
            stopped = True
            team.stop()
            continue
        if deck.left and not stopped:
            team.fill()
            while deck.left and (member := team.readiest()):
                team.give(member, deck.deal(member.pace.size(deck.left, len(team.members))), job)
        for done in team.done(POLL_S):
            if done.answer is not None:
                told |= dict.fromkeys(done.answer.told)
                yield from done.answer.rows
            else:
                deck.back(*done.unbegun)
                yield from deck.died_of(done.chunk)
