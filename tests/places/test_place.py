"""Words -> places: what they name, that their text names the same, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight_eval.errors import UsageError, shown
from relight_eval.places import Address, Place, place, same
from tests.folders import two_folders

ADDRESSES = {
    "s3://bucket": Address("s3://", "bucket"),
    "s3://bucket/out/": Address("s3://", "bucket/out"),
    "S3://bucket/Out": Address("s3://", "bucket/Out"),
    "gs://bucket/out": Address("gs://", "bucket/out"),
    "hf://datasets/user/data@main/out": Address("hf://", "datasets/user/data@main/out"),
    "memory://out": Address("memory://", "out"),
    "https://host/out/": Address("https://", "host/out/"),  # a server tells a folder by its slash
    "https://host:8080/a@2x.png?version=3": Address("https://", "host:8080/a@2x.png?version=3"),
    "ftp://user@host/out": Address("ftp://", "user@host/out"),
    "github://owner:repository@main/out": Address("github://", "owner:repository@main/out"),
    "s3://bucket/a::b/what?#%41 +.png": Address("s3://", "bucket/a::b/what?#%41 +.png"),
    "out.tar": Address("tar://", "", "::out.tar"),
    "out/day.ZIP": Address("zip://", "", f"::out{os.sep}day.ZIP"),
    "s3://bucket/out.tar": Address("tar://", "", "::s3://bucket/out.tar"),
    "tar://::out.tar": Address("tar://", "", "::out.tar"),
    "tar://day/1/::s3://bucket/out.tar": Address("tar://", "day/1", "::s3://bucket/out.tar"),
    "zip://a::b.png::out.zip": Address("zip://", "a::b.png", "::out.zip"),
    "pred-{000..015}.tar": Address("tar://", "", "::pred-{000..015}.tar"),
    "s3://bucket/pred-{000..015}.tar": Address("tar://", "", "::s3://bucket/pred-{000..015}.tar"),
    "s3://bucket/out.tar/": Address("s3://", "bucket/out.tar/"),  # a folder that is called so
    "s3://bucket/out.tar.gz/": Address("s3://", "bucket/out.tar.gz/"),
}
PATHS = {
    "out": Path("out"),
    "out/a.png": Path("out/a.png"),
    "file:///out/a.png": Path("/out/a.png"),
    "local:///out": Path("/out"),
    r"C:\out": Path(r"C:\out"),
    "C://out": Path("C://out"),
    "a::b": Path("a::b"),
    "a:b": Path("a:b"),
    "": Path(),
}


@pytest.mark.parametrize(("word", "expected"), [*ADDRESSES.items(), *PATHS.items()])
def test_place(word: str, expected: Place) -> None:
    found = place(word)
    assert found == expected
    assert place(str(found)) == found
    assert place(found) == found


def test_paths_are_words_too(tmp_path: Path) -> None:
    assert place(tmp_path) == tmp_path
    assert place(tmp_path / "out.tar") == place(f"{tmp_path}/out.tar") != tmp_path / "out.tar"


def test_a_folder_may_be_called_as_an_archive_is(tmp_path: Path) -> None:
    for name in ("out.tar", "out.tar.gz"):
        (tmp_path / name).mkdir()
        assert place(str(tmp_path / name)) == tmp_path / name


PART = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1).filter(lambda part: "::" not in part)


@given(
    head=st.sampled_from(["s3://", "gs://", "hf://", "memory://", "tar://", "zip://"]),
    parts=st.lists(PART.filter(lambda part: "=" not in part), min_size=1, max_size=4),
    archive=st.sampled_from(["out.tar", "/data/out.zip", "s3://bucket/out.tar", "o-{0..9}.tar"]),
)
def test_the_text_of_an_address_names_it(head: str, parts: list[str], archive: str) -> None:
    tail = f"::{archive}" if head in ("tar://", "zip://") else ""
    found = Address(head, "bucket", tail) / "/".join(parts) / "a.png"
    assert place(str(found)) == found
    assert found.archive == (Address("s3://", "bucket/out.tar") if "s3" in tail else Path(archive) if tail else None)
    assert (found.name, found.stem, found.suffix) == ("a.png", "a", ".png")
    assert found.parent / "a.png" == found


REFUSED = {
    "s4://bucket/out": r"^s4:// is not known to fsspec; did you mean s3 or ",
    "nothing-at-all://out": "is not known to fsspec",
    "s3://": "^s3:// alone names no folder; give one, such as s3://bucket/folder$",
    "simplecache::s3://bucket/out": r"^simplecache::s3://: such chains are not read; give the address itself, s3://",
    "blockcache://out": "^blockcache:// is no address of files",
    "out.tar.gz": r"^out\.tar\.gz: a compressed tar cannot be read in place; unpack it, or pack it as a plain \.tar",
    "s3://bucket/out.tgz": "a compressed tar cannot be read in place",
    "tar://day": r"^tar://day: it does not say which archive; expected tar://day/::s3://bucket/out\.tar$",
    "tar://day::": "it does not say which archive",
    "tar://day::zip://in.tar::out.zip": "an archive in an archive is not read; unpack the outer one$",
    "tar://day/::zip://in.tar::out.zip": "an archive in an archive is not read",
    "a::b.tar": r"^a::b\.tar: the name of an archive cannot have a :: in it; rename it$",
}


@pytest.mark.parametrize(("word", "message"), REFUSED.items())
def test_refused(word: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        place(word)


@pytest.mark.parametrize(
    "word",
    [
        "sftp://user:SECRET@host/out",
        "ftp://user:SECRET@host/out",
        "https://SECRET@host/out",
        "https://user:SECRET@host/out.tar",
        "tar://day::https://user:SECRET@host/out.tar",
        "gist://user:SECRET@1234",
        "https://host/a.png?X-Amz-Signature=SECRET",
        "https://host/a.png?sv=1&sig=SECRET",
        "https://host/a.png?access_token=SECRET",
        "s3://bucket/a.png?AWSAccessKeyId=SECRET&Expires=1",
        "https://host/out.zip?X-Goog-Credential=SECRET",
    ],
)
def test_secrets_are_refused_and_not_repeated(word: str) -> None:
    with pytest.raises(UsageError, match=r"holds a password, a token or a signature.* environment") as caught:
        place(word)
    assert "SECRET" not in str(caught.value)


def test_messages_name_an_archive_by_where_it_is() -> None:
    assert shown(place("s3://bucket/out.tar")) == "s3://bucket/out.tar"
    assert shown(place("tar://day::out.tar")) == "tar://day::out.tar"
    assert shown(place("s3://bucket/a\nb")) == "s3://bucket/a�b"


def test_same(tmp_path: Path) -> None:
    assert same(tmp_path, tmp_path / ".." / tmp_path.name)
    assert same(place("https://host/out"), place("https://host/out/"))
    assert not same(place("s3://bucket/out"), place("s3://bucket/gt"))
    assert not same(tmp_path, place("s3://bucket/out"))


def test_parents() -> None:
    found = [str(parent) for parent in Address("s3://", "bucket/out/a.png").parents]
    assert found == ["s3://bucket/out", "s3://bucket"]


@pytest.mark.parametrize(
    "code",
    [
        "from relight_eval.evaluate import evaluate; evaluate({prediction!r}, {target!r}, metrics='psnr')",
        "from relight_eval.cli import app; app(['score', '--help'], standalone_mode=False)",
    ],
    ids=["score", "help"],
)
def test_nothing_on_this_machine_needs_fsspec(tmp_path: Path, code: str) -> None:
    prediction, target = map(str, two_folders(tmp_path, 1, height=16, width=16))
    ran = f"{code.format(prediction=prediction, target=target)}; import sys; sys.exit('fsspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", ran], capture_output=True).returncode == 0
