"""The commands on addresses: what they read there, what they write there, and what is refused before any work."""

from __future__ import annotations

import json
import os
import re
import tarfile
import uuid
from pathlib import Path

import pytest

from relight_eval.places import Address, content, place, walk, write
from tests.cli.commands import Command
from tests.cli.saved import noise_file, saved
from tests.cli.test_resume import after_batches, interrupt
from tests.folders import two_folders
from tests.s3 import Store

COUNT = 3
FAST = ("-m", "psnr,ssim", "-j", "2")
REPORTS = {"--csv": "s.csv", "--json": "s.json", "--junit": "s.xml", "--markdown": "s.md"}
PICTURE = '<script type="text/plain"'
SECRET = "s3cr3t-W0rd"


@pytest.fixture
def folders(command: Command) -> tuple[str, str]:
    """prediction/ and target/ in the working folder."""
    two_folders(Path(), COUNT, height=16, width=24)
    return "prediction", "target"


@pytest.fixture
def bucket(s3: Store, folders: tuple[str, str]) -> str:
    """One that holds a copy of both folders, as s3://bucket-1."""
    name = s3.bucket()
    for folder in folders:
        s3.upload(Path(folder), name)
    s3.calm()
    return f"s3://{name}"


@pytest.fixture
def memory() -> str:
    """A folder in memory that no other test has."""
    return f"memory://{uuid.uuid4()}"


def put(address: str, content: str | bytes) -> str:
    found = place(address)
    assert isinstance(found, Address)
    write(found, content.encode() if isinstance(content, str) else content)
    return address


def keys(s3: Store, bucket: str) -> set[str]:
    found = s3.client.list_objects_v2(Bucket=bucket.removeprefix("s3://")).get("Contents", [])
    return {entry["Key"] for entry in found}


def packed(folder: str, archive: str) -> str:
    with tarfile.open(archive, "w") as tar:
        for file in sorted(Path(folder).iterdir()):
            tar.add(file, file.name)
    return archive


def alike(text: str, folder: str) -> str:
    """A report without what tells one run from another: where its files are, and how long it took."""
    return re.sub(r'"seconds": [\d.e-]+', "", text.replace(f"{folder}/", "")).replace(folder, "")


