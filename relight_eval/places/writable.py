"""Whether an address can be written to: asked before a run, so that no run is lost to a name or a permission.

S3 is asked to take an upload, which is given up before it holds anything: whoever may not write hears so, and nothing
that stands there changes. Of other stores it is known that they are there, and that no folder has this name.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from relight_eval.errors import UsageError, shown
from relight_eval.places import Address, failures, remote

READ_ONLY = frozenset({"http", "https", "github", "git"})


def require(address: Address) -> None:
    """Raises UsageError or OSError where a file could not be written, as far as that can be told beforehand."""
    if address.protocol in READ_ONLY:
        raise UsageError(f"{shown(address)}: from {address.protocol}:// files are only read; write to another place")
    if address.protocol in remote.S3:
        _begin_upload(address)
    elif address.protocol in remote.GS:
        _require_bucket(replace(address, path=address.path.partition("/")[0]))
    with suppress(FileNotFoundError):
        if _reach(address):
            raise IsADirectoryError("is a folder; name a file to write")


def _begin_upload(address: Address) -> None:
    fs, path = remote.opened(address)
    bucket, key, _ = fs.split_path(path)
    if not key:
        raise IsADirectoryError("is a bucket; name a file to write")
    begun = failures.tried(lambda: fs.call_s3("create_multipart_upload", Bucket=bucket, Key=key))
    with suppress(Exception):  # may be forbidden where writing is not; what was begun is never seen, and costs nothing
        fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=begun["UploadId"])


def _require_bucket(bucket: Address) -> None:
    try:
        _reach(bucket)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no bucket {shown(bucket)}") from error


def _reach(address: Address) -> bool:
    """Whether it is a folder; whoever may write, but not look, is not told. Raises OSError where it is not reached."""
    try:
        return remote.is_folder(address)
    except PermissionError:
        return False
