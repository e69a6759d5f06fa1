"""Tar and zip archives, read in place: whatever is in them, wherever they are, in one piece or in shards."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import random
import struct
import tarfile
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight_eval.errors import PairingError, UsageError
from relight_eval.evaluate import evaluate
from relight_eval.pairs import find
from relight_eval.places import Address, TooLarge, archives, is_folder, place, read, tars, walk, write
from relight_eval.places.shards import shards
from relight_eval.places.sources import Window, name_of
from relight_eval.places.threads import impatient_threads
from relight_eval.reports import csv
from relight_eval.results import Results
from tests.cli.commands import Command
from tests.folders import two_folders
from tests.s3 import Store

MOST = 1 << 20
FILES = {"a.png": b"first", "b/c.png": b"second" * 300, "b/d/e.png": b"", "b/f.txt": b"\0" * 512, "z.png": b"!" * 511}
BOTH = pytest.mark.parametrize("kind", ["tar", "zip"])


def packed(path: Path, files: dict[str, bytes], **settings: object) -> Address:
    """An archive of these files, of the kind that its suffix says."""
    pack = {".tar": tar_bytes, ".zip": zip_bytes}[path.suffix]
    path.write_bytes(pack(files.items(), **settings))  # type: ignore[operator]
    return address(path)


def tar_bytes(files: Iterable[tuple[str, bytes]], format: int = tarfile.PAX_FORMAT) -> bytes:
    return tar_of((member(name, content) for name, content in files), format)


def tar_of(members: Iterable[tuple[tarfile.TarInfo, bytes]], format: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as archive:
        for header, content in members:
            archive.addfile(header, io.BytesIO(content))
    return file.getvalue()


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, to: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    header = tarfile.TarInfo(name)
    header.type, header.linkname, header.size = kind, to, len(content)
    return header, content


def zip_bytes(files: Iterable[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def address(archive: Path | str) -> Address:
    found = place(str(archive))
    assert isinstance(found, Address)
    return found


def tree(folder: Address) -> dict[str, bytes]:
    """All that is in a folder but what is hidden."""
    return {path: read(folder / path, MOST) for path in walk(folder) if path}


def of_tar(tmp_path: Path, *members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> Address:
    (tmp_path / "x.tar").write_bytes(tar_of(members, format))
    return address(tmp_path / "x.tar")


def of_zip(tmp_path: Path, content: bytes) -> Address:
    (tmp_path / "x.zip").write_bytes(content)
    return address(tmp_path / "x.zip")


@BOTH
class TestFolder:
    """An archive is the folder that unpacking it would make."""

    def test_its_files(self, tmp_path: Path, kind: str) -> None:
        assert tree(packed(tmp_path / f"x.{kind}", FILES)) == FILES

    def test_in_order(self, tmp_path: Path, kind: str) -> None:
        backwards = dict(reversed(FILES.items()))
        assert list(walk(packed(tmp_path / f"x.{kind}", backwards))) == sorted(FILES)

    def test_a_folder_in_it(self, tmp_path: Path, kind: str) -> None:
        below = packed(tmp_path / f"x.{kind}", FILES) / "b"
        assert tree(below) == {"c.png": FILES["b/c.png"], "d/e.png": b"", "f.txt": FILES["b/f.txt"]}
        assert tree(address(f"{kind}://b/d/::{tmp_path}/x.{kind}")) == {"e.png": b""}

    def test_a_folder_among_others_of_nearly_its_name(self, tmp_path: Path, kind: str) -> None:
        names = ["b.png", "b!/c.png", "b/c.png", "b0/c.png", "bb/c.png", "B/c.png"]
        assert list(walk(packed(tmp_path / f"x.{kind}", dict.fromkeys(names, b"")) / "b")) == ["c.png"]

    def test_what_is_a_folder(self, tmp_path: Path, kind: str) -> None:
        root = packed(tmp_path / f"x.{kind}", FILES)
        found = {path: is_folder(root / path) for path in ("", "a.png", "b", "b/c.png", "b/d")}
        assert found == {"": True, "a.png": False, "b": True, "b/c.png": False, "b/d": True}
        for path in ("c", "a", "b/c", "b/d/e", "B"):
            with pytest.raises(FileNotFoundError, match="no such file or folder in the archive"):
                is_folder(root / path)

    def test_what_is_not_there(self, tmp_path: Path, kind: str) -> None:
        root = packed(tmp_path / f"x.{kind}", FILES)
        for path in ("b", "c.png", "a.png/a.png", ""):
            with pytest.raises(FileNotFoundError, match="no such file in the archive"):
                read(root / path, MOST)
        assert list(walk(root / "nowhere")) == []
        with pytest.raises(FileNotFoundError):
            is_folder(address(tmp_path / f"y.{kind}"))

    def test_hidden_files_are_counted_and_a_hidden_folder_once(self, tmp_path: Path, kind: str) -> None:
        hidden = dict.fromkeys(["__MACOSX/._a.png", ".x", ".git/a.png", ".git/b/c.png", "b/.y.png", "b/.z/a.png"], b"")
        root = packed(tmp_path / f"x.{kind}", FILES | hidden)
        assert sorted(walk(root)) == [""] * 5 + sorted(FILES)
        assert list(walk(root / ".git")) == ["a.png", "b/c.png"]

    def test_names(self, tmp_path: Path, kind: str) -> None:
        odd = ("ü/né.png", "日本.png", "a b.png", "x#1.png", "p%20q.png", "n\nl.png", "long/" * 60 + "x" * 200 + ".png")
        files = {name: name.encode() for name in odd}
        assert tree(packed(tmp_path / f"x.{kind}", files)) == files

    def test_no_name_leads_out_of_it(self, tmp_path: Path, kind: str) -> None:
        names = ["./a.png", "/b.png", "../c.png", "x/../../d.png", "b//.//e.png", "..", "/", "x/../y/f.png"]
        root = packed(tmp_path / f"x.{kind}", {name: name.encode() for name in names})
        found = {"a.png": b"./a.png", "b.png": b"/b.png", "c.png": b"../c.png", "d.png": b"x/../../d.png"}
        assert tree(root) == found | {"b/e.png": b"b//.//e.png", "y/f.png": b"x/../y/f.png"}

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_of_two_of_one_name_the_last(self, tmp_path: Path, kind: str) -> None:
        pack = {"tar": tar_bytes, "zip": zip_bytes}[kind]
        (tmp_path / f"x.{kind}").write_bytes(pack([("a.png", b"old"), ("b.png", b"b"), ("./a.png", b"new")]))
        assert tree(address(tmp_path / f"x.{kind}")) == {"a.png": b"new", "b.png": b"b"}

    def test_an_empty_one(self, tmp_path: Path, kind: str) -> None:
        root = packed(tmp_path / f"x.{kind}", {})
        assert is_folder(root)
        assert list(walk(root)) == []

    def test_nothing_is_written(self, tmp_path: Path, kind: str) -> None:
        root = packed(tmp_path / f"x.{kind}", FILES)
        with pytest.raises(UsageError, match="an archive is only read"):
            write(root / "new.png", b"")
        tree(root)
        assert os.listdir(tmp_path) == [f"x.{kind}"]

    def test_a_file_that_is_too_large(self, tmp_path: Path, kind: str) -> None:
        root = packed(tmp_path / f"x.{kind}", {"a.png": bytes(1000)})
        assert read(root / "a.png", 1000) == bytes(1000)
        with pytest.raises(TooLarge) as raised:
            read(root / "a.png", 999)
        assert raised.value.size == 1000

    def test_threads(self, tmp_path: Path, kind: str) -> None:
        files = {f"{i % 7}/{i}.png": random.Random(i).randbytes(i * 11) for i in range(200)}
        root = packed(tmp_path / f"x.{kind}", files)
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda name: read(root / name, MOST), files)) == list(files.values())

    @given(
        names=st.sets(st.from_regex(r"[a-cA./ü -]{1,12}\.png", fullmatch=True), max_size=12), seed=st.integers(0, 99)
    )
    def test_any_tree(self, tmp_path_factory: pytest.TempPathFactory, kind: str, names: set[str], seed: int) -> None:
        rng = random.Random(seed)
        files = {name: rng.randbytes(rng.choice((0, 1, 511, 512, 3000))) for name in sorted(names)}
        root = packed(tmp_path_factory.mktemp("tree") / f"x.{kind}", files)
        expected = {name_of(name): content for name, content in files.items()}
        seen = {name: content for name, content in expected.items() if not any(p[:1] == "." for p in name.split("/"))}
        assert tree(root) == seen
        assert {name: read(root / name, MOST) for name in expected} == expected


class TestTar:
    @pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
    def test_long_names(self, tmp_path: Path, format: int) -> None:
        files = {f"{'ä' * 40}/{'x' * length}.png": b"%d" % length for length in (20, 99, 100, 101, 180)}
        assert tree(packed(tmp_path / "x.tar", files, format=format)) == files

    def test_names_that_are_no_utf8(self, tmp_path: Path) -> None:
        assert tree(packed(tmp_path / "x.tar", {"\udcff.png": b"a"}, format=tarfile.GNU_FORMAT)) == {"\udcff.png": b"a"}

    def test_links_become_what_they_lead_to(self, tmp_path: Path) -> None:
        links = [("l.png", "b/a.png"), ("b/l.png", "a.png"), ("b/m.png", "../l.png"), ("c/n.png", "../b/./m.png")]
        symbolic = [member(name, kind=tarfile.SYMTYPE, to=to) for name, to in links]
        hard = [member(name, kind=tarfile.LNKTYPE, to=to) for name, to in (("h.png", "./b/a.png"), ("i.png", "l.png"))]
        found = tree(of_tar(tmp_path, *symbolic, member("b/a.png", b"content"), *hard))
        assert found == dict.fromkeys(["b/a.png", "h.png", "i.png", *dict(links)], b"content")

    @pytest.mark.parametrize(
        ("kind", "to", "told"),
        [
            (tarfile.SYMTYPE, "/etc/passwd", "is a link to /etc/passwd, out of the archive"),
            (tarfile.SYMTYPE, "../../a.png", r"is a link to ../../a.png, out of the archive"),
            (tarfile.SYMTYPE, "nothing.png", "is a link to b/nothing.png, which is no file of the archive"),
            (tarfile.SYMTYPE, "../b", "is a link to b, which is no file of the archive"),
            (tarfile.SYMTYPE, "l.png", "round and round"),
            (tarfile.LNKTYPE, "later.png", "is a link to later.png, which is no file of the archive"),
            (tarfile.LNKTYPE, "/etc/passwd", "is a link to etc/passwd, which is no file of the archive"),
            (tarfile.FIFOTYPE, "", "is no regular file"),
            (tarfile.CHRTYPE, "", "is no regular file"),
        ],
    )
    def test_what_is_no_file(self, tmp_path: Path, kind: bytes, to: str, told: str) -> None:
        root = of_tar(
            tmp_path, member("b/l.png", kind=kind, to=to), member("later.png"), member("b", kind=tarfile.DIRTYPE)
        )
        assert list(walk(root)) == ["b/l.png", "later.png"]
        with pytest.raises(OSError, match=told):
            read(root / "b/l.png", MOST)

    def test_a_file_in_place_of_a_link(self, tmp_path: Path) -> None:
        link = member("a.png", kind=tarfile.SYMTYPE, to="b.png")
        assert tree(of_tar(tmp_path, member("b.png", b"b"), link, member("a.png", b"a")))["a.png"] == b"a"

    def test_a_hard_link_is_the_file_before_it(self, tmp_path: Path) -> None:
        link = member("l.png", kind=tarfile.LNKTYPE, to="a.png")
        assert tree(of_tar(tmp_path, member("a.png", b"old"), link, member("a.png", b"new")))["l.png"] == b"old"

    @pytest.mark.parametrize("header", [{"GNU.sparse.map": "0,3", "GNU.sparse.size": "9"}, None], ids=["pax", "gnu"])
    def test_sparse_files_are_refused(self, tmp_path: Path, header: dict[str, str] | None) -> None:
        sparse, content = member("s.png", b"abc", kind=tarfile.REGTYPE if header else tarfile.GNUTYPE_SPARSE)
        sparse.pax_headers = header or {}
        root = of_tar(tmp_path, (sparse, content), member("a.png", b"a"))
        assert read(root / "a.png", MOST) == b"a"
        with pytest.raises(OSError, match="sparse"):
            read(root / "s.png", MOST)

    def test_headers_for_all_members(self, tmp_path: Path) -> None:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", pax_headers={"comment": "of git archive"}) as archive:
            archive.addfile(*[member("a.png", b"a")[0], io.BytesIO(b"a")])
        (tmp_path / "x.tar").write_bytes(file.getvalue())
        assert tree(address(tmp_path / "x.tar")) == {"a.png": b"a"}

    @pytest.mark.parametrize(
        ("spoilt", "told"),
        [
            (lambda data: b"", r"x\.tar is empty \(0 bytes\)"),
            (lambda data: gzip.compress(data), r"x\.tar is compressed with gzip; decompress it"),
            (lambda data: bz2.compress(data), "is compressed with bzip2"),
            (lambda data: lzma.compress(data), "is compressed with xz"),
            (lambda data: b"no archive" * 100, r"x\.tar is no tar archive"),
            (lambda data: zip_bytes(FILES.items()), r"x\.tar is no tar archive"),
            (lambda data: data[:1500], r"x\.tar .*cut off"),
            (lambda data: data[:1800], r"x\.tar .*cut off"),
            (lambda data: data[: data.rindex(b"!") + 2], "has no end mark: it was cut off, or is still being written"),
            (lambda data: data[:1024] + b"X" + data[1025:], "is damaged: there is no header at byte 1024"),
            (lambda data: data + data, "goes on after its end mark"),
        ],
    )
    def test_damage(self, tmp_path: Path, spoilt: Callable[[bytes], bytes], told: str) -> None:
        (tmp_path / "x.tar").write_bytes(spoilt(tar_bytes(FILES.items(), tarfile.GNU_FORMAT)))
        for look in (is_folder, lambda root: list(walk(root)), lambda root: read(root / "a.png", MOST)):
            with pytest.raises(OSError, match=told):
                look(address(tmp_path / "x.tar"))

    def test_a_header_of_any_length(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tars, "LONGEST_HEADER", 1024)
        name = member("././@LongLink", b"x" * 2000, kind=tarfile.GNUTYPE_LONGNAME)
        with pytest.raises(OSError, match=r"x\.tar is damaged or cut off \(a header has an impossible size\)$"):
            is_folder(of_tar(tmp_path, name, member("a.png")))

    def test_a_size_below_zero(self, tmp_path: Path) -> None:
        """Led Python's tarfile round and round for ever (CVE-2025-8194)."""
        data = bytearray(tar_bytes(FILES.items()))
        data[124:136] = struct.pack(">4xq", -512).replace(b"\0\0\0\0", b"\xff\xff\xff\xff", 1)
        data[156:157] = b"Z"  # no type that is known
        data[148:156] = b" " * 8
        data[148:156] = b"%06o\0 " % sum(data[:512])
        (tmp_path / "x.tar").write_bytes(data)
        with pytest.raises(OSError, match=r"x\.tar is damaged: the size of 'a\.png' is impossible"):
            list(walk(address(tmp_path / "x.tar")))


