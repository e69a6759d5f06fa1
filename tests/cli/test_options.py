"""The options that the commands share: in the help, in the run, and refused where they would do nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relight_eval import evaluate
from relight_eval.columns import known
from relight_eval.decoding import Reading, Readings
from relight_eval.engines import Cluster
from relight_eval.errors import RelightEvalError
from relight_eval.metrics import Settings
from relight_eval.reports import REPORTS
from relight_eval.rules import Rule, parse
from tests.cli.commands import Command
from tests.cli.saved import saved
from tests.everything import everything

HERE = Path(__file__).parent
WITHOUT = ("torch", "torchvision", "pandas", "PIL")
RUN_WITHOUT = f"import sys; sys.modules.update(dict.fromkeys({WITHOUT})); from relight_eval.cli import main; main()"

# Of `Scoring`: the words, and what evaluate_runs is called with.
SCORING = [
    pytest.param(("-m", "psnr,lpips"), {"metrics": "psnr,lpips"}, id="-m"),
    pytest.param(("--metrics", "psnr", "--metrics", "ssim"), {"metrics": "psnr,ssim"}, id="--metrics"),
    pytest.param(("--glob", "*.png"), {"glob": "*.png"}, id="--glob"),
    pytest.param(("--alpha", "black"), {"readings": Readings.of_all(Reading(alpha="black"))}, id="--alpha"),
    pytest.param(("--space", "linear"), {"readings": Readings.of_all(Reading(space="linear"))}, id="--space"),
    pytest.param(
        ("--space", "target=srgb"), {"readings": Readings(target=Reading(space="srgb"))}, id="--space of one side"
    ),
    pytest.param(
        ("--white-level", "1023"), {"readings": Readings.of_all(Reading(white_level=1023))}, id="--white-level"
    ),
    pytest.param(("--max-pixels", "9"), {"readings": Readings.of_all(Reading(max_pixels=9))}, id="--max-pixels"),
    pytest.param(("--strict",), {"readings": Readings.of_all(Reading(strict=True))}, id="--strict"),
    pytest.param(("--cache", "c"), {}, id="--cache"),
    pytest.param(("--device", "cpu"), {"device": "cpu"}, id="--device"),
    pytest.param(("-b", "7"), {"batch_size": 7}, id="-b"),
    pytest.param(("--batch-size", "8"), {"batch_size": 8}, id="--batch-size"),
    pytest.param(("-j", "5"), {"workers": 5}, id="-j"),
    pytest.param(("--workers", "6"), {"workers": 6}, id="--workers"),
    pytest.param(("--engine", "ray"), {"engine": "ray", "cluster": Cluster()}, id="--engine"),
    pytest.param(
        ("--engine", "ray", "--ray-address", "head:6379"),
        {"engine": "ray", "cluster": Cluster("head:6379")},
        id="--ray-address",
    ),
    pytest.param(
        ("--engine", "ray", "--cpus-per-worker", "4"),
        {"engine": "ray", "cluster": Cluster(None, 4)},
        id="--cpus-per-worker",
    ),
    pytest.param(("--precision", "fast"), {"settings": Settings(precision="fast")}, id="--precision"),
    pytest.param(("--charbonnier-eps", "0.1"), {"settings": Settings(charbonnier_eps=0.1)}, id="--charbonnier-eps"),
    pytest.param(("--wavelet", "db2"), {"settings": Settings(wavelet="db2")}, id="--wavelet"),
    pytest.param(("--wssim-levels", "3"), {"settings": Settings(wssim_levels=3)}, id="--wssim-levels"),
    pytest.param(("--wssim-ratio", "0.5"), {"settings": Settings(wssim_ratio=0.5)}, id="--wssim-ratio"),
    pytest.param(("--vgg19-preset", "drn"), {"settings": Settings(vgg19_preset="drn")}, id="--vgg19-preset"),
    pytest.param(("--vgg19-weights", "w.pth"), {"vgg19_weights": Path("w.pth")}, id="--vgg19-weights"),
    pytest.param(("--vgg19-weights", "w.pth.tar"), {"vgg19_weights": Path("w.pth.tar")}, id="--vgg19-weights .tar"),
    pytest.param(("--offline",), {"offline": True}, id="--offline"),
    pytest.param(("--input", "i"), {"input": Path("i"), "settings": Settings(input=True)}, id="--input"),
    pytest.param(("--mask", "k"), {"mask": Path("k")}, id="--mask"),
    pytest.param(("--align", "gain"), {"settings": Settings(align="gain")}, id="--align"),
    pytest.param(("--align", "none"), {"settings": Settings()}, id="--align none"),
    pytest.param(("--regions",), {"settings": Settings(regions=True)}, id="--regions"),
]
COMMANDS = {
    "score": ("score", "p", "t"),
    "gate": ("gate", "p", "t", "--require", "charbonnier <= 1"),
    "compare": ("compare", "p", "q", "--target", "t"),
    "calibrate": ("calibrate", "p", "t"),
}
NOT_OF_CALIBRATE = {"-b", "--batch-size", "-j", "--workers", "--cache"}


@pytest.fixture
def called(command: Command, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What evaluate_runs is called with; it scores nothing."""
    calls: list[dict[str, Any]] = []

    def spy(predictions: object, target: object, **words: Any) -> None:
        calls.append(words)
        raise RelightEvalError("seen")

    monkeypatch.setattr(evaluate, "evaluate_runs", spy)
    monkeypatch.delenv("RELIGHT_EVAL_OFFLINE")
    for name in ("p", "q", "t"):
        Path(name).mkdir()
    return calls


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(("option", "expected"), SCORING)
def test_scoring_options_reach_the_run(
    command: Command, called: list[dict[str, Any]], name: str, option: tuple[str, ...], expected: dict[str, object]
) -> None:
    if name == "gate" and option[0] in ("-m", "--metrics"):
        option = (*option, "-m", "charbonnier")  # the rule's
        expected = {"metrics": f"{expected['metrics']},charbonnier"}
    found = command(*COMMANDS[name], *option)
    assert found.code == 2
    if name == "calibrate" and option[0] in NOT_OF_CALIBRATE:
        assert f"No such option: {option[0]}" in found.err
        return
    assert "relight-eval: seen" in found.err, found.err
    of_rules = "charbonnier" if name == "gate" else None
    usual = {"metrics": of_rules, "glob": None, "readings": Readings(), "settings": Settings(), "vgg19_weights": None}
    usual |= {"input": None, "mask": None, "engine": "local", "cluster": Cluster()}
    wanted = usual | ({} if name == "calibrate" else {"device": "auto", "batch_size": None, "workers": None}) | expected
    if name == "calibrate" and option[0] != "--precision":  # chooses it itself
        wanted["settings"] = replace(wanted["settings"], precision="exact")  # type: ignore[type-var]
    assert {key: called[0][key] for key in wanted} == wanted
    assert called[0]["offline"] == (option == ("--offline",))


