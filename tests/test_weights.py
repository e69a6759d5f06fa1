"""VGG19 weights: every way they are found, and every way in which a file can be wrong.

The weights are random (fixture `vgg19_checkpoint`); where a test needs torchvision's file, it declares the
random one to be it. Nothing here uses a network: servers are on 127.0.0.1.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from relight_eval import downloads, weights
from relight_eval.errors import WeightsError

pytestmark = pytest.mark.usefixtures("empty_home")


@pytest.fixture
def state(vgg19_checkpoint):
    """The random weights under torchvision's keys, `features.0.weight` …"""
    return {f"features.{key}": tensor for key, tensor in torch.load(vgg19_checkpoint).items()}


@pytest.fixture
def save(tmp_path):
    """`save(state)` writes a .pth file and returns its path."""

    def write(state, name="vgg19.pth", **options):
        torch.save(state, tmp_path / name, **options)
        return tmp_path / name

    return write


@pytest.fixture
def small(vgg19_checkpoint, tmp_path):
    """The small file, made of the random weights."""
    path = tmp_path / "small.safetensors"
    weights.export(weights.load(vgg19_checkpoint), path)
    return path


@pytest.fixture
def checkpoint_at(vgg19_checkpoint):
    """`checkpoint_at(url)`: the random weights as something to fetch from there."""
    body = vgg19_checkpoint.read_bytes()

    def describe(url):
        return downloads.Download(url, "vgg19.pth", hashlib.sha256(body).hexdigest(), len(body))

    return describe


@pytest.fixture
def official(vgg19_checkpoint, monkeypatch):
    """Declare the random checkpoint to be torchvision's, by the first eight digits of its SHA-256."""
    sha256 = hashlib.sha256(vgg19_checkpoint.read_bytes()).hexdigest()
    filename = f"vgg19-{sha256[:8]}.pth"
    monkeypatch.setattr(weights, "TORCHVISION", replace(weights.TORCHVISION, sha256=sha256[:8], filename=filename))
    return sha256


def put(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(source, target))


class TestTheFiveConvolutions:
    def test_are_555328_numbers(self):
        assert sum(np.prod(shape) for shape in weights.SHAPES.values()) == 555_328

    def test_are_those_of_torchvision(self):
        """torchvision's own description of VGG19 (configuration "E" of the paper), built without memory."""
        from torchvision.models.vgg import cfgs, make_layers

        with torch.device("meta"):
            features = make_layers(cfgs["E"])
        shapes = {f"features.{key}": tuple(value.shape) for key, value in features.state_dict().items()}
        assert {f"{layer.key}.weight": layer.shape for layer in weights.LAYERS}.items() <= shapes.items()
        assert {int(key.split(".")[1]) for key in shapes} == weights.CONVOLUTIONS

    def test_the_published_name_agrees_with_the_hash(self):
        assert f"vgg19-{weights.TORCHVISION.sha256[:8]}.pth" == weights.TORCHVISION.filename
        assert weights.TORCHVISION.url.endswith(weights.TORCHVISION.filename)
        assert weights.TORCHVISION.size_bytes // 2**20 == 548