class TestZip:
    @pytest.mark.parametrize("method", ["STORED", "DEFLATED", "BZIP2", "LZMA", "ZSTANDARD"])
    def test_compression(self, tmp_path: Path, method: str) -> None:
        if not hasattr(zipfile, f"ZIP_{method}"):
            pytest.skip(f"this Python does not know {method}")
        files = FILES | {"long.png": bytes(range(256)) * 3000}
        assert tree(packed(tmp_path / "x.zip", files, compression=getattr(zipfile, f"ZIP_{method}"))) == files

    def test_written_to_a_pipe(self, tmp_path: Path) -> None:
        """The sizes stand after the content, and not before it."""

        class Pipe(io.RawIOBase):
            data = b""

            def writable(self) -> bool:
                return True

            def write(self, data: bytes) -> int:  # type: ignore[override]
                self.data += bytes(data)
                return len(data)

        pipe = Pipe()
        with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in FILES.items():
                archive.writestr(name, content)
        assert tree(of_zip(tmp_path, pipe.data)) == FILES

    def test_zip64(self, tmp_path: Path) -> None:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive, archive.open("a.png", "w", force_zip64=True) as large:
            large.write(b"content")
        assert tree(of_zip(tmp_path, file.getvalue())) == {"a.png": b"content"}

    def test_after_something_else_and_before_a_comment(self, tmp_path: Path) -> None:
        file = io.BytesIO(b"#!/bin/sh\n" * 50)
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr("a.png", b"content")
            archive.comment = b"of a self-extracting one"
        assert tree(of_zip(tmp_path, file.getvalue())) == {"a.png": b"content"}

    def test_names_of_dos(self, tmp_path: Path) -> None:
        data = zip_bytes({"XX.png": b"a"}.items()).replace(b"XX.png", "üé.png".encode("cp437"))
        assert tree(of_zip(tmp_path, data)) == {"üé.png": b"a"}

    @pytest.mark.parametrize(
        ("at", "value", "told"),
        [
            (8, b"\1\0", "is encrypted"),
            (10, b"\x63\0", "is compressed by method 99"),
            (42, b"\xff\0\0\0", "overlaps|another file in its place"),
        ],
        ids=["encrypted", "unknown method", "wrong place"],
    )
    def test_what_is_not_read(self, tmp_path: Path, at: int, value: bytes, told: str) -> None:
        data = bytearray(zip_bytes(FILES.items()))
        entry = data.index(b"PK\1\2")
        data[entry + at : entry + at + len(value)] = value
        root = of_zip(tmp_path, bytes(data))
        with pytest.raises(OSError, match=told):
            read(root / "a.png", MOST)
        assert read(root / "z.png", MOST) == FILES["z.png"]

    def test_links(self, tmp_path: Path) -> None:
        file, link = io.BytesIO(), zipfile.ZipInfo("l.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(link, "/etc/passwd")
        with pytest.raises(OSError, match="is a link, which is not followed in a zip archive"):
            read(of_zip(tmp_path, file.getvalue()) / "l.png", MOST)

    @pytest.mark.parametrize("method", ["DEFLATED", "BZIP2", "LZMA"])
    def test_a_bomb_that_says_so(self, tmp_path: Path, method: str) -> None:
        root = packed(tmp_path / "x.zip", {"a.png": bytes(3 * MOST)}, compression=getattr(zipfile, f"ZIP_{method}"))
        with pytest.raises(TooLarge):
            read(root / "a.png", MOST)

    @pytest.mark.parametrize("method", ["DEFLATED", "BZIP2", "LZMA"])
    def test_a_bomb_that_says_nothing_takes_no_memory(self, tmp_path: Path, method: str) -> None:
        import tracemalloc

        size = 40 << 20
        data = zip_bytes({"a.png": bytes(size)}.items(), getattr(zipfile, f"ZIP_{method}"))
        root = of_zip(tmp_path, data.replace(struct.pack("<I", size), struct.pack("<I", 1000)))
        list(walk(root))
        tracemalloc.start()
        try:
            with pytest.raises(OSError, match="the archive is damaged"):
                read(root / "a.png", MOST)
            assert tracemalloc.get_traced_memory()[1] < 2 << 20
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize(
        ("spoilt", "told"),
        [
            (lambda data: b"", r"x\.zip is damaged or cut off, or no zip archive"),
            (lambda data: b"no archive" * 100, r"x\.zip is damaged or cut off, or no zip archive"),
            (lambda data: data[:-30], r"x\.zip is damaged or cut off"),
            (lambda data: data[: len(data) // 2], r"x\.zip is damaged or cut off"),
            (
                lambda data: data[:-12] + b"\3" + data[-11:],
                r"x\.zip .*says that it has 3 files and folders, but lists 5",
            ),
        ],
    )
    def test_damage(self, tmp_path: Path, spoilt: Callable[[bytes], bytes], told: str) -> None:
        root = of_zip(tmp_path, spoilt(zip_bytes(FILES.items())))
        for look in (is_folder, lambda root: list(walk(root)), lambda root: read(root / "a.png", MOST)):
            with pytest.raises(OSError, match=told):
                look(root)

    def test_content_that_is_not_what_its_checksum_says(self, tmp_path: Path) -> None:
        data = zip_bytes(FILES.items(), zipfile.ZIP_STORED)
        root = of_zip(tmp_path, data.replace(b"first", b"fIrst"))
        with pytest.raises(OSError, match="its content is not what its CRC-32 in the archive says"):
            read(root / "a.png", MOST)
        assert read(root / "b/c.png", MOST) == FILES["b/c.png"]


class TestDamageAtRandom:
    """Whatever changes or is missing: the right content, or an OSError. (The content of a tar has no checksum.)"""

    @BOTH
    def test_it(self, tmp_path: Path, kind: str) -> None:
        rng = random.Random(0)
        files = {name: rng.randbytes(len(content)) for name, content in FILES.items()}
        whole = {"tar": tar_bytes, "zip": zip_bytes}[kind](files.items())
        told = 0
        for turn in range(300):
            data = bytearray(whole)
            if turn % 3:
                for _ in range(turn % 3):
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            else:
                del data[rng.randrange(len(data)) :]
            (tmp_path / f"{turn}.{kind}").write_bytes(data)
            try:
                root = address(tmp_path / f"{turn}.{kind}")
                names = [name for name in walk(root) if name]
            except OSError:
                told += 1
                continue
            assert len(names) == len(files) or kind == "tar"
            for name in names:
                with suppress(OSError):
                    content = read(root / name, MOST)
                    assert kind == "tar" or content == files.get(name)
        assert told > 100


class TestShards:
    @pytest.mark.parametrize(
        ("word", "names"),
        [
            ("a.tar", ["a.tar"]),
            ("a-{000..003}.tar", ["a-000.tar", "a-001.tar", "a-002.tar", "a-003.tar"]),
            ("a-{8..11}.tar", ["a-8.tar", "a-9.tar", "a-10.tar", "a-11.tar"]),
            ("a-{08..11..2}.tar", ["a-08.tar", "a-10.tar"]),
            ("a-{1..03}.tar", ["a-01.tar", "a-02.tar", "a-03.tar"]),
            ("a-{2..0}.tar", ["a-2.tar", "a-1.tar", "a-0.tar"]),
            ("{train,val}.tar", ["train.tar", "val.tar"]),
            ("{a,b}/{0..1}.tar", ["a/0.tar", "a/1.tar", "b/0.tar", "b/1.tar"]),
            ("{a,b{0..1}}.tar", ["a.tar", "b0.tar", "a.tar", "b1.tar"]),
            ("{}{a}{x..y}.tar", ["{}{a}{x..y}.tar"]),
        ],
    )
    def test_words(self, word: str, names: list[str]) -> None:
        assert shards(Path(word)) == [Path(name) for name in names]
        assert shards(Address("s3://", f"bucket/{word}")) == [Address("s3://", f"bucket/{name}") for name in names]

    def test_too_many(self) -> None:
        with pytest.raises(UsageError, match=r"a-\{0\.\.999999\}\.tar stands for more than 100000 archives"):
            shards(Path("a-{0..999999}.tar"))
        with pytest.raises(UsageError, match="more than 100000 archives"):
            shards(Path("{0..9999}{0..9999}{0..9999}{0..9999}.tar"))

    def test_a_file_of_this_very_name(self, tmp_path: Path) -> None:
        assert tree(packed(tmp_path / "a-{0..1}.tar", FILES)) == FILES

    @BOTH
    def test_one_folder(self, tmp_path: Path, kind: str) -> None:
        for number, (name, content) in enumerate(FILES.items()):
            packed(tmp_path / f"x-{number:03}.{kind}", {name: content})
        root = address(tmp_path / f"x-{{000..004}}.{kind}")
        assert list(walk(root)) == sorted(FILES)
        assert tree(root) == FILES
        assert tree(root / "b") == {name[2:]: content for name, content in FILES.items() if name.startswith("b/")}

    def test_one_is_missing(self, tmp_path: Path) -> None:
        packed(tmp_path / "x-0.tar", FILES)
        with pytest.raises(OSError, match=r"there is no \S+x-1\.tar, one of 2 archives that are named"):
            is_folder(address(tmp_path / "x-{0..1}.tar"))

    def test_one_is_damaged(self, tmp_path: Path) -> None:
        packed(tmp_path / "x-0.tar", FILES)
        (tmp_path / "x-1.tar").write_bytes(b"")
        with pytest.raises(OSError, match=r"x-1\.tar is empty"):
            is_folder(address(tmp_path / "x-{0..1}.tar"))

    def test_one_is_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "x-0.tar").mkdir()
        with pytest.raises(OSError, match=r"x-0\.tar is a folder$"):
            is_folder(address(tmp_path / "x-{0,1}.tar"))
        os.mkfifo(tmp_path / "x-2.tar")  # it would be waited for
        with pytest.raises(OSError, match=r"x-2\.tar is no regular file$"):
            is_folder(address(tmp_path / "x-2.tar"))

    def test_a_name_in_two(self, tmp_path: Path) -> None:
        packed(tmp_path / "x-0.tar", {"a.png": b"a", "same.png": b"0", "info.json": b""})
        packed(tmp_path / "x-1.tar", {"b.png": b"b", "same.png": b"1", "info.json": b""})
        root = address(tmp_path / "x-{0..1}.tar")
        assert read(root / "b.png", MOST) == b"b"
        with pytest.raises(OSError, match=r"is in \S+x-0\.tar and \S+x-1\.tar; keep one of them"):
            read(root / "same.png", MOST)
        with pytest.raises(
            PairingError, match=r"x-\{0\.\.1\}\.tar: same\.png is in more than one of these archives; keep"
        ):
            evaluate(root, root, metrics="psnr")


class TestKept:
    """An archive is indexed once, and again where it has changed."""

    @pytest.fixture(autouse=True)
    def indexed(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        found: list[str] = []
        index = archives._index

        def counted(protocol: str, shards: int, source: archives.Source) -> dict[str, archives.Entry]:
            found.append(str(source))
            time.sleep(0.02)
            return index(protocol, shards, source)

        monkeypatch.setattr(archives, "_index", counted)
        return found

    @BOTH
    def test_once(self, tmp_path: Path, kind: str, indexed: list[str]) -> None:
        root = packed(tmp_path / f"x.{kind}", FILES)
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _: read(root / "a.png", MOST), range(32))) == {b"first"}
        assert tree(root) == FILES
        assert indexed == [str(tmp_path / f"x.{kind}")]

    @BOTH
    def test_again_when_a_run_begins(self, tmp_path: Path, kind: str, indexed: list[str]) -> None:
        assert tree(packed(tmp_path / f"x.{kind}", FILES)) == FILES
        assert tree(packed(tmp_path / f"x.{kind}", {"new.png": b"new"})) == {"new.png": b"new"}
        assert len(indexed) == 2

    @BOTH
    def test_a_change_within_a_run_is_told(self, tmp_path: Path, kind: str) -> None:
        root = packed(tmp_path / f"x.{kind}", FILES)
        assert is_folder(root)
        packed(tmp_path / f"x.{kind}", {name: content + b"." for name, content in FILES.items()})
        with pytest.raises(OSError, match="has changed since the run began"):
            read(root / "a.png", MOST)

    @BOTH
    def test_a_change_far_away_is_told(self, kind: str) -> None:
        pack = {"tar": tar_bytes, "zip": zip_bytes}[kind]
        archive = place(f"memory://{uuid.uuid4()}.{kind}")
        assert isinstance(archive, Address)
        assert isinstance(archive.archive, Address)
        write(archive.archive, pack(FILES.items()))
        assert is_folder(archive)
        write(archive.archive, pack((name, b"longer" + content) for name, content in reversed(FILES.items())))
        for name in ("b/c.png", "z.png"):
            with pytest.raises(OSError, match="has changed"):
                read(archive / name, MOST)
        write(archive.archive, b"")
        with pytest.raises(OSError, match="the archive has become shorter since the run began"):
            read(archive / "z.png", MOST)

    def test_so_many(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indexed: list[str]) -> None:
        monkeypatch.setattr(archives, "MOST_KEPT", 2)
        roots = [packed(tmp_path / f"{number}.tar", FILES) for number in range(3)]
        assert [read(root / "a.png", MOST) for root in (*roots, *roots)] == [b"first"] * 6
        assert len(indexed) == 6

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_fork_while_it_is_indexed(self, tmp_path: Path, indexed: list[str]) -> None:
        root = packed(tmp_path / "x.tar", FILES)
        thread = threading.Thread(target=read, args=(root / "a.png", MOST))
        thread.start()
        while not indexed:
            time.sleep(0.001)
        child = os.fork()
        if not child:
            os._exit(0 if read(root / "z.png", MOST) == FILES["z.png"] else 1)
        thread.join()
        deadline = time.monotonic() + 20
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.01)
        if ended == (0, 0):
            os.kill(child, 9)
            os.waitpid(child, 0)
        assert ended == (child, 0)


