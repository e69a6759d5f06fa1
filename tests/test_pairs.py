"""Pairing: by name and never by order, nothing passed over in silence, and messages that say what to do."""

import os
import random
from pathlib import Path

import pytest

from relight_eval import pairs
from relight_eval.errors import PairingError
from relight_eval.pairs import (
    IMAGE_SUFFIXES,
    Pair,
    Pairing,
    Unpaired,
    beside,
    find,
    natural_key,
    unpaired_message,
)

rng = random.Random(0)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def gt(tmp_path: Path) -> Path:
    return tmp_path / "gt"


def fill(folder: Path, *files: str) -> None:
    """Empty files: pairing looks at names only."""
    folder.mkdir(exist_ok=True)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


def names(pairing: Pairing) -> list[str]:
    return [pair.name for pair in pairing.pairs]


# What is paired


@pytest.mark.parametrize(
    ("prediction", "target", "name"),
    [
        pytest.param("a.png", "a.png", "a", id="same-name"),
        pytest.param("a.png", "a.jpg", "a", id="other-suffix"),
        pytest.param("a.PNG", "a.png", "a", id="upper-case-suffix"),
        pytest.param("kitchen/07.png", "kitchen/07.tiff", "kitchen/07", id="in-a-folder"),
        pytest.param("a/b/c/d.png", "a/b/c/d.png", "a/b/c/d", id="in-folders"),
        pytest.param("a.b.png", "a.b.jpg", "a.b", id="only-the-last-suffix"),
        pytest.param("v1.0/a.png", "v1.0/a.png", "v1.0/a", id="dot-in-a-folder-name"),
        pytest.param("Image049_4500_E.png", "Image049_4500_E.png", "Image049_4500_E", id="vidit"),
        pytest.param("dir_0_mip2.exr", "dir_0_mip2.jpg", "dir_0_mip2", id="exr-and-jpeg"),
        pytest.param("schöne küche/é 1.png", "schöne küche/é 1.png", "schöne küche/é 1", id="unicode"),
        pytest.param("a.png/b.png", "a.png/b.png", "a.png/b", id="folder-named-like-an-image"),
    ],
)
def test_files_of_one_name_are_a_pair(out: Path, gt: Path, prediction: str, target: str, name: str) -> None:
    fill(out, prediction)
    fill(gt, target)
    assert find(out, gt) == Pairing(out, gt, (Pair(name, out / prediction, gt / target),))


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_image_suffix_is_paired(out: Path, gt: Path, suffix: str) -> None:
    fill(out, f"a{suffix}")
    fill(gt, f"a{suffix.upper()}")
    assert names(find(out, gt)) == ["a"]


def test_one_missing_and_one_extra_file_do_not_shift_the_others(out: Path, gt: Path) -> None:
    """The trap of pairing by sorted index: as many files on both sides, and every pair between is wrong."""
    fill(out, "img1.png", "img3.png", "img4.png", "img5.png")
    fill(gt, "img1.png", "img2.png", "img3.png", "img4.png")
    pairing = find(out, gt)
    assert pairing.pairs == tuple(
        Pair(name, out / f"{name}.png", gt / f"{name}.png") for name in ("img1", "img3", "img4")
    )
    assert pairing.unpaired == (
        Unpaired("img2", gt / "img2.png", missing="prediction"),
        Unpaired("img5", out / "img5.png", missing="target"),
    )
    assert pairing.without("prediction") == pairing.unpaired[:1]
    assert pairing.without("target") == pairing.unpaired[1:]


def test_same_file_name_in_two_folders_stays_apart(out: Path, gt: Path) -> None:
    fill(out, "a/01.png", "b/01.png")
    fill(gt, "b/01.png", "a/01.png")
    pairing = find(out, gt)
    assert names(pairing) == ["a/01", "b/01"]
    assert all(pair.prediction.relative_to(out) == pair.target.relative_to(gt) for pair in pairing.pairs)