class TestLoad:
    @pytest.mark.parametrize(
        "shape_of",
        [
            pytest.param(lambda state: state, id="features.N"),
            pytest.param(lambda state: {k.removeprefix("features."): v for k, v in state.items()}, id="N"),
            pytest.param(lambda state: {"state_dict": state, "epoch": 3}, id="nested"),
            pytest.param(lambda state: {f"module.{k}": v for k, v in state.items()}, id="DataParallel"),
            pytest.param(
                lambda state: {k.replace("features.", "features.module."): v for k, v in state.items()},
                id="DataParallel features",
            ),
            pytest.param(
                lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}},
                id="nested DataParallel",
            ),
            pytest.param(
                lambda state: {
                    **state,
                    "features.12.weight": torch.ones(1),
                    "classifier.0.bias": torch.ones(1),
                },
                id="the whole network",
            ),
            pytest.param(lambda state: {k: torch.nn.Parameter(v) for k, v in state.items()}, id="parameters"),
            pytest.param(lambda state: {k: v.double() for k, v in state.items()}, id="float64"),
        ],
    )
    @pytest.mark.parametrize("zipped", [True, False], ids=["zip", "the format before PyTorch 1.6"])
    def test_every_kind_of_checkpoint(self, state, save, shape_of, zipped):
        found = weights.load(save(shape_of(state), _use_new_zipfile_serialization=zipped))
        assert list(found.tensors) == list(weights.SHAPES)
        for layer in weights.LAYERS:
            for part in ("weight", "bias"):
                tensor = found.tensors[f"{layer.name}.{part}"]
                assert tensor.dtype == np.float32
                np.testing.assert_array_equal(tensor, state[f"{layer.key}.{part}"].numpy())
        assert not found.official

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_half_precision_becomes_float32(self, state, save, dtype):
        found = weights.load(save({key: value.to(dtype) for key, value in state.items()}))
        expected = state["features.10.weight"].to(dtype).to(torch.float32).numpy()
        assert found.tensors["conv3_1.weight"].dtype == np.float32
        np.testing.assert_array_equal(found.tensors["conv3_1.weight"], expected)

    def test_somebody_elses_safetensors(self, state, tmp_path):
        path = tmp_path / "model.safetensors"
        safetensors.numpy.save_file({key: value.numpy() for key, value in state.items()}, path)
        found = weights.load(path)
        assert found.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert not found.official

    def test_the_tensors_stand_alone(self, vgg19_checkpoint, small):
        """A view would keep the whole checkpoint in memory, and of read-only arrays torch warns."""
        for path in (vgg19_checkpoint, small):
            for tensor in weights.load(path).tensors.values():
                assert tensor.flags.owndata
                assert tensor.flags.writeable
                assert tensor.flags.c_contiguous

    def test_origin_is_the_path(self, vgg19_checkpoint):
        assert weights.load(vgg19_checkpoint).origin == str(vgg19_checkpoint)

    def test_sha256_is_that_of_the_tensors(self, state, vgg19_checkpoint, small):
        """As written in the docstring, by hand: each name, then its numbers; the same from either file."""
        names = ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"]
        text = b""
        for name, number in zip(names, [0, 2, 5, 7, 10], strict=True):
            for part in ("weight", "bias"):
                tensor = state[f"features.{number}.{part}"]
                text += f"{name}.{part}".encode() + tensor.numpy().astype("<f4").tobytes()
        expected = hashlib.sha256(text).hexdigest()
        assert weights.load(vgg19_checkpoint).sha256 == expected
        assert weights.load(small).sha256 == expected

    def test_official_by_the_hash_of_the_whole_file(self, official, vgg19_checkpoint, small, tmp_path):
        found = weights.load(vgg19_checkpoint)
        assert found.official
        assert found.source_sha256 == official
        weights.export(found, tmp_path / "official.safetensors")
        assert weights.load(tmp_path / "official.safetensors").official

    def test_official_is_not_a_matter_of_names(self, vgg19_checkpoint, tmp_path):
        assert not weights.load(put(vgg19_checkpoint, tmp_path / "vgg19.pth")).official

    def test_a_true_hash_in_the_name(self, official, vgg19_checkpoint, tmp_path):
        assert weights.load(put(vgg19_checkpoint, tmp_path / f"vgg19-{official}.pth")).official