def test_what_hangs_is_not_waited_for() -> None:
    let_go = threading.Event()
    with impatient_threads(1, "test") as pool:
        hangs = pool.submit(let_go.wait, 5)
    assert not hangs.done()
    let_go.set()


class TestFarAway:
    @BOTH
    def test_in_memory(self, kind: str) -> None:
        root = place(f"memory://{uuid.uuid4()}.{kind}")
        assert isinstance(root, Address)
        assert isinstance(root.archive, Address)
        write(root.archive, {"tar": tar_bytes, "zip": zip_bytes}[kind](FILES.items()))
        assert tree(root) == FILES

    @BOTH
    def test_in_a_bucket_every_file_is_one_request(self, s3: Store, kind: str) -> None:
        files = {f"{i:02}.png": bytes([i]) * i for i in range(40)}
        bucket = s3.bucket()
        s3.put(bucket, f"x.{kind}", {"tar": tar_bytes, "zip": zip_bytes}[kind](files.items()))
        root = address(f"s3://{bucket}/x.{kind}")
        assert len(list(walk(root))) == len(files)
        assert len(s3.asked[f"/{bucket}/x.{kind}"]) < 8
        s3.calm()
        assert {name: read(root / name, MOST) for name in files} == files
        assert s3.asked[f"/{bucket}/x.{kind}"] == ["GET"] * len(files)

    def test_shards_in_a_bucket(self, s3: Store) -> None:
        bucket = s3.bucket()
        for number, file in enumerate(FILES.items()):
            s3.put(bucket, f"out/x-{number:03}.tar", tar_bytes([file]))
        assert tree(address(f"s3://{bucket}/out/x-{{000..004}}.tar")) == FILES
        with pytest.raises(OSError, match=rf"there is no s3://{bucket}/out/x-005\.tar, one of 6 archives"):
            is_folder(address(f"s3://{bucket}/out/x-{{000..005}}.tar"))

    def test_what_passes_changes_nothing_and_what_stays_is_told(self, s3: Store) -> None:
        bucket = s3.bucket()
        s3.put(bucket, "x.tar", tar_bytes(FILES.items()))
        s3.trouble("x.tar", "503", "reset", "503")
        assert tree(address(f"s3://{bucket}/x.tar")) == FILES
        s3.trouble("x.tar", "503", "always")
        with pytest.raises(OSError, match="tried 5 times"):
            read(address(f"s3://{bucket}/x.tar") / "a.png", MOST)
        with pytest.raises(OSError, match=rf"s3://{bucket}/x\.tar cannot be read .*tried 5 times"):
            is_folder(address(f"s3://{bucket}/{{x,x}}.tar"))


