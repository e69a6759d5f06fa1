"""The four things that are done to an address, over every kind of store."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fsspec.config import conf

from relight_eval import places
from relight_eval.errors import UsageError
from relight_eval.places import Address, TooLarge, failures, place, remote
from tests.places.stores import Stores
from tests.s3 import Store

FILES = {
    "out/": b"",
    "out/.h.png": b"hidden",
    "out/.hidden/a.png": b"hidden",
    "out/.hidden/b.png": b"hidden",
    "out/a.png": b"A" * 10,
    "out/day 1/.x/y/z.png": b"hidden",
    "out/day 1/deep/ü ö+.png": b"U",
    "out/day 1/what#?%41.png": b"B" * 5,
    "out/empty.png": b"",
    "outer/x.png": b"another folder",
}
FOUND = ["", "", "", "a.png", "day 1/deep/ü ö+.png", "day 1/what#?%41.png", "empty.png"]


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    server = Stores(FILES)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def bucket(_s3_server: Store) -> str:
    name = _s3_server.bucket()
    for key, content in FILES.items():
        _s3_server.put(name, key, content)
    return name


@pytest.fixture(params=["s3", "gs", "hf", "memory", "http"])
def out(
    request: pytest.FixtureRequest, s3: Store, bucket: str, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> Address:
    """The folder `out` of these files."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", stores.url)
    monkeypatch.setitem(conf, "gs", {"token": "anon", "endpoint_url": stores.url})
    monkeypatch.setitem(conf, "hf", {"endpoint": stores.url})
    if request.param == "memory":
        for key, content in FILES.items():
            if not key.endswith("/"):
                places.write(address(f"memory://{bucket}/{key}"), content)
    return address(
        {
            "s3": f"s3://{bucket}/out",
            "gs": "gs://bucket/out/",
            "hf": "hf://datasets/user/data/out",
            "memory": f"memory://{bucket}/out",
            "http": f"{stores.url}/web/out/",
        }[request.param]
    )


def address(word: str) -> Address:
    found = place(word)
    assert isinstance(found, Address)
    return found


def test_walk(out: Address) -> None:
    found = list(places.walk(out))
    if out.protocol == "http":  # what a page links to by another name is asked for by that
        found = [name.replace("%23%3F%2541", "#?%41") for name in found]
    assert sorted(found) == FOUND


def test_what_walk_finds_is_read(out: Address) -> None:
    content = {relative: places.read(out / relative, 100) for relative in places.walk(out) if relative}
    expected = [content for key, content in sorted(FILES.items()) if key.startswith("out/") and "/." not in key][1:]
    assert [content[name] for name in sorted(content)] == expected


def test_is_folder(out: Address) -> None:
    assert places.is_folder(out)
    assert places.is_folder(out / "day 1")
    assert not places.is_folder(out / "a.png")
    assert places.is_file(out / "a.png")
    assert not places.is_file(out / "b.png")


def test_what_is_not_there(out: Address) -> None:
    for missing in (out.parent / "nix", out / "nix.png"):
        with pytest.raises(FileNotFoundError):
            places.is_folder(missing)
    with pytest.raises(FileNotFoundError):
        places.read(out / "nix.png", 100)


def test_no_more_is_read_than_may_be(out: Address) -> None:
    assert places.read(out / "a.png", 10) == b"A" * 10
    with pytest.raises(TooLarge):
        places.read(out / "a.png", 9)


def test_a_range(out: Address) -> None:
    if out.protocol != "hf":  # asks for the size of a file by another way
        assert remote.read_range(out / "day 1" / "deep" / "ü ö+.png", 0, 1) == b"U"
        assert remote.read_range(out / "a.png", 8, 30) == b"AA"
    size, stamp = remote.size_and_stamp(out / "a.png")
    assert (size, stamp) == remote.size_and_stamp(out / "a.png")
    assert size == (1 if out.protocol == "hf" else 10)


def test_near(s3: Store, bucket: str) -> None:
    assert places.near(address(f"s3://{bucket}/oud")) == ["out", "outer"]
    assert places.near(address("s3://nowhere")) == []
    assert places.near(address("s3://nowhere/out")) == []


def test_near_in_memory(bucket: str) -> None:
    places.write(address(f"memory://{bucket}/near/out"), b"")
    assert places.near(address(f"memory://{bucket}/near/oud")) == ["out"]


def test_a_folder_that_is_called_as_an_archive_is(s3: Store) -> None:
    bucket = s3.bucket()
    s3.put(bucket, "out.tar/a.png", b"")
    with pytest.raises(IsADirectoryError, match="is a folder, no archive; end its address with a /"):
        places.is_folder(address(f"s3://{bucket}/out.tar"))
    assert list(places.walk(address(f"s3://{bucket}/out.tar/"))) == ["a.png"]


def test_folders_without_an_end(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "DEEPEST", 3)
    root = address(f"memory://{bucket}/deep")
    places.write(root / "1/2/3/a.png", b"")
    assert list(places.walk(root)) == ["1/2/3/a.png"]
    places.write(root / "1/2/3/4/a.png", b"")
    with pytest.raises(OSError, match="more than 3 deep; does a link in them lead back"):
        list(places.walk(root))