class TestBrokenFiles:
    def test_no_such_file(self, tmp_path):
        with pytest.raises(WeightsError, match=r"gone\.pth: no such file\. Expected vgg19-dcbb9e9d\.pth"):
            weights.load(tmp_path / "gone.pth")

    def test_a_folder(self, tmp_path):
        with pytest.raises(WeightsError, match=r": a folder\. Expected a file, such as .*vgg19-dcbb9e9d\.pth"):
            weights.load(tmp_path)

    def test_below_a_file(self, vgg19_checkpoint):
        with pytest.raises(WeightsError, match=r"random\.pth/x: cannot be read \(Not a directory\)"):
            weights.load(vgg19_checkpoint / "x")

    def test_cannot_be_opened(self, vgg19_checkpoint, monkeypatch):
        def refuse(self, *_, **__):
            raise PermissionError(errno.EACCES, "Permission denied", str(self))

        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(WeightsError, match=r"random\.pth: cannot be read \(Permission denied\)"):
            weights.load(vgg19_checkpoint)

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"PK\x03\x04", id="four bytes"),
            pytest.param(b"<!DOCTYPE html><html><body>Log in", id="a login page"),
            pytest.param(b"version https://git-lfs.github.com/spec/v1\n", id="a git-lfs pointer"),
            pytest.param(bytes(range(256)) * 40, id="noise"),
            pytest.param(pickle.dumps([1, 2, 3]), id="another pickle"),
        ],
    )
    def test_not_weights(self, tmp_path, content):
        path = tmp_path / "vgg19.pth"
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"vgg19\.pth: not a PyTorch checkpoint of tensors only"):
            weights.load(path)

    @pytest.mark.parametrize("holds", [torch.zeros(3), [1, 2]], ids=["a tensor", "a list"])
    def test_a_checkpoint_of_something_else(self, save, holds):
        with pytest.raises(WeightsError, match="not a PyTorch checkpoint of tensors only"):
            weights.load(save(holds))

    @pytest.mark.parametrize("zipped", [True, False], ids=["zip", "the format before PyTorch 1.6"])
    @pytest.mark.parametrize("kept", [0.001, 0.5, 0.999])
    def test_checkpoint_cut_short(self, state, save, kept, zipped):
        path = save(state, _use_new_zipfile_serialization=zipped)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
        with pytest.raises(WeightsError, match=r"it is cut short, damaged, of another kind"):
            weights.load(path)

    @pytest.mark.parametrize("kept", [0.0001, 0.5, 0.999])
    def test_small_file_cut_short(self, small, kept):
        small.write_bytes(small.read_bytes()[: int(small.stat().st_size * kept)])
        with pytest.raises(WeightsError, match=r"small\.safetensors: not a readable safetensors file \("):
            weights.load(small)

    def test_small_file_with_one_bit_changed(self, small):
        content = bytearray(small.read_bytes())
        content[-1000] ^= 1
        small.write_bytes(content)
        with pytest.raises(WeightsError, match=r"tensors have SHA-256 \w{8}…, not \w{8}… as the file says"):
            weights.load(small)

    @pytest.mark.parametrize("notes", ["[]", "{", '{"format": "relight-eval vgg19 1", "sha256": 7}'])
    def test_small_file_with_other_notes(self, small, notes):
        arrays = safetensors.numpy.load_file(small)
        safetensors.numpy.save_file(arrays, small, metadata={"relight-eval": notes})
        if notes == "[]":  # somebody else's file, then
            assert not weights.load(small).official
        else:
            with pytest.raises(WeightsError, match=r"not a readable safetensors|not 7… as the file says"):
                weights.load(small)

    def test_safetensors_that_numpy_cannot_hold(self, state, tmp_path):
        from safetensors.torch import save_file

        path = tmp_path / "half.safetensors"
        save_file({key: value.bfloat16() for key, value in state.items()}, path)
        with pytest.raises(WeightsError, match=r"half\.safetensors: not a readable .*bfloat16"):
            weights.load(path)

    def test_wrong_hash_in_the_name(self, vgg19_checkpoint, tmp_path):
        path = put(vgg19_checkpoint, tmp_path / "vgg19-dcbb9e9d.pth")
        with pytest.raises(WeightsError, match=r"SHA-256 \w{8}… is not the expected dcbb9e9d…"):
            weights.load(path)
        assert path.exists()

    @pytest.mark.parametrize("name", ["vgg19.pth", "my-vgg19-v2.pth", "vgg19-dcbb9e9.pth", "vgg19-DRN-model.pth"])
    def test_names_without_a_hash(self, vgg19_checkpoint, tmp_path, name):
        weights.load(put(vgg19_checkpoint, tmp_path / name))

    def test_missing_keys(self, state, save):
        del state["features.5.bias"], state["features.10.weight"]
        with pytest.raises(WeightsError, match=r"no features\.5\.bias, features\.10\.weight\. Expected the first"):
            weights.load(save(state))

    def test_missing_keys_are_named_as_the_file_names_them(self, state, save):
        del state["features.5.bias"]
        with pytest.raises(WeightsError, match=r": no 5\.bias\."):
            weights.load(save({key.removeprefix("features."): value for key, value in state.items()}))

    def test_another_network(self, save):
        with pytest.raises(WeightsError, match=r"no features\.0\.weight, .*the file holds conv1\.weight, fc\.bias\."):
            weights.load(save({"conv1.weight": torch.ones(2), "fc.bias": torch.ones(2)}))

    def test_no_tensors(self, save):
        with pytest.raises(WeightsError, match=r"the file holds no tensor\."):
            weights.load(save({"epoch": 3}))

    def test_vgg16_is_not_taken_for_vgg19(self, state, save):
        """Its first five convolutions have the same names and shapes; only the later ones tell."""
        state["features.17.weight"] = torch.ones(1)
        with pytest.raises(WeightsError, match=r"has features\.17\.weight, where VGG19 has no convolution"):
            weights.load(save(state))

    def test_wrong_shapes(self, state, save):
        state["features.0.weight"] = torch.ones(64, 1, 3, 3)
        state["features.7.bias"] = torch.ones(())
        message = (
            "features.0.weight is 64x1x3x3 float32, expected 64x3x3x3 float; "
            "features.7.bias is a single number float32, expected 128 float."
        )
        with pytest.raises(WeightsError, match=re.escape(message)):
            weights.load(save(state))

    def test_whole_numbers(self, state, save):
        state["features.2.bias"] = torch.ones(64, dtype=torch.int64)
        with pytest.raises(WeightsError, match=r"features\.2\.bias is 64 int64, expected 64 float"):
            weights.load(save(state))

    @pytest.mark.parametrize("value", [np.nan, np.inf, 1e300], ids=["nan", "inf", "beyond float32"])
    def test_not_finite(self, state, save, value):
        state["features.5.bias"] = state["features.5.bias"].double()
        state["features.5.bias"][3] = value
        with pytest.raises(WeightsError, match=r"features\.5\.bias holds inf or NaN"):
            weights.load(save(state))


