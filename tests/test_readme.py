"""The README is run: every command in it works, and what it shows is what comes out."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from PIL import Image

from relight_eval.alignment import ALIGNMENTS
from relight_eval.findings import THRESHOLDS
from relight_eval.metrics import METRICS, Settings, columns
from tests.s3 import Store

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def stranger(tmp_path: Path, empty_home: Path, monkeypatch: pytest.MonkeyPatch, vgg19_checkpoint: Path) -> Path:
    """A folder with the sample images, folders old/, pred/ and gt/ of one's own, and VGG19 weights; not in CI."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "sample_images").symlink_to(ROOT / "sample_images")
    (work / "old").symlink_to(ROOT / "sample_images" / "prediction")
    (work / "pred").symlink_to(ROOT / "sample_images" / "prediction_early")
    (work / "gt").symlink_to(ROOT / "sample_images" / "target")
    monkeypatch.chdir(work)
    for name in ("CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("RELIGHT_EVAL_OFFLINE", "1")
    monkeypatch.setenv("RELIGHT_EVAL_VGG19", str(vgg19_checkpoint))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return work


def same(shown: str, printed: str) -> None:
    """Equal word for word, numbers to within the last digit that is shown, white space aside."""
    number = re.compile(r"-?\d+\.\d{4}")
    assert [number.sub("#", line).split() for line in shown.splitlines()] == [
        number.sub("#", line).split() for line in printed.splitlines()
    ]
    for ours, theirs in zip(number.findall(shown), number.findall(printed), strict=True):
        assert float(ours) == pytest.approx(float(theirs), abs=2e-4)


def without_versions(text: str) -> str:
    """Without what differs from machine to machine: versions in a signature, typer's names for types in a help."""
    return re.sub(r"\|device:.*|<.*?>", "", text)


@pytest.mark.parametrize("block", blocks("console"), ids=lambda block: block.splitlines()[0])
def test_what_is_shown_is_what_is_printed(stranger: Path, block: str) -> None:
    command, shown = block.split("\n", 1)
    words = shlex.split(command.removeprefix("$ "))
    assert words[0] == "relight-eval"
    ran = subprocess.run(words, capture_output=True, text=True)
    assert ran.returncode == ("FAIL" in shown), ran.stderr
    if words[1] == "doctor":  # what it finds is another on every machine, what it looks at is not
        assert checks(shown) == checks(ran.stdout)
    else:
        same(without_versions(shown), without_versions(ran.stdout))


def checks(printed: str) -> list[str]:
    """What `doctor` looked at."""
    return re.findall(r"^(?:ok|WARN|WRONG) +(.*?)  ", printed, re.MULTILINE)


def commands(text: str = README) -> list[str]:
    """The commands of the shell blocks that begin with relight-eval, without their comments."""
    lines = [line for block in blocks("sh", text) for line in block.splitlines()]
    return [line.split("  #")[0].split("   #")[0].strip() for line in lines if line.startswith("relight-eval")]


def shrunk(folder: Path) -> None:
    """In place of the link to the samples, a copy of them at half their size, which takes a quarter of the time."""
    samples = folder.resolve()
    folder.unlink()
    for path in [*samples.glob("*.png"), *samples.glob("*.jpg")]:
        folder.mkdir(exist_ok=True)
        with Image.open(path) as image:
            image.resize((192, 192)).save(folder / path.name)


@pytest.fixture
def elsewhere(small: Path, s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archives of the images, a bucket with them, checkpoints on the disk, and trackers that reach nobody."""
    for name, folder in {"pred": "pred", "gt": "gt", "epoch10": "old", "epoch20": "pred"}.items():
        (small / f"{name}.tar").write_bytes(archive((small / folder).iterdir()))
    s3.client.create_bucket(Bucket="bucket")
    for folder, name in (("out", "pred"), ("gt", "gt")):
        for path in (small / name).iterdir():
            s3.put("bucket", f"{folder}/{path.name}", path.read_bytes())
    predictions = sorted((small / "pred").iterdir())
    for shard, paths in enumerate((predictions[::2], predictions[1::2])):
        s3.put("bucket", f"pred-{shard:03}.tar", archive(paths))
    for step, name in ((1000, "old"), (2000, "pred")):
        (small / f"ckpt_{step}").symlink_to(small / name)
    for name, value in {**s3.environment, "WANDB_MODE": "offline"}.items():
        monkeypatch.setenv(name, value)


def archive(paths: Iterable[Path]) -> bytes:
    """A tar of these files."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as found:
        for path in paths:
            found.add(path, path.name)
    return content.getvalue()


@pytest.fixture
def small(stranger: Path) -> Path:
    """The folders of the stranger, with smaller images in them."""
    (stranger / "sample_images").unlink()
    (stranger / "sample_images").mkdir()
    for name in ("prediction", "prediction_early", "target", "input"):
        (stranger / "sample_images" / name).symlink_to(ROOT / "sample_images" / name)
        shrunk(stranger / "sample_images" / name)
    for name in ("old", "pred", "gt"):
        shrunk(stranger / name)
    return stranger


SECTIONS = {
    section.splitlines()[0]: commands(section) for section in README.split("\n## ") if commands(section)
}  # fmt: skip


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.usefixtures("elsewhere")
def test_every_command_of_a_section_works(small: Path, section: str) -> None:
    """In order, since `import` takes what `export` wrote. `fetch` finds the weights in the cache."""
    for command in SECTIONS[section]:
        if "fetch" in command:
            subprocess.run([*shlex.split("relight-eval weights import"), os.environ["RELIGHT_EVAL_VGG19"]], check=True)
        if "jq" in command and shutil.which("jq") is None:
            command = command.split("|")[0]
        ran = subprocess.run(command, shell=True, capture_output=True, text=True)
        assert ran.returncode == 0, (command, ran.stderr)
        if "weights import" in command:
            assert (Path(os.environ["RELIGHT_EVAL_CACHE"]) / "vgg19.safetensors").exists()
        if "weights export" in command:
            assert (small / "vgg19.safetensors").stat().st_size < 2_300_000


def test_the_commands_are_found() -> None:
    assert len(SECTIONS) >= 8
    assert [len(found) for found in SECTIONS.values()] == [len(set(found)) for found in SECTIONS.values()]


def snippet_commands(block: str) -> tuple[list[str], dict[str, str]]:
    """The commands of a GitHub workflow or a GitLab pipeline, and the variables that they see."""
    document = yaml.safe_load(block)
    if "jobs" in document:
        (job,) = document["jobs"].values()
        return [step["run"] for step in job["steps"] if "run" in step], job["env"]
    (job,) = document.values()
    return job["script"], job["variables"]


@pytest.mark.parametrize(
    "block", [block for block in blocks("yaml") if "matrix:" not in block], ids=lambda block: block.splitlines()[0]
)
def test_the_ci_snippets_run_as_written(stranger: Path, monkeypatch: pytest.MonkeyPatch, block: str) -> None:
    """Against the baseline and the rules that the README makes before them; installing aside."""
    (rules,) = [block for block in blocks("toml") if block.startswith("# relight.toml")]
    Path("relight.toml").write_text(rules, encoding="utf-8")
    for command in commands():
        if command.startswith("relight-eval weights export") or "baseline.json" in command:
            subprocess.run(command, shell=True, check=True, capture_output=True)
    lines, variables = snippet_commands(block)
    assert [line for line in lines if "relight-eval" in line]
    for name, value in {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": "summary.md",
        **variables,
    }.items():
        monkeypatch.setenv(name, value)
    for line in lines:
        if not line.startswith("pip install"):
            ran = subprocess.run(line, shell=True, capture_output=True, text=True)
            assert ran.returncode == 0, (ran.stdout, ran.stderr)
            assert "PASS  mean wssim drop -0." in ran.stdout
            assert "FAIL" not in ran.stdout
    assert ElementTree.parse("relight.xml").getroot().get("failures") == "0"
    assert "✅ passed, 8 pairs" in Path("summary.md").read_text(encoding="utf-8")


def test_the_matrix_of_parts_runs_as_written(stranger: Path) -> None:
    """One part after the other; installing aside, and what brings the files of the parts together."""
    (block,) = [block for block in blocks("yaml") if "matrix:" in block]
    jobs = yaml.safe_load(block)["jobs"]
    score, quality = ([step["run"] for step in jobs[job]["steps"] if "run" in step] for job in ("score", "quality"))
    of = jobs["score"]["strategy"]["matrix"]["shard"]
    lines = [line.replace("${{ matrix.shard }}", str(part)) for part in of for line in score]
    for line in [*lines, *quality]:
        if not line.startswith("pip install"):
            ran = subprocess.run(line, shell=True, capture_output=True, text=True)
            assert ran.returncode == 0, (line, ran.stderr)
    assert "PASS  mean wssim" in ran.stdout
    assert ran.stderr.startswith(f"8 pairs of {len(of)} parts")


SBATCH = """#!/bin/sh
# What it is given is run at once, one task of an array after the other.
if [ "$2" = --wrap ]; then exec sh -c "$3"; fi
for task in $(seq $(sed -n "s/^#SBATCH --array=\\([0-9]*\\)-\\([0-9]*\\)$/\\1 \\2/p" "$2")); do
    SLURM_ARRAY_TASK_ID=$task bash "$2" || exit
done
echo 42
"""


def test_the_slurm_scripts_run_as_written(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In 2 parts for 16, as there are but 8 samples."""
    script, submit = (block.replace("16", "2") for block in blocks("bash") if "sbatch" in block)
    Path("score.sbatch").write_text(script, encoding="utf-8")
    Path("bin").mkdir()
    Path("bin/sbatch").write_text(SBATCH)
    Path("bin/sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{stranger / 'bin'}{os.pathsep}{os.environ['PATH']}")
    Path("old").rename("out")
    for side in ("out", "gt"):
        shrunk(stranger / side)
    ran = subprocess.run(["bash", "-e", "-c", submit], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "PASS  mean wssim" in ran.stdout
    assert "8 pairs of 2 parts" in ran.stderr


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.splitlines()[0])
def test_python_runs(stranger: Path, block: str) -> None:
    ran = subprocess.run([sys.executable, "-W", "error", "-c", block], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()


def test_the_loop_in_the_readme_improves_the_image(stranger: Path) -> None:
    (block,) = [block for block in blocks("python") if "S3NetLoss" in block]
    probe = block.replace("terms = loss(image, target)", "terms = loss(image, target); print(float(terms.total))")
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    totals = [float(line) for line in ran.stdout.splitlines() if " " not in line]
    assert totals[-1] < totals[0] - 0.1


def test_the_table_of_scores_names_every_column_with_its_direction() -> None:
    table = [line for line in README.splitlines() if line.startswith("| `")]
    for column in columns([name for name in METRICS if name != "diagnosis"], Settings()):
        (row,) = [line for line in table if f"`{column.name}`" in line.split("|")[1]]
        assert f"| {column.better} |" in row
        assert f"| {column.identical:g} |" in row


def test_the_table_of_the_diagnosis_names_every_column_and_the_text_every_threshold() -> None:
    table = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `")]
    for column in columns(["diagnosis"], Settings(input=True)):
        assert sum(f"`{column.name}`" in head for head in table) == 1, column.name
    text = " ".join(README.split())
    for name, value in THRESHOLDS.items():
        assert re.search(rf"`{name}` \((?:[^()]*, )?{value:g}\)", text), name


def test_every_alignment_is_in_the_table() -> None:
    for name in ALIGNMENTS:
        assert f"\n| `{name}` | " in README


def test_the_map_names_every_room() -> None:
    house = README[README.index("## The house") :]
    for path in (ROOT / "relight_eval").iterdir():
        if path.name.startswith("__") or (path.is_dir() and not any(path.glob("*.py"))):
            continue
        assert (f"{path.name}/" if path.is_dir() else path.name) in house, path.name


def test_the_exit_codes_are_those_of_the_help() -> None:
    from relight_eval.cli.exit_codes import HELP

    (section,) = [section for section in README.split("\n## ") if section.startswith("Exit codes\n")]
    in_readme = re.findall(r"^\| (\d+) \|", section, re.MULTILINE)
    assert in_readme == re.findall(r"^  (\d+) ", HELP, re.MULTILINE)
