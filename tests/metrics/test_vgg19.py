"""VGG19 distance: presets, tiles, strips, the float64 reference and torchvision's network, on random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
import torch
from torchvision.models import vgg

from relight_eval.errors import ShapeError
from relight_eval.metrics import Batch, vgg19_cpu
from relight_eval.metrics import vgg19 as module
from relight_eval.metrics.pieces import Window, resources
from relight_eval.metrics.vgg19 import VGG19Features, layer_distances, weighted
from relight_eval.weights import VGG19Weights, load
from tests.metrics import references
from tests.metrics.cases import (
    CASES,
    VGG19_RTOL,
    Pair,
    as_float64,
    as_stored,
    each_case,
    noise,
    score,
    to_tensors,
)

CPU = torch.device("cpu")
LAYERS = ("relu1_1", "relu2_1", "relu3_1")

# The closest pairs differ by one level: the digits of a distance of 0.004 are those of its own, not of the features.
CLOSEST = ("bright_flat", "bright_one_level", "bright_close")

# What holds for the others: three times the largest error that was seen.
USUAL_RTOL = 3e-6


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


SMALL_TILES = [16, 20, 32]
SIZES = [
    pytest.param(47, 33, id="odd"),
    pytest.param(17, 19, id="a few pixels more than a tile"),
    pytest.param(9, 6, id="smaller than a tile"),
    pytest.param(16, 16, id="exactly 16"),
    pytest.param(32, 32, id="exactly 32"),
    pytest.param(33, 17, id="last tile of one pixel"),
    pytest.param(21, 41, id="last tile of one pixel, of 20"),
    pytest.param(4, 200, id="flat"),
    pytest.param(200, 4, id="high"),
]


def noisy(height: int, width: int) -> Pair:
    return noise(height, width), noise(height, width, seed=1)


class TestTiles:
    """Tiles overlap by as much as a feature sees, and every feature is counted in one of them."""

    @pytest.mark.parametrize("side", SMALL_TILES, ids="side_{}".format)
    @pytest.mark.parametrize(("height", "width"), SIZES)
    def test_reference(
        self, height: int, width: int, side: int, weights: VGG19Weights, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "TILE_SIDE", side)
        pair = noisy(height, width)
        computed = score(module.metric(weights, "s3net", CPU), pair)
        assert computed == pytest.approx(references.vgg19(*as_float64(pair), weights.tensors), rel=USUAL_RTOL)

    @pytest.mark.parametrize("side", SMALL_TILES, ids="side_{}".format)
    def test_of_the_program_for_other_devices(
        self, side: int, weights: VGG19Weights, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "TILE_SIDE", side)
        features, (prediction, target) = VGG19Features(weights), as_stored(noisy(47, 33), noisy(47, 33)[::-1])

        def sums_of_tile(p: torch.Tensor, t: torch.Tensor, window: Window) -> torch.Tensor:
            return module.layer_sums(features, p, t, window)

        with torch.no_grad():
            tiled = module._means(module._tiled_sums(sums_of_tile, prediction[:, None], target)[:, 0], 47, 33)
            whole = layer_distances(features, prediction, target)
        torch.testing.assert_close(tiled.double(), whole.double(), rtol=USUAL_RTOL, atol=0)

    def test_where_memory_is_short(self, weights: VGG19Weights) -> None:
        pair = noisy(47, 33)
        with resources(piece_values=20 * 20):
            computed = score(module.metric(weights, "s3net", CPU), pair)
        assert computed == pytest.approx(references.vgg19(*as_float64(pair), weights.tensors), rel=USUAL_RTOL)

    def test_size_of_a_tile(self, weights: VGG19Weights, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing larger than its side and two margins is in memory at once."""
        sizes = set()

        def sums_of_tile(p: torch.Tensor, t: torch.Tensor, window: Window) -> torch.Tensor:
            sizes.add(tuple(p.shape))
            return torch.zeros(*p.shape[:2], 3)

        prediction, target = as_stored(noisy(60, 16), noisy(60, 16))
        with resources(piece_values=17 * 18):
            module._tiled_sums(sums_of_tile, prediction[:, None], target)
        assert sizes == {(1, 1, 3, 28, 16), (1, 1, 3, 40, 16), (1, 1, 3, 24, 16)}

    def test_less_margin_would_be_wrong(self, weights: VGG19Weights, monkeypatch: pytest.MonkeyPatch) -> None:
        """A feature of relu3_1 sees ten pixels around its own; tiles stay aligned for multiples of 4 only."""
        monkeypatch.setattr(module, "TILE_SIDE", 16)
        monkeypatch.setattr(module, "MARGIN", 8)
        pair = noisy(47, 33)
        computed = score(module.metric(weights, "s3net", CPU), pair)
        expected = references.vgg19(*as_float64(pair), weights.tensors)
        assert computed["vgg19_relu3_1"] != pytest.approx(expected["vgg19_relu3_1"], rel=1e-3)
        assert computed["vgg19_relu1_1"] == pytest.approx(expected["vgg19_relu1_1"], rel=USUAL_RTOL)