class Bomb:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["zip", "the format before PyTorch 1.6", "pickle"])
def test_code_in_a_file_is_never_run(tmp_path, state, kind):
    path, trace = tmp_path / "vgg19.pth", tmp_path / "trace"
    state["features.0.weight"] = Bomb(trace)
    if kind == "pickle":
        path.write_bytes(pickle.dumps(state))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(WeightsError, match="holds code, which is never run"):
        weights.load(path)
    assert not trace.exists()


class TestExport:
    def test_is_2_2_megabytes(self, small):
        assert 2_221_312 < small.stat().st_size < 2_224_000

    def test_gives_back_the_same_weights(self, vgg19_checkpoint, small):
        first, second = weights.load(vgg19_checkpoint), weights.load(small)
        for name in weights.SHAPES:
            np.testing.assert_array_equal(first.tensors[name], second.tensors[name])
        assert (first.sha256, first.source_sha256) == (second.sha256, second.source_sha256)

    def test_same_bytes_every_time(self, vgg19_checkpoint, small, tmp_path):
        for number in range(5):  # also when made of the small file, and over an old file
            source = small if number % 2 else vgg19_checkpoint
            weights.export(weights.load(source), tmp_path / "again.safetensors")
            assert (tmp_path / "again.safetensors").read_bytes() == small.read_bytes()

    def test_says_what_it_was_made_of(self, vgg19_checkpoint, small):
        with safetensors.safe_open(small, framework="np") as file:
            notes = json.loads(file.metadata()["relight-eval"])
        assert notes == {
            "format": "relight-eval vgg19 1",
            "source": "not torchvision's checkpoint",
            "source_sha256": hashlib.sha256(vgg19_checkpoint.read_bytes()).hexdigest(),
            "sha256": weights.load(vgg19_checkpoint).sha256,
        }

    def test_no_path_of_this_machine_goes_out(self, small, tmp_path):
        assert str(tmp_path).encode() not in small.read_bytes()

    def test_never_over_a_checkpoint(self, vgg19_checkpoint):
        before = vgg19_checkpoint.read_bytes()
        with pytest.raises(WeightsError, match=r"random\.pth: .*Expected a name that ends in \.safetensors"):
            weights.export(weights.load(vgg19_checkpoint), vgg19_checkpoint)
        assert vgg19_checkpoint.read_bytes() == before

    def test_no_such_folder(self, small, tmp_path):
        with pytest.raises(WeightsError, match=r"there is no folder .*nowhere to write to"):
            weights.export(weights.load(small), tmp_path / "nowhere" / "vgg19.safetensors")

    def test_a_folder_in_its_place(self, small, tmp_path):
        (tmp_path / "taken.safetensors").mkdir()
        with pytest.raises(WeightsError, match=r"taken\.safetensors: cannot be written \("):
            weights.export(weights.load(small), tmp_path / "taken.safetensors")

    def test_a_full_disk_leaves_the_old_file(self, small, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        before, names = small.read_bytes(), set(os.listdir(tmp_path))
        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(WeightsError, match=r"cannot be written \(No space left on device\)"):
            weights.export(weights.load(small), small)
        assert small.read_bytes() == before
        assert set(os.listdir(tmp_path)) == names


class TestImport:
    @pytest.mark.parametrize("source", ["vgg19_checkpoint", "small"])
    def test_is_found_afterwards(self, request, source):
        path = weights.import_file(request.getfixturevalue(source))
        assert path == weights.cache_file()
        assert weights.find(offline=True).origin == str(path)

    def test_a_broken_file_changes_nothing(self, small, tmp_path):
        weights.import_file(small)
        before = weights.cache_file().read_bytes()
        with pytest.raises(WeightsError, match="no such file"):
            weights.import_file(tmp_path / "gone.pth")
        assert weights.cache_file().read_bytes() == before

    def test_no_cache_to_be_had(self, small, tmp_path, monkeypatch):
        monkeypatch.setenv("RELIGHT_EVAL_CACHE", str(small / "below a file"))
        with pytest.raises(WeightsError, match=r"cache cannot be made \(.*\)\. Set RELIGHT_EVAL_CACHE to a folder"):
            weights.import_file(small)


class TestWhereTheCachesAre:
    def test_own_by_default(self, empty_home, monkeypatch):
        monkeypatch.delenv("RELIGHT_EVAL_CACHE")
        assert empty_home in weights.cache_file().parents
        assert "relight-eval" in weights.cache_file().parts

    def test_torch_by_default(self, empty_home, monkeypatch):
        monkeypatch.delenv("TORCH_HOME")
        expected = empty_home / ".cache/torch/hub/checkpoints/vgg19-dcbb9e9d.pth"
        assert weights.hub_file() == expected

    def test_torch_with_another_cache(self, tmp_path, monkeypatch):
        monkeypatch.delenv("TORCH_HOME")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert weights.hub_file() == tmp_path / "torch/hub/checkpoints/vgg19-dcbb9e9d.pth"

    @pytest.mark.parametrize("variable", ["TORCH_HOME", "XDG_CACHE_HOME"])
    def test_torch_agrees(self, tmp_path, monkeypatch, variable):
        monkeypatch.delenv("TORCH_HOME")
        monkeypatch.setenv(variable, str(tmp_path / "there"))
        assert weights.hub_file().parent == Path(torch.hub.get_dir()) / "checkpoints"

    def test_tilde(self, empty_home, monkeypatch):
        monkeypatch.setenv("RELIGHT_EVAL_CACHE", "~/kept")
        assert weights.cache_file() == empty_home / "kept" / "vgg19.safetensors"


@pytest.fixture
def served_as_official(serve, vgg19_checkpoint, monkeypatch):
    """A server on this machine that has what is taken for torchvision's checkpoint."""
    body = vgg19_checkpoint.read_bytes()
    address = downloads.Download(serve(body), "vgg19.pth", hashlib.sha256(body).hexdigest(), len(body))
    monkeypatch.setattr(weights, "TORCHVISION", address)


class TestFind:
    def test_the_order(self, vgg19_checkpoint, small, official, tmp_path, monkeypatch):
        named = put(small, tmp_path / "named.safetensors")
        variable = put(small, tmp_path / "variable.safetensors")
        monkeypatch.setenv("RELIGHT_EVAL_VGG19", str(variable))
        own = put(small, weights.cache_file())
        hub = put(vgg19_checkpoint, weights.hub_file())
        assert weights.find(named, offline=True).origin == str(named)
        assert weights.find(offline=True).origin == str(variable)
        monkeypatch.setenv("RELIGHT_EVAL_VGG19", "")
        assert weights.find(offline=True).origin == str(own)
        own.unlink()
        assert weights.find(offline=True).origin == str(hub)

    def test_torch_hub_is_verified_and_kept(self, vgg19_checkpoint, official):
        hub = put(vgg19_checkpoint, weights.hub_file())
        said = []
        assert weights.find(offline=True, announce=said.append).official
        assert said == [f"kept 2.2 MB of {hub} in {weights.cache_file()}"]
        assert weights.load(weights.cache_file()).official

    def test_torch_hub_without_a_cache_to_write(self, vgg19_checkpoint, official, monkeypatch):
        put(vgg19_checkpoint, weights.hub_file())
        monkeypatch.setenv("RELIGHT_EVAL_CACHE", str(vgg19_checkpoint / "below a file"))
        said = []
        assert weights.find(offline=True, announce=said.append).official
        assert len(said) == 1
        assert "could not be kept for the next run" in said[0]

    def test_a_fetch_that_cannot_be_kept_is_used_all_the_same(self, served_as_official, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(weights, "write_whole", full)
        said = []
        assert weights.find(announce=said.append).tensors
        assert "could not be kept for the next run" in said[-1]
        assert "No space left" in said[-1]

    @pytest.mark.parametrize(("value", "fetched"), [("1", False), ("true", False), ("0", True), ("", True)])
    def test_the_variable_for_offline(self, served_as_official, monkeypatch, value, fetched):
        monkeypatch.setenv("RELIGHT_EVAL_OFFLINE", value)
        if fetched:
            assert weights.find().tensors
        else:
            with pytest.raises(WeightsError, match="offline"):
                weights.find()

    def test_a_library_call_says_that_it_fetches(self, served_as_official, capsys):
        weights.find()
        assert "fetching" in capsys.readouterr().err

    def test_a_named_file_is_not_stored(self, small):
        weights.find(small)
        assert not weights.cache_file().exists()

    @pytest.mark.parametrize(
        ("place", "message"),
        [
            ("named", r"no such file.* Name another file with --vgg19-weights"),
            ("variable", r"no such file.* RELIGHT_EVAL_VGG19 names this file"),
            (
                "own",
                r"own.vgg19\.safetensors: not a PyTorch.* Delete it, or run `.* fetch --force`",
            ),
            ("hub", r"SHA-256 \w{8}… is not the expected dcbb9e9d….* It was left there: delete it"),
        ],
    )
    def test_a_broken_file_is_never_passed_over(self, vgg19_checkpoint, monkeypatch, tmp_path, place, message):
        """Good weights wait at every later place, and are not taken."""
        if place != "hub":
            put(vgg19_checkpoint, weights.hub_file())
        if place in ("named", "variable"):
            weights.import_file(vgg19_checkpoint)
        if place == "variable":
            monkeypatch.setenv("RELIGHT_EVAL_VGG19", str(tmp_path / "gone.pth"))
        for path in {"own": [weights.cache_file()], "hub": [weights.hub_file()]}.get(place, []):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"half a fi")
        with pytest.raises(WeightsError, match=message):
            weights.find(tmp_path / "gone.pth" if place == "named" else None, offline=True)

    def test_nothing_offline(self):
        with pytest.raises(WeightsError) as raised:
            weights.find(offline=True)
        assert str(raised.value) == (
            "no VGG19 weights: RELIGHT_EVAL_VGG19 is not set; "
            f"no file in the own cache ({weights.cache_file()}); "
            f"no file in the torch hub cache ({weights.hub_file()}); "
            "fetching is ruled out (offline). "
            "Run `relight-eval weights fetch` where there is a network, "
            "or `relight-eval weights import FILE`, or pass `--vgg19-weights FILE`."
        )

    def test_fetched_when_nowhere(self, vgg19_checkpoint, checkpoint_at, serve, monkeypatch):
        checkpoint = checkpoint_at(serve(vgg19_checkpoint.read_bytes()))
        monkeypatch.setattr(weights, "TORCHVISION", checkpoint)
        assert weights.find().origin == checkpoint.url
        assert weights.find(offline=True).origin == str(weights.cache_file())

    def test_fetching_fails(self, checkpoint_at, serve, monkeypatch):
        monkeypatch.setattr(weights, "TORCHVISION", checkpoint_at(serve(b"", status=503)))
        message = r"^no VGG19 weights: .*; could not fetch http.*: the server answered 503 .*\. Run `relight-eval"
        with pytest.raises(WeightsError, match=message):
            weights.find()


class TestFetch:
    def test_keeps_the_small_file_only(self, vgg19_checkpoint, checkpoint_at, serve):
        checkpoint = checkpoint_at(serve(vgg19_checkpoint.read_bytes()))
        steps, said = [], []
        found = weights.fetch(checkpoint, progress=lambda *step: steps.append(step), announce=said.append)
        assert found.origin == checkpoint.url
        assert found.sha256 == weights.load(vgg19_checkpoint).sha256
        assert os.listdir(weights.cache_folder()) == ["vgg19.safetensors"]
        assert said == [f"fetching 2 MiB from {checkpoint.url}, keeping 2.2 MB in {weights.cache_folder()}"]
        assert steps == sorted(steps)
        assert steps[-1] == (checkpoint.size_bytes, checkpoint.size_bytes)

    def test_the_size_is_said_before_the_network_is_asked(self, checkpoint_at, monkeypatch):
        events = []

        def unplugged(url):
            events.append("asked")
            raise OSError("unplugged")

        monkeypatch.setattr(downloads, "_reply", unplugged)
        with pytest.raises(WeightsError, match=r"could not fetch http://127\.0\.0\.1:9/: unplugged"):
            weights.fetch(checkpoint_at("http://127.0.0.1:9/"), announce=lambda _: events.append("said"))
        assert events == ["said", "asked"]

    def test_official_by_what_came(self, official, vgg19_checkpoint, checkpoint_at, serve):
        assert weights.fetch(checkpoint_at(serve(vgg19_checkpoint.read_bytes()))).official

    def test_a_hash_of_eight_digits_will_do(self, vgg19_checkpoint, checkpoint_at, serve):
        checkpoint = checkpoint_at(serve(vgg19_checkpoint.read_bytes()))
        weights.fetch(replace(checkpoint, sha256=checkpoint.sha256[:8]))

    def test_wrong_hash(self, vgg19_checkpoint, checkpoint_at, serve):
        checkpoint = checkpoint_at(serve(bytes(vgg19_checkpoint.stat().st_size)))
        with pytest.raises(WeightsError, match=rf"SHA-256 \w{{8}}… is not the expected {checkpoint.sha256[:8]}…"):
            weights.fetch(checkpoint)
        assert os.listdir(weights.cache_folder()) == []

    @pytest.mark.parametrize(
        ("body", "length", "message"),
        [
            pytest.param(b"x" * 1000, None, r"it sent only 1000 of \d+ bytes", id="too short"),
            pytest.param(b"x" * 1000, 5000, r"it sent only 1000 of \d+ bytes", id="shorter than it says"),
            pytest.param(b"x" * 9_000_000, None, r"it sent more than (\d+) of \1 bytes", id="too long"),
            pytest.param(b"", None, r"it sent only 0 of \d+ bytes", id="empty"),
        ],
    )
    def test_wrong_length(self, checkpoint_at, serve, body, length, message):
        with pytest.raises(WeightsError, match=message):
            weights.fetch(checkpoint_at(serve(body, length=length)))
        assert os.listdir(weights.cache_folder()) == []

    def test_an_endless_body_does_not_fill_the_disk(self, checkpoint_at, serve):
        steps = []
        checkpoint = checkpoint_at(serve(bytes(9_000_000)))
        with pytest.raises(WeightsError, match="it sent more than"):
            weights.fetch(checkpoint, progress=lambda done, _: steps.append(done))
        assert steps[-1] <= checkpoint.size_bytes + downloads.CHUNK_BYTES

    @pytest.mark.parametrize("status", [404, 403, 500])
    def test_status(self, checkpoint_at, serve, status):
        with pytest.raises(WeightsError, match=rf"could not fetch http://127.*: the server answered {status} \w+"):
            weights.fetch(checkpoint_at(serve(b"no", status=status)))
        assert os.listdir(weights.cache_folder()) == []

    def test_connection_refused(self, checkpoint_at):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        with pytest.raises(WeightsError, match="the connection was refused"):
            weights.fetch(checkpoint_at(f"http://127.0.0.1:{port}/"))

    def test_no_address(self, checkpoint_at, monkeypatch):
        def unknown(*_, **__):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        with pytest.raises(WeightsError, match=r"no address for this host \(no network\?\)"):
            weights.fetch(checkpoint_at("http://weights.invalid/vgg19.pth"))

    def test_not_http(self, checkpoint_at):
        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=answer_once, args=(server, b"220 mail.example ESMTP\r\n"))
            thread.start()
            with pytest.raises(WeightsError, match=r"could not fetch http.*: 220 mail"):
                weights.fetch(checkpoint_at(f"http://127.0.0.1:{server.getsockname()[1]}/"))
            thread.join()

    def test_a_server_that_never_answers(self, checkpoint_at, monkeypatch):
        monkeypatch.setattr(downloads, "TIMEOUT_S", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as server:
            start = time.monotonic()
            with pytest.raises(WeightsError, match=r"no answer within 0\.2 s"):
                weights.fetch(checkpoint_at(f"http://127.0.0.1:{server.getsockname()[1]}/"))
            assert time.monotonic() - start < 2
        time.sleep(0.1)  # for the thread that was left behind, while the server is still ours

    def test_a_server_that_stops_halfway(self, checkpoint_at, monkeypatch):
        monkeypatch.setattr(downloads, "TIMEOUT_S", 0.3)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nhalf"
        done = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=answer_once, args=(server, head, done))
            thread.start()
            with pytest.raises(WeightsError, match=r"no answer within 0\.3 s"):
                weights.fetch(checkpoint_at(f"http://127.0.0.1:{server.getsockname()[1]}/"))
            done.set()
            thread.join()
        assert os.listdir(weights.cache_folder()) == []

    def test_a_name_that_is_looked_up_for_ever(self, checkpoint_at, monkeypatch):
        """urllib's own timeout does not cover this, nor a host whose every address is silent in turn."""
        given_up = threading.Event()

        def wait(*_, **__):
            given_up.wait(10)
            raise socket.gaierror(socket.EAI_AGAIN, "too late")

        monkeypatch.setattr(socket, "getaddrinfo", wait)
        monkeypatch.setattr(downloads, "TIMEOUT_S", 0.2)
        start = time.monotonic()
        with pytest.raises(WeightsError, match=r"no answer within 0\.2 s"):
            weights.fetch(checkpoint_at("http://weights.invalid/vgg19.pth"))
        assert time.monotonic() - start < 2
        given_up.set()

    def test_interrupted(self, vgg19_checkpoint, checkpoint_at, serve):
        def interrupt(done, total):
            assert len(os.listdir(weights.cache_folder())) == 1  # the download
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            weights.fetch(checkpoint_at(serve(vgg19_checkpoint.read_bytes())), progress=interrupt)
        assert os.listdir(weights.cache_folder()) == []

    def test_a_failure_leaves_what_was_there(self, small, checkpoint_at, serve):
        weights.import_file(small)
        with pytest.raises(WeightsError, match="it sent only 4 of"):
            weights.fetch(checkpoint_at(serve(b"oops")))
        assert weights.cache_file().read_bytes() == small.read_bytes()

    def test_no_cache_to_be_had(self, vgg19_checkpoint, checkpoint_at, monkeypatch):
        monkeypatch.setenv("RELIGHT_EVAL_CACHE", str(vgg19_checkpoint))
        with pytest.raises(WeightsError, match=r"the cache cannot be made \(File exists\)"):
            weights.fetch(checkpoint_at("http://127.0.0.1:9/"))

    def test_a_cache_that_cannot_be_written(self, checkpoint_at, monkeypatch):
        def refuse(**_):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(weights.tempfile, "TemporaryDirectory", refuse)
        with pytest.raises(WeightsError, match=r"the cache cannot be written \(Permission denied\)"):
            weights.fetch(checkpoint_at("http://127.0.0.1:9/"))


