"""`relight-eval doctor`: what it prints, and its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from relight_eval import doctor
from relight_eval.cli.doctor import lines
from relight_eval.doctor import Asked, Check, Finding
from tests.cli.commands import Command

WELL = Finding("ok", "well")
SLOW = Finding("WARN", "slow", "Wait.")
BAD = Finding("WRONG", "bad", "Mend it.")


def checks(*findings: Finding) -> dict[str, object]:
    return {f"check {i}": lambda asked, finding=finding: [finding] for i, finding in enumerate(findings)}


@pytest.mark.parametrize(
    ("findings", "code", "last"),
    [
        ((WELL,), 0, "0 wrong, 0 warnings, 1 ok"),
        ((WELL, SLOW), 0, "0 wrong, 1 warning, 1 ok"),
        ((BAD, WELL, SLOW), 1, "1 wrong, 1 warning, 1 ok"),
    ],
    ids=["well", "a_warning", "wrong"],
)
def test_exit_code(
    command: Command, monkeypatch: pytest.MonkeyPatch, findings: tuple[Finding, ...], code: int, last: str
) -> None:
    monkeypatch.setattr(doctor, "CHECKS", checks(*findings))
    found = command("doctor")
    assert (found.code, found.err) == (code, "")
    assert found.out.splitlines()[-1] == last


def test_the_whole_report_of_this_machine(command: Command) -> None:
    found = command("doctor", "--device", "cpu")
    assert found.code == 0, found.out
    assert found.err == ""
    assert {line[7:22].strip() for line in found.out.splitlines()} >= set(doctor.CHECKS)
    assert "WARN   VGG19 weights    none" in found.out
    assert max(map(len, found.out.splitlines())) <= 80
    assert str(Path.home()) not in found.out


def test_a_line_and_what_to_do_below() -> None:
    found = Check("kernels", "WARN", "none: " + "words " * 12, "Install frame-analytics again.\nThen wait.")
    assert lines(found) == [
        "WARN   kernels          none: words words words words words words words words",
        "                        words words words words",
        "                        -> Install frame-analytics again. Then wait.",
    ]


def test_nothing_from_a_message_reaches_the_terminal_as_a_code() -> None:
    assert lines(Check("text", "ok", "a\x1b[31mb\x07")) == ["ok     text             a�[31mb�"]


def test_a_long_word_stays_whole() -> None:
    address = "https://" + "a" * 90
    assert lines(Check("device", "ok", f"see {address}"))[1].strip() == address


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((), Asked()),
        (("--device", "cuda:1"), Asked(device="cuda:1")),
        (("--vgg19-weights", "w.pth"), Asked(vgg19_weights=Path("w.pth"))),
    ],
    ids=["none", "device", "weights"],
)
def test_options(command: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], asked: Asked) -> None:
    seen = []
    monkeypatch.setattr(doctor, "CHECKS", {"a": lambda asked: seen.append(asked) or [WELL]})
    assert command("doctor", *words).code == 0
    assert seen == [asked]


def test_help_prints_the_exit_codes(command: Command) -> None:
    found = command("doctor", "-h")
    assert found.code == 0
    for said in ("0   nothing is wrong", "1   something is wrong", "2 ", "70 ", "130 "):
        assert f"\n    {said}" in found.out


def test_an_unknown_option_is_a_usage_error(command: Command) -> None:
    assert command("doctor", "--json", "a").code == 2