def test_case_is_kept(out: Path, gt: Path) -> None:
    fill(out, "a.png", "B.png")
    fill(gt, "a.png", "b.png")
    pairing = find(out, gt)
    assert names(pairing) == ["a"]
    assert [file.name for file in pairing.unpaired] == ["B", "b"]


def test_order_does_not_depend_on_the_order_of_creation(out: Path, gt: Path) -> None:
    files = [f"scene{i}/img{j}.png" for i in (1, 2, 10) for j in (1, 2, 10)]
    for folder in (out, gt):
        fill(folder, *rng.sample(files, len(files)))
    assert names(find(out, gt)) == [file.removesuffix(".png") for file in files]


def test_swapped_folders_give_the_same_names(out: Path, gt: Path) -> None:
    fill(out, "a.png", "b.png")
    fill(gt, "b.png", "c.png")
    there, back = find(out, gt), find(gt, out)
    assert names(there) == names(back)
    assert [file.path for file in there.unpaired] == [file.path for file in back.unpaired]
    assert [file.missing for file in there.unpaired] == ["target", "prediction"]
    assert [file.missing for file in back.unpaired] == ["prediction", "target"]


def test_hidden_and_other_files_are_ignored_and_counted(out: Path, gt: Path) -> None:
    others = ["a.npz", "notes.txt", "Thumbs.db", "no_suffix", "b.png.bak"]  # 5 with other suffixes
    hidden = ["._a.png", ".png", ".cache/x.png", ".cache/y.png"]  # 2 files and one folder
    fill(out, "a.png", *others, *hidden)
    fill(gt, "a.png", "a.npz")
    pairing = find(out, gt)
    assert names(pairing) == ["a"]
    assert pairing.unpaired == ()
    assert pairing.ignored == 5 + 3 + 1


def test_depth_map_beside_an_image_is_no_second_image(out: Path, gt: Path) -> None:
    """VIDIT keeps pickled depth `Pair011.npy` beside `Pair011.png`."""
    fill(out, "Pair011.png", "Pair011.npy")
    fill(gt, "Pair011.png")
    pairing = find(out, gt)
    assert pairing.pairs == (Pair("Pair011", out / "Pair011.png", gt / "Pair011.png"),)
    assert pairing.ignored == 1


def test_an_array_without_an_image_of_its_name_is_an_image(out: Path, gt: Path) -> None:
    fill(out, "a.npy", "b.npy", "b.png", "deep/b.NPY")
    fill(gt, "a.exr", "b.npy", "deep/b.png")
    pairing = find(out, gt)
    assert pairing.pairs == (
        Pair("a", out / "a.npy", gt / "a.exr"),
        Pair("b", out / "b.png", gt / "b.npy"),
        Pair("deep/b", out / "deep/b.NPY", gt / "deep/b.png"),
    )
    assert pairing.ignored == 1


def test_glob_chooses_the_arrays_beside_images(out: Path, gt: Path) -> None:
    for folder in (out, gt):
        fill(folder, "a.npy", "a.png")
    pairing = find(out, gt, glob="*.npy")
    assert pairing == Pairing(out, gt, (Pair("a", out / "a.npy", gt / "a.npy"),))


def test_a_folder_against_itself(gt: Path) -> None:
    fill(gt, "a.png")
    assert find(gt, gt).pairs == (Pair("a", gt / "a.png", gt / "a.png"),)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_names_that_are_not_utf8(out: Path, gt: Path) -> None:
    for folder in (out, gt):
        folder.mkdir()
        try:
            Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")).touch()
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
    (pair,) = find(out, gt).pairs
    assert pair.name == r"caf\udce9"
    assert pair.name.encode("utf-8")
    assert pair.prediction.exists()
    fill(gt, "other.png")
    message = unpaired_message(find(out, gt))
    assert "other" in message
    (gt / os.fsdecode(b"caf\xe9.png")).unlink()
    with pytest.raises(PairingError, match=r"caf\\udce9") as caught:
        find(out, gt)
    assert str(caught.value).encode("utf-8")


# Links


