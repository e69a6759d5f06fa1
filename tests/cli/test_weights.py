"""`relight-eval weights`: what it prints, where, and with which exit code."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys

import pytest
from typer.testing import CliRunner

from relight_eval import downloads, weights
from relight_eval.cli.progress import download_bar
from relight_eval.cli.weights import app
from relight_eval.errors import WeightsError

pytestmark = pytest.mark.usefixtures("empty_home")


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def served(vgg19_checkpoint, serve, monkeypatch):
    """The random weights, declared to be torchvision's, at an address on this machine."""
    body = vgg19_checkpoint.read_bytes()
    checkpoint = downloads.Download(serve(body), "vgg19.pth", hashlib.sha256(body).hexdigest(), len(body))
    monkeypatch.setattr(weights, "TORCHVISION", checkpoint)
    return checkpoint


class TestShow:
    def test_nothing(self):
        result = run("show")
        assert result.exit_code == 2
        assert result.stdout == (
            "VGG19 weights: not ready\n"
            "\n"
            "  not set  RELIGHT_EVAL_VGG19\n"
            "  missing  own cache\n"
            f"           {weights.cache_file()}\n"
            "  missing  torch hub cache\n"
            f"           {weights.hub_file()}\n"
            "\n"
            "Run `relight-eval weights fetch` where there is a network, or `relight-eval\n"
            "weights import FILE`, or pass `--vgg19-weights FILE`.\n"
        )
        assert result.stderr == ""

    def test_ready(self, vgg19_checkpoint):
        path = weights.import_file(vgg19_checkpoint)
        result = run("show")
        assert result.exit_code == 0
        assert result.stdout == (
            "VGG19 weights: ready\n"
            "\n"
            "  not set  RELIGHT_EVAL_VGG19\n"
            "  used     own cache\n"
            f"           {path}\n"
            "  missing  torch hub cache\n"
            f"           {weights.hub_file()}\n"
            "\n"
            f"  sha256   {weights.load(path).sha256}\n"
            "  made of  another file than torchvision's (unofficial)\n"
        )

    def test_a_named_file(self, vgg19_checkpoint):
        result = run("show", "--vgg19-weights", vgg19_checkpoint)
        assert result.exit_code == 0
        assert f"  used     --vgg19-weights\n           {vgg19_checkpoint}\n" in result.stdout

    def test_broken(self, empty_home):
        result = run("show", "--vgg19-weights", empty_home / "gone.pth")
        assert result.exit_code == 2
        assert "  broken   --vgg19-weights\n" in result.stdout
        assert "gone.pth: no such file" in " ".join(result.stdout.split())

    def test_80_columns(self, vgg19_checkpoint):
        weights.import_file(vgg19_checkpoint)
        lines = run("show").stdout.splitlines()
        assert max(len(line) for line in lines if "/" not in line) <= 80  # paths stay whole, to be copied


class TestFetch:
    def test_prints_the_path_and_talks_to_stderr(self, served):
        result = run("fetch")
        assert result.exit_code == 0
        assert result.stdout == f"{weights.cache_file()}\n"
        assert result.stderr.startswith(f"fetching 2 MiB from {served.url}, keeping 2.2 MB in ")
        assert re.search(r"VGG19 weights \w{8}, made of torchvision's IMAGENET1K_V1\n$", result.stderr)

    def test_not_twice(self, vgg19_checkpoint, monkeypatch):
        path = weights.import_file(vgg19_checkpoint)
        monkeypatch.setattr(weights, "fetch", lambda *_, **__: pytest.fail("fetched again"))
        result = run("fetch")
        assert result.exit_code == 0
        assert result.stdout == f"{path}\n"
        assert "already in the cache, nothing fetched (--force fetches again)" in result.stderr

    def test_force_mends_a_broken_cache(self, served):
        weights.cache_folder().mkdir(parents=True)
        weights.cache_file().write_bytes(b"half a file")
        assert isinstance(run("fetch").exception, WeightsError)
        assert run("fetch", "--force").exit_code == 0
        assert run("show").exit_code == 0

    def test_failure(self, served, serve, monkeypatch):
        monkeypatch.setattr(weights, "TORCHVISION", downloads.Download(serve(b"", status=404), "x", "0", 9))
        with pytest.raises(WeightsError, match="the server answered 404"):
            raise run("fetch").exception


class TestImport:
    def test_prints_the_path(self, vgg19_checkpoint):
        result = run("import", vgg19_checkpoint)
        assert result.exit_code == 0
        assert result.stdout == f"{weights.cache_file()}\n"
        assert re.fullmatch(r"VGG19 weights \w{8}, made of another file .*\n", result.stderr)

    def test_failure(self, empty_home):
        with pytest.raises(WeightsError, match=r"gone\.pth: no such file"):
            raise run("import", empty_home / "gone.pth").exception


class TestExport:
    def test_of_a_named_file(self, vgg19_checkpoint, tmp_path):
        result = run("export", tmp_path / "ci.safetensors", "--vgg19-weights", vgg19_checkpoint)
        assert result.exit_code == 0
        assert result.stdout == f"{tmp_path / 'ci.safetensors'}\n"
        assert weights.load(tmp_path / "ci.safetensors").sha256 == weights.load(vgg19_checkpoint).sha256

    def test_carried_to_another_machine(self, vgg19_checkpoint, tmp_path):
        run("import", vgg19_checkpoint)
        run("export", tmp_path / "carried.safetensors")
        shutil.rmtree(weights.cache_folder())
        assert run("show").exit_code == 2
        run("import", tmp_path / "carried.safetensors")
        assert run("show").exit_code == 0

    def test_nothing_is_fetched(self, tmp_path):
        with pytest.raises(WeightsError, match=r"no VGG19 weights: .*fetching is ruled out"):
            raise run("export", tmp_path / "ci.safetensors").exception


def test_fetch_with_a_damaged_cache_says_how_to_fetch_again():
    weights.cache_file().parent.mkdir(parents=True, exist_ok=True)
    weights.cache_file().write_bytes(b"junk")
    with pytest.raises(WeightsError, match="weights fetch --force"):
        raise run("fetch").exception


class TestDownloadBar:
    def test_not_in_a_pipe(self):
        with download_bar() as progress:
            assert progress is None

    def test_drawn_from_the_first_call(self, monkeypatch, capsys):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        with download_bar() as progress:
            before = capsys.readouterr().err
            progress(1 << 20, 2 << 20)
        assert before == ""
        assert "1.0/2.0 MiB" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["show", "--help"], ["export", "--help"], ["fetch", "--help"]])
def test_help(words):
    assert run(*words).exit_code == 0