def test_a_store_that_takes_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", refuse)
    with pytest.raises(OSError, match=r"^nothing can be written to memory://$"):
        places.write(address("memory://a.png"), b"")


def test_writing(s3: Store) -> None:
    bucket = s3.bucket()
    s3.trouble("/new/run.json", "503", "reset")
    places.write(address(f"s3://{bucket}/new/run.json"), b"{}")
    assert s3.get(f"s3://{bucket}/new/run.json") == b"{}"
    with pytest.raises(FileNotFoundError, match="bucket"):
        places.write(address("s3://nowhere/run.json"), b"{}")


def test_a_web_server_takes_no_files(stores: Stores) -> None:
    with pytest.raises(OSError, match="http"):
        places.write(address(f"{stores.url}/web/out/run.json"), b"{}")


def test_a_busy_web_server(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "WAIT_S", 0.01)
    stores.refusals[:] = [503, 429]
    assert places.read(address(f"{stores.url}/web/out/a.png"), 100) == FILES["out/a.png"]
    stores.refusals[:] = [401]
    with pytest.raises(PermissionError):
        places.read(address(f"{stores.url}/web/out/a.png"), 100)
    assert stores.refusals == []


def test_a_web_server_that_gives_no_parts(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "parts", False)
    monkeypatch.setitem(stores.files, "x.tar", bytes(10240))
    assert places.read(address(f"{stores.url}/web/out/a.png"), 10) == FILES["out/a.png"]
    with pytest.raises(TooLarge):
        places.read(address(f"{stores.url}/web/out/a.png"), 9)
    with pytest.raises(OSError, match=r"^the server gives only whole files, no parts of them; copy the archive"):
        places.is_folder(address(f"{stores.url}/web/x.tar"))


def test_what_is_written_anew_is_read_anew(s3: Store) -> None:
    bucket = s3.bucket()
    folder = address(f"s3://{bucket}/out")
    for content in (b"1", b"22"):
        s3.put(bucket, f"out/{content.decode()}.png", content)
        s3.put(bucket, "out/a.png", content)
        assert places.read(folder / "a.png", 10) == content
        assert remote.size_and_stamp(folder / "a.png")[0] == len(content)
    assert list(places.walk(folder)) == ["1.png", "22.png", "a.png"]


def test_more_than_a_page(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.bucket()
    for i in range(7):
        s3.put(bucket, f"out/{i}.png", b"")
    monkeypatch.setattr(remote, "PAGE", 3)
    s3.calm()
    s3.trouble("list-type=2", "", "503", "", "cut")
    assert list(places.walk(address(f"s3://{bucket}/out"))) == [f"{i}.png" for i in range(7)]
    assert len(s3.asked[f"/{bucket}"]) == 3 + 2


def test_threads(s3: Store, bucket: str) -> None:
    s3.trouble("/a.png", "503", "cut", "503", "reset")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: places.read(address(f"s3://{bucket}/out/a.png"), 100), range(24)))
    assert set(found) == {FILES["out/a.png"]}


def test_no_credentials(s3: Store, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    from s3fs import S3FileSystem

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/none")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/none")
    S3FileSystem.clear_instance_cache()
    with pytest.raises(PermissionError, match="credentials; set AWS_PROFILE or AWS_ACCESS_KEY_ID, or FSSPEC_S3_ANON"):
        places.is_folder(address(f"s3://{bucket}/out"))
    S3FileSystem.clear_instance_cache()


def test_a_profile_that_is_not_there(s3: Store, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from s3fs import S3FileSystem

    monkeypatch.setenv("AWS_PROFILE", "nobody")
    S3FileSystem.clear_instance_cache()
    with pytest.raises(OSError, match=r"profile \(nobody\) could not be found"):
        places.is_folder(address(f"s3://{bucket}/out"))
    assert places.near(address(f"s3://{bucket}/oud")) == []
    S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize("error", [ConnectionRefusedError("refused"), RuntimeError("no such host")], ids=repr)
def test_a_store_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    from fsspec.implementations.ftp import FTPFileSystem

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(failures, "WAIT_S", 0.001)
    monkeypatch.setattr(FTPFileSystem, "__init__", refuse)
    with pytest.raises(OSError, match=str(error)):
        places.is_folder(address("ftp://host/out"))
    assert places.near(address("ftp://host/out")) == []


@pytest.mark.parametrize("library", ["fsspec", "s3fs"])
def test_a_library_that_is_not_there(library: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; from relight_eval.places import place; place('s3://b/out')"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "UsageError: s3:// needs" in ran.stderr
    assert "pip install 'relight-eval[remote]'" in ran.stderr


def test_a_library_of_another_store() -> None:
    with pytest.raises(UsageError, match=r"^lakefs:// needs a package that is not installed: .*lakefs-spec"):
        place("lakefs://repository/main/out")
