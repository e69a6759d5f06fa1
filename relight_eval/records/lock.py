"""One run for one output: the second is refused while the first is at work."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from relight_eval.errors import ReportError, shown
from relight_eval.text import visible

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# What a file system answers that has no locks.
UNSUPPORTED = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL})


def lock_path(output: Path) -> Path:
    """The lock file of an output. Beside the file itself where `output` is a link: it has one lock by all its names."""
    place = Path(os.path.realpath(output))
    return place.with_name(f".{place.name}.lock")


class Lock:
    """Within `with Lock(output)`, no other run that asks has this output. Raises ReportError when one has it already.

    The system itself drops the lock of a process that ends, in whatever way; so what a killed run leaves behind is a
    file that locks nothing. Where there are no locks (Windows, some network folders) `tell` is told, and the run goes
    on without.
    """

    def __init__(self, output: Path, *, tell: Callable[[str], None] | None = None) -> None:
        self.path = lock_path(output)
        self._output = shown(output)
        self._tell = tell or (lambda line: None)
        self._handle: int | None = None

    def __enter__(self) -> Self:
        try:
            while self._handle is None:
                self._handle = self._held()
        except OSError as error:
            reason = f"{error.strerror} for its lock, {shown(self.path)}"
            raise ReportError(f"cannot write {self._output}: {reason}") from error
        return self

    def __exit__(self, *_: object) -> None:
        handle, self._handle = self._handle, None
        if handle is None:
            return
        with suppress(OSError):  # what is left locks nothing
            if _stands(handle, self.path):
                os.unlink(self.path)  # while it is held: nobody else can have got it under this name
        os.close(handle)

    def _held(self) -> int | None:
        """The open, locked file; None where its last holder removed it just now, and it must be made again."""
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)  # (children do not inherit it)
        try:
            self._take(handle)
            if _stands(handle, self.path):
                with suppress(OSError):  # a full disk: whom it keeps out is not told by whom
                    os.ftruncate(handle, 0)
                    os.write(handle, _holder().encode())
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        return None

    def _take(self, handle: int) -> None:
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, "this system has none")
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = visible(os.read(handle, 200).decode("utf-8", "replace"))
            raise ReportError(
                f"{self._output} is being written by another run ({holder or 'it has just begun'}); "
                "wait for it, or give this one another output"
            ) from None
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            self._tell(f"no lock for {self._output} ({error.strerror}); see that no other run writes it")


def _stands(handle: int, path: Path) -> bool:
    """Whether the open file is the one of this name, not one that was removed since."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _holder() -> str:
    return f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M')}"
