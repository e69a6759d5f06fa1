"""One cluster for all tests of engines, which xdist therefore gives to one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relight_eval.engines import ENGINES, Cluster, Engine
from tests.engines.clusters import cluster_of


@pytest.fixture(scope="session")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traps")


@pytest.fixture(scope="session")
def nodes(traps: Path) -> Iterator[Any]:
    """Two nodes of one CPU each, with traps: nobody is connected to them."""
    with cluster_of(2, traps=traps) as found:
        yield found


@pytest.fixture(scope="session")
def ray_engine(nodes: Any) -> Iterator[Engine]:
    """On both: its workers take seconds to start, and stay."""
    with ENGINES["ray"](Cluster(nodes.address)) as opened:
        yield opened
