"""Decodes in a child process: a crash, a hang or a flood of memory of a C library costs one file, not the run.

Children are started when the first file needs one, kept for the next, and replaced when they die. Where none can be
started, a file is refused with the reason, never decoded without this net: that would be the run's own risk.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from relight_eval.decoding import frames
from relight_eval.decoding.planes import Planes
from relight_eval.decoding.reading import Reading
from relight_eval.errors import ImageError
from relight_eval.text import visible

TIMEOUT_S = 120.0
WORKER = (sys.executable or "python", "-P", "-m", "relight_eval.decoding.worker")

_PIPE_BYTES = 1 << 20  # where the system lets us (Linux); 64 KB halve the speed
_MOST_TEXT, _MOST_NOTES = 2000, 20
_MOST_ANSWERS = 1000  # of one child: some libraries leak where they fail


def decode(content: bytes, reading: Reading) -> Planes:
    """`formats.decode` in a child process.

    Safe in threads, one child for each that calls at the time. Raises ImageError: the child's own, and when it
    crashed, took longer than TIMEOUT_S, ran out of memory, or could not be started.
    """
    return _pool.ask("decode", asdict(reading), content, Wanted(("uint8", "float32"), (3,), reading.max_pixels))


def decode_mask(content: bytes, max_pixels: int) -> npt.NDArray[np.bool_]:
    """`formats.decode_mask` in a child process: (H, W) bool. Raises ImageError as `decode` does."""
    wanted = Wanted(("bool",), (), max_pixels)
    return _pool.ask("mask", {"max_pixels": max_pixels}, content, wanted).values


@dataclass(frozen=True)
class Wanted:
    """What an answer must be; a child is not trusted once it has seen a file."""

    dtypes: tuple[str, ...]
    leading: tuple[int, ...]  # the shape before (H, W)
    max_pixels: int

    def buffer(self, header: dict[str, Any]) -> npt.NDArray[Any]:
        """An empty array of the shape that `header` announces. Raises ValueError for one that is not wanted."""
        dtype, shape = header.get("dtype"), header.get("shape")
        if dtype not in self.dtypes or not isinstance(shape, list) or any(type(size) is not int for size in shape):
            raise ValueError("an array of another kind")
        *leading, height, width = shape
        if tuple(leading) != self.leading or min(height, width) < 1 or height * width > self.max_pixels:
            raise ValueError("an array of another shape")
        return np.empty(shape, dtype)


class Pool:
    """Child processes that run `command`, and what they are asked.

    One is started when all others are busy; at most `most_idle` wait for more. Those of a process are of no use to a
    fork of it, which starts its own.
    """

    def __init__(self, command: Sequence[str], *, timeout_s: float = TIMEOUT_S, most_idle: int | None = None) -> None:
        self._command = command
        self._timeout_s = timeout_s
        self._most_idle = most_idle or os.cpu_count() or 1
        self._lock = threading.Lock()
        self._children: set[_Child] = set()
        self._idle: list[_Child] = []

    def ask(self, operation: str, settings: dict[str, Any], content: bytes, wanted: Wanted) -> Planes:
        """The child's answer. Raises ImageError."""
        while True:
            child = self._take()
            was_used = child.answers > 0
            try:
                answer = child.ask(operation, settings, content, wanted, self._timeout_s)
            except _DiedError as death:
                self._drop(child)
                if was_used and not death.is_certain:
                    continue  # of an earlier file, perhaps, or while it waited: a fresh child shall say
                raise ImageError(f"{death}") from None
            except MemoryError as error:
                self._drop(child)  # the rest of the answer is still in the pipe
                raise ImageError("not enough memory for the decoded image; use fewer --workers.") from error
            except BaseException:
                self._drop(child)
                raise
            self._give_back(child)
            if isinstance(answer, ImageError):
                raise answer
            return answer

    def close(self) -> None:
        """Ends all children."""
        with self._lock:
            children, self._children, self._idle = self._children, set(), []
        for child in children:
            child.end()

    def forget(self) -> None:
        """Leaves all children to the process that this one was forked from."""
        self._lock = threading.Lock()  # another thread may have held it when the process was forked
        for child in self._children:
            child.forget()
        self._children, self._idle = set(), []

    def _take(self) -> _Child:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        child = _Child(self._command)
        with self._lock:
            self._children.add(child)
        return child

    def _give_back(self, child: _Child) -> None:
        with self._lock:
            if child in self._children and child.is_sound and len(self._idle) < self._most_idle:
                self._idle.append(child)
                return
        self._drop(child)

    def _drop(self, child: _Child) -> None:
        with self._lock:
            self._children.discard(child)
        child.end()


class _DiedError(Exception):
    """A child that ended, or had to be ended, while it was asked; the text is the reason for the file's row."""

    def __init__(self, reason: str, *, is_certain: bool = False) -> None:
        super().__init__(reason)
        self.is_certain = is_certain  # that the file which was asked about is the cause