class TestStretches:
    """A large remote tar is indexed from several places at once, and what is found is what one would find."""

    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tars, "SHORTEST_STRETCH", 2048)
        monkeypatch.setattr(tars, "SEARCHED_AT_ONCE", 1024)

    def source(self, data: bytes) -> archives.Source:
        where = place(f"memory://{uuid.uuid4()}")
        assert isinstance(where, Address)
        write(where, data)
        return archives.source(where)

    def indexed(self, data: bytes, threads: int) -> dict[str, archives.Entry]:
        return tars.index(self.source(data), threads)

    @pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
    def test_same_as_one(self, format: int) -> None:
        rng = random.Random(1)
        inner = tar_bytes((f"inner{i}.png", rng.randbytes(700)) for i in range(20))
        files = {f"{i:03}{'x' * rng.choice((1, 90, 200))}.png": rng.randbytes(rng.randrange(3000)) for i in range(60)}
        files["017.tar"] = inner  # its headers are none of the archive
        data = tar_bytes(sorted(files.items()), format)
        one = self.indexed(data, 1)
        assert sorted(one) == sorted(files)
        assert all(self.indexed(data, threads) == one for threads in (2, 3, 8, 32))

    def test_what_looks_like_a_header_and_is_none(self) -> None:
        header, _ = member("././@LongLink", kind=tarfile.GNUTYPE_LONGNAME)
        header.size = 1 << 20
        content = b"ustar" * 1000 + bytes(120) + header.tobuf(tarfile.GNU_FORMAT) + b"no header" * 200
        data = tar_bytes({"a.bin": content}.items())
        for start in range(512, len(content), 512):
            assert not tars._guessed(self.source(data), start, len(data)).members
        assert list(self.indexed(data, 8)) == ["a.bin"]

    def test_no_part_is_read_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        parts: list[int] = []
        stretch = tars._stretch

        def counted(source: archives.Source, start: int, stop: int) -> object:
            parts.append(start)
            return stretch(source, start, stop)

        monkeypatch.setattr(tars, "_stretch", counted)
        self.indexed(tar_bytes((f"{i}.png", bytes(600)) for i in range(60)), 8)
        assert len(parts) == len(set(parts)) == 8

    def test_headers_for_all_members(self) -> None:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", pax_headers={"path": "same.png"}) as archive:
            for i in range(30):
                archive.addfile(member(f"{i}.png", b"x")[0], io.BytesIO(b"x"))
        assert list(self.indexed(file.getvalue(), 8)) == list(self.indexed(file.getvalue(), 1)) == ["same.png"]

    def test_damage_in_the_middle(self) -> None:
        data = bytearray(tar_bytes((f"{i}.png", bytes(600)) for i in range(40)))
        data[len(data) // 1536 * 512 - 1536 * 3 + 5] ^= 1
        for threads in (1, 8):
            with pytest.raises(OSError, match=r"is damaged|cut off"):
                self.indexed(bytes(data[:20000]), threads)

    def test_far_headers_are_fetched_by_themselves(self) -> None:
        asked: list[int] = []

        def fetch(start: int, end: int) -> bytes:
            asked.append(end - start)
            return bytes(end - start)

        window = Window(fetch, 1 << 30, 1 << 20)
        for at in range(0, 1 << 20, 512):
            window.seek(at)
            window.read(512)
        assert asked == [1 << 20]
        for at in range(1 << 21, 1 << 25, 1 << 20):
            window.seek(at)
            window.read(512)
        assert max(asked[1:]) == 8 << 10


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return two_folders(tmp_path_factory.mktemp("folders"), 4, height=16, width=24)


@pytest.fixture(scope="module")
def local(folders: tuple[Path, Path]) -> Results:
    return evaluate(*folders, metrics="charbonnier,psnr")


class TestRuns:
    """A run over archives is the run over the folders."""

    @staticmethod
    def text(results: Results) -> str:
        """The CSV without its columns of paths."""
        return csv.render(replace(results, rows=tuple(replace(row, prediction="", target="") for row in results.rows)))

    @staticmethod
    def files(folder: Path) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}

    @BOTH
    def test_same(self, folders: tuple[Path, Path], local: Results, tmp_path: Path, kind: str) -> None:
        prediction, target = (packed(tmp_path / f"{side.name}.{kind}", self.files(side)) for side in folders)
        found = evaluate(tmp_path / f"prediction.{kind}", tmp_path / f"target.{kind}", metrics="charbonnier,psnr")
        assert self.text(found) == self.text(local)
        assert self.text(evaluate(prediction, folders[1], metrics="charbonnier,psnr")) == self.text(local)
        assert [row.sha256 for row in found.rows] == [row.sha256 for row in local.rows]
        assert found.rows[0].prediction == f"{kind}://im0.png::{tmp_path}/prediction.{kind}"
        row = evaluate(prediction / "im2.png", target / "im2.png", metrics="charbonnier,psnr").rows[0]
        assert row.scores == local.rows[2].scores

    def test_shards_with_what_goes_with_them(
        self, folders: tuple[Path, Path], local: Results, s3: Store, tmp_path: Path
    ) -> None:
        bucket = s3.bucket()
        for number, (name, content) in enumerate(sorted(self.files(folders[0]).items())):
            beside = {f"{Path(name).stem}.json": b"{}", f"{Path(name).stem}.cls": b"1"}
            s3.put(bucket, f"pred-{number:03}.tar", tar_bytes(({name: content} | beside).items()))
        for number, (name, content) in enumerate(sorted(self.files(folders[1]).items())):
            packed(tmp_path / f"gt-{number}.tar", {name: content})
        words = f"s3://{bucket}/pred-{{000..003}}.tar", str(tmp_path / "gt-{0..3}.tar")
        found = evaluate(*words, metrics="charbonnier,psnr", workers=4)
        assert self.text(found) == self.text(local)
        assert (found.prediction, found.target) == words
        assert found.ignored == 8

    def test_a_broken_member_costs_its_row(self, folders: tuple[Path, Path], local: Results, tmp_path: Path) -> None:
        prediction = packed(tmp_path / "p.zip", self.files(folders[0]), compression=zipfile.ZIP_STORED)
        data = bytearray((tmp_path / "p.zip").read_bytes())
        data[data.index(b"IDAT") + 20] ^= 1
        (tmp_path / "p.zip").write_bytes(data)
        rows = evaluate(prediction, folders[1], metrics="charbonnier,psnr").rows
        assert [row.status for row in rows] == ["error", "ok", "ok", "ok"]
        assert "im0.png" in rows[0].error
        assert "its content is not what its CRC-32 in the archive says" in rows[0].error
        assert [row.scores for row in rows[1:]] == [row.scores for row in local.rows[1:]]

    def test_on_the_command_line(
        self,
        folders: tuple[Path, Path],
        local: Results,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        for side in folders:
            packed(tmp_path / f"{side.name}.tar", self.files(side))
        command = Command(monkeypatch, capfd)
        both = tmp_path / "prediction.tar", tmp_path / "target.tar"
        found = command("score", *both, "-m", "charbonnier,psnr", "--device", "cpu", "--no-csv", "--json", "-")
        assert found.code == 0
        assert [pair["scores"] for pair in json.loads(found.out)["pairs"]] == [row.scores for row in local.rows]

    @pytest.mark.parametrize(
        ("word", "told"),
        [
            ("prd.tar", r"^\S+/prd\.tar: no such archive; did you mean \S+/pred\.tar\?$"),
            ("no/x.zip", r"^\S+/no/x\.zip: no such archive \(there is no \S+/no\)\.$"),
            ("day::prd.tar", r"^\S+/prd\.tar: no such archive; did you mean \S+/pred\.tar\?$"),
            ("day::pred.tar", r"^tar://day::\S+/pred\.tar: no such folder\.$"),
            ("b/a.png::pred.tar", r"^tar://b/a\.png::\S+/pred\.tar: no such file\.$"),
        ],
    )
    def test_no_archive(self, tmp_path: Path, word: str, told: str) -> None:
        packed(tmp_path / "pred.tar", FILES)
        inside, chained, name = word.rpartition("::")
        asked = f"tar://{inside}::{tmp_path}/{name}" if chained else f"{tmp_path}/{name}"
        with pytest.raises(PairingError, match=told):
            evaluate(asked, tmp_path / "pred.tar", metrics="psnr")

    def test_no_archive_in_a_bucket(self, s3: Store) -> None:
        bucket = s3.bucket()
        with pytest.raises(PairingError, match=rf"^s3://{bucket}/x\.tar: no such archive\.$"):
            evaluate(f"s3://{bucket}/x.tar", f"s3://{bucket}", metrics="psnr")
        with pytest.raises(
            PairingError, match=r"^s3://nowhere/x\.tar: no such archive \(there is no s3://nowhere\)\.$"
        ):
            evaluate("s3://nowhere/x.tar", f"s3://{bucket}", metrics="psnr")

    def test_a_damaged_archive_ends_the_run(self, folders: tuple[Path, Path], tmp_path: Path) -> None:
        packed(tmp_path / "p.tar", self.files(folders[0]))
        (tmp_path / "p.tar").write_bytes((tmp_path / "p.tar").read_bytes()[:2000])
        with pytest.raises(PairingError, match=r"p\.tar is .*cut off"):
            evaluate(tmp_path / "p.tar", folders[1], metrics="psnr")


def test_a_folder_that_was_packed_itself_is_named_as_it_can_be_given(tmp_path: Path) -> None:
    two_folders(tmp_path, 1)
    with tarfile.open(tmp_path / "gt.tar", "w") as archive:
        archive.add(tmp_path / "target", "gt")
    with pytest.raises(PairingError, match="has a folder level more: ") as told:
        find(tmp_path / "prediction", place(str(tmp_path / "gt.tar")))
    named = str(told.value).partition("more: ")[2].partition(" would")[0]
    assert named.startswith("tar://gt::")
    assert len(find(tmp_path / "prediction", place(named)).pairs) == 1