def answer_once(server, text, until=None):
    """Take one connection, send `text`, and hang up (after `until`)."""
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(text)
        if until:
            until.wait(10)


class TestStatus:
    def test_nothing(self):
        status = weights.status()
        assert [(look.name, look.state) for look in status.looks] == [
            ("RELIGHT_EVAL_VGG19", "not set"),
            ("own cache", "missing"),
            ("torch hub cache", "missing"),
        ]
        assert not status.ready
        assert status.advice == weights.MEND

    def test_the_first_is_used(self, small, vgg19_checkpoint, tmp_path):
        weights.import_file(small)
        put(vgg19_checkpoint, weights.hub_file())
        status = weights.status(small)
        assert [(look.name, look.state) for look in status.looks] == [
            ("--vgg19-weights", "used"),
            ("RELIGHT_EVAL_VGG19", "not set"),
            ("own cache", "found"),
            ("torch hub cache", "found"),
        ]
        assert status.ready
        assert status.advice == ""
        assert status.weights.origin == str(small)

    def test_broken(self, small, tmp_path, monkeypatch):
        weights.import_file(small)
        monkeypatch.setenv("RELIGHT_EVAL_VGG19", str(tmp_path / "gone.pth"))
        status = weights.status()
        assert [look.state for look in status.looks] == ["broken", "found", "missing"]
        assert not status.ready
        assert "gone.pth: no such file" in status.advice

    def test_writes_nothing(self, vgg19_checkpoint, official):
        put(vgg19_checkpoint, weights.hub_file())
        assert weights.status().ready
        assert not weights.cache_folder().exists()


def test_torch_is_imported_only_for_a_pth(small):
    """Half a second that `weights show` and every --help need not pay."""
    program = (
        "import sys; from pathlib import Path; import relight_eval.weights as w; "
        f"import relight_eval.cli.weights; w.load(Path({str(small)!r})); sys.exit('torch' in sys.modules)"
    )
    root = Path(weights.__file__).parents[1]
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": str(root)})
