"""VGG19 distance: presets, chunks, the float64 reference and torchvision's own network, on random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.models import vgg

from relight_eval.errors import ShapeError
from relight_eval.metrics import vgg19 as module
from relight_eval.metrics.vgg19 import VGG19Features, layer_distances, weighted
from relight_eval.weights import VGG19Weights, load
from tests.metrics import references
from tests.metrics.cases import (
    CASES,
    VGG19_RTOL,
    Pair,
    as_float64,
    each_case,
    noise,
    score,
    scores,
    to_tensors,
)

CPU = torch.device("cpu")
LAYERS = ("relu1_1", "relu2_1", "relu3_1")

# The closest pairs differ by one level. There, what float32 rounds off the pixels alone (3e-8 of 0.004) is 1e-5 of
# the distance, and the features add to it.
CLOSEST = ("bright_flat", "bright_one_level", "bright_close")


@pytest.fixture(scope="module")
def weights(vgg19_checkpoint: Path) -> VGG19Weights:
    """Random ones: a wrong layer, order or border shows as well as with those of torchvision."""
    return load(vgg19_checkpoint)


class TestProperties:
    def test_features_are_alive(self, weights: VGG19Weights) -> None:
        """A guard of the other tests: on dead features every distance would be 0 and right."""
        prediction, _ = to_tensors(CASES["noise-48x33"])
        for layer, features in VGG19Features(weights)(prediction).items():
            alive = (features.amax(dim=(0, 2, 3)) > 0).float().mean()
            assert alive > 0.8, layer
            assert 0.1 < features.mean() < 10, layer

    def test_shapes_of_the_features(self, weights: VGG19Weights) -> None:
        features = VGG19Features(weights)(torch.zeros(2, 3, 47, 33))
        shapes = {layer: tuple(x.shape) for layer, x in features.items()}
        assert shapes == {"relu1_1": (2, 64, 47, 33), "relu2_1": (2, 128, 23, 16), "relu3_1": (2, 256, 11, 8)}

    @pytest.mark.parametrize("preset", module.PRESETS)
    def test_identical_is_exactly_0(self, preset: str, weights: VGG19Weights) -> None:
        computed = score(module.metric(weights, preset, CPU), CASES["identical-19x17"])
        assert computed == dict.fromkeys(computed, 0.0)

    def test_total_is_the_weighted_sum_of_the_layers(self, weights: VGG19Weights) -> None:
        computed = score(module.metric(weights, "s3net", CPU), CASES["noise-19x17"])
        layers = [computed[f"vgg19_{layer}"] for layer in LAYERS]
        assert computed["vgg19"] == pytest.approx(layers[0] / 32 + layers[1] / 16 + layers[2] / 8, rel=1e-6)
        assert weighted(torch.tensor([[1.0, 10.0, 100.0], [0.0, 0.0, 8.0]])).tolist() == [
            1 / 32 + 10 / 16 + 100 / 8,
            1.0,
        ]

    def test_presets_give_different_values(self, weights: VGG19Weights) -> None:
        values = {
            score(module.metric(weights, preset, CPU), CASES["noise-16x16"])["vgg19"] for preset in module.PRESETS
        }
        assert len(values) == 3

    def test_smallest_side(self, weights: VGG19Weights) -> None:
        """At 4x4, relu3_1 is one pixel; at 3x3 it would have none."""
        metric = module.metric(weights, "s3net", CPU)
        pair = noise(4, 4), noise(4, 4, seed=1)
        assert metric.min_side == 4
        assert score(metric, pair) == pytest.approx(
            references.vgg19(*as_float64(pair), weights.tensors), rel=VGG19_RTOL
        )

    def test_nothing_to_train(self, weights: VGG19Weights) -> None:
        features = VGG19Features(weights)
        assert list(features.parameters()) == []
        assert features.state_dict() == {}  # nor to save with somebody's model

    def test_target_is_detached(self, weights: VGG19Weights) -> None:
        prediction, target = (image.requires_grad_() for image in to_tensors(CASES["noise-16x16"]))
        layer_distances(VGG19Features(weights), prediction, target).sum().backward()
        assert prediction.grad.abs().max() > 0
        assert target.grad is None

    @pytest.mark.parametrize(
        ("prediction", "target"),
        [((1, 3, 16, 16), (1, 3, 16, 17)), ((1, 3, 16, 16), (2, 3, 16, 16)), ((3, 16, 16), (3, 16, 16))],
        ids=["other_width", "would_broadcast", "no_batch"],
    )
    def test_shapes_that_do_not_fit(self, prediction, target, weights: VGG19Weights) -> None:
        with pytest.raises(ShapeError, match=rf"(prediction is|the images are) \({prediction[0]}, "):
            layer_distances(VGG19Features(weights), torch.zeros(prediction), torch.zeros(target))


CHUNKED = [CASES[f"{content}-19x17"] for content in ("noise", "dark", "halves", "identical", "bright")]


class TestChunks:
    @pytest.mark.parametrize("chunk_pixels", [1, 2 * 17 * 19, 10**9])
    def test_change_nothing(self, chunk_pixels: int, weights: VGG19Weights, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes = []
        inner = module.layer_distances

        def counted(features: VGG19Features, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            sizes.append(len(prediction))
            return inner(features, prediction, target)

        monkeypatch.setattr(module, "layer_distances", counted)
        monkeypatch.setattr(module, "CHUNK_PIXELS", chunk_pixels)
        computed = scores(module.metric(weights, "s3net", CPU), *CHUNKED)
        assert sizes == {1: [1] * 5, 2 * 17 * 19: [2, 2, 1], 10**9: [5]}[chunk_pixels]
        for columns, pair in zip(computed, CHUNKED, strict=True):
            assert columns == pytest.approx(
                references.vgg19(*as_float64(pair), weights.tensors), rel=VGG19_RTOL, abs=1e-12
            )


def torchvision_distances(pair: Pair, weights: VGG19Weights, preset: str) -> dict[str, float]:
    """torchvision's own `vgg19().features` in float64, with the weights loaded, cut after relu3_1."""
    features = vgg.make_layers(vgg.cfgs["E"][:7], batch_norm=False).double()
    for name, index in zip(["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"], [0, 2, 5, 7, 10], strict=True):
        parts = {part: torch.tensor(weights.tensors[f"{name}.{part}"]) for part in ("weight", "bias")}
        features[index].load_state_dict(parts)
    mean, deviation = {"s3net": (0, 1), "drn": (0.5, 0.5)}.get(preset) or (
        torch.tensor([[0.485], [0.456], [0.406]])[..., None].double(),
        torch.tensor([[0.229], [0.224], [0.225]])[..., None].double(),
    )
    x = (torch.cat([image.double() for image in to_tensors(pair)]) - mean) / deviation
    layers = {}
    with torch.no_grad():
        for index, layer in enumerate(features):
            x = layer(x)
            if index in (1, 6, 11):
                layers[index] = (x[0] - x[1]).abs().mean().item()
    named = {f"vgg19_{name}": layers[index] for name, index in zip(LAYERS, (1, 6, 11), strict=True)}
    return {"vgg19": layers[1] / 32 + layers[6] / 16 + layers[11] / 8} | named


