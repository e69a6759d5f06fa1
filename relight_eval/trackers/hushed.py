"""Calling the library of a tracker: quiet, and what it raises told as one line."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from relight_eval.errors import RelightEvalError, printable
from relight_eval.places import secrets
from relight_eval.text import visible

LONGEST = 300  # characters of what a library said
_UNANSWERED = re.compile(  # what urllib3 says, in the words of whoever calls it
    r"ConnectionPool\(host='(?P<host>[^']+)', port=(?P<port>\d+)\).*"
    r"(NewConnectionError|NameResolutionError|ConnectTimeoutError)"
)


@contextmanager
def hushed(raising: type[RelightEvalError], what: str) -> Iterator[None]:
    """Within, nothing is printed, logged or asked for, and any exception becomes `raising`, which names `what`.

    (Any: these libraries raise their own, those of their network libraries, and OSError.)
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except RelightEvalError:
        raise
    except Exception as error:
        raise raising(f"{what}: {_said(error)}") from error
    finally:
        logging.disable(before)


def _said(error: Exception) -> str:
    """The first line of what a library said, without users and passwords; or that nobody answered."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if unanswered := _UNANSWERED.search(first):
        host, port = unanswered["host"], unanswered["port"]
        first = f"nothing answers at {host}:{port}; see that the server runs, and that this is its address"
    text = visible(printable(secrets.cut(first)))  # (from the tracker's own settings)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
