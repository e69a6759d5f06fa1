"""What all metrics stand on: shapes, types, one graph, and full float32."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from relight_eval.errors import ShapeError
from relight_eval.metrics.metric import Batch
from relight_eval.metrics.pieces import resources


def test_a_compiled_loss_is_one_graph_however_high_the_image() -> None:
    """Unrolled pieces took minutes to compile."""
    from relight_eval.losses import WaveletSSIMLoss

    nodes = []

    def count(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> torch.fx.GraphModule:
        nodes.append(len(graph.graph.nodes))
        return graph

    for height in (24, 120):
        torch.compiler.reset()
        image = torch.rand(1, 3, height, 24)
        with resources(piece_values=1):
            found = torch.compile(WaveletSSIMLoss(), backend=count, fullgraph=True)(image, image.flip(-1))
        assert found.item() == pytest.approx(WaveletSSIMLoss()(image, image.flip(-1)).item(), abs=1e-5)
    assert len(nodes) == 2
    assert nodes[0] == nodes[1]


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (1, 3, 0, 8)], ids=["no_pair", "no_row"])
def test_an_empty_batch_is_a_shape_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="not empty"):
        Batch(torch.zeros(shape), torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool], ids=str)
def test_other_types_are_a_shape_error(dtype: torch.dtype) -> None:
    with pytest.raises(ShapeError, match=rf"the images are {dtype}; they must be floating point in \[0, 1\], or uint8"):
        Batch(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 3, 8, 8, dtype=dtype))


def test_one_image_as_stored_and_one_in_0_to_1_is_a_shape_error() -> None:
    stored, scaled = torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 3, 8, 8)
    for prediction, target in ((stored, scaled), (scaled, stored)):
        with pytest.raises(ShapeError, match=f"prediction is {prediction.dtype} but target is {target.dtype}"):
            Batch(prediction, target)


@pytest.mark.parametrize("runs", [1, 3])
def test_by_target_the_predictions_of_each_stand_together(runs: int) -> None:
    levels = torch.arange(6.0)
    prediction, target = (x[:, None, None, None].expand(6, 3, 2, 2) for x in (levels, levels.div(runs).floor()))
    predictions, targets = Batch(prediction, target, runs=runs).by_target()
    assert predictions.shape == (6 // runs, runs, 3, 2, 2)
    assert predictions[..., 0, 0, 0].flatten().tolist() == levels.tolist()
    assert targets[:, 0, 0, 0].tolist() == list(range(6 // runs))


class TestFullFloat32:
    """In a process of its own each: the switches are global, and torch minds which of them was used."""

    @pytest.mark.parametrize(
        "before",
        [
            pytest.param("pass", id="untouched"),
            pytest.param("cudnn.allow_tf32 = False", id="old switch off"),
            pytest.param("cudnn.allow_tf32 = True", id="old switch on"),
            pytest.param("backends.fp32_precision = 'tf32'", id="new switch for all"),
            pytest.param("backends.fp32_precision = 'ieee'", id="new switch for all, off"),
            pytest.param("cudnn.conv.fp32_precision = 'tf32'", id="new switch for convolutions"),
        ],
    )
    def test_full_inside_and_as_before_outside(self, before: str) -> None:
        if ("fp32_precision" in before) and not hasattr(torch.backends.cudnn, "conv"):
            pytest.skip("this torch has no such switch")
        code = f"""
from torch import backends
from relight_eval.metrics.metric import full_float32
cudnn = backends.cudnn
{before}
new = hasattr(cudnn, "conv")
state = lambda: cudnn.conv.fp32_precision if new else cudnn.allow_tf32
was = state()
try:
    with full_float32():
        assert state() == ("ieee" if new else False), state()
        raise KeyError("left by an error")
except KeyError:
    pass
assert state() == was, (state(), was)
"""
        subprocess.run([sys.executable, "-c", code], check=True)

    @pytest.mark.parametrize("name", ["vgg19", "lpips"])
    def test_convolutions_run_inside(
        self, name: str, monkeypatch: pytest.MonkeyPatch, vgg19_checkpoint: object
    ) -> None:
        from pathlib import Path

        from relight_eval.metrics import METRICS, Settings, lpips
        from relight_eval.weights import load

        if not hasattr(torch.backends.cudnn, "conv"):
            pytest.skip("this torch has the old switch only")
        settings = Settings(vgg19_weights=load(Path(str(vgg19_checkpoint))))
        score = METRICS[name].build(settings, torch.device("cpu")).score
        if name == "lpips":
            score = lpips._computed  # what GPUs compute: on a CPU there are no such convolutions
        seen = []
        owner, called = {"lpips": (torch.nn.functional, "relu"), "vgg19": (torch.Tensor, "relu_")}[name]
        relu = getattr(owner, called)

        def watched(x: torch.Tensor) -> torch.Tensor:
            seen.append(torch.backends.cudnn.conv.fp32_precision)
            return relu(x)

        monkeypatch.setattr(owner, called, watched)
        score(Batch(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)))
        assert set(seen) == {"ieee"}