class TestStrips:
    """Of the program for CPUs."""

    @pytest.mark.parametrize("strip_values", [1, 64 * 33 * 7, 2**20], ids="strips_of_{}".format)
    @pytest.mark.parametrize(
        ("height", "width"), [(47, 33), (45, 33), (4, 4), (5, 7), (6, 60), (7, 5), (34, 9)], ids=str
    )
    def test_reference(
        self, height: int, width: int, strip_values: int, weights: VGG19Weights, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """From four rows to the whole; the last may have one row, whose half is none."""
        monkeypatch.setattr(vgg19_cpu, "STRIP_VALUES", strip_values)
        pair = noisy(height, width)
        computed = score(module.metric(weights, "s3net", CPU), pair)
        few = 5e-6  # features: little averages out
        assert computed == pytest.approx(references.vgg19(*as_float64(pair), weights.tensors), rel=few)

    @pytest.mark.parametrize(
        ("height", "width"), [(17, 1024), (66, 512), (1025, 16)], ids=["stage 1", "stage 2", "narrow"]
    )
    def test_last_strip_of_one_row_as_it_comes(self, height: int, width: int, weights: VGG19Weights) -> None:
        pair = noisy(height, width)
        computed = score(module.metric(weights, "s3net", CPU), pair)
        exact = layer_distances(VGG19Features(weights).double(), *as_stored(pair))[0].tolist()
        assert [computed[f"vgg19_{layer}"] for layer in LAYERS] == pytest.approx(exact, rel=USUAL_RTOL)

    @pytest.mark.parametrize("preset", module.PRESETS)
    @pytest.mark.parametrize("strip_values", [1, 2**20], ids="strips_of_{}".format)
    @pytest.mark.parametrize(
        "window",
        [Window(slice(0, 31), slice(0, 22)), Window(slice(12, 28), slice(12, 22)), Window(slice(0, 4), slice(4, 8))],
        ids=["whole", "inner", "corner"],
    )
    def test_sums_are_those_of_the_program_for_other_devices(
        self,
        window: Window,
        strip_values: int,
        preset: str,
        weights: VGG19Weights,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(vgg19_cpu, "STRIP_VALUES", strip_values)
        features = VGG19Features(weights, preset)
        close = noise(31, 22, 230, 232), noise(31, 22, 230, 232, seed=1)
        for pair, rtol in ((noisy(31, 22), 2e-6), (close, 5e-5)):  # few features: little averages out
            both = Batch(*as_stored(pair)).by_target()
            with torch.no_grad():
                here = module._on_cpu(features)(*both, window)
                elsewhere = module.layer_sums(features, *both, window)
                exact = module.layer_sums(VGG19Features(weights, preset).double(), *both, window)
            assert here.shape == elsewhere.shape == (1, 1, 3)
            torch.testing.assert_close(here.double(), exact, rtol=rtol, atol=0)
            torch.testing.assert_close(elsewhere.double(), exact, rtol=rtol, atol=0)


class TestThreads:
    @pytest.fixture
    def pool(self) -> Iterator[Executor]:
        with ThreadPoolExecutor(3) as threads:
            yield threads

    @pytest.mark.parametrize("count", [1, 4], ids="pairs_{}".format)
    @pytest.mark.parametrize("side", [16, 1024], ids="side_{}".format)
    @pytest.mark.parametrize("strip_values", [1, 2**20], ids="strips_of_{}".format)
    def test_change_nothing(
        self,
        count: int,
        side: int,
        strip_values: int,
        pool: Executor,
        weights: VGG19Weights,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Not a digit: whether they share the strips of one pair or have a pair each."""
        monkeypatch.setattr(vgg19_cpu, "STRIP_VALUES", strip_values)
        monkeypatch.setattr(module, "TILE_SIDE", side)
        metric = module.metric(weights, "s3net", CPU)
        batch = Batch(*as_stored(*[(noise(23, 19, seed=i), noise(23, 19, seed=i + 9)) for i in range(count)]))
        alone = metric.score(batch)
        for _ in range(3):
            with resources(pool=pool):
                assert torch.equal(metric.score(batch), alone)


class TestRuns:
    """Several predictions of a target: its features once, and of each prediction the scores that it has alone."""

    def batch(self, height: int, width: int, runs: int, targets: int = 2) -> Batch:
        pairs = [
            (noise(height, width, seed=100 + 10 * i + k), noise(height, width, seed=i))
            for i in range(targets)
            for k in range(runs)
        ]
        return Batch(*as_stored(*pairs), runs=runs)

    def alone(self, score: Callable[[Batch], torch.Tensor], batch: Batch) -> torch.Tensor:
        sides = zip(batch.prediction.split(1), batch.target.split(1), strict=True)
        return torch.cat([score(Batch(*pair)) for pair in sides])

    @pytest.mark.parametrize("side", [16, 1024], ids="side_{}".format)
    @pytest.mark.parametrize("strip_values", [1, 2**20], ids="strips_of_{}".format)
    @pytest.mark.parametrize("runs", [1, 2, 3, 4], ids="runs_{}".format)
    @pytest.mark.parametrize(("height", "width"), [(47, 33), (4, 4), (5, 7), (34, 9), (16, 40)], ids=str)
    def test_on_a_cpu_to_the_last_digit(
        self,
        height: int,
        width: int,
        runs: int,
        strip_values: int,
        side: int,
        weights: VGG19Weights,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(vgg19_cpu, "STRIP_VALUES", strip_values)
        monkeypatch.setattr(module, "TILE_SIDE", side)
        score, batch = module.metric(weights, "s3net", CPU).score, self.batch(height, width, runs)
        assert torch.equal(score(batch), self.alone(score, batch))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
    @pytest.mark.parametrize("runs", [1, 2, 5], ids="runs_{}".format)
    @pytest.mark.parametrize("side", [16, 1024], ids="side_{}".format)
    def test_of_the_program_for_other_devices(
        self, side: int, runs: int, dtype: torch.dtype, weights: VGG19Weights, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "TILE_SIDE", side)
        features = VGG19Features(weights).to(dtype)

        def score(batch: Batch) -> torch.Tensor:
            sums = module._tiled_sums(partial(module.layer_sums, features), *batch.by_target())
            return module._means(sums.flatten(0, 1), 47, 33)

        batch = self.batch(47, 33, runs, targets=3)
        with torch.no_grad():
            # (a tile may have another size, and in half precision what is rounded another value)
            rtol = 1e-6 if dtype == torch.float32 else 1e-3
            torch.testing.assert_close(score(batch), self.alone(score, batch), rtol=rtol, atol=0)

    def test_many_go_in_smaller_tiles(self, weights: VGG19Weights, monkeypatch: pytest.MonkeyPatch) -> None:
        """So that their features take no more memory than those of a few."""
        monkeypatch.setattr(module, "TILE_SIDE", 40)
        score, batch = module.metric(weights, "s3net", CPU).score, self.batch(47, 33, 4 * module.PREDICTIONS_OF_TILE)
        areas = []
        layer_sums = vgg19_cpu.layer_sums

        def watched(layers: object, base: torch.Tensor, *rest: object) -> torch.Tensor:
            areas.append(base[0, 0].shape)
            return layer_sums(layers, base, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(vgg19_cpu, "layer_sums", watched)
        found = score(batch)
        assert max(max(shape) for shape in areas) <= 20 + 2 * module.MARGIN
        torch.testing.assert_close(found, self.alone(score, batch), rtol=USUAL_RTOL, atol=0)

    @pytest.mark.parametrize("on_cpu", [True, False], ids=["cpu", "other devices"])
    def test_the_target_goes_through_the_network_once(
        self, on_cpu: bool, weights: VGG19Weights, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Only its convolutions have a bias: five of them, however many predictions there are."""
        biased = []
        owner, called = (vgg19_cpu.Layer, "__call__") if on_cpu else (VGG19Features, "convolved")
        convolved = getattr(owner, called)

        def watched(self: object, x: torch.Tensor, by: object, **options: bool) -> torch.Tensor:
            biased.append(by is not None if on_cpu else options.get("bias", True))
            return convolved(self, x, by, **options)

        features, batch = VGG19Features(weights), self.batch(8, 8, runs=3, targets=1)
        sums = module._on_cpu(features) if on_cpu else partial(module.layer_sums, features)
        monkeypatch.setattr(owner, called, watched)
        with torch.no_grad():
            assert sums(*batch.by_target(), Window(slice(0, 8), slice(0, 8))).shape == (1, 3, 3)
        assert (biased.count(True), biased.count(False)) == (5, 15)

    def test_threads_change_nothing(self, weights: VGG19Weights, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(vgg19_cpu, "STRIP_VALUES", 1)
        score, batch = module.metric(weights, "s3net", CPU).score, self.batch(23, 19, 3)
        alone = score(batch)
        with ThreadPoolExecutor(3) as pool, resources(pool=pool):
            assert torch.equal(score(batch), alone)


class TestHalfPrecision:
    """What a GPU does by default, on a CPU: the features' differences keep their digits in half precision."""

    @pytest.mark.parametrize("preset", module.PRESETS)
    @pytest.mark.parametrize(
        ("dtype", "tolerance"), [(torch.float16, 4e-3), (torch.bfloat16, 2e-2)], ids=["float16", "bfloat16"]
    )
    @each_case(["noise-33x47", "bright_close-48x33", "dark-19x17", "black_white-16x16", "stripes-48x33"])
    def test_is_near(
        self, pair: Pair, dtype: torch.dtype, tolerance: float, preset: str, weights: VGG19Weights
    ) -> None:
        with torch.no_grad():
            distances = layer_distances(VGG19Features(weights, preset).to(dtype), *as_stored(pair))
        assert distances.dtype == torch.float32
        expected = references.vgg19(*as_float64(pair), weights.tensors, preset)
        assert distances[0].tolist() == pytest.approx([expected[f"vgg19_{layer}"] for layer in LAYERS], rel=tolerance)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_identical_is_exactly_0(self, dtype: torch.dtype, weights: VGG19Weights) -> None:
        image, _ = as_stored(CASES["noise-19x17"])
        with torch.no_grad():
            assert layer_distances(VGG19Features(weights).to(dtype), image, image.clone()).tolist() == [[0, 0, 0]]


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
    x = (torch.cat([image.double() / 255 for image in as_stored(pair)]) - mean) / deviation
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
        assert computed == pytest.approx(expected, rel=USUAL_RTOL, abs=1e-12)

    @each_case((case for case in CASES if case.startswith(CLOSEST)), largest=48)
    def test_reference_of_the_closest_pairs(self, pair: Pair, weights: VGG19Weights) -> None:
        computed = score(module.metric(weights, "s3net", CPU), pair)
        expected = references.vgg19(*as_float64(pair), weights.tensors)
        assert computed == pytest.approx(expected, rel=3e-5)  # few features: a ReLU near its bend counts

    @each_case((case for case in CASES if case.startswith(CLOSEST)), largest=48)
    @pytest.mark.parametrize("with_gradient", [False, True], ids=["no_gradient", "gradient"])
    def test_reference_of_the_closest_floats(self, pair: Pair, with_gradient: bool, weights: VGG19Weights) -> None:
        """As a model has them, rounded to float32: 3e-8 of a difference of 0.004, which is 1e-5 of it."""
        with nullcontext() if with_gradient else torch.no_grad():
            computed = layer_distances(VGG19Features(weights), *to_tensors(pair))[0].tolist()
        expected = references.vgg19(*as_float64(pair), weights.tensors)
        assert computed == pytest.approx([expected[f"vgg19_{layer}"] for layer in LAYERS], rel=2e-5)

    @each_case((case for case in CASES if case.startswith(CLOSEST)), largest=48)
    @pytest.mark.parametrize("preset", ["drn", "imagenet"])
    def test_reference_of_the_closest_pairs_of_every_preset(
        self, pair: Pair, preset: str, weights: VGG19Weights
    ) -> None:
        computed = score(module.metric(weights, preset, CPU), pair)
        expected = references.vgg19(*as_float64(pair), weights.tensors, preset)
        assert computed == pytest.approx(expected, rel=3e-5)

    @each_case(["noise-33x47", "bright-16x16", "black-19x17", "stripes-48x33", "black_white-16x16"])
    @pytest.mark.parametrize("preset", ["s3net", "drn", "imagenet"])
    def test_reference_and_torchvision_of_every_preset(self, pair: Pair, preset: str, weights: VGG19Weights) -> None:
        """torchvision 0.29.1, run by this test."""
        computed = score(module.metric(weights, preset, CPU), pair)
        expected = references.vgg19(*as_float64(pair), weights.tensors, preset)
        assert computed == pytest.approx(expected, rel=USUAL_RTOL)
        assert computed == pytest.approx(torchvision_distances(pair, weights, preset), rel=USUAL_RTOL)
