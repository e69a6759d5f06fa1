"""Wavelets: which band holds what, Haar against pytorch-wavelets, and every wavelet against PyWavelets."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import pywt
import torch

from relight_eval.errors import UsageError
from relight_eval.metrics.wavelets import _library, haar, require_wavelet, subbands
from tests.metrics import references
from tests.metrics.cases import Array, white_where

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports pkg_resources
    from pytorch_wavelets import DWTForward
    from pytorch_wavelets.dwt.lowlevel import afb2d


def images(height: int, width: int, *, dtype: torch.dtype = torch.float64, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.rand(count, 3, height, width, dtype=dtype, generator=generator)


PATTERNS: dict[str, tuple[Callable[[Array, Array], Array], str]] = {
    "horizontal_stripes": (lambda i, j: i % 2, "hl1"),
    "vertical_stripes": (lambda i, j: j % 2, "lh1"),
    "checkerboard": (lambda i, j: (i + j) % 2, "hh1"),
    "wide_horizontal_stripes": (lambda i, j: i // 2 % 2, "hl2"),
    "wide_vertical_stripes": (lambda i, j: j // 2 % 2, "lh2"),
    "wide_checkerboard": (lambda i, j: (i // 2 + j // 2) % 2, "hh2"),
}


class TestBands:
    @pytest.mark.parametrize(("pattern", "where"), PATTERNS.values(), ids=PATTERNS.keys())
    def test_a_pattern_fills_its_band_and_no_other_high_band(
        self, pattern: Callable[[Array, Array], Array], where: str
    ) -> None:
        image = torch.from_numpy(white_where(16, 24, pattern) / 255).permute(2, 0, 1)[None]
        energy = {
            band: float(values.square().sum()) for band, values in subbands(image, wavelet="haar", levels=2).items()
        }
        assert energy.pop("ll2") == pytest.approx(16 * 24 * 3 / 4)  # the mean of the pattern, a half
        assert energy.pop(where) == pytest.approx(16 * 24 * 3 / 4)  # all that is left of it: orthonormal
        assert set(energy.values()) == {0.0}

    @pytest.mark.parametrize("wavelet", ["haar", "db2", "sym4", "bior2.2"])
    def test_an_edge_is_in_the_band_of_its_direction(self, wavelet: str) -> None:
        """For every wavelet, not only for Haar: names are the same thing in all of them."""
        level = torch.zeros(1, 1, 32, 32, dtype=torch.float64)
        level[..., 15:, :] = 1
        for image, edges, other in ((level, "hl1", "lh1"), (level.mT, "lh1", "hl1")):
            bands = subbands(image, wavelet=wavelet, levels=1)
            assert bands[edges].abs().max() > 0.1
            assert bands[other].abs().max() < 1e-10  # (the taps of PyWavelets have 12 digits)
            assert bands["hh1"].abs().max() < 1e-10

    def test_names_finest_first(self) -> None:
        names = ["hl1", "lh1", "hh1", "hl2", "lh2", "hh2", "hl3", "lh3", "hh3", "ll3"]
        assert list(subbands(images(16, 16), wavelet="haar", levels=3)) == names

    @pytest.mark.parametrize("value", [0.0, 0.37, 1.0])
    def test_ll_of_a_flat_image_is_the_value_times_two_to_the_level(self, value: float) -> None:
        bands = subbands(torch.full((1, 3, 16, 16), value), wavelet="haar", levels=3)
        torch.testing.assert_close(bands["ll3"], torch.full((1, 3, 2, 2), 8 * value))
        assert all(not values.any() for band, values in bands.items() if band != "ll3")

    @pytest.mark.parametrize("wavelet", ["haar", "db2"])
    @pytest.mark.parametrize(("height", "width"), [(33, 46), (46, 33), (35, 35)], ids=str)
    def test_an_odd_last_row_or_column_is_dropped(self, wavelet: str, height: int, width: int) -> None:
        image = images(height, width)
        changed = image.clone()
        changed[..., height // 2 * 2 :, :] = 7
        changed[..., :, width // 2 * 2 :] = 7
        before, after = (subbands(x, wavelet=wavelet, levels=1) for x in (image, changed))
        for band in before:
            assert torch.equal(before[band], after[band])

    def test_sizes_of_haar_bands_are_halved_and_rounded_down(self) -> None:
        sizes = {
            band: tuple(values.shape) for band, values in subbands(images(47, 33), wavelet="haar", levels=3).items()
        }
        assert [sizes[band] for band in ("hl1", "lh2", "hh3", "ll3")] == [
            (2, 3, 23, 16),
            (2, 3, 11, 8),
            (2, 3, 5, 4),
            (2, 3, 5, 4),
        ]

    def test_the_image_is_left_alone(self) -> None:
        image = images(16, 18)
        before = image.clone()
        subbands(image, wavelet="haar", levels=2)
        subbands(image, wavelet="db2", levels=2)
        assert torch.equal(image, before)


class TestHaar:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    def test_pytorch_wavelets_forward(self, dtype: torch.dtype) -> None:
        """pytorch-wavelets 1.3.0, `DWTForward(J=1, wave="db1")`; it calls our HL its LH: the order counts."""
        image = images(32, 46, dtype=dtype)
        ll, (high,) = DWTForward(J=1, wave="db1").to(dtype)(image)
        for ours, theirs in zip(haar(image), (ll, *high.unbind(2)), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)

    def test_pytorch_wavelets_two_levels(self) -> None:
        image = images(48, 32)
        ll, (fine, coarse) = DWTForward(J=2, wave="haar").double()(image)
        ours = subbands(image, wavelet="haar", levels=2)
        for band, theirs in zip(ours, (*fine.unbind(2), *coarse.unbind(2), ll), strict=True):
            torch.testing.assert_close(ours[band], theirs, rtol=0, atol=1e-6)

    def test_the_path_of_the_other_wavelets(self) -> None:
        """`afb2d` with the filters of db1, in float64: the same to rounding."""
        image = images(32, 46)
        filters, _ = _library("db1")
        theirs = afb2d(image, filters, mode="symmetric").unflatten(1, (-1, 4)).unbind(2)
        for ours, other in zip(haar(image), theirs, strict=True):
            torch.testing.assert_close(ours, other, rtol=0, atol=1e-14)

    def test_haar_and_db1_are_one(self) -> None:
        haar_bands, db1_bands = (subbands(images(18, 20), wavelet=name, levels=2) for name in ("haar", "db1"))
        assert all(torch.equal(haar_bands[band], db1_bands[band]) for band in haar_bands)


class TestEveryWavelet:
    @pytest.mark.parametrize("family", pywt.families())
    def test_pywavelets(self, family: str) -> None:
        """PyWavelets 1.9.0, `dwt2(mode="symmetric")` on each level, through the reference."""
        known = [name for name in pywt.wavelist(family) if name in pywt.wavelist(kind="discrete")]
        image = images(23, 30, count=1)
        for name in known:
            require_wavelet(name)
            ours = subbands(image, wavelet=name, levels=2)
            theirs = references.bands(image[0].permute(1, 2, 0).numpy(), name, levels=2)
            assert list(ours) == list(theirs)
            for band, values in ours.items():
                np.testing.assert_allclose(
                    values[0].permute(1, 2, 0), theirs[band], atol=1e-10, err_msg=f"{name} {band}"
                )
        continuous = [name for name in pywt.wavelist(family) if name not in known]
        for name in continuous:
            with pytest.raises(UsageError, match=f"unknown wavelet '{name}'"):
                require_wavelet(name)

    @pytest.mark.parametrize("wavelet", ["haar", "db2", "sym4", "bior2.2"])
    def test_gradients_at_the_border_too(self, wavelet: str) -> None:
        """pytorch-wavelets' own DWTForward fails this: its backward pass ignores the padding."""
        image = images(10, 8, count=1).requires_grad_()
        torch.autograd.gradcheck(lambda x: tuple(subbands(x, wavelet=wavelet, levels=1).values()), image)

    def test_import_warns_of_nothing(self) -> None:
        """pytorch-wavelets imports pkg_resources; its deprecation is not the user's business."""
        code = "from relight_eval.metrics.wavelets import require_wavelet; require_wavelet('db2')"
        run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
        assert (run.returncode, run.stderr) == (0, "")


class TestNames:
    @pytest.mark.parametrize(
        ("name", "hint"),
        [("har", "did you mean haar"), ("db200", "did you mean db20"), ("zzz", "known are ")],
    )
    def test_unknown(self, name: str, hint: str) -> None:
        with pytest.raises(UsageError, match=rf"unknown wavelet '{name}'; {hint}.*\(any discrete PyWavelets name\)"):
            require_wavelet(name)


def test_a_library_that_cannot_be_imported_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_wavelets.dwt.lowlevel", None)
    monkeypatch.setattr("relight_eval.metrics.wavelets._loaded", {})
    with pytest.raises(UsageError, match=r"pytorch-wavelets cannot be imported .*relight-eval doctor.*haar"):
        _library("db2")
