"""What can be told of an address before anything is written to it."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from relight_eval.errors import UsageError
from relight_eval.places import Address, place, remote, require_writable, write
from tests.s3 import Store


def at(word: str) -> Address:
    found = place(word)
    assert isinstance(found, Address)
    return found


def built(word: str) -> Address:
    """The address, whether or not what it needs is installed."""
    protocol, _, path = word.partition("://")
    return Address(f"{protocol}://", path)


def answering(answers: dict[str, bool | Exception]) -> Callable[[Address], bool]:
    def is_folder(address: Address) -> bool:
        found = answers[str(address)]
        if isinstance(found, Exception):
            raise found
        return found

    return is_folder


class TestS3:
    def test_a_new_file_and_one_that_stands_there(self, s3: Store) -> None:
        bucket = s3.bucket()
        require_writable(at(f"s3://{bucket}/out/a.csv"))
        assert "Contents" not in s3.client.list_objects_v2(Bucket=bucket)
        s3.put(bucket, "out/a.csv", b"old")
        require_writable(at(f"s3://{bucket}/out/a.csv"))
        assert s3.get(f"s3://{bucket}/out/a.csv") == b"old"
        assert "Uploads" not in s3.client.list_multipart_uploads(Bucket=bucket)

    def test_no_bucket_the_bucket_and_a_folder(self, s3: Store) -> None:
        bucket = s3.bucket()
        s3.put(bucket, "out/a.csv", b"")
        with pytest.raises(FileNotFoundError, match="bucket does not exist"):
            require_writable(at("s3://nowhere/a.csv"))
        with pytest.raises(IsADirectoryError, match="is a bucket; name a file"):
            require_writable(at(f"s3://{bucket}"))
        with pytest.raises(IsADirectoryError, match="is a folder; name a file"):
            require_writable(at(f"s3://{bucket}/out"))

    def test_who_may_not_write(self, s3: Store) -> None:
        bucket = s3.bucket()
        s3.trouble("?uploads", "403", "always")
        with pytest.raises(PermissionError, match="Access Denied"):
            require_writable(at(f"s3://{bucket}/a.csv"))

    def test_who_may_write_and_neither_look_nor_end_an_upload(self, s3: Store) -> None:
        bucket = s3.bucket()
        s3.trouble("uploadId", "403", "always")
        s3.trouble("list-type", "403", "always")
        require_writable(at(f"s3://{bucket}/a.csv"))

    def test_a_busy_server_is_asked_again(self, s3: Store) -> None:
        bucket = s3.bucket()
        s3.trouble("?uploads", "503", "503")
        require_writable(at(f"s3://{bucket}/a.csv"))


class TestOthers:
    def test_a_bucket_of_gs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        gone = FileNotFoundError("no such file or folder")
        monkeypatch.setattr(remote, "is_folder", answering({"gs://b": gone}))
        with pytest.raises(FileNotFoundError, match=r"there is no bucket gs://b$"):
            require_writable(built("gs://b/out/a.csv"))
        monkeypatch.setattr(remote, "is_folder", answering({"gs://b": True, "gs://b/out/a.csv": gone}))
        require_writable(built("gs://b/out/a.csv"))
        monkeypatch.setattr(remote, "is_folder", answering({"gs://b": PermissionError(), "gs://b/a.csv": gone}))
        require_writable(built("gs://b/a.csv"))

    def test_what_is_not_reached(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(remote, "is_folder", answering({"sftp://host/a.csv": OSError("no route to host")}))
        with pytest.raises(OSError, match="no route to host"):
            require_writable(built("sftp://host/a.csv"))

    def test_memory(self) -> None:
        there = at(f"memory://{uuid.uuid4()}/a.csv")
        require_writable(there)
        write(there, b"")
        require_writable(there)
        with pytest.raises(IsADirectoryError):
            require_writable(there.parent)

    @pytest.mark.parametrize("word", ["http://host/a.csv", "https://host/a.csv", "github://org:repo@main/a.csv"])
    def test_what_is_only_read(self, word: str) -> None:
        with pytest.raises(UsageError, match="files are only read"):
            require_writable(built(word))
