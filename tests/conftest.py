"""What several test files share."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

from tests.s3 import _s3_server, s3  # noqa: F401 (fixtures; one server for all, as moto keeps one set of buckets)

# How hypothesis looks for counterexamples: the same ones in every run, or with RELIGHT_EVAL_SOAK=1 many and new ones,
# as `make soak` does. (A first example may build networks, and fixtures hold what does not change.)
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "relight-eval-hypothesis")  # not in the checkout
_EVERYWHERE = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
settings.register_profile("ci", max_examples=10, derandomize=True, **_EVERYWHERE)  # type: ignore[arg-type]
settings.register_profile("soak", max_examples=1000, **_EVERYWHERE)  # type: ignore[arg-type]
settings.load_profile("soak" if os.environ.get("RELIGHT_EVAL_SOAK") else "ci")

# Test images are tiny: torch's threads would mostly wait for each other, and for those of the other test processes.
# (Before torch is imported, and for the programs that tests start.)
os.environ.setdefault("OMP_NUM_THREADS", "1")


# Tests that start Ray: clusters that two processes started at once got in each other's way.
OF_RAY = re.compile(r"/test_ray\.py|\[ray\b|\[Beyond one machine\]")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of the processes of `pytest -n`, one gets all tests of Ray. (Marks for groups do nothing with pytest 9.2.)"""
    from xdist.scheduler import LoadScopeScheduling

    class OneForRay(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "ray" if OF_RAY.search(nodeid) else nodeid

    return OneForRay(config, log)


@pytest.fixture(scope="session")
def vgg19_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict of VGG19's features (`0.weight` …) with seeded random weights, none of torchvision's.

    Scaled as in He et al. 2015 (variance 2 / fan-in), so that activations stay near 1 at every layer.
    """
    import torch

    from relight_eval.weights import LAYERS

    generator = torch.Generator().manual_seed(19)
    state = {}
    for layer in LAYERS:
        fan_in = layer.shape[1] * 3 * 3
        key = layer.key.removeprefix("features.")
        state[f"{key}.weight"] = torch.randn(layer.shape, generator=generator) * (2 / fan_in) ** 0.5
        state[f"{key}.bias"] = torch.randn(layer.shape[0], generator=generator) * 0.05
    path = tmp_path_factory.mktemp("vgg19") / "random.pth"
    torch.save(state, path)
    return path


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nobody has any weights yet, and no proxy stands before 127.0.0.1."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("RELIGHT_EVAL_VGG19", "RELIGHT_EVAL_OFFLINE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "HOME": home,
        "USERPROFILE": home,
        "RELIGHT_EVAL_CACHE": home / "own",
        "TORCH_HOME": home / "torch",
        "NO_PROXY": "*",
        "no_proxy": "*",
    }.items():
        monkeypatch.setenv(name, str(value))
    return home


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """`serve(body, status=200, length=None)` starts a server on 127.0.0.1 and returns its address."""
    servers = []

    def start(body: bytes, *, status: int = 200, length: int | None = None) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *_: None  # a client that hangs up early is part of the test
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/vgg19.pth"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()
