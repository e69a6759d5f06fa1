"""What goes wrong far away: what passes is tried again, and what does not is said in one line that holds no secret."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

from relight_eval.errors import RelightEvalError, printable
from relight_eval.places import TooLarge, secrets
from relight_eval.text import visible

ATTEMPTS = 5
WAIT_S = 0.5  # before the second attempt, and twice as long before each one more
BUDGET_S = 60.0  # after which no further attempt begins

# Statuses of HTTP, which all stores of objects speak.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
GONE = frozenset({404, 410})
FORBIDDEN = frozenset({401, 403})
# By name, as the libraries that raise them need not be there: those of botocore, aiohttp, requests, urllib3, httpx.
_PASSING_TYPES = frozenset(
    {
        *("TimeoutError", "ConnectionError", "IncompleteRead", "gaierror"),
        *("HTTPClientError", "ResponseParserError", "IncompleteReadError", "ChecksumError"),
        *("ClientConnectionError", "ClientPayloadError", "ContentLengthError"),
        *("Timeout", "ChunkedEncodingError", "ProtocolError", "TransportError"),
    }
)
_FORBIDDEN_TYPES = frozenset({"PermissionError", "NoCredentialsError", "PartialCredentialsError", "GoogleAuthError"})
_ADVICE = {  # what to do, of what says that no better than by its type
    "NoCredentialsError": "set AWS_PROFILE or AWS_ACCESS_KEY_ID, or FSSPEC_S3_ANON=true for a public bucket",
}
_LONGEST = 200  # letters of a reason

Found = TypeVar("Found")


def tried(do: Callable[[], Found], attempts: int = ATTEMPTS) -> Found:
    """What `do` returns, at the first attempt that succeeds.

    What passes (time-outs, broken connections, servers that are busy) is tried again, later each time. Raises
    FileNotFoundError, PermissionError and OSError, whose text is one line for the user; what this package raises
    passes.
    """
    started = time.monotonic()
    attempt = 1
    while True:
        try:
            return do()
        except (RelightEvalError, TooLarge, MemoryError):
            raise
        except Exception as error:
            spent = time.monotonic() - started
            if not passing(error) or attempt == attempts or spent > BUDGET_S:
                raise _plain(error, attempt, spent) from None  # what libraries say may hold secrets
        # At random, so that all that were refused at once do not come back at once.
        time.sleep(WAIT_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
        attempt += 1


def passing(error: BaseException) -> bool:
    """Whether the same may succeed in a moment."""
    return status_of(error) in PASSING or any(_is_one_of(each, _PASSING_TYPES) for each in _causes(error))


def told(error: BaseException) -> str:
    """What an exception of any library says, in one line without secrets."""
    text = str(getattr(error, "strerror", None) or error).strip()
    if not text:
        text = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    text = secrets.cut(visible(printable(text.splitlines()[0])))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _plain(error: BaseException, attempts: int, spent_s: float) -> OSError:
    status = status_of(error)
    text = told(error if status in GONE else _telling(error))
    if advice := _ADVICE.get(type(error).__name__):
        text += f"; {advice}"
    if status and str(status) not in text:
        text += f" (HTTP status {status})"
    if attempts > 1:
        return OSError(f"{text}; tried {attempts} times in {spent_s:.0f} s")
    if status in GONE or (not status and isinstance(error, FileNotFoundError)):
        return FileNotFoundError(text if status else "no such file or folder")  # (it says its path, if anything)
    if status in FORBIDDEN or (not status and _is_one_of(error, _FORBIDDEN_TYPES)):
        return PermissionError(text)
    return OSError(text)


def _telling(error: BaseException) -> BaseException:
    """The first that says more than a path: fsspec calls nearly all that goes wrong with https a FileNotFoundError."""
    return next((each for each in _causes(error) if not isinstance(each, FileNotFoundError)), error)


def status_of(error: BaseException) -> int | None:
    """The status of the answer that an exception, or one that caused it, is about."""
    for each in _causes(error):
        if _is_one_of(each, _PASSING_TYPES):  # the connection broke, and what is below tells no more than that
            return None
        response = getattr(each, "response", None)
        if isinstance(response, dict):  # botocore's
            found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:  # that of requests and httpx; of aiohttp; of gcsfs
            found = (
                getattr(response, "status_code", None) or getattr(each, "status", None) or getattr(each, "code", None)
            )
        if str(found).isdecimal():
            return int(found)
    return None


def _is_one_of(error: BaseException, names: Collection[str]) -> bool:
    return any(kind.__name__ in names for kind in type(error).__mro__)


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__
