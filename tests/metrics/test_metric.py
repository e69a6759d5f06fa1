"""What all metrics stand on: strips, types, and full float32."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from relight_eval.errors import ShapeError
from relight_eval.metrics import metric as module
from relight_eval.metrics.metric import Batch, strips


@pytest.mark.parametrize("values", [1, 100, 10**9], ids="strips_of_{}".format)
@pytest.mark.parametrize("halo", [0, 10], ids="halo_{}".format)
def test_strips_hold_every_row_once_and_the_halo_twice(values: int, halo: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRIP_VALUES", values)
    image = torch.arange(47.0).view(1, 1, 47, 1).expand(2, 3, 47, 5)
    rows = []
    for top, prediction, target in strips(image, image + 1, dtype=torch.float64, halo=halo):
        assert prediction.dtype == target.dtype == torch.float64
        assert torch.equal(target, prediction + 1)
        assert prediction[0, 0, 0, 0] == top
        rows += prediction[0, 0, : prediction.shape[-2] - halo, 0].tolist()
    assert rows == list(range(47 - halo))


def test_a_compiled_loss_is_one_graph_however_high_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unrolled strips took minutes to compile."""
    from relight_eval.losses import WaveletSSIMLoss

    monkeypatch.setattr(module, "STRIP_VALUES", 1)
    nodes = []

    def count(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> torch.fx.GraphModule:
        nodes.append(len(graph.graph.nodes))
        return graph

    for height in (24, 120):
        torch.compiler.reset()
        image = torch.rand(1, 3, height, 24)
        found = torch.compile(WaveletSSIMLoss(), backend=count, fullgraph=True)(image, image.flip(-1))
        assert found.item() == pytest.approx(WaveletSSIMLoss()(image, image.flip(-1)).item(), abs=1e-5)
    assert len(nodes) == 2
    assert nodes[0] == nodes[1]


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (1, 3, 0, 8)], ids=["no_pair", "no_row"])
def test_an_empty_batch_is_a_shape_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="not empty"):
        Batch(torch.zeros(shape), torch.zeros(shape))


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

        from relight_eval.metrics import METRICS, Settings
        from relight_eval.weights import load

        if not hasattr(torch.backends.cudnn, "conv"):
            pytest.skip("this torch has the old switch only")
        settings = Settings(vgg19_weights=load(Path(str(vgg19_checkpoint))))
        scorer = METRICS[name].build(settings, torch.device("cpu"))
        seen = []
        relu = torch.nn.functional.relu if name == "lpips" else torch.Tensor.relu
        owner = torch.nn.functional if name == "lpips" else torch.Tensor

        def watched(x: torch.Tensor) -> torch.Tensor:
            seen.append(torch.backends.cudnn.conv.fp32_precision)
            return relu(x)

        monkeypatch.setattr(owner, "relu", watched)
        scorer.score(Batch(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)))
        assert set(seen) == {"ieee"}
