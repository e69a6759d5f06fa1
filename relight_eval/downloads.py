"""An address -> a verified file, or the reason why not, within seconds.

The file is what was expected, to the byte (size and SHA-256), or it is not kept.
"""

from __future__ import annotations

import hashlib
import http.client
import queue
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relight_eval.errors import NoWeightsError

TIMEOUT_S = 10.0  # a default run waits this long, at most, for a server that does not answer
CHUNK_BYTES = 256 * 1024

Progress = Callable[[int, int], None]  # (bytes done, bytes in all)


@dataclass(frozen=True)
class Download:
    """A file to fetch. `sha256` may be its first digits, where only those are published."""

    url: str
    filename: str
    sha256: str
    size_bytes: int


def download(wanted: Download, path: Path, progress: Progress | None = None) -> str:
    """Write what the server sends to `path` and return its SHA-256, which is the expected one.

    Raises NoWeightsError when there is no network, no such address, or another file there; what was written by
    then is the caller's to remove.
    """
    try:
        done, sha256 = _stream(wanted, path, progress)
    except (OSError, http.client.HTTPException) as error:
        raise NoWeightsError(f"could not fetch {wanted.url}: {_reason(error)}.") from error
    if done != wanted.size_bytes:
        amount = f"more than {wanted.size_bytes}" if done > wanted.size_bytes else f"only {done}"
        raise NoWeightsError(
            f"could not fetch {wanted.url}: it sent {amount} of {wanted.size_bytes} bytes (a lost "
            "connection, or a proxy's page?). Nothing was kept; try again."
        )
    if not sha256.startswith(wanted.sha256):
        raise NoWeightsError(
            f"could not fetch {wanted.url}: SHA-256 {sha256[:8]}… is not the expected "
            f"{wanted.sha256[:8]}…. Nothing was kept; try again, or from another network."
        )
    return sha256


def _stream(wanted: Download, path: Path, progress: Progress | None) -> tuple[int, str]:
    """(bytes written, their SHA-256); stops as soon as there are more than expected."""
    done, digest = 0, hashlib.sha256()
    with _reply(wanted.url) as reply, path.open("wb") as file:
        while done <= wanted.size_bytes and (chunk := reply.read(CHUNK_BYTES)):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if progress:
                progress(done, wanted.size_bytes)
    return done, digest.hexdigest()


def _reply(url: str) -> http.client.HTTPResponse:
    """The server's reply, or an OSError within TIMEOUT_S.

    Asked in a thread that can be left behind: urllib's own timeout does not cover the look-up of the name,
    and starts anew for each address of the host, so that a firewall which drops packets costs a minute.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "relight-eval"})
    outcome: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            outcome.put(urllib.request.urlopen(request, timeout=TIMEOUT_S))
        except Exception as error:  # raised again below, where somebody listens
            outcome.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        reply = outcome.get(timeout=TIMEOUT_S)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(reply, Exception):
        raise reply
    answer: http.client.HTTPResponse = reply
    return answer


def _reason(error: Exception) -> str:
    """Why a fetch failed, in a few words."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"the server answered {error.code} {error.reason}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    if isinstance(cause, socket.gaierror):
        return "no address for this host (no network?)"
    if isinstance(cause, ConnectionRefusedError):
        return "the connection was refused"
    return str(cause) or type(cause).__name__