class TestAScoreInABucket:
    def test_is_the_local_one_in_every_report(
        self, command: Command, s3: Store, folders: tuple[str, str], bucket: str
    ) -> None:
        rules = ("--require", "psnr >= 1", "--require", "each ssim >= 0.999")
        here = command("score", *folders, *FAST, *rules, *(word for pair in REPORTS.items() for word in pair))
        there = [word for option, name in REPORTS.items() for word in (option, f"{bucket}/out/{name}")]
        addresses = [f"{bucket}/{folder}" for folder in folders]
        found = command("score", *addresses, *FAST, *rules, *there)
        assert (found.code, alike(found.out, bucket).split()) == (1, here.out.split())
        for name in REPORTS.values():
            assert alike(s3.get(f"{bucket}/out/{name}").decode(), bucket) == alike(Path(name).read_text(), bucket)
        document = json.loads(s3.get(f"{bucket}/out/s.json"))
        assert document["pairs"][0]["prediction"] == f"{bucket}/prediction/im0.png"
        assert f"wrote {bucket}/out/s.csv and {bucket}/out/s.json" in found.err
        uploads = s3.client.list_multipart_uploads(Bucket=bucket.removeprefix("s3://"))
        assert uploads.get("Uploads") is None  # of the questions whether one may write
        assert sorted(os.listdir()) == sorted([*folders, *REPORTS.values()])  # neither lock nor journal

    def test_is_told_again_with_pictures(self, command: Command, s3: Store, bucket: str) -> None:
        words = (f"{bucket}/prediction", f"{bucket}/target", *FAST, "-q")
        saved_as = ("--csv", f"{bucket}/s.csv", "--json", f"{bucket}/s.json")
        assert command("score", *words, *saved_as, "--html", f"{bucket}/page.html") == (0, "", "")
        for results in ("s.json", "s.csv"):
            told = command("report", f"{bucket}/{results}", "--html", "page.html", "--csv", f"{bucket}/again.csv")
            assert told.code == 0, told.err
            assert "wrote page.html" in told.err
            assert Path("page.html").read_text().count(PICTURE) > 2 * COUNT
            assert s3.get(f"{bucket}/again.csv") == s3.get(f"{bucket}/s.csv")
        page = s3.get(f"{bucket}/page.html").decode()
        assert page.count(PICTURE) == Path("page.html").read_text().count(PICTURE)
        assert f"{bucket}/prediction/im" in page
        assert "file:///" not in page

    def test_what_cannot_be_written_loses_no_other_report(
        self, command: Command, s3: Store, folders: tuple[str, str], bucket: str
    ) -> None:
        s3.trouble("/lost.json?", "", "", "", "403", "always")  # after the question, its end, and what stands there
        words = ("--json", f"{bucket}/lost.json", "--markdown", f"{bucket}/s.md", "--csv", "s.csv")
        found = command("score", *folders, *FAST, *words)
        assert found.code == 2
        assert "Scores\n" in found.out
        assert re.search(rf"cannot write {bucket}/lost\.json: .*what stood there is unchanged", found.err)
        assert "s.csv.journal keeps the scores so far for --resume" in found.err
        assert {"s.md"} == keys(s3, bucket) - {f"{folder}/im{i}.png" for folder in folders for i in range(COUNT)}
        assert len(Path("s.csv").read_text().splitlines()) == COUNT + 1

    def test_ctrl_c_writes_what_is_done(
        self, command: Command, s3: Store, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        after_batches(monkeypatch, 2, interrupt)
        words = (f"{bucket}/prediction", f"{bucket}/target", *FAST, "-b", "1")
        found = command("score", *words, "--csv", f"{bucket}/s.csv", "--json", f"{bucket}/s.json")
        assert found.code == 130
        assert "UNFINISHED: the run was stopped, 1 of 3 pairs were not scored" in found.out
        assert f"stopped with 1 still to score; wrote {bucket}/s.csv and {bucket}/s.json" in found.err
        assert json.loads(s3.get(f"{bucket}/s.json"))["unfinished"] == 1
        assert len(s3.get(f"{bucket}/s.csv").splitlines()) == COUNT + 1

    def test_passing_trouble_is_waited_for(
        self, command: Command, s3: Store, folders: tuple[str, str], bucket: str
    ) -> None:
        s3.trouble("/s.json", *["503", ""] * 20)
        assert command("score", *folders, *FAST, "--no-csv", "--json", f"{bucket}/s.json", "-q") == (0, "", "")
        assert len(json.loads(s3.get(f"{bucket}/s.json"))["pairs"]) == COUNT

    def test_maps_are_those_of_the_local_run(
        self, command: Command, s3: Store, folders: tuple[str, str], bucket: str
    ) -> None:
        words = (*FAST, "--no-csv", "-q", "--maps")
        assert command("score", *folders, *words, "maps").code == 0
        addresses = [f"{bucket}/{folder}" for folder in folders]
        assert command("score", *addresses, *words, f"{bucket}/maps") == (0, "", "")
        local = sorted(file for file in Path("maps").rglob("*") if file.is_file())
        assert len(local) == 2 * COUNT + 1
        assert [s3.get(f"{bucket}/{file.as_posix()}") for file in local] == [file.read_bytes() for file in local]
        again = command("score", *addresses, *words, f"{bucket}/maps")
        assert (again.code, f"--maps {bucket}/maps is not empty" in again.err) == (2, True)


class TestBeforeAnyWork:
    @pytest.mark.parametrize(
        ("words", "told"),
        [
            pytest.param(("--csv", "s3://nowhere/s.csv"), "cannot write s3://nowhere/s.csv: .*not exist", id="bucket"),
            pytest.param(("--csv", "{bucket}"), "is a bucket; name a file to write", id="bucket itself"),
            pytest.param(("--json", "{bucket}/target"), "is a folder; name a file to write", id="folder"),
            pytest.param(("--html", "https://host/p.html"), "from https:// files are only read", id="https"),
            pytest.param(("--junit", "out.tar"), "out.tar: an archive is only read", id="archive"),
            pytest.param(("--csv", "tar://s.csv::out.tar"), "an archive is only read", id="in an archive"),
            pytest.param(("--markdown", "nope://a/s.md"), "nope:// is not known to fsspec", id="protocol"),
            pytest.param(("--csv", "{bucket}/im.png"), "is the name of an image", id="image"),
            pytest.param(("--csv", "{bucket}/s", "--json", "{bucket}/s"), "would both be written to", id="two"),
            pytest.param(("--csv", "{bucket}/r", "--rules", "{bucket}/r"), "which is read", id="over the rules"),
            pytest.param(("--rules", "{bucket}/no.toml"), "no.toml: cannot be read", id="no rules"),
            pytest.param(("--maps", "{bucket}/target/m"), "lies in {bucket}/target, which is read", id="maps inside"),
            pytest.param(("--maps", "{bucket}/target"), "is read by this run", id="maps over"),
            pytest.param(("--maps", "{bucket}/target/im0.png"), "is a file; name a folder", id="maps in a file"),
            pytest.param(("--maps", "s3://nowhere/m"), "--maps s3://nowhere/m: .*not exist", id="maps in no bucket"),
            pytest.param(("--maps", "out.zip"), "an archive is only read", id="maps in an archive"),
            pytest.param(("--resume", "--csv", "{bucket}/s"), "no scores are kept beside {bucket}/s", id="resume"),
            pytest.param(("--cache", "{bucket}/c"), "must be on a disk of this machine", id="cache"),
            pytest.param(("--vgg19-weights", "{bucket}/w"), "must be on a disk of this machine", id="weights"),
            pytest.param(("--input", ""), "is empty; name a folder of images", id="empty input"),
            pytest.param(("--mask", ""), "is empty; name a folder of images", id="empty mask"),
        ],
    )  # fmt: skip
    def test_is_told(
        self, command: Command, reads: list[Path], s3: Store, bucket: str, words: tuple[str, ...], told: str
    ) -> None:
        before = keys(s3, bucket)
        csv = () if "--csv" in words else ("--no-csv",)
        words = tuple(word.format(bucket=bucket) for word in words)
        found = command("score", f"{bucket}/prediction", f"{bucket}/target", "-m", "psnr", *csv, *words)
        assert (found.code, found.out) == (2, "")
        assert re.search(told.format(bucket=bucket), re.sub(r"\s+", " ", found.err)), found.err
        assert (reads, keys(s3, bucket)) == ([], before)
        assert "Traceback" not in found.err

    def test_that_one_may_not_write(self, command: Command, reads: list[Path], s3: Store, bucket: str) -> None:
        s3.trouble("?uploads", "403", "always")
        words = (f"{bucket}/prediction", f"{bucket}/target", "--csv", f"{bucket}/s.csv")
        found = command("score", *words)
        assert (found.code, found.out, reads) == (2, "", [])
        assert f"cannot write {bucket}/s.csv: Access Denied" in found.err

    def test_that_one_may_write_but_not_look(
        self, command: Command, s3: Store, folders: tuple[str, str], bucket: str
    ) -> None:
        """As whoever has s3:PutObject alone."""
        for part in ("list-type", "s.csv?x"):
            s3.trouble(part, "403", "always")
        assert command("score", *folders, *FAST, "-q", "--csv", f"{bucket}/s.csv").code == 0
        s3.calm()
        assert len(s3.get(f"{bucket}/s.csv").splitlines()) == COUNT + 1

    @pytest.mark.parametrize(
        "words",
        [
            ("score", "{it}", "target"),
            ("score", "prediction", "{it}"),
            *(
                ("score", "prediction", "target", option, "{it}")
                for option in (
                    *("--input", "--mask", "--cache", "--vgg19-weights", "--csv", "--json", "--junit"),
                    *("--markdown", "--html", "--maps", "--rules"),
                )
            ),
            ("score", "prediction", "target", "--csv", "{it}", "--no-csv"),
            ("gate", "{it}", "target"),
            ("gate", "prediction", "target", "--require", "psnr >= 1", "--noise", "{it}"),
            ("gate", "{it}.json", "--require", "psnr >= 1"),
            ("gate", "prediction", "target", "--require", "psnr >= 1", "--baseline", "{it}.json"),
            ("gate", "prediction", "target", "--require", "psnr drop <= 1", "--baseline", "b.json", "--noise", "{it}"),
            ("compare", "{it}", "prediction", "--target", "target"),
            ("compare", "a={it}", "prediction", "--target", "target"),
            ("compare", "prediction", "target", "--target", "{it}"),
            ("report", "{it}"),
            ("report", "{it}.csv"),
            ("calibrate", "prediction", "target", "-o", "{it}"),
            ("calibrate", "prediction", "target", "--baseline", "{it}"),
        ],
        ids=" ".join,
    )
    def test_a_secret_in_an_address_is_refused_and_not_repeated(
        self, command: Command, reads: list[Path], folders: tuple[str, str], words: tuple[str, ...]
    ) -> None:
        saved("b.json", ssim=[0.9] * 3)
        found = command(*(word.format(it=f"sftp://user:{SECRET}@host/out") for word in words))
        assert (found.code, found.out, reads) == (2, "", [])
        assert "holds a password" in re.sub(r"\s+", " ", found.err)
        assert SECRET not in found.err


def test_no_output_holds_the_credentials_of_the_environment(
    command: Command, s3: Store, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from s3fs import S3FileSystem  # which keeps connections, with the credentials that they were made with

    s3.put(bucket.removeprefix("s3://"), "prediction/im0.png", b"no image")  # so that the journal stays
    s3.trouble("/target/im1.png", "403", "always")  # its answer is told
    reports = [word for option, name in REPORTS.items() for word in (option, name)]
    words = [f"{bucket}/prediction", f"{bucket}/target", *reports, "--html", f"{bucket}/page.html", "--cache", "cache"]
    keys = {"AWS_ACCESS_KEY_ID": "AKIA0WORD", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": f"t0k3n{SECRET}"}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()
    try:
        found = command("score", *words, *FAST, "--require", "psnr >= 1")
    finally:
        S3FileSystem.clear_instance_cache()
    assert found.code == 3, found.err
    files = [file for file in Path().rglob("*") if file.is_file() and file.suffix != ".png"]
    assert {"s.csv", "s.json", "s.xml", "s.md", "s.csv.journal"} <= {file.name for file in files}
    told = [found.out.encode(), found.err.encode(), s3.get(f"{bucket}/page.html"), *(f.read_bytes() for f in files)]
    assert b"permission denied" in b"".join(told)
    for word in ("AKIA0WORD", SECRET):
        assert not [text for text in told if word.encode() in text]


class TestResume:
    def test_goes_on_from_the_local_file_beside_a_remote_one(
        self, command: Command, s3: Store, folders: tuple[str, str], bucket: str
    ) -> None:
        name = bucket.removeprefix("s3://")
        s3.put(name, "prediction/im1.png", b"no image")
        words = ("score", f"{bucket}/prediction", f"{bucket}/target", *FAST)
        words = (*words, "--json", f"{bucket}/s.json", "--csv", "s.csv")
        assert command(*words).code == 3
        assert Path("s.csv.journal").exists()
        s3.upload(Path("prediction"), name)
        found = command(*words, "--resume")
        assert found.code == 0
        assert f"{COUNT - 1} of {COUNT} pairs are scored already" in found.err
        assert len(json.loads(s3.get(f"{bucket}/s.json"))["pairs"]) == COUNT


class TestGate:
    def test_saved_results_rules_a_baseline_and_noise_at_an_address(self, command: Command, memory: str) -> None:
        saved("main.json", ssim=[0.9] * 8)
        saved("run.json", ssim=[0.85] * 8)
        for name in ("main.json", "run.json"):
            put(f"{memory}/{name}", Path(name).read_bytes())
        put(f"{memory}/rules.toml", 'require = ["ssim drop <= 0.01"]')
        words = ("gate", f"{memory}/run.json", "--baseline", f"{memory}/main.json", "--rules", f"{memory}/rules.toml")
        assert command(*words).code == 1
        noise_file("n.json", ssim=0.2)
        put(f"{memory}/main.noise.json", Path("n.json").read_bytes())  # is found beside the baseline
        found = command(*words, "--json", f"{memory}/out.json")
        assert (found.code, "0.2" in found.out) == (0, True)
        noise_file("n.json", ssim=0.001)
        assert command(*words, "--noise", put(f"{memory}/n.json", Path("n.json").read_bytes())).code == 1
        assert json.loads(content(place(f"{memory}/out.json")))["verdicts"]

    def test_a_baseline_is_written_and_scored_against(
        self, command: Command, folders: tuple[str, str], memory: str
    ) -> None:
        base, rule = ("--baseline", f"{memory}/main.json"), ("-m", "psnr", "--require", "psnr drop <= 0.01")
        found = command("gate", *folders, *base, *rule)
        assert (found.code, f"{memory}/main.json: cannot be read (no such file" in found.err) == (2, True)
        found = command("gate", *folders, *base, *rule, "--update-baseline")
        assert (found.code, f"wrote the baseline {memory}/main.json" in found.err) == (0, True)
        assert command("gate", packed(folders[0], "out.tar"), folders[1], *base, *rule).code == 0

    def test_what_a_run_is(self, command: Command, folders: tuple[str, str], memory: str) -> None:
        put(f"{memory}/out/im0.png", b"")
        rule = ("--require", "psnr >= 1")
        assert "is a folder; name the folder of targets, too" in command("gate", f"{memory}/out", *rule).err
        assert "no such file or folder" in command("gate", f"{memory}/none", *rule).err
        assert "cannot be read (no such file" in command("gate", f"{memory}/none.json", *rule).err
        packed(folders[0], "out.tar")
        assert "out.tar is a folder; name the folder of targets" in command("gate", "out.tar", *rule).err
        found = command("gate", f"{memory}/run.json", "target", *rule)
        assert "is saved results, which have no TARGET" in found.err


class TestCompare:
    def test_archives_are_called_after_their_stem(self, command: Command, folders: tuple[str, str]) -> None:
        runs = [packed(folders[0], "epoch10.tar"), packed(folders[1], "epoch20.tar")]
        words = ("--target", packed(folders[1], "gt.tar"), "-m", "psnr", "--step", r"(\d+)", "--json", "c.json")
        found = command("compare", *runs, *words)
        assert found.code == 0, found.err
        document = json.loads(Path("c.json").read_text())
        assert [(run["label"], run["step"]) for run in document["runs"]] == [("epoch10", 10), ("epoch20", 20)]

    def test_folders_of_a_bucket_beside_saved_results(self, command: Command, s3: Store, bucket: str) -> None:
        words = (f"{bucket}/prediction", f"{bucket}/target", *FAST, "-q", "--no-csv")
        assert command("score", *words, "--json", f"{bucket}/first.json").code == 0
        for i in range(COUNT):
            s3.put(bucket.removeprefix("s3://"), f"v=1/out.5/im{i}.png", Path(f"prediction/im{i}.png").read_bytes())
        runs = (f"{bucket}/first.json", f"{bucket}/v=1/out.5", f"mine={bucket}/prediction")
        words = ("--target", f"{bucket}/target", "--json", f"{bucket}/c.json", "--html", "c.html")
        found = command("compare", *runs, *words)
        assert found.code == 0, found.err
        document = json.loads(s3.get(f"{bucket}/c.json"))
        assert [run["label"] for run in document["runs"]] == ["first", "out.5", "mine"]
        assert Path("c.html").read_text().count(PICTURE) > COUNT

    @pytest.mark.parametrize(
        ("runs", "told"),
        [
            (("{it}/none", "prediction"), "none: no such file or folder; a run is saved results or"),
            (("{it}/a.json", "prediction"), "a.json: cannot be read"),
            (("{it}/out", "{it}/out"), "two runs are called"),
            (("{it}/out", "b={it}/out"), "is a folder of predictions; name the targets with --target"),
            (("a=", "prediction"), "'a=': no such file or folder"),
        ],
    )
    def test_refusals(
        self, command: Command, folders: tuple[str, str], memory: str, runs: tuple[str, ...], told: str
    ) -> None:
        put(f"{memory}/out/im0.png", b"")
        found = command("compare", *(run.format(it=memory) for run in runs))
        assert (found.code, found.out) == (2, "")
        assert told in found.err


def test_noise_is_written_beside_a_baseline(command: Command, folders: tuple[str, str], memory: str) -> None:
    words = ("calibrate", packed(folders[0], "out.tar"), folders[1], "-m", "psnr", "-q")
    assert command(*words, "--baseline", f"{memory}/main.json") == (0, "", "")
    found = place(f"{memory}/main.noise.json")
    assert json.loads(content(found))["kind"] == "noise"
    assert command(*words, "--output", str(found)) == (0, "", "")
    put(f"{memory}/other.json", "{}")
    refused = command(*words, "--output", f"{memory}/other.json")
    assert (refused.code, "is not what `relight-eval calibrate` writes" in refused.err) == (2, True)
    assert sorted(walk(place(memory))) == ["main.noise.json", "other.json"]  # type: ignore[arg-type]