def test_links_to_files_and_folders_are_followed(out: Path, gt: Path, tmp_path: Path) -> None:
    fill(tmp_path / "store", "a.png")
    fill(out, "x.png")
    fill(gt, "x.png", "first/a.png", "second/a.png")
    (out / "first").symlink_to(tmp_path / "store")
    (out / "second").symlink_to(tmp_path / "store")  # one folder under two names is walked twice
    assert names(find(out, gt)) == ["first/a", "second/a", "x"]


def test_link_loops_end(out: Path, gt: Path) -> None:
    fill(out, "a.png", "sub/b.png")
    fill(gt, "a.png", "sub/b.png")
    (out / "sub" / "up").symlink_to(out)
    (out / "here").symlink_to(".")
    (out / "itself").symlink_to("itself")
    pairing = find(out, gt)
    assert names(pairing) == ["a", "sub/b"]
    assert pairing.unpaired == ()


def test_links_that_lead_everywhere_are_refused_soon(out: Path, gt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifteen folders with links to each other: 15! ways through them."""
    monkeypatch.setattr(pairs, "MOST_VISITS", 50)
    fill(out, "a.png")
    fill(gt, "a.png")
    for i in range(15):
        (out / f"f{i}").mkdir()
        for j in range(15):
            (out / f"f{i}" / f"f{j}").symlink_to(out / f"f{j}")
    with pytest.raises(PairingError, match=r"links lead to this folder in more than 50 ways\.$"):
        find(out, gt)


def test_folders_deeper_than_python_recurses(out: Path) -> None:
    out.mkdir()
    folders = [os.path.join(out, *"d" * depth) for depth in range(1, 1201)]
    for folder in folders:
        os.mkdir(folder)
    file = Path(folders[-1], "a.png")
    file.touch()
    (pair,) = find(out, out).pairs
    assert pair.prediction == file
    file.unlink()
    for folder in reversed(folders):  # pytest's own cleaning recurses
        os.rmdir(folder)


def test_broken_link_becomes_a_row(out: Path, gt: Path) -> None:
    fill(out, "a.png")
    fill(gt, "a.png", "b.png")
    (out / "b.png").symlink_to("gone.png")
    assert names(find(out, gt)) == ["a", "b"]


# Glob


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        pytest.param("*.png", ["a", "deep/er/c", "kitchen/b"], id="star-crosses-folders"),
        pytest.param("kitchen/*", ["kitchen/b", "kitchen/d"], id="folder"),
        pytest.param("?.png", ["a"], id="one-letter"),
        pytest.param("*/[cd].*", ["deep/er/c", "kitchen/d"], id="letters"),
        pytest.param("a.png", ["a"], id="one-file"),
    ],
)
def test_glob_chooses_in_both_folders(out: Path, gt: Path, glob: str, expected: list[str]) -> None:
    files = ["a.png", "kitchen/b.png", "deep/er/c.png", "kitchen/d.jpg"]
    fill(out, *files)
    fill(gt, *files)
    pairing = find(out, gt, glob=glob)
    assert (names(pairing), pairing.unpaired, pairing.ignored) == (expected, (), 0)


def test_glob_settles_two_files_of_one_name(out: Path, gt: Path) -> None:
    fill(out, "a.png", "a.jpg")
    fill(gt, "a.png", "a.jpg")
    (pair,) = find(out, gt, glob="*.jpg").pairs
    assert pair.prediction == out / "a.jpg"


def test_glob_keeps_case(out: Path, gt: Path) -> None:
    fill(out, "A.png", "b.png")
    fill(gt, "A.png", "b.png")
    with pytest.raises(PairingError, match=r'out: none of its 2 images matches --glob "a\*".*such as A\.png\.'):
        find(out, gt, glob="a*")


# Two files


def test_two_files_are_one_pair_named_after_the_prediction(out: Path, gt: Path) -> None:
    fill(out, "step.100.png")
    fill(gt, "truth.jpg")
    pairing = find(out / "step.100.png", gt / "truth.jpg")
    assert pairing.pairs == (Pair("step.100", out / "step.100.png", gt / "truth.jpg"),)


def test_file_against_folder(out: Path, gt: Path) -> None:
    fill(out, "a.png")
    fill(gt, "a.png")
    for arguments in ((out / "a.png", gt), (gt, out / "a.png")):
        with pytest.raises(PairingError, match=r"out/a\.png is a file but \S+gt is a folder; give two"):
            find(*arguments)


def test_glob_with_two_files(out: Path) -> None:
    fill(out, "a.png")
    with pytest.raises(PairingError, match=r'--glob "\*\.png" chooses among the files of a folder; leave it out'):
        find(out / "a.png", out / "a.png", glob="*.png")


# Errors


def test_two_files_of_one_name(out: Path, gt: Path) -> None:
    fill(out, "k/07.png", "k/07.jpg")
    fill(gt, "k/07.png")
    with pytest.raises(PairingError, match=r"out: k/07\.jpg and k/07\.png have one name; .* Keep one of them"):
        find(out, gt)
    with pytest.raises(PairingError, match=r"out: k/07\.jpg and k/07\.png have one name; "):
        find(gt, out)


def test_many_files_of_one_name_are_counted(out: Path, gt: Path) -> None:
    fill(out, *(f"{i}{suffix}" for i in range(4) for suffix in (".png", ".PNG")))
    fill(gt, "0.png")
    if len(list(out.iterdir())) < 8:
        pytest.skip("this file system ignores case")
    with pytest.raises(PairingError, match=r"0\.PNG and 0\.png have one name \(and 3 more such\)"):
        find(out, gt)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        pytest.param("predictons", r"predictons: no such folder; did you mean \S+/predictions\?", id="near"),
        pytest.param("zzz", r"zzz: no such folder\.$", id="nothing-near"),
        pytest.param(
            "predictons/epoch_9",
            r"epoch_9: no such folder \(there is no \S+/predictons\); did you mean \S+/predictions\?",
            id="parent-missing",
        ),
        pytest.param("predictions/a.pgn", r"a\.pgn: no such folder; did you mean \S+/a\.png\?", id="file"),
        pytest.param("predictions/b.png", r"predictions/b\.png: no such file; did you", id="image-file"),
        pytest.param("predictions/a.png/deeper", r"a\.png/deeper: no such folder", id="below-a-file"),
    ],
)
def test_missing_folder(tmp_path: Path, gt: Path, asked: str, message: str) -> None:
    fill(tmp_path / "predictions", "a.png")
    fill(gt, "a.png")
    with pytest.raises(PairingError, match=message):
        find(tmp_path / asked, gt)
    with pytest.raises(PairingError, match=message):
        find(gt, tmp_path / asked)


def test_relative_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "out", "a.png")
    monkeypatch.chdir(tmp_path)
    assert find(Path("out"), Path("out")).pairs == (Pair("a", Path("out/a.png"), Path("out/a.png")),)
    assert names(find(Path("out"), Path("./out/../out"))) == ["a"]
    with pytest.raises(PairingError, match=r"^ot: no such folder; did you mean out\?$"):
        find(Path("ot"), Path("out"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param([], r"out: no image, the folder is empty\. Images are files that end in \.png", id="empty"),
        pytest.param(["a.npz", "b/c.txt"], r"out: no image among its 2 files\. Images are", id="other-files"),
    ],
)
def test_folder_without_images(out: Path, gt: Path, files: list[str], message: str) -> None:
    fill(out, *files)
    fill(gt, "a.png")
    for arguments in ((out, gt), (gt, out)):
        with pytest.raises(PairingError, match=message):
            find(*arguments)


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        pytest.param(
            ["a.png", "b.png", "c.png"],
            ["x.png", "y.png"],
            r"no name in common: \S+/out has a, b and 1 more but \S+/gt has x, y\. .*without suffix\.$",
            id="two-names-of-each",
        ),
        pytest.param(["Kitchen.png"], ["kitchen.png"], r"differ in upper and lower case", id="case"),
        pytest.param(
            ["val/a.png", "val/b.png"],
            ["a.png", "b.png"],
            r"out has a folder level more: \S+/out/val would fit in its place\.$",
            id="folder-level-in-prediction",
        ),
        pytest.param(
            ["a.png"],
            ["x/y/a.png"],
            r"gt has a folder level more: \S+/gt/x/y would fit in its place\.$",
            id="folder-levels-in-target",
        ),
        pytest.param(
            ["pred/a.png", "pred/k/b.png"],
            ["gt/a.png", "gt/k/b.png"],
            r"They agree below \S+/out/pred and \S+/gt/gt: give these two\.$",
            id="a-folder-in-each",
        ),
        pytest.param(["k1/a.png"], ["k2/l/a.png"], r"Some file names agree, but not the folders", id="other-folders"),
        pytest.param(
            ["k/001_pred.png", "k/002_pred.png", "k/002_input.png"],
            ["k/001_gt.png", "k/002_gt.png"],
            r'They agree without "_pred" and "_gt": rename one side, such as k/001_pred to k/001_gt\.$',
            id="last-words",
        ),
        pytest.param(
            ["cup/pr_image_0000.png", "cup/pr_image_0001.png"],
            ["cup/gt_image_0000.png", "cup/gt_image_0001.png"],
            r'without "pr_" and "gt_": rename one side, such as cup/pr_image_0000 to cup/gt_image_0000\.$',
            id="objects-with-lighting",
        ),
        pytest.param(
            ["a 1-relit.png"],
            ["a 1.png"],
            r'agree without "-relit": rename one side, such as a 1-relit to',
            id="one-word",
        ),
        pytest.param(["img_1.png", "img_2.png"], ["img_3.png"], r"without suffix\.$", id="numbers-are-no-words"),
        pytest.param(["caf\u00e9.png"], ["cafe\u0301.png"], r"accents are written in two ways", id="normalisation"),
    ],
)
def test_no_name_in_common(out: Path, gt: Path, ours: list[str], theirs: list[str], message: str) -> None:
    fill(out, *ours)
    fill(gt, *theirs)
    with pytest.raises(PairingError, match=message):
        find(out, gt)


def test_folder_that_cannot_be_read_is_not_left_out(out: Path, gt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(out, "a.png", "locked/b.png")
    fill(gt, "a.png")
    scandir = os.scandir

    def refusing(folder: Path) -> object:  # instead of chmod, which does not stop root
        if folder.name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(PairingError, match=r"out/locked: the folder cannot be read \(Permission denied\)"):
        find(out, gt)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_locked_folder(out: Path, gt: Path) -> None:
    fill(out, "a.png")
    fill(gt, "a.png")
    out.chmod(0)
    try:
        with pytest.raises(PairingError, match=r"out: the folder cannot be read"):
            find(out, gt)
    finally:
        out.chmod(0o700)


# What is said of the unpaired


def test_message_when_targets_are_missing(out: Path, gt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(out, *(f"kitchen/{i:02}.png" for i in range(40)))
    fill(gt, *(f"kitchen/{i:02}.png" for i in range(40) if i not in (7, 9)))
    monkeypatch.chdir(out.parent)
    assert unpaired_message(find(Path("out"), Path("gt"))) == (
        "no partner for 2 of 40 predictions: kitchen/07, kitchen/09 (looked in gt/)"
    )


def test_message_for_both_sides(out: Path, gt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(out, "a.png", *(f"p{i}.png" for i in range(17)))
    fill(gt, "a.png", "t.png")
    monkeypatch.chdir(out.parent)
    assert unpaired_message(find(Path("out"), Path("gt"))) == (
        "no partner for 17 of 18 predictions: p0, p1, p2, p3, p4 and 12 more (looked in gt/); "
        "no partner for 1 of 2 targets: t (looked in out/)"
    )


def test_no_message_when_all_are_paired(out: Path) -> None:
    fill(out, "a.png")
    assert unpaired_message(find(out, out)) == ""


# Order


@pytest.mark.parametrize(
    "ordered",
    [
        pytest.param(["img1", "img2", "img10"], id="numbers"),
        pytest.param(["a/1", "a/2", "a1/0", "a-b/1"], id="folders-stay-together"),
        pytest.param(["img002", "img2", "img3"], id="leading-zeros"),
        pytest.param(["A", "a", "B", "b"], id="case"),
        pytest.param(["1", "a", "a1", "a1b", "a2"], id="digits-and-letters"),
        pytest.param(["x_9_1", "x_10_0", "x_10_1"], id="several-numbers"),
        pytest.param(["a²", "a³"], id="digits-that-int-refuses"),
    ],
)
def test_natural_order(ordered: list[str]) -> None:
    for _ in range(5):
        assert sorted(rng.sample(ordered, len(ordered)), key=natural_key) == ordered


def test_natural_order_is_total() -> None:
    alphabet = ["a", "A", "1", "01", "/", "-", "é"]
    words = ["".join(rng.choices(alphabet, k=4)) for _ in range(300)]
    keys = {word: natural_key(word) for word in words}
    assert len(set(keys.values())) == len(keys)
    shuffled = rng.sample(words, len(words))
    assert sorted(shuffled, key=natural_key) == sorted(words, key=natural_key)


# Folders beside the two


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return tmp_path / "masks"


def test_beside_finds_the_file_of_each_pair_by_name(out: Path, gt: Path, masks: Path) -> None:
    fill(out, "a.jpg", "kitchen/07.png", "only.png")
    fill(gt, "a.png", "kitchen/07.png")
    fill(masks, "a.tif", "kitchen/07.PNG", "07.png", "other.png", "notes.txt", ".hidden.png")
    found = beside(masks, find(out, gt))
    assert found == {"a": masks / "a.tif", "kitchen/07": masks / "kitchen/07.PNG"}


def test_beside_leaves_out_what_is_lacking(out: Path, gt: Path, masks: Path) -> None:
    fill(out, "a.png", "b.png")
    fill(gt, "a.png", "b.png")
    fill(masks, "b.png")
    assert beside(masks, find(out, gt)) == {"b": masks / "b.png"}


def test_beside_takes_any_suffix_whatever_the_glob_and_refuses_two_files_of_one_name(
    out: Path, gt: Path, masks: Path
) -> None:
    fill(out, "a.jpg", "b.jpg")
    fill(gt, "a.jpg", "b.jpg")
    fill(masks, "a.png", "b.png")
    assert beside(masks, find(out, gt, glob="b*.jpg")) == {"b": masks / "b.png"}
    fill(masks, "a.tif")
    with pytest.raises(PairingError, match=r"masks: a\.png and a\.tif have one name; .* Keep one of them"):
        beside(masks, find(out, gt))


def test_beside_files_is_a_file(out: Path, gt: Path, masks: Path) -> None:
    fill(out, "a.png")
    fill(gt, "b.png")
    fill(masks, "c.png")
    pairing = find(out / "a.png", gt / "b.png")
    assert beside(masks / "c.png", pairing) == {"a": masks / "c.png"}
    with pytest.raises(PairingError, match=r"masks and .*b\.png must both be folders, or both files"):
        beside(masks, pairing)
    fill(gt, "a.png")
    with pytest.raises(PairingError, match=r"c\.png and .*gt must both be folders, or both files"):
        beside(masks / "c.png", find(out, gt))


def test_beside_with_nothing_in_common_or_nothing_there(out: Path, gt: Path, masks: Path) -> None:
    fill(out, "a.png", "b.png", "c.png")
    fill(gt, "a.png", "b.png", "c.png")
    fill(masks, "m1.png", "m2.png", "m3.png")
    said = r"no name in common: .*masks has m1, m2 and 1 more, but the pairs are a, b and 1 more"
    with pytest.raises(PairingError, match=said):
        beside(masks, find(out, gt))
    with pytest.raises(PairingError, match=r"mask: no such folder; did you mean .*masks\?"):
        beside(masks.with_name("mask"), find(out, gt))
    fill(masks.with_name("empty"))
    with pytest.raises(PairingError, match="empty: no image, the folder is empty"):
        beside(masks.with_name("empty"), find(out, gt))