class _Child:
    """One child process."""

    def __init__(self, command: Sequence[str]) -> None:
        """Starts it, and does not wait until it is ready. Raises ImageError."""
        try:
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # libraries print warnings there, about every odd file
                pipesize=_PIPE_BYTES,
                start_new_session=True,  # the Ctrl-C of a terminal is the parent's to answer
                env=_environment(),
            )
        except (OSError, RuntimeError) as error:  # RuntimeError: this process is about to end
            raise _not_started(error) from error
        self.is_ready = False  # it has started
        self.answers = 0
        self.is_late = False

    def ask(
        self, operation: str, settings: dict[str, Any], content: bytes, wanted: Wanted, timeout_s: float
    ) -> Planes | ImageError:
        """Its answer. Raises _DiedError, after which, as after any exception, it cannot be asked again."""
        question = {
            "operation": operation, "settings": settings, "bytes": len(content),
            "max_pixels": wanted.max_pixels, "timeout_s": timeout_s,
        }  # fmt: skip
        watchdog = threading.Timer(timeout_s, self._stop)
        watchdog.daemon = True
        try:
            watchdog.start()
        except RuntimeError as error:
            raise _not_started(error) from error
        try:
            return self._answer(question, content, wanted)
        except ValueError:
            raise _DiedError(f"the decoder answered with what is no image{_HOSTILE}", is_certain=True) from None
        except (EOFError, OSError):
            raise self._death(timeout_s) from None
        finally:
            watchdog.cancel()
            watchdog.join()

    @property
    def is_sound(self) -> bool:
        """It can be asked again."""
        return not self.is_late and self.answers < _MOST_ANSWERS

    def end(self) -> None:
        """Ends it and waits for that."""
        self._process.kill()
        self._process.wait()
        self.forget()

    def forget(self) -> None:
        """Closes our ends of its pipes; without another process that holds them, it ends."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.returncode = self._process.returncode or 0  # nobody need wait for it

    def _stop(self) -> None:
        self.is_late = True
        self._process.kill()

    def _answer(self, question: dict[str, Any], content: bytes, wanted: Wanted) -> Planes | ImageError:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        if not self.is_ready:
            frames.header(stdout)
            self.is_ready = True
        frames.send(stdin, question, memoryview(content))
        header = frames.header(stdout)
        if "error" in header:
            answer: Planes | ImageError = ImageError(_text(header["error"]))
        else:
            answer = Planes(wanted.buffer(header), _texts(header.get("notes")), _texts(header.get("mistakes")))
            frames.fill(stdout, answer.values.reshape(-1).view(np.uint8).data)
        self.answers += 1
        return answer

    def _death(self, timeout_s: float) -> _DiedError:
        """Why it did not answer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)  # its end of the pipe is closed, so it is nearly over
        self._process.kill()
        code = self._process.wait()
        if self.is_late and self.is_ready:
            return _DiedError(f"decoding took more than {timeout_s:g} s and was stopped{_HOSTILE}", is_certain=True)
        if not self.is_ready:
            how = f"within {timeout_s:g} s" if self.is_late else f"({self._last_words() or _ending(code)})"
            return _DiedError(
                f"the process to decode it in did not start {how}, and only there would a crash cost no more than its "
                "row; see what `relight-eval doctor` says."
            )
        if code == -_SIGKILL:
            return _DiedError(
                "the decoder was ended by the system (SIGKILL), most likely because memory ran out; "
                "use fewer --workers."
            )
        return _DiedError(f"the decoder crashed ({_ending(code)}) on this file{_HOSTILE}")

    def _last_words(self) -> str:
        """What it says when it is started once more, and nobody asks anything: the reason, where it does not start."""
        with contextlib.suppress(OSError, RuntimeError, subprocess.TimeoutExpired):
            ran = subprocess.run(
                self._process.args, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, env=_environment()
            )
            lines = ran.stderr.decode("utf-8", "replace").strip().splitlines()
            return visible(lines[-1][:_MOST_TEXT]) if lines else ""
        return ""


_HOSTILE = "; it is damaged or hostile: write it again, or convert it to 8-bit PNG."
_SIGKILL = 9


def _not_started(error: Exception) -> ImageError:
    return ImageError(
        "no process could be started to decode it in, where a crash would cost no more than its row "
        f"({getattr(error, 'strerror', None) or error}); free memory or raise the limit of processes, or convert it to "
        "8-bit PNG."
    )


def _ending(code: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit code {code}"


def _text(found: object) -> str:
    if not isinstance(found, str):
        raise ValueError("a text that is none")
    return visible(found[:_MOST_TEXT])


def _texts(found: object) -> tuple[str, ...]:
    if not isinstance(found, list):
        raise ValueError("no list of texts")
    return tuple(map(_text, found[:_MOST_NOTES]))


def _environment() -> dict[str, str]:
    """Ours, and the same modules in it: a checkout that is not installed is found by its folder in sys.path."""
    here = ""
    with contextlib.suppress(OSError):  # the current folder was deleted
        here = os.getcwd()
    folders = os.pathsep.join(filter(None, (os.fsdecode(folder) or here for folder in sys.path)))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # there is one child per thread
    return {**os.environ, **threads, "PYTHONPATH": folders}


_pool = Pool(WORKER)
atexit.register(_pool.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.forget)