class TestValues:
    @each_case((case for case in CASES if not case.startswith(CLOSEST)), largest=48)
    def test_reference(self, pair: Pair, weights: VGG19Weights) -> None:
        computed = score(module.metric(weights, "s3net", CPU), pair)
        expected = references.vgg19(*as_float64(pair), weights.tensors)
        assert computed == pytest.approx(expected, rel=VGG19_RTOL, abs=1e-12)

    @each_case((case for case in CASES if case.startswith(CLOSEST)), largest=48)
    def test_reference_of_the_closest_pairs(self, pair: Pair, weights: VGG19Weights) -> None:
        computed = score(module.metric(weights, "s3net", CPU), pair)
        expected = references.vgg19(*as_float64(pair), weights.tensors)
        assert computed == pytest.approx(expected, rel=VGG19_RTOL, abs=5e-7)

    @each_case(["noise-33x47", "bright-16x16", "black-19x17", "stripes-48x33", "black_white-16x16"])
    @pytest.mark.parametrize("preset", ["s3net", "drn", "imagenet"])
    def test_reference_and_torchvision_of_every_preset(self, pair: Pair, preset: str, weights: VGG19Weights) -> None:
        """torchvision 0.29.1, run by this test."""
        computed = score(module.metric(weights, preset, CPU), pair)
        expected = references.vgg19(*as_float64(pair), weights.tensors, preset)
        assert computed == pytest.approx(expected, rel=VGG19_RTOL)
        assert computed == pytest.approx(torchvision_distances(pair, weights, preset), rel=VGG19_RTOL)
