"""The losses: what they are worth at identical images, that they are the metrics, and that one can train on them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from relight_eval.errors import ShapeError, UsageError, WeightsError
from relight_eval.losses import CharbonnierLoss, S3NetLoss, S3NetTerms, VGG19Loss, WaveletSSIMLoss
from relight_eval.metrics import Batch, Settings, build
from relight_eval.metrics.psnr import psnr
from relight_eval.weights import VGG19Weights, load, store


@pytest.fixture(scope="module")
def weights(vgg19_checkpoint: Path) -> VGG19Weights:
    """Random ones, that keep the size of the features."""
    return load(vgg19_checkpoint)


def pair(
    height: int = 18, width: int = 15, *, count: int = 2, dtype: torch.dtype = torch.float32, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Two unlike batches of noise, in mid range so that finite differences stay inside."""
    generator = torch.Generator().manual_seed(seed)
    both = torch.rand(2, count, 3, height, width, generator=generator, dtype=torch.float64)
    prediction, target = (0.05 + 0.9 * both).to(dtype)
    return prediction, target


class TotalOnly(nn.Module):
    """S3NetLoss as a function to a scalar, like the others."""

    def __init__(self, loss: S3NetLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.loss(prediction, target).total


LOSSES: dict[str, Callable[[VGG19Weights], nn.Module]] = {
    "charbonnier": lambda _: CharbonnierLoss(),
    "wssim_haar": lambda _: WaveletSSIMLoss(),
    "wssim_db2": lambda _: WaveletSSIMLoss(wavelet="db2", levels=1),
    "vgg19": lambda weights: VGG19Loss(weights),
    "s3net": lambda weights: TotalOnly(S3NetLoss(0.5, 2.0, 3.0, weights=weights)),
}
each_loss = pytest.mark.parametrize("make", LOSSES.values(), ids=LOSSES.keys())


class TestValues:
    def test_identical_images(self, weights: VGG19Weights) -> None:
        image, _ = pair()
        assert CharbonnierLoss()(image, image).item() == pytest.approx(1e-3, rel=1e-6)
        assert CharbonnierLoss(eps=0.1)(image, image).item() == pytest.approx(0.1, rel=1e-6)
        assert WaveletSSIMLoss()(image, image).item() == pytest.approx(-2, abs=1e-6)
        assert VGG19Loss(weights)(image, image).item() == 0
        terms = S3NetLoss(weights=weights)(image, image)
        assert [term.item() for term in terms] == pytest.approx([-1.999, 1e-3, -2, 0], abs=1e-6)

    @pytest.mark.parametrize("eps", [1e-3, 0.1], ids=str)
    def test_charbonnier_is_the_metric(self, eps: float) -> None:
        (metric,) = build(["charbonnier"], Settings(charbonnier_eps=eps), torch.device("cpu"))
        scores = metric.score(Batch(*pair()))[:, 0]
        assert CharbonnierLoss(eps=eps)(*pair()).item() == pytest.approx(scores.mean().item(), rel=1e-6)

    @pytest.mark.parametrize(
        ("wavelet", "levels", "ratio"), [("haar", 2, 0.7), ("haar", 3, 0.5), ("db2", 1, 0.7)], ids=str
    )
    def test_wssim_is_minus_two_scores(self, wavelet: str, levels: int, ratio: float) -> None:
        settings = Settings(wavelet=wavelet, wssim_levels=levels, wssim_ratio=ratio)
        (metric,) = build(["wssim"], settings, torch.device("cpu"))
        scores = metric.score(Batch(*pair()))[:, 0]
        loss = WaveletSSIMLoss(wavelet=wavelet, levels=levels, ratio=ratio)
        assert loss(*pair()).item() == pytest.approx(-2 * scores.mean().item(), abs=1e-6)

    @pytest.mark.parametrize("preset", ["s3net", "drn", "imagenet"])
    def test_vgg19_is_the_metric(self, preset: str, weights: VGG19Weights) -> None:
        settings = Settings(vgg19_preset=preset, vgg19_weights=weights)
        (metric,) = build(["vgg19"], settings, torch.device("cpu"))
        scores = metric.score(Batch(*pair()))[:, 0]
        assert VGG19Loss(weights, preset=preset)(*pair()).item() == pytest.approx(scores.mean().item(), rel=1e-5)

    def test_s3net_is_the_weighted_sum_of_its_parts(self, weights: VGG19Weights) -> None:
        terms = S3NetLoss(0.5, 2.0, 3.0, weights=weights)(*pair())
        parts = [loss(*pair()).item() for loss in (CharbonnierLoss(), WaveletSSIMLoss(), VGG19Loss(weights))]
        assert isinstance(terms, S3NetTerms)
        assert [term.item() for term in terms[1:]] == parts
        assert terms.total.item() == pytest.approx(0.5 * parts[0] + 2 * parts[1] + 3 * parts[2], rel=1e-6)
        assert all(term.shape == () for term in terms)

    def test_s3net_weighs_all_by_1_unless_told(self, weights: VGG19Weights) -> None:
        terms = S3NetLoss(weights=weights)(*pair())
        assert terms.total.item() == pytest.approx(sum(term.item() for term in terms[1:]), rel=1e-6)

    @each_loss
    def test_mean_over_the_batch(self, make: Callable[[VGG19Weights], nn.Module], weights: VGG19Weights) -> None:
        loss, (prediction, target) = make(weights), pair(count=3)
        alone = [loss(p[None], t[None]).item() for p, t in zip(prediction, target, strict=True)]
        assert loss(prediction, target).item() == pytest.approx(sum(alone) / 3, rel=1e-5)

    @each_loss
    def test_shapes_that_do_not_fit(self, make: Callable[[VGG19Weights], nn.Module], weights: VGG19Weights) -> None:
        with pytest.raises(ShapeError, match=r"prediction is \(2, 3, 18, 15\) but target is \(1, 3, 18, 15\)"):
            make(weights)(pair()[0], pair()[1][:1])


class TestGradients:
    """Against central differences, in float64."""

    @pytest.mark.parametrize(
        "loss",
        [
            CharbonnierLoss(),
            CharbonnierLoss(eps=1e-2),
            WaveletSSIMLoss(),
            WaveletSSIMLoss(wavelet="db2"),
            WaveletSSIMLoss(wavelet="bior2.2", levels=1, ratio=0.4),
        ],
        ids=["charbonnier", "charbonnier_eps", "haar", "db2", "bior"],
    )
    def test_smooth_losses_in_every_pixel(self, loss: nn.Module) -> None:
        prediction, target = (image.requires_grad_() for image in pair(7, 6, count=1, dtype=torch.float64))
        assert torch.autograd.gradcheck(loss, (prediction, target), eps=1e-6, atol=1e-7, rtol=1e-5)

    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("name", ["vgg19", "s3net"])
    def test_along_a_direction(self, name: str, seed: int, weights: VGG19Weights) -> None:
        """With ReLUs and absolute values: a step of 1e-7 crosses too few kinks to be seen."""
        loss = LOSSES[name](weights).double()
        prediction, target = pair(10, 11, count=1, dtype=torch.float64, seed=seed)
        direction = torch.randn(prediction.shape, generator=torch.manual_seed(seed), dtype=torch.float64)
        step = 1e-7
        ahead, behind = (loss(prediction + sign * step * direction, target) for sign in (1, -1))
        prediction.requires_grad_()
        loss(prediction, target).backward()
        along = (prediction.grad * direction).sum().item()
        assert abs(along) > 1e-4
        assert along == pytest.approx((ahead - behind).item() / (2 * step), rel=1e-4)

    def test_at_identical_images_there_is_none(self, weights: VGG19Weights) -> None:
        """The bottom of every term: nothing pulls away, and nothing is NaN."""
        prediction, _ = pair()
        prediction.requires_grad_()
        S3NetLoss(weights=weights)(prediction, prediction.detach().clone()).total.backward()
        assert prediction.grad.abs().max() < 1e-6

    @pytest.mark.parametrize("value", [0.0, 1.0], ids=["black", "white"])
    def test_on_flat_images_they_are_finite(self, value: float, weights: VGG19Weights) -> None:
        prediction = torch.full((1, 3, 16, 16), value, requires_grad=True)
        S3NetLoss(weights=weights)(prediction, torch.full((1, 3, 16, 16), 0.5)).total.backward()
        assert torch.isfinite(prediction.grad).all()
        assert prediction.grad.abs().max() > 0

    def test_vgg19_detaches_the_target(self, weights: VGG19Weights) -> None:
        prediction, target = pair()
        target.requires_grad_()
        assert not VGG19Loss(weights)(prediction, target).requires_grad
        prediction.requires_grad_()
        VGG19Loss(weights)(prediction, target).backward()
        assert target.grad is None


class TestPrecision:
    @each_loss
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_half_images_are_computed_in_float32(
        self, make: Callable[[VGG19Weights], nn.Module], dtype: torch.dtype, weights: VGG19Weights
    ) -> None:
        """The very value of the rounded images: nothing is lost but the rounding of the pixels."""
        loss = make(weights)
        prediction, target = pair(dtype=dtype)
        computed = loss(prediction, target)
        assert computed.dtype == torch.float32
        assert computed.item() == loss(prediction.float(), target.float()).item()
        assert computed.item() == pytest.approx(loss(*pair()).item(), abs=2e-3)

    @each_loss
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    def test_autocast(
        self, make: Callable[[VGG19Weights], nn.Module], dtype: torch.dtype, weights: VGG19Weights
    ) -> None:
        """As in training: a bfloat16 prediction of the model beside a float32 target."""
        loss = make(weights)
        prediction, target = pair()
        plain = loss(prediction.to(dtype).float(), target).item()
        prediction = prediction.to(dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            computed = loss(prediction, target)
        computed.backward()
        assert computed.dtype == torch.float32
        assert computed.item() == pytest.approx(plain, rel=2e-2)
        assert prediction.grad.abs().max() > 0

    @pytest.mark.parametrize("name", ["charbonnier", "wssim_haar", "wssim_db2"])
    def test_autocast_rounds_nothing_where_variances_cancel(self, name: str, weights: VGG19Weights) -> None:
        loss = LOSSES[name](weights)
        with torch.autocast("cpu", torch.bfloat16):
            computed = loss(*pair())
        assert computed.item() == loss(*pair()).item()

    @pytest.mark.parametrize("name", ["charbonnier", "wssim_haar", "wssim_db2"])
    def test_float64_images_are_computed_in_float64(self, name: str, weights: VGG19Weights) -> None:
        """A step far below float32's resolution changes the loss."""
        loss = LOSSES[name](weights)
        prediction, target = pair(dtype=torch.float64)
        before, after = loss(prediction, target), loss(prediction + 1e-10, target)
        assert before.dtype == torch.float64
        assert 0 < abs(after - before).item() < 1e-8

    def test_float32_wssim_is_near_float64_on_bright_images(self) -> None:
        """Where LL2 cancels most. The score is computed in float64; the loss may be a little off."""
        prediction, target = (0.9 + 0.1 * image for image in pair(64, 64, dtype=torch.float64))
        exact = WaveletSSIMLoss()(prediction, target).item()
        assert WaveletSSIMLoss()(prediction.float(), target.float()).item() == pytest.approx(exact, abs=1e-4)


class TestModules:
    @each_loss
    def test_nothing_to_train_or_save(self, make: Callable[[VGG19Weights], nn.Module], weights: VGG19Weights) -> None:
        loss = make(weights)
        assert list(loss.parameters()) == []
        assert loss.state_dict() == {}

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
    def test_weights_move_with_the_module(self, dtype: torch.dtype, weights: VGG19Weights) -> None:
        loss = VGG19Loss(weights).to(dtype)
        assert {buffer.dtype for buffer in loss.buffers()} == {dtype}
        assert len(list(loss.buffers())) == 12  # ten tensors, mean and deviation
        assert loss(*pair()).dtype == dtype
        assert loss(*pair()).item() == pytest.approx(VGG19Loss(weights)(*pair()).item(), rel=2e-2)

    def test_weights_are_copied(self, weights: VGG19Weights) -> None:
        """In-place work on a module (`.half()`, an optimiser gone astray) never reaches the loaded arrays."""
        loss = VGG19Loss(weights)
        before = weights.tensors["conv1_1.bias"].copy()
        for buffer in loss.buffers():
            buffer.zero_()
        assert (weights.tensors["conv1_1.bias"] == before).all()

    @pytest.mark.parametrize("name", ["charbonnier", "wssim_haar"])
    def test_compile(self, name: str, weights: VGG19Weights) -> None:
        """One graph, without a break, that gives the same value and gradients."""
        loss = LOSSES[name](weights)
        torch.compiler.reset()
        compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
        plain, traced = (pair()[0].requires_grad_() for _ in range(2))
        target = pair()[1]
        first, second = loss(plain, target), compiled(traced, target)
        first.backward()
        second.backward()
        assert second.item() == pytest.approx(first.item(), rel=1e-6)
        torch.testing.assert_close(traced.grad, plain.grad, rtol=1e-4, atol=1e-7)


class TestArguments:
    @pytest.mark.parametrize(
        ("make", "said"),
        [
            (lambda: CharbonnierLoss(eps=0), "charbonnier eps is 0; it must lie strictly between 0 and 1"),
            (lambda: WaveletSSIMLoss(wavelet="har"), "unknown wavelet 'har'; did you mean haar"),
            (lambda: WaveletSSIMLoss(levels=0), "0 W-SSIM levels; it must be 1 to 8"),
            (lambda: WaveletSSIMLoss(ratio=1.5), "the W-SSIM ratio is 1.5; it must lie strictly between 0 and 1"),
            (lambda: VGG19Loss(preset="s3"), "unknown VGG19 preset 's3'; did you mean s3net"),
        ],
        ids=["eps", "wavelet", "levels", "ratio", "preset"],
    )
    def test_refused(self, make: Callable[[], nn.Module], said: str) -> None:
        with pytest.raises(UsageError, match=said):
            make()

    def test_too_small_for_the_levels(self) -> None:
        with pytest.raises(ShapeError, match="3x18 is too small for 2 wavelet levels: at least 4x4"):
            WaveletSSIMLoss()(*pair(18, 3))


@pytest.mark.usefixtures("empty_home")
class TestWeights:
    @pytest.mark.parametrize("make", [VGG19Loss, S3NetLoss], ids=["vgg19", "s3net"])
    def test_missing_is_an_error(self, make: Callable[..., nn.Module]) -> None:
        """Never random weights in silence."""
        with pytest.raises(WeightsError, match=r"vgg19\.safetensors"):
            make(offline=True)

    @pytest.mark.parametrize("as_what", [str, Path], ids=["str", "Path"])
    def test_from_a_file(self, as_what: type, vgg19_checkpoint: Path, weights: VGG19Weights) -> None:
        from_file = VGG19Loss(as_what(vgg19_checkpoint), offline=True)
        assert from_file(*pair()).item() == VGG19Loss(weights)(*pair()).item()

    def test_named_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"nowhere\.pth"):
            VGG19Loss(tmp_path / "nowhere.pth", offline=True)

    def test_from_the_cache(self, weights: VGG19Weights) -> None:
        store(weights)
        assert S3NetLoss(offline=True)(*pair()).vgg19.item() == VGG19Loss(weights)(*pair()).item()

    def test_not_needed_without_the_third_term(self) -> None:
        terms = S3NetLoss(2.0, 1.0, 0, offline=True)(*pair())
        assert terms.vgg19.item() == 0
        assert terms.total.item() == pytest.approx(2 * terms.charbonnier.item() + terms.wssim.item(), rel=1e-6)


def test_fitting_an_image_raises_its_psnr(weights: VGG19Weights) -> None:
    """The loop of the README, with the pixels themselves as what is trained."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32), indexing="ij")
    target = torch.stack([rows, columns, (rows * 9).sin().abs()])[None]
    image = torch.full_like(target, 0.5, requires_grad=True)
    loss = S3NetLoss(weights=weights)
    optimizer = torch.optim.Adam([image], lr=0.05)
    before, first = psnr(image.detach(), target).item(), loss(image, target)
    for _ in range(15):
        optimizer.zero_grad()
        loss(image, target).total.backward()
        optimizer.step()
    last = loss(image, target)
    assert psnr(image.detach(), target).item() > before + 5
    assert all(after < start for after, start in zip(last, first, strict=True))
    assert math.isfinite(last.total.item())


@pytest.mark.parametrize("shape", [(1, 3, 3, 8), (1, 1, 8, 8)], ids=["small", "grey"])
def test_vgg19_says_what_it_needs(shape: tuple[int, ...], vgg19_checkpoint: Path) -> None:
    image = torch.zeros(shape)
    with pytest.raises(ShapeError, match=r"at least 4x4|three channels"):
        VGG19Loss(vgg19_checkpoint)(image, image)


def test_the_sum_takes_the_settings_of_its_parts(vgg19_checkpoint: Path) -> None:
    prediction, target = torch.rand(1, 3, 24, 24), torch.rand(1, 3, 24, 24)
    loss = S3NetLoss(eps=0.1, wavelet="db2", levels=1, ratio=0.4, preset="drn", weights=vgg19_checkpoint)
    terms = loss(prediction, target)
    assert terms.charbonnier == CharbonnierLoss(eps=0.1)(prediction, target)
    assert terms.wssim == WaveletSSIMLoss(wavelet="db2", levels=1, ratio=0.4)(prediction, target)
    assert terms.vgg19 == VGG19Loss(vgg19_checkpoint, preset="drn")(prediction, target)


def test_without_vgg19_half_images_give_float32_parts() -> None:
    image = torch.rand(1, 3, 16, 16).half()
    assert {part.dtype for part in S3NetLoss(lambda3=0)(image, image.flip(-1))} == {torch.float32}
