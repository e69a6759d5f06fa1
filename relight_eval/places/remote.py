"""Files and folders that fsspec reaches: listed page by page, read and written whole, tried again where that helps.

Credentials are those that fsspec finds by itself: in the environment, and in the configuration files of each store.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from relight_eval.errors import UsageError, nearest
from relight_eval.places import Address, TooLarge, failures

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

HANGING_S = 120.0  # one request; most stores give up long before, as nothing comes
SILENCE_S = 30.0  # of an https server, or of gs
PAGE = 1000  # names that a bucket is asked for at once
DEEPEST = 100  # folders in each other, where each is listed by itself: a link of a page may lead round and round
CONNECTIONS = 64  # to one store at once, which the threads that read share

S3, GS, _WEB = frozenset({"s3", "s3a"}), frozenset({"gs", "gcs"}), frozenset({"http", "https"})
_EXTRA = "pip install 'relight-eval[remote]'"
_IN_EXTRA = S3 | GS | _WEB | {"hf"}
# Those that read something else, which they would have to be told: no address of a file.
_WRAPPERS = frozenset(
    {
        *("simplecache", "filecache", "blockcache", "cached", "dir", "reference", "generic", "libarchive", "data"),
        *("async_wrapper", "asyncwrapper", "asynclocal", "dask", "pyscript"),
    }
)
_CONTENTS = re.compile(rb"<Contents>.*?(<Key>.*?</Key>).*?</Contents>", re.DOTALL)
_TRY_AGAIN_THEMSELVES = {"gs": 1, "gcs": 1, "hf": 2}  # how often we do


def require(protocol: str) -> None:
    """Raises UsageError where fsspec does not know a protocol, or where it, or what it needs, is not installed."""
    _class(protocol)


@cache
def _class(protocol: str) -> type[AbstractFileSystem]:
    try:
        import fsspec
    except ImportError:
        raise UsageError(f"{protocol}:// needs fsspec, which is not installed: {_EXTRA}") from None
    known = sorted({*fsspec.available_protocols(), *fsspec.registry} - _WRAPPERS)
    if protocol not in known:
        what = "is no address of files" if protocol in _WRAPPERS else "is not known to fsspec"
        raise UsageError(f"{protocol}:// {what}; {nearest(protocol, known)}")
    if protocol in GS:  # gcsfs would ask, by gRPC, what kind each bucket is: a minute where only HTTP gets through
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        logging.getLogger("gcsfs").addHandler(logging.NullHandler())  # what it raises it would also print
    try:
        kind: type[AbstractFileSystem] = fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        how = _EXTRA if protocol in _IN_EXTRA else failures.told(error)
        raise UsageError(f"{protocol}:// needs a package that is not installed: {how}") from None
    return kind


def walk(address: Address) -> Iterator[str]:
    """As `places.walk`: in the order of the store, where that lists all below at once; else folder by folder."""
    hidden = ""
    for relative in _names(address):
        parts = relative.split("/")
        at = next((at for at, part in enumerate(parts) if part.startswith(".")), None)
        if at is None:
            yield relative
        elif (inside := "/".join(parts[: at + 1])) != hidden:
            hidden = inside  # all that is in a hidden folder stands together
            yield ""


def is_folder(address: Address) -> bool:
    def found() -> bool:
        info = _sync(fs, "info", path)
        # What an https server lists as a page is its folder.
        return info["type"] == "directory" or str(info.get("mimetype", "")).startswith("text/html")

    fs, path = opened(address)
    fs.invalidate_cache()
    return failures.tried(found, _attempts(address.protocol))


def read(address: Address, most: int) -> bytes:
    content = read_range(address, 0, most + 1 if most < sys.maxsize else None)
    if len(content) > most:
        raise TooLarge
    return content


def read_range(address: Address, start: int, end: int | None) -> bytes:
    """The bytes from `start` to before `end` of a file, or as many as it has, by one request. Safe in threads.

    Raises as `places.read` does.
    """

    def found() -> bytes:
        try:
            return bytes(_sync(fs, "cat_file", path, start=start, end=end, **streamed))
        except Exception as error:
            if failures.status_of(error) == 416:  # none of its bytes is in this range
                return b""
            raise

    fs, path = opened(address)
    streamed = {"block_size": 0} if address.protocol == "hf" and start == 0 else {}  # else it asks for the size first
    return failures.tried(found, _attempts(address.protocol))


def size_and_stamp(address: Address) -> tuple[int, str]:
    """How many bytes a file has, and what is another text when it is written anew. Raises as `places.read` does."""
    fs, path = opened(address)
    fs.invalidate_cache()
    info = failures.tried(lambda: _sync(fs, "info", path), _attempts(address.protocol))
    if info["type"] == "directory":
        raise IsADirectoryError("is a folder, no archive; end its address with a /")
    if info.get("size") is None:
        raise OSError("the server does not say how large it is")
    return int(info["size"]), hashlib.sha256(repr(sorted(info.items(), key=str)).encode()).hexdigest()


def write(address: Address, data: bytes) -> None:
    def written() -> None:
        try:
            _sync(fs, "pipe_file", path, data)
        except NotImplementedError:
            raise OSError(f"nothing can be written to {address.protocol}://") from None

    fs, path = opened(address)
    failures.tried(written, _attempts(address.protocol))


def near(address: Address) -> list[str]:
    """Names beside the one of an address, some of very many; none where they cannot be listed."""
    try:
        fs, folder = opened(address.parent)
        if address.protocol in S3:
            page = _s3_page(fs, folder, Delimiter="/", MaxKeys=PAGE)
            found = [item["Key"] for item in page.get("Contents", ())]
            found += [item["Prefix"] for item in page.get("CommonPrefixes", ())]
        else:
            found = fs.ls(folder, detail=False)
    except Exception:  # they are only for a hint
        return []
    return [name.rstrip("/").rpartition("/")[2] for name in found[:PAGE]]


# Listing


def _names(address: Address) -> Iterator[str]:
    """Relative path of every file below; of a hidden folder, its own or those of all that is in it."""
    fs, root = opened(address)
    if address.protocol in S3:
        return _all_of_s3(fs, root)
    if address.protocol in GS:
        return _all_of_gs(fs, root)
    if address.protocol == "hf":
        return _all_of_hf(fs, root)
    return _by_folder(fs, root)


def _all_of_s3(fs: Any, root: str) -> Iterator[str]:
    # Not by fs.find, which holds 1 kB for each of all the names at once.
    failures.tried(partial(_names_alone, fs))
    start = len(_key(fs, root))
    more: dict[str, str] = {}
    while True:
        page = failures.tried(partial(_s3_page, fs, root, MaxKeys=PAGE, **more))
        yield from (item["Key"][start:] for item in page.get("Contents", ()) if not item["Key"].endswith("/"))
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _names_alone(fs: Any) -> None:
    """Has listings parsed without all but the names: botocore would spend most of the time of a listing on the rest."""

    def shorten(response_dict: dict[str, Any], **_: object) -> None:
        response_dict["body"] = _CONTENTS.sub(rb"<Contents>\1</Contents>", response_dict["body"])

    fs.s3.meta.events.register("before-parse.s3.ListObjectsV2", shorten, unique_id="relight-eval")


def _s3_page(fs: Any, folder: str, **more: object) -> dict[str, Any]:
    bucket = fs.split_path(folder)[0]
    page: dict[str, Any] = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=_key(fs, folder), **more)
    return page


def _all_of_gs(fs: Any, root: str) -> Iterator[str]:
    bucket, prefix = fs.split_path(root)[0], _key(fs, root)
    asked = {"prefix": prefix, "fields": "items/name,nextPageToken", "maxResults": 5000, "json_out": True}
    while True:
        page = failures.tried(partial(_sync, fs, "call", "GET", "b/{}/o", bucket, **asked), _attempts("gs"))
        names = (item["name"] for item in page.get("items", ()))
        yield from (name[len(prefix) :] for name in names if not name.endswith("/"))
        if not page.get("nextPageToken"):
            return
        asked["pageToken"] = page["nextPageToken"]


def _key(fs: Any, folder: str) -> str:
    """What the keys of all below a folder of a bucket begin with."""
    key = fs.split_path(folder)[1]
    return f"{key.rstrip('/')}/" if key else ""


def _all_of_hf(fs: Any, root: str) -> Iterator[str]:
    root = failures.tried(lambda: fs.resolve_path(root).unresolve(), _attempts("hf"))
    for name in failures.tried(lambda: fs.find(root, refresh=True), _attempts("hf")):
        yield name.removeprefix(f"{root}/")


def _by_folder(fs: Any, root: str) -> Iterator[str]:
    waiting = [("", root.rstrip("/"))]
    while waiting:
        below, folder = waiting.pop()
        folders = []
        for name, inside in failures.tried(partial(_listed, fs, folder)):
            relative = f"{below}{name}"
            if inside and not name.startswith("."):
                if below.count("/") == DEEPEST:
                    raise OSError(f"its folders are more than {DEEPEST} deep; does a link in them lead back?")
                folders.append((f"{relative}/", inside))
            else:
                yield relative
        waiting += reversed(folders)


def _listed(fs: Any, folder: str) -> list[tuple[str, str]]:
    """Names in a folder, in order; of folders also the paths, "" of files."""
    web = "http" in fs.protocol
    found = []
    for entry in _sync(fs, "ls", f"{folder}/" if web else folder, detail=True):
        path = entry["name"].rstrip("/")
        name = path.removeprefix(f"{folder}/") if web else path.rpartition("/")[2]
        if web and ("/" in name or name.startswith(("?", "#"))):  # a page has links to more than its files
            continue
        found.append((_read_by(name) if web else name, path if entry["type"] == "directory" else ""))
    return sorted(found)


def _read_by(link: str) -> str:
    """The name that a link of a page stands for, where the file can be asked for by that name."""
    name = unquote(link)
    return link if any(letter in name for letter in "%?#") else name


# fsspec


def opened(address: Address) -> tuple[Any, str]:
    """The file system of an address, and the path there. (Any: what each can do more than others is not typed.)"""
    kind: Any = _class(address.protocol)
    url = str(address)
    options = {**kind._get_kwargs_from_urls(url), **_options(address.protocol)}
    fs = failures.tried(partial(kind, **options), _attempts(address.protocol))  # (some connect)
    if address.protocol in S3:
        fs.retries = 1  # `failures` does that
    return fs, kind._strip_protocol(url)


def _options(protocol: str) -> dict[str, Any]:
    """What a file system is opened with, beside what the user's configuration of fsspec says."""
    from fsspec.config import conf

    if protocol in S3:
        given = {**conf.get("s3", {}), **conf.get("s3a", {})}.get("config_kwargs", {})
        once = {"retries": {"total_max_attempts": 1, "mode": "standard"}}  # `failures` does more
        return {"use_listings_cache": False, "config_kwargs": {"max_pool_connections": CONNECTIONS, **given, **once}}
    if protocol in _WEB:
        given = {**conf.get("http", {}), **conf.get("https", {})}.get("client_kwargs", {})
        return {"client_kwargs": {"timeout": _silence(), **given}}
    if protocol in GS:
        given = {**conf.get("gs", {}), **conf.get("gcs", {})}.get("session_kwargs", {})
        return {"use_listings_cache": False, "session_kwargs": {"timeout": _silence(), **given}}
    return {}


def _silence() -> Any:
    from aiohttp import ClientTimeout

    return ClientTimeout(total=None, sock_connect=SILENCE_S, sock_read=SILENCE_S)


def _sync(fs: Any, method: str, *args: object, **kwargs: object) -> Any:
    """A method of a file system, given up when it takes too long where it can be."""
    if not fs.async_impl:
        return getattr(fs, method)(*args, **kwargs)
    from fsspec.asyn import sync

    return sync(fs.loop, getattr(fs, f"_{method}"), *args, timeout=HANGING_S, **kwargs)


def _attempts(protocol: str) -> int:
    return _TRY_AGAIN_THEMSELVES.get(protocol, failures.ATTEMPTS)
