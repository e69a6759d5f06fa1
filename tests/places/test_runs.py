"""A run over an S3 server, or in memory, is the local run, whatever passes on the way; what does not costs its row."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from relight_eval.errors import PairingError
from relight_eval.evaluate import evaluate, evaluate_runs
from relight_eval.places import failures, place, write
from relight_eval.records.cache import Cache
from relight_eval.records.keeping import Keeping
from relight_eval.reports import csv
from relight_eval.results import Results
from tests.folders import picture, two_folders, worse
from tests.folders import write as write_picture
from tests.s3 import Store

METRICS = "charbonnier,psnr"
COUNT = 4


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return two_folders(tmp_path_factory.mktemp("local"), COUNT, height=16, width=24)


@pytest.fixture(scope="module")
def local(folders: tuple[Path, Path]) -> Results:
    return evaluate(*folders, metrics=METRICS, workers=4)


@pytest.fixture(scope="module")
def uploaded(_s3_server: Store, folders: tuple[Path, Path]) -> tuple[str, str]:
    bucket = _s3_server.bucket()
    prediction, target = (_s3_server.upload(folder, bucket) for folder in folders)
    return prediction, target


@pytest.fixture
def remote(s3: Store, uploaded: tuple[str, str]) -> tuple[str, str]:
    """The same folders in a bucket."""
    return uploaded


def text(results: Results) -> str:
    """The CSV without its columns of paths."""
    return csv.render(replace(results, rows=tuple(replace(row, prediction="", target="") for row in results.rows)))


def test_an_s3_run_is_the_local_run(remote: tuple[str, str], local: Results) -> None:
    found = evaluate(*remote, metrics=METRICS, workers=4)
    assert text(found) == text(local)
    assert [row.scores for row in found.rows] == [row.scores for row in local.rows]
    assert [row.sha256 for row in found.rows] == [row.sha256 for row in local.rows]
    assert (found.prediction, found.target) == remote
    assert found.rows[0].prediction == f"{remote[0]}/im0.png"
    assert found.warnings == local.warnings


def test_every_image_is_one_request(s3: Store, remote: tuple[str, str]) -> None:
    evaluate(*remote, metrics=METRICS, workers=4)
    images = {path: methods for path, methods in s3.asked.items() if path.endswith(".png")}
    assert len(images) == 2 * COUNT
    assert set(map(tuple, images.values())) == {("GET",)}


@pytest.mark.parametrize("trouble", ["503", "500", "hang", "cut", "reset"])
def test_what_passes_changes_nothing(s3: Store, remote: tuple[str, str], local: Results, trouble: str) -> None:
    s3.trouble("/prediction/im1.png", trouble, trouble)
    s3.trouble("/target/im3.png", trouble)
    s3.trouble("list-type=2", "503")
    found = evaluate(*remote, metrics=METRICS, workers=4)
    assert text(found) == text(local)
    assert sum(map(len, s3.asked.values())) > 2 * COUNT + 5
    assert len(next(methods for path, methods in s3.asked.items() if path.endswith("/prediction/im1.png"))) == 3


def test_what_stays_costs_its_row(s3: Store, remote: tuple[str, str], local: Results) -> None:
    s3.trouble("/prediction/im1.png", "503", "always")
    s3.trouble("/target/im2.png", "403", "always")
    rows = {row.name: row for row in evaluate(*remote, metrics=METRICS, workers=4).rows}
    busy = f"{remote[0]}/im1.png: cannot be opened (Please reduce your request rate. (HTTP status 503); tried 5 times"
    assert rows["im1"].status == "error"
    assert busy in rows["im1"].error
    assert f"{remote[1]}/im2.png: cannot be opened (permission denied)" in rows["im2"].error
    for name in ("im0", "im3"):
        assert rows[name].scores == {row.name: row for row in local.rows}[name].scores


def test_a_run_of_both_worlds(folders: tuple[Path, Path], remote: tuple[str, str], local: Results) -> None:
    assert text(evaluate(remote[0], folders[1], metrics=METRICS)) == text(local)
    assert text(evaluate(folders[0], remote[1], metrics=METRICS)) == text(local)


def test_several_runs_against_one_target(remote: tuple[str, str], local: Results) -> None:
    same = evaluate_runs({"a": remote[0], "b": remote[1]}, remote[1], metrics=METRICS)
    assert text(same["a"]) == text(local)
    assert "one and the same" in "".join(same["b"].warnings)


def test_two_files(remote: tuple[str, str], folders: tuple[Path, Path], local: Results) -> None:
    scores = {row.name: row.scores for row in local.rows}["im2"]
    of_both = evaluate(f"{remote[0]}/im2.png", f"{remote[1]}/im2.png", metrics=METRICS)
    of_one = evaluate(f"{remote[0]}/im2.png", folders[1] / "im2.png", metrics=METRICS)
    assert [row.scores for row in (*of_both.rows, *of_one.rows)] == [scores, scores]


def test_inputs_and_masks(s3: Store, remote: tuple[str, str], folders: tuple[Path, Path], tmp_path: Path) -> None:
    for i in range(COUNT):
        write_picture(tmp_path / "input" / f"im{i}.png", picture(50 + i, 16, 24))
        write_picture(tmp_path / "mask" / f"im{i}.png", picture(90 + i, 16, 24) // 128 * 255)
    beside = {"input": tmp_path / "input", "mask": tmp_path / "mask"}
    far = {side: s3.upload(folder) for side, folder in beside.items()}
    here = evaluate(*folders, metrics="diagnosis,psnr", **beside)
    there = evaluate(*remote, metrics="diagnosis,psnr", **far)
    assert [row.scores for row in there.rows] == [row.scores for row in here.rows]
    assert there.rows[0].mask == f"{far['mask']}/im0.png"


def test_rows_that_are_kept_are_not_scored_again(remote: tuple[str, str], tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        with Cache(tmp_path / "cache", tell=told.append) as cache:
            evaluate(*remote, metrics=METRICS, keeping=Keeping([cache], [cache]), announce=told.append)
    assert told == [f"{COUNT} of {COUNT} pairs are scored already"]


@pytest.mark.parametrize("stem", ["a b", "ü ö", "né", "x#1", "q?x", "p%20q", "plus+", "a&b=c", "(1)", "semi;colon"])
def test_any_name(s3: Store, tmp_path: Path, stem: str) -> None:
    write_picture(tmp_path / "gt" / f"{stem} dir" / f"{stem}.png", picture(1, 16, 16))
    write_picture(tmp_path / "out" / f"{stem} dir" / f"{stem}.png", worse(picture(1, 16, 16), 5))
    bucket = s3.bucket()
    found = evaluate(s3.upload(tmp_path / "out", bucket), s3.upload(tmp_path / "gt", bucket), metrics="psnr")
    assert text(found) == text(evaluate(tmp_path / "out", tmp_path / "gt", metrics="psnr"))
    assert found.scored


def test_in_memory(folders: tuple[Path, Path], local: Results) -> None:
    root = f"memory://{uuid.uuid4()}"
    for folder in folders:
        for file in folder.iterdir():
            write(place(f"{root}/{folder.name}/{file.name}"), file.read_bytes())  # type: ignore[arg-type]
    assert text(evaluate(f"{root}/prediction", f"{root}/target", metrics=METRICS)) == text(local)


def test_hidden_files_markers_and_globs(s3: Store, folders: tuple[Path, Path]) -> None:
    bucket = s3.bucket()
    prediction, target = (s3.upload(folder, bucket) for folder in folders)
    for key in ("prediction/", "prediction/day/", "prediction/.cache/a.png", "prediction/.cache/b.png"):
        s3.put(bucket, key, b"")
    s3.put(bucket, "prediction/.hidden.png", b"no image")
    s3.put(bucket, "prediction/notes.txt", b"text")
    found = evaluate(f"{prediction}/", target, metrics=METRICS, glob="im[01].png")
    assert [row.name for row in found.rows] == ["im0", "im1"]
    assert found.ignored == 3


class TestRefusals:
    def test_no_bucket(self, s3: Store, folders: tuple[Path, Path]) -> None:
        with pytest.raises(PairingError, match=r"s3://nowhere/out: no such folder \(there is no s3://nowhere\)\.$"):
            evaluate("s3://nowhere/out", folders[1], metrics=METRICS)

    def test_no_folder(self, remote: tuple[str, str]) -> None:
        wrong = remote[0].replace("prediction", "predicton")
        with pytest.raises(PairingError, match=rf"^{wrong}: no such folder; did you mean {remote[0]}\?$"):
            evaluate(wrong, remote[1], metrics=METRICS)

    def test_no_file(self, remote: tuple[str, str]) -> None:
        with pytest.raises(PairingError, match=r"im9\.png: no such file; did you mean s3://.*/im\d\.png\?$"):
            evaluate(f"{remote[0]}/im9.png", f"{remote[1]}/im0.png", metrics=METRICS)

    def test_no_access(self, s3: Store, remote: tuple[str, str]) -> None:
        s3.trouble("/prediction", "403", "always")
        s3.trouble("prefix=prediction", "403", "always")
        with pytest.raises(PairingError, match=rf"^{remote[0]}: cannot be read \(.*(Forbidden|Access Denied)"):
            evaluate(*remote, metrics=METRICS)

    def test_empty(self, s3: Store, folders: tuple[Path, Path]) -> None:
        bucket = s3.bucket()
        with pytest.raises(PairingError, match=rf"^s3://{bucket}: no image, the folder is empty"):
            evaluate(f"s3://{bucket}", folders[1], metrics=METRICS)

    def test_a_listing_that_fails(self, s3: Store, remote: tuple[str, str]) -> None:
        s3.trouble("list-type=2", "", "", "503", "always")  # whether there are such folders is asked first
        told = rf"^{remote[0]}: the folder cannot be read \(Please reduce your request rate.*tried 5 times in \d+ s\)"
        with pytest.raises(PairingError, match=told):
            evaluate(*remote, metrics=METRICS)

    def test_nothing_in_common(self, remote: tuple[str, str], folders: tuple[Path, Path]) -> None:
        bucket = remote[0].rpartition("/")[0]
        with pytest.raises(PairingError, match=rf"{bucket} has a folder level more: {bucket}/prediction would fit"):
            evaluate(bucket, folders[1], metrics=METRICS)


def test_swapped_folders_are_told(remote: tuple[str, str]) -> None:
    assert "are they swapped?" in "".join(evaluate(remote[1], remote[0], metrics=METRICS).warnings)


def test_waiting_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(failures.time, "sleep", waits.append)
    with pytest.raises(OSError, match="tried 5 times"):
        failures.tried(lambda: (_ for _ in ()).throw(TimeoutError()))
    assert len(waits) == 4
    assert sum(waits) < 15
