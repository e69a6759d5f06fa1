"""An S3 server on this machine, and the troubles that it can be told to have.

from tests.s3 import Store  # (the fixture is in tests/conftest.py)

def test(s3: Store, tmp_path: Path) -> None:
    address = s3.upload(tmp_path / "out")  # s3://bucket-1/out
    s3.trouble("a.png", "503", "503")  # the first two requests for it
"""

from __future__ import annotations

import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import chain, count, repeat
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

READ_TIMEOUT_S = 1.0  # of the clients; a request that hangs takes longer
_ERROR = "<Error><Code>{code}</Code><Message>{message}</Message></Error>"
_REFUSALS = {
    "503": ("503 Slow Down", "SlowDown", "Please reduce your request rate."),
    "500": ("500 Internal Server Error", "InternalError", "We encountered an internal error. Please try again."),
    "403": ("403 Forbidden", "AccessDenied", "Access Denied"),
}

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Store:
    """The server: buckets are filled through `put` and `upload`, and requests counted in `asked`."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *_: object) -> None: ...

        self._moto: Application = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=Quiet)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._troubles: dict[str, Iterator[str]] = {}  # part of a path -> what happens to the next requests
        self._lock = threading.Lock()
        self._names = count(1)
        self.asked: defaultdict[str, list[str]] = defaultdict(list)  # path -> methods
        self.environment = {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._server.server_port}",
            "NO_PROXY": "*",
        }
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def bucket(self) -> str:
        """A new one, empty."""
        name = f"bucket-{next(self._names)}"
        self.client.create_bucket(Bucket=name)
        return name

    def put(self, bucket: str, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def get(self, address: str) -> bytes:
        bucket, _, key = address.removeprefix("s3://").partition("/")
        content: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def upload(self, folder: Path, bucket: str | None = None) -> str:
        """The address of a copy of a folder, in a new bucket or this one."""
        bucket = bucket or self.bucket()
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.put(bucket, file.relative_to(folder.parent).as_posix(), file.read_bytes())
        return f"s3://{bucket}/{folder.name}"

    def trouble(self, part: str, *what: str) -> None:
        """What happens to the next requests with this in their path: 503, 500, 403, hang, cut or reset.

        A last word "always" repeats the one before it for ever.
        """
        words = chain(what[:-2], repeat(what[-2])) if what[-1] == "always" else iter(what)
        with self._lock:
            self._troubles[part] = words

    def calm(self) -> None:
        with self._lock:
            self._troubles.clear()
            self.asked.clear()

    @cached_property
    def client(self) -> Any:
        """That of boto3, for what the tests themselves do."""
        import boto3

        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=self.environment["AWS_ENDPOINT_URL"], **keys)

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = unquote(environ["PATH_INFO"] + "?" + environ.get("QUERY_STRING", ""))
        with self._lock:
            self.asked[environ["PATH_INFO"]].append(environ["REQUEST_METHOD"])
            word = next(chain.from_iterable(words for part, words in self._troubles.items() if part in path), "")
        if word == "hang":
            time.sleep(1.5 * READ_TIMEOUT_S)
        if word == "reset":
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        if word in _REFUSALS:
            status, code, message = _REFUSALS[word]
            start(status, [("Content-Type", "application/xml")])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [_ERROR.format(code=code, message=message).encode()]
        body = self._moto(environ, start)
        return _cut(body) if word == "cut" else body


def _cut(body: Iterable[bytes]) -> Iterator[bytes]:
    """Half of it, and the connection ends, though the header has told of more."""
    content = b"".join(body)
    yield content[: len(content) // 2]


@pytest.fixture(scope="session")
def _s3_server() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


@pytest.fixture
def s3(_s3_server: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The server, calm, with this process and those that it starts knowing where it is."""
    from fsspec.config import conf

    from relight_eval.places import failures

    for name, value in _s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setitem(conf, "s3", {"config_kwargs": {"read_timeout": READ_TIMEOUT_S}})
    monkeypatch.setattr(failures, "WAIT_S", 0.01)
    _s3_server.calm()
    yield _s3_server
    _s3_server.calm()
