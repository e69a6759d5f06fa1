"""What is tried again, for how long, and what is said of what is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from relight_eval.errors import UsageError
from relight_eval.places import TooLarge, failures
from relight_eval.places.failures import told, tried


class Answered(Exception):  # noqa: N818
    """An answer with a status, as aiohttp and gcsfs tell of it."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.status = status


class OfBotocore(Exception):  # noqa: N818
    def __init__(self, status: int) -> None:
        super().__init__("An error occurred")
        self.response = {"Error": {"Code": "X"}, "ResponseMetadata": {"HTTPStatusCode": status}}


class ReadTimeoutError(Exception):
    """As urllib3's and botocore's are called."""


class HTTPClientError(Exception):
    """As the one of botocore, which all of its broken connections are."""


class ConnectionClosedError(HTTPClientError): ...


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def failing(*errors: Exception) -> Callable[[], str]:
    """What raises these in turn, the last one for ever, unless that is None."""
    left = list(errors)

    def do() -> str:
        if left:
            raise left.pop(0)
        return "found"

    return do


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


PASSING = [
    TimeoutError(),
    ConnectionResetError("reset"),
    BrokenPipeError(),
    ConnectionClosedError(),
    *(Answered(status) for status in (408, 429, 500, 502, 503, 504)),
    OfBotocore(503),
    caused(OSError(16, "Please reduce your request rate."), OfBotocore(503)),
    caused(FileNotFoundError("https://host/a.png"), Answered(503)),
    caused(FileNotFoundError("https://host/a.png"), ConnectionRefusedError()),
]
LASTING = {
    FileNotFoundError: [FileNotFoundError("gone"), Answered(404), Answered(410), OfBotocore(404)],
    PermissionError: [PermissionError("no"), Answered(401), Answered(403), caused(OSError("x"), OfBotocore(403))],
    OSError: [OSError("disk"), ValueError("x"), Answered(400), NotImplementedError(), RuntimeError("loop")],
}


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_passes_is_tried_again(waits: list[float], error: Exception) -> None:
    assert tried(failing(error, error)) == "found"
    assert len(waits) == 2


@pytest.mark.parametrize(("kind", "error"), [(kind, error) for kind, errors in LASTING.items() for error in errors])
def test_what_lasts_is_not(waits: list[float], kind: type[OSError], error: Exception) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        tried(failing(error))
    assert type(caught.value) is kind
    assert caught.value.__cause__ is None
    assert waits == []


@pytest.mark.parametrize("error", [TooLarge(5), UsageError("word"), MemoryError()], ids=repr)
def test_what_is_no_failure_passes(waits: list[float], error: Exception) -> None:
    with pytest.raises(type(error)):
        tried(failing(error))
    assert waits == []


def test_waits_get_longer_and_end(waits: list[float]) -> None:
    with pytest.raises(OSError, match=r"^busy \(HTTP status 503\); tried 5 times in 0 s$"):
        tried(failing(*[Answered(503, "busy")] * 5))
    assert len(waits) == failures.ATTEMPTS - 1
    for shortest, wait in zip((0.25, 0.5, 1, 2), waits, strict=True):
        assert shortest <= wait <= 3 * shortest
    assert tried(failing(Answered(503), Answered(503)), attempts=3) == "found"


def test_what_fsspec_calls_missing_is_told_by_its_cause(waits: list[float]) -> None:
    busy = caused(FileNotFoundError("https://host/a.png"), Answered(503, "busy"))
    with pytest.raises(OSError, match=r"^busy \(HTTP status 503\); tried 5 times in 0 s$"):
        tried(failing(*[busy] * 5))
    with pytest.raises(FileNotFoundError, match=r"^no such bucket \(HTTP status 404\)$"):
        tried(failing(caused(FileNotFoundError("no such bucket"), Answered(404, "An error occurred"))))


def test_no_attempt_begins_late(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter((0.0, 40.0, 80.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    with pytest.raises(OSError, match=r"^no answer in time; tried 2 times in 80 s$"):
        tried(failing(TimeoutError(), TimeoutError()))


TOLD = {
    "one line\nof two": "one line",
    "\x1b[31mred": "�[31mred",
    "GET https://host/a?AWSAccessKeyId=SECRET&Signature=SECRET&Expires=1": (
        "GET https://host/a?AWSAccessKeyId=…&Signature=…&Expires=1"
    ),
    "url='https://h/a?X-Amz-Credential=SECRET%2Fus&X-Amz-Signature=SECRET'": (
        "url='https://h/a?X-Amz-Credential=…&X-Amz-Signature=…'"
    ),
    "?token=SECRET, sig=SECRET": "?token=…, sig=…",
    "Authorization: Bearer SECRET failed": "Authorization: … failed",
    "{'x-api-token': 'SECRET'}": "{'x-api-token': '…'}",
    "bearer SECRET": "bearer …",
    "cannot reach https://user:SECRET@host/a": "cannot reach https://…@host/a",
    "cannot reach sftp://user:SECRET@host": "cannot reach sftp://…@host",
    "The specified key does not exist.": "The specified key does not exist.",
    "Unable to locate credentials": "Unable to locate credentials",
    "x" * 300: "x" * 200 + "…",
}


@pytest.mark.parametrize(("text", "expected"), TOLD.items())
def test_told(text: str, expected: str) -> None:
    assert told(OSError(text)) == expected
    assert "SECRET" not in told(OSError(5, text))


def test_told_without_a_text() -> None:
    assert told(RuntimeError()) == "RuntimeError"
    assert told(TimeoutError()) == "no answer in time"
    assert told(FileNotFoundError(2, "No such file", Path("x"))) == "No such file"