def test_offline_may_come_from_the_environment(
    command: Command, called: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELIGHT_EVAL_OFFLINE", "1")
    for words in COMMANDS.values():
        command(*words)
    assert [words["offline"] for words in called] == [True] * 4


@pytest.mark.parametrize("name", ["gate", "compare"])
@pytest.mark.parametrize(
    "option",
    [
        *(param.values[0] for param in SCORING if param.id != "--strict"),  # (which gate takes for its rules)
        # what looks like nothing was given all the same
        ("--device", "auto"), ("-b", "auto"), ("-j", "auto"), ("--alpha", "refuse"), ("--glob", ""), ("--space", "x"),
        ("--charbonnier-eps", "0"), ("--wssim-ratio", "0"), ("--wssim-levels", "0"), ("--wavelet", "haar"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_scoring_options_are_refused_with_saved_results(command: Command, name: str, option: tuple[str, ...]) -> None:
    run = saved("run.json", ssim=[0.9] * 6)
    words = (run, "--require", "ssim >= 0.1") if name == "gate" else (run, f"again={run}")
    assert command(name, *words).code == 0  # RELIGHT_EVAL_OFFLINE is set
    found = command(name, *words, *option)
    assert (found.code, found.out) == (2, "")
    if name == "compare" and option[0] in ("-m", "--metrics"):
        assert "no run has the metric" in found.err
    else:
        assert "is for folders of images; saved results were scored already" in found.err


@pytest.mark.parametrize("name", ["score", "gate", "compare", "calibrate"])
def test_an_unknown_alignment_names_those_there_are(command: Command, called: list[dict[str, Any]], name: str) -> None:
    found = command(*COMMANDS[name], "--align", "gian")
    assert (found.code, called) == (2, [])
    assert "unknown alignment 'gian'; did you mean gain" in found.err


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("option", [("--ray-address", "head:6379"), ("--cpus-per-worker", "2")], ids=" ".join)
def test_what_is_of_a_cluster_needs_the_engine_ray(
    command: Command, called: list[dict[str, Any]], name: str, option: tuple[str, str]
) -> None:
    found = command(*COMMANDS[name], *option)
    assert (found.code, called) == (2, [])
    assert f"{' '.join(option)} is of a Ray cluster; add --engine ray, or leave it out" in found.err


def options(help_text: str) -> list[str]:
    """The options of a help, long and short."""
    lines = re.findall(r"^  (-.*?)(?:  |$)", help_text, re.MULTILINE)
    return [option for line in lines for option in re.findall(r"(?<![\w-])--?[a-z][\w-]*", line)]


@pytest.mark.parametrize("name", [*COMMANDS, "report", "merge"])
def test_help_at_80_columns_and_every_option_is_used_by_a_test(command: Command, name: str) -> None:
    found = command(name, "--help")
    assert found.code == 0
    assert max(map(len, found.out.splitlines())) <= 80
    assert "Exit codes:" in found.out
    here = options(found.out)
    assert len(here) > 15
    used = {*re.findall(r'"(-[\w-]+)"', (HERE / f"test_{name}.py").read_text()), "-h", "--help"}
    used |= {word for param in SCORING for word in param.values[0]}  # type: ignore[attr-defined]
    used |= {"--resume"} & {*re.findall(r'"(-[\w-]+)"', (HERE / "test_resume.py").read_text())}
    used |= {"--log", "--log-step"} & {*re.findall(r'"(-[\w-]+)"', (HERE / "test_tracking.py").read_text())}
    assert set(here) <= used


@pytest.mark.parametrize("name", [*COMMANDS, "report", "merge"])
def test_help_of_one_letter_is_the_same(command: Command, name: str) -> None:
    assert command(name, "-h") == command(name, "--help")


@pytest.mark.parametrize(
    "words",
    [
        ("gate", "a.json", "--baseline", "a.json", "--require", "ssim drop <= 0.1", "--json", "x", "--junit", "y"),
        ("gate", "a.csv", "--require", "ssim >= 0.1", "--markdown", "x"),
        ("compare", "a.json", "b.csv", "--csv", "x", "--json", "y", "--markdown", "z"),
        ("report", "a.json"),
        ("report", "a.csv", "--json", "y", "--junit", "z", "--markdown", "u", "--require", "ssim >= 0.1"),
        ("report", "whole.json", "--threshold", "colour=7", "--html", "x", "--no-images", "--verbose"),
        ("gate", "a.json", "--require", "ssim >= 0.1", "--html", "x", "--no-images"),
        ("compare", "a.json", "b.csv", "--html", "x", "--no-images"),
        *((name, "--help") for name in COMMANDS),
        ("--help",),
    ],
    ids=" ".join,
)
def test_without_torch_pandas_and_images(command: Command, words: tuple[str, ...]) -> None:
    saved("a.json", ssim=[0.9] * 8)
    saved("b.csv", ssim=[0.8] * 8)
    saved("a.csv", ssim=[0.9] * 8)
    Path("whole.json").write_text(REPORTS["json"](everything()), encoding="utf-8")
    ran = subprocess.run([sys.executable, "-c", RUN_WITHOUT, *words], capture_output=True, text=True)
    assert (ran.returncode, re.sub(r"^wrote [\w ]+\n$", "", ran.stderr)) == (0, "")
    assert ran.stdout


def test_what_needs_torch_is_told_apart(command: Command) -> None:
    """That the imports of the test above are blocked at all."""
    Path("p").mkdir()
    words = [sys.executable, "-c", RUN_WITHOUT, "score", "p", "p"]
    ran = subprocess.run(words, capture_output=True, text=True)
    assert ran.returncode == 70
    assert "halted; None in sys.modules" in ran.stderr


def test_rules_know_their_metric() -> None:
    from relight_eval.cli.judging import metrics_of

    rules: list[Rule] = [parse("wssim_hl1 >= 0.1"), parse("each vgg19_relu1_1 <= 2"), parse("psnr drop <= 1")]
    assert metrics_of(rules, known().values()) == {"wssim", "vgg19", "psnr"}
    assert metrics_of([], known().values()) == set()
    beside = [parse("psnr_aligned >= 1"), parse("ssim_shadows >= 0.1")]
    assert metrics_of(beside, known().values()) == {"psnr", "ssim"}
    fitted = parse("each align_gain_r <= 2")  # comes with any metric, by itself with the cheapest
    assert metrics_of([fitted], known().values()) == {"psnr"}
    assert metrics_of([fitted, parse("ssim >= 0.1")], known().values()) == {"ssim"}
    own = replace(known()["psnr"], name="my_own", metric="my")  # the column says so, not how its name begins
    assert metrics_of([parse("my_own >= 1")], [own, known()["wssim"]]) == {"my"}
