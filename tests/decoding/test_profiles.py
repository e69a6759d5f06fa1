"""Colours of a file in sRGB, against float64 computations from published constants.

The matrices are those of CSS Color 4 (www.w3.org/TR/css-color-4, sample code, read 2026-11), of ITU-R BT.2087-0 and of
ACES (AP1 to Rec. 709, Bradford), not computed by the code under test.
"""

import io
import itertools
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageCms
import pytest

from relight_eval.decoding.curves import from_gamma, from_srgb, to_srgb
from relight_eval.decoding.profiles import (
    PngColour,
    Profile,
    chromaticities_matrix,
    png_colour,
)
from relight_eval.errors import ImageError
from tests.decoding.writers import (
    SRGB_CURVE,
    chrm,
    chunk,
    gama,
    gamma_curve,
    icc,
    icc_of_inks,
    iccp,
    parametric,
    png,
    table_curve,
)

Array = npt.NDArray[Any]

REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
DISPLAY_P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290)
REC2020 = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290)
ACESCG = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)
ADOBE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, 0.3127, 0.3290)
PROPHOTO = (0.734699, 0.265301, 0.159597, 0.840403, 0.036598, 0.000105, 0.345704, 0.358540)

XYZ_TO_SRGB = np.array(
    [
        [3.2409699419045213, -1.5373831775700935, -0.4986107602930033],
        [-0.9692436362808798, 1.8759675015077206, 0.0415550574071756],
        [0.0556300796969936, -0.2039769588889765, 1.0569715142428784],
    ]
)
D50_TO_D65 = np.array(
    [
        [0.955473421488075, -0.02309845494876471, 0.06325924320057072],
        [-0.0283697093338637, 1.0099953980813041, 0.021041441191917323],
        [0.012314014864481998, -0.020507649298898964, 1.330365926242124],
    ]
)
P3_TO_XYZ = np.array(
    [
        [0.4865709486482162, 0.26566769316909306, 0.1982172852343625],
        [0.2289745640697488, 0.6917385218365064, 0.079286914093745],
        [0.0, 0.04511338185890264, 1.043944368900976],
    ]
)
ADOBE_TO_XYZ = np.array(
    [
        [0.5766690429101305, 0.1855582379065463, 0.1882286462349947],
        [0.2973449752505361, 0.6273635662554661, 0.0752914584939978],
        [0.0270313613864123, 0.0706888525358272, 0.9913375368376388],
    ]
)
PROPHOTO_TO_XYZ = np.array(
    [
        [0.7977666449006423, 0.1351812974005331, 0.0313477341283922],
        [0.2880748288194013, 0.7118352342418731, 0.0000899369387256],
        [0.0, 0.0, 0.8251046025104602],
    ]
)
TO_SRGB = {
    "sRGB": np.eye(3),
    "Display P3": XYZ_TO_SRGB @ P3_TO_XYZ,
    "Adobe RGB (1998)": XYZ_TO_SRGB @ ADOBE_TO_XYZ,
    "ProPhoto RGB": XYZ_TO_SRGB @ D50_TO_D65 @ PROPHOTO_TO_XYZ,
}
REC2020_TO_SRGB = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
ACESCG_TO_SRGB = [[1.70505, -0.62179, -0.08326], [-0.13026, 1.14080, -0.01055], [-0.02400, -0.12897, 1.15297]]


def decoded(value: Array) -> Array:
    """IEC 61966-2-1, the straight part going on below 0."""
    return np.where(value <= 0.04045, value / 12.92, ((np.maximum(value, 0) + 0.055) / 1.055) ** 2.4)


def encoded(light: Array) -> Array:
    """Its inverse."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)


def levels(*shape: int, white: int = 255) -> Array:
    return np.random.default_rng(6).integers(0, white + 1, shape)


def check_near(got: Array, expected: Array) -> None:
    """To half a level of 255 where the expected is a colour of sRGB, and in light as exactly as profiles are written.

    That is to 1e-4, in primaries of five digits; near black, where light times 12.92 is the value, a third of a level.
    """
    assert got.shape == expected.shape
    assert got.dtype == np.float64
    inside = ((expected >= 0) & (expected <= 1)).all(axis=-1)
    assert inside.any()
    assert abs(got - expected)[inside].max() * 255 < 0.5
    assert abs(decoded(got) - decoded(expected))[inside].max() < 3e-4


SRGB = parametric(*SRGB_CURVE)
A98 = 563 / 256
ADOBE_NAME = "Adobe RGB (1998)"
WITH_PRIMARIES: dict[str, tuple[bytes, str, Callable[[Array], Array]]] = {
    "sRGB primaries, gamma 2.2": (icc(gamma_curve(A98), version=2), "sRGB", lambda v: v**A98),
    "sRGB primaries, linear": (icc(parametric(1.0)), "sRGB", lambda v: v),
    "Display P3": (icc(SRGB, "Display P3"), "Display P3", decoded),
    "Adobe RGB (1998)": (icc(gamma_curve(A98), ADOBE_NAME), ADOBE_NAME, lambda v: v**A98),
    "ProPhoto RGB": (icc(parametric(1.8), "ProPhoto RGB"), "ProPhoto RGB", lambda v: v**1.8),
}  # fmt: skip


class TestConverted:
    @pytest.mark.parametrize(("data", "primaries", "curve"), WITH_PRIMARIES.values(), ids=WITH_PRIMARIES)
    @pytest.mark.parametrize("white", [255, 65535, 1])
    def test_rgb(self, data: bytes, primaries: str, curve: Callable[[Array], Array], white: int) -> None:
        values = levels(13, 17, 3, white=65535) / 65535 if white == 1 else levels(13, 17, 3, white=white)
        profile = Profile.of_icc(data)
        got = profile.to_srgb(values.astype({255: np.uint8, 65535: np.uint16, 1: np.float32}[white]), white)
        expected = encoded(curve(values / white) @ TO_SRGB[primaries].T)
        check_near(got, expected)
        assert profile.channels == 3
        assert not profile.is_srgb

    @pytest.mark.parametrize(("data", "primaries", "curve"), WITH_PRIMARIES.values(), ids=WITH_PRIMARIES)
    def test_what_lies_beyond_srgb_is_not_clipped(
        self, data: bytes, primaries: str, curve: Callable[[Array], Array]
    ) -> None:
        values = np.eye(3)[None]
        got = Profile.of_icc(data).to_srgb(values, 1)
        light = decoded(got)
        assert np.allclose(light, curve(values) @ TO_SRGB[primaries].T, atol=2e-3)
        if primaries == "Display P3":
            assert got.max() > 1.09
            assert got.min() < -0.2

    @pytest.mark.parametrize(("data", "primaries", "curve"), WITH_PRIMARIES.values(), ids=WITH_PRIMARIES)
    def test_white_stays_white_and_black_black(
        self, data: bytes, primaries: str, curve: Callable[[Array], Array]
    ) -> None:
        got = Profile.of_icc(data).to_srgb(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8), 255)
        assert abs(got - [[[0] * 3, [1] * 3]]).max() < 3e-4

    def test_grey(self) -> None:
        profile = Profile.of_icc(icc(gamma_curve(1.5), None))
        values = levels(5, 7, 1)
        expected = np.repeat(encoded((values / 255) ** 1.5), 3, axis=-1)
        check_near(profile.to_srgb(values.astype(np.uint8), 255), expected)
        assert (profile.channels, profile.is_srgb) == (1, False)

    def test_grey_values_under_a_profile_of_rgb(self) -> None:
        profile = Profile.of_icc(icc(gamma_curve(1.5)))
        values = levels(5, 7, 1)
        expected = np.repeat(encoded((values / 255) ** 1.5), 3, axis=-1)
        check_near(profile.to_srgb(values, 255), expected)

    def test_inks(self) -> None:
        """At every combination of no and full ink, from CIE Lab's definition; and 255 is full ink."""
        inks = np.array(list(itertools.product([0, 255], repeat=4)), np.uint8)
        left = 1 - inks / 255 * [0.3, 0.4, 0.1, 1]
        lab = np.stack(
            [100 * left.prod(axis=1), 20 * left[:, 3] * inks[:, 1] / 255, -10 * left[:, 3] * inks[:, 0] / 255]
        )
        profile = Profile.of_icc(icc_of_inks(lab.T.reshape(2, 2, 2, 2, 3), "Press"))
        got = profile.to_srgb(inks[None], 255)
        light, a, b = (np.rint(lab.T * [2.55, 1, 1]) / [2.55, 1, 1]).T  # as the profile stores it
        y = (light + 16) / 116
        root = np.stack([y + a / 500, y, y - b / 200], axis=-1)
        xyz = np.where(root > 6 / 29, root**3, (root - 4 / 29) * 3 * (6 / 29) ** 2) * [0.9642, 1, 0.8249]
        check_near(got, encoded(xyz @ (XYZ_TO_SRGB @ D50_TO_D65).T)[None])
        assert (profile.name, profile.channels, profile.is_srgb) == ("Press", 4, False)
        assert got[0, 0] == pytest.approx(1, abs=1e-4)
        assert got[0, 1] == pytest.approx(0, abs=1e-4)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 1), (3, 4), (4, 3), (3, 3)], ids=str)
    def test_the_last_axis_is_the_channel_whatever_the_size(self, shape: tuple[int, int]) -> None:
        for data, channels in ((icc(SRGB, "Display P3"), 3), (icc(gamma_curve(1.5), None), 1)):
            profile = Profile.of_icc(data)
            values = levels(*shape, channels)
            one_by_one = [[profile.to_srgb(pixel[None, None], 255)[0, 0] for pixel in row] for row in values]
            assert np.array_equal(profile.to_srgb(values, 255), one_by_one)

    @pytest.mark.parametrize("data", [*(case[0] for case in WITH_PRIMARIES.values()), icc(gamma_curve(1.5), None)])
    def test_levels_are_added_up_to_what_little_cms_says(self, data: bytes) -> None:
        """Little CMS gets the values that are no levels, though they are all but equal."""
        profile = Profile.of_icc(data)
        assert profile.of_levels is not None
        values = levels(64, 64, profile.channels) / 255
        beside = profile.to_srgb(values + 1e-12, 1)
        assert abs(profile.to_srgb(values, 1) - beside).max() < 4e-6
        assert abs(profile.to_srgb(values, 1) - beside)[(beside >= 0).all(axis=-1)].max() < 2e-6

    def test_inks_do_not_add_up(self) -> None:
        lab = levels(2, 2, 2, 2, 3) * [0.3, 0.1, 0.1]
        assert Profile.of_icc(icc_of_inks(lab)).of_levels is None

    def test_pillow_agrees_to_a_level(self) -> None:
        data = icc(SRGB, "Display P3")
        values = levels(32, 32, 3).astype(np.uint8)
        ours = Profile.of_icc(data).to_srgb(values, 255)
        other = PIL.ImageCms.profileToProfile(
            PIL.Image.fromarray(values),
            PIL.ImageCms.ImageCmsProfile(io.BytesIO(data)),
            PIL.ImageCms.createProfile("sRGB"),
            PIL.ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
        assert abs(np.rint(ours.clip(0, 1) * 255) - np.asarray(other)).max() <= 1

    def test_what_is_not_finite_is_nan(self) -> None:
        values = np.full((1, 4, 3), 0.25)
        values[0, :3, 1] = np.nan, np.inf, -np.inf
        got = Profile.of_icc(icc(SRGB, "Display P3")).to_srgb(values, 1)
        assert np.isnan(got[0, :3]).all()
        assert np.isfinite(got[0, 3]).all()

    def test_the_values_given_are_left_alone(self) -> None:
        values = levels(5, 7, 3) / 255
        kept = values.copy()
        Profile.of_icc(icc(SRGB, "Display P3")).to_srgb(values, 1)
        assert np.array_equal(values, kept)


def sampled(points: int) -> bytes:
    return table_curve(decoded(np.linspace(0, 1, points)))


class TestJudgedByBehaviour:
    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(icc(SRGB), id="version 4"),
            pytest.param(icc(sampled(1024), version=2), id="a table of 1024, as the first sRGB profile"),
            pytest.param(icc(sampled(64), version=2), id="a table of 64"),
            pytest.param(icc(SRGB, None), id="grey"),
            pytest.param(icc(SRGB, description="My Own Monitor"), id="under another name"),
            pytest.param(
                PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes(), id="of Little CMS"
            ),
        ],
    )
    def test_is_srgb(self, data: bytes) -> None:
        profile = Profile.of_icc(data)
        assert profile.is_srgb
        values = levels(9, 9, profile.channels).astype(np.uint8)
        stays = np.broadcast_to(values, (9, 9, 3))
        assert np.array_equal(np.rint(profile.to_srgb(values, 255).clip(0, 1) * 255), stays)

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(icc(gamma_curve(2.2), description="sRGB IEC61966-2.1", version=2), id="gamma 2.2"),
            pytest.param(icc(SRGB, "Display P3", description="sRGB IEC61966-2.1"), id="other primaries"),
            pytest.param(icc(gamma_curve(2.2), None), id="grey of gamma 2.2"),
            pytest.param(icc(sampled(26), version=2), id="a table of 26"),
        ],
    )
    def test_is_not_srgb_whatever_its_name(self, data: bytes) -> None:
        assert not Profile.of_icc(data).is_srgb


class TestName:
    @pytest.mark.parametrize("version", [2, 4])
    def test_is_the_description(self, version: int) -> None:
        data = icc(SRGB if version == 4 else gamma_curve(2.2), description="Display P3", version=version)
        assert Profile.of_icc(data).name == "Display P3"

    @pytest.mark.parametrize(
        ("description", "name"),
        [
            ("", "unnamed"),
            ("a\x1b[31m\r\n b\t", "a [31m b"),
            ("\u202egpj.exe", "gpj.exe"),
            ("ProPhoto größer 写真", "ProPhoto größer 写真"),
            ("x" * 61, "x" * 59 + "…"),
            ("x" * 60, "x" * 60),
        ],
    )
    def test_is_short_and_printable(self, description: str, name: str) -> None:
        assert Profile.of_icc(icc(SRGB, description=description)).name == name


P3 = icc(SRGB, "Display P3")


class TestRefused:
    @pytest.mark.parametrize(
        ("data", "said"),
        [
            pytest.param(b"", "it is empty", id="empty"),
            pytest.param(b"x" * 300, "it has no ICC header", id="text"),
            pytest.param(P3[:100], "it has no ICC header", id="a piece of its header"),
            pytest.param(P3[:128], "it has no ICC header", id="its header alone"),
            pytest.param(P3[:-1], rf"{len(P3) - 1} bytes, but its header says {len(P3)}", id="cut short"),
            pytest.param(b"\xff" * 4 + P3[4:], "its header says 4294967295", id="4 GB long"),
            pytest.param(bytes(4) + P3[4:], "its header says 0", id="0 long"),
            pytest.param(P3[:128] + b"\xff" * 4 + P3[132:], "Little CMS cannot use it", id="4e9 tags"),
            pytest.param(P3[:128] + bytes(4) + P3[132:], "Little CMS cannot use it", id="no tags"),
            pytest.param(P3.replace(b"gXYZ", b"????"), "Little CMS cannot use it", id="no green"),
            pytest.param(P3.replace(b"para", b"xxxx"), "Little CMS cannot use it", id="no curve"),
            pytest.param(icc(parametric(-5.0)), "it takes colours to infinity", id="a pole at 0"),
            pytest.param(
                icc(SRGB, space=b"Lab "), r"for b'Lab ', expected one for grey, RGB or CMYK\. Convert", id="Lab"
            ),
            pytest.param(icc(SRGB, space=b"XYZ "), "for b'XYZ '", id="XYZ"),
            pytest.param(icc(SRGB, space=b"YCbr"), "for b'YCbr'", id="YCbCr"),
            pytest.param(icc(SRGB, space=b"6CLR"), "for b'6CLR'", id="six inks"),
            pytest.param(icc(SRGB, kind=b"link"), "of class b'link', which describes no image", id="device link"),
            pytest.param(icc(SRGB, kind=b"abst"), "of class b'abst'", id="abstract"),
            pytest.param(icc(SRGB, kind=b"nmcl"), "of class b'nmcl'", id="named colours"),
        ],
    )
    def test_with_a_reason(self, data: bytes, said: str) -> None:
        with pytest.raises(ImageError, match=said) as caught:
            Profile.of_icc(data)
        assert "--space" in str(caught.value)
        assert str(caught.value).isprintable()

    @pytest.mark.parametrize(
        ("data", "channels", "said"),
        [
            (icc(SRGB, None), 3, "is for gray, but the pixels are rgb"),
            (P3, 4, "is for rgb, but the pixels are cmyk"),
            (P3, 2, "is for rgb, but the pixels are other"),
        ],
    )
    def test_pixels_that_do_not_fit(self, data: bytes, channels: int, said: str) -> None:
        with pytest.raises(ImageError, match=said):
            Profile.of_icc(data).to_srgb(levels(2, 2, channels), 255)

    def test_damage_anywhere_is_an_image_error_or_a_profile(self) -> None:
        rng = np.random.default_rng(0)
        for _ in range(300):
            data = bytearray(P3)
            for place in rng.integers(0, len(data), 3):
                data[place] = rng.integers(0, 256)
            try:
                profile = Profile.of_icc(bytes(data))
            except ImageError as error:
                assert str(error).isprintable()  # noqa: PT017 (most are profiles still)
            else:
                assert profile.to_srgb(levels(2, 2, profile.channels), 255).shape == (2, 2, 3)

    def test_more_bytes_than_its_header_says_are_padding(self) -> None:
        values = levels(3, 3, 3)
        padded = Profile.of_icc(P3 + b"\0" * 100)
        assert np.array_equal(padded.to_srgb(values, 255), Profile.of_icc(P3).to_srgb(values, 255))


def test_a_profile_is_parsed_once() -> None:
    assert Profile.of_icc(bytes(bytearray(P3))) is Profile.of_icc(bytes(bytearray(P3)))


def test_sixteen_threads_see_what_one_sees() -> None:
    values = levels(40, 40, 3)
    profiles = [data for data, _, _ in WITH_PRIMARIES.values()] * 8
    alone = [Profile.of_icc(data).to_srgb(values, 255).tobytes() for data in profiles]
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda data: Profile.of_icc(data).to_srgb(values, 255).tobytes(), profiles)) == alone


# PNG


PIXEL = levels(4, 5, 3)


def said(*chunks: bytes) -> PngColour:
    return png_colour(png(PIXEL, 8, 2, before=chunks))


def cicp(*numbers: int) -> bytes:
    return chunk(b"cICP", bytes(numbers))


SRGB_CHUNK = chunk(b"sRGB", b"\0")
RESAVED = tuple(np.array(REC709) + 1e-5 * np.array([-1, 1, 0, 1, -1, 0, 1, -1]))  # as an editor writes it


class TestPng:
    @pytest.mark.parametrize(
        "chunks",
        [
            pytest.param([], id="nothing"),
            pytest.param([SRGB_CHUNK], id="sRGB"),
            pytest.param([gama(0.45455)], id="gamma"),
            pytest.param([gama(0.45)], id="gamma in two digits"),
            pytest.param([gama(0.45455), chrm(REC709)], id="gamma and primaries"),
            pytest.param([chrm(RESAVED)], id="primaries, rounded"),
            pytest.param([cicp(1, 13, 0, 1)], id="cICP"),
            pytest.param([chunk(b"tEXt", b"a\0b"), SRGB_CHUNK], id="after a text"),
        ],
    )
    def test_that_is_srgb(self, chunks: list[bytes]) -> None:
        assert said(*chunks) == PngColour()

    def test_precedence(self) -> None:
        """Each later chunk of the list yields to the ones before it, in whatever order they stand in the file."""
        chunks = [cicp(12, 13, 0, 1), iccp(P3), SRGB_CHUNK, gama(1.0), chrm(REC2020)]
        found = [said(*reversed(chunks[start:])) for start in range(5)]
        assert found[0] == PngColour(chromaticities=DISPLAY_P3)
        assert found[1] == PngColour(icc=P3)
        assert found[2] == PngColour()
        assert found[3] == PngColour(gamma=1.0, chromaticities=REC2020)
        assert found[4] == PngColour(chromaticities=REC2020)

    def test_of_two_of_a_name_the_first_counts(self) -> None:
        assert said(gama(0.5), gama(1.0)).gamma == 2

    def test_behind_the_pixels_nothing_counts(self) -> None:
        assert png_colour(png(PIXEL, 8, 2, after=[gama(1.0)])) == PngColour()

    @pytest.mark.parametrize(
        ("chunks", "expected"),
        [
            pytest.param([gama(1.0)], PngColour(gamma=1), id="linear"),
            pytest.param([gama(0.55)], PngColour(gamma=1 / 0.55), id="an old Macintosh"),
            pytest.param([gama(0.4545), chrm(DISPLAY_P3)], PngColour(chromaticities=DISPLAY_P3), id="primaries"),
            pytest.param([gama(0.5), chrm(ADOBE)], PngColour(None, 2, ADOBE), id="both"),
            pytest.param([cicp(1, 8, 0, 1)], PngColour(gamma=1), id="cICP, linear"),
            pytest.param([cicp(12, 13, 0, 1)], PngColour(chromaticities=DISPLAY_P3), id="cICP, Display P3"),
            pytest.param([cicp(9, 4, 0, 1)], PngColour(None, 2.2, REC2020), id="cICP, Rec. 2020"),
            pytest.param([iccp(P3)], PngColour(icc=P3), id="profile"),
        ],
    )
    def test_that_is_not(self, chunks: list[bytes], expected: PngColour) -> None:
        assert said(*chunks) == expected

    @pytest.mark.parametrize(
        ("numbers", "words"),
        [
            pytest.param((9, 16, 0, 1), r"cICP 9-16-0-1, HDR with PQ\) cannot be scored as sRGB; expected", id="PQ"),
            pytest.param((9, 18, 0, 1), "HDR with HLG", id="HLG"),
            pytest.param((1, 13, 0, 0), "cICP 1-13-0-0", id="limited range"),
            pytest.param((1, 13, 1, 1), "cICP 1-13-1-1", id="YCbCr"),
            pytest.param((1, 1, 0, 1), "cICP 1-1-0-1", id="video"),
            pytest.param((22, 13, 0, 1), "cICP 22-13-0-1", id="other primaries"),
        ],
    )
    def test_that_cannot_be_scored(self, numbers: tuple[int, ...], words: str) -> None:
        with pytest.raises(ImageError, match=words):
            said(cicp(*numbers))

    @pytest.mark.parametrize(
        ("damaged", "words"),
        [
            pytest.param(chunk(b"cICP", b"\1\x0d\0"), r"cICP chunk of the PNG is damaged \(3 bytes", id="cICP"),
            pytest.param(chunk(b"gAMA", b"\0\0\0"), r"gAMA .*\(3 bytes, expected 4\)", id="gAMA"),
            pytest.param(gama(0), r"gAMA .*\(0, expected 45455", id="gAMA of 0"),
            pytest.param(gama(0.00001), r"gAMA .*\(1, expected", id="gAMA of nearly 0"),
            pytest.param(chunk(b"cHRM", bytes(31)), r"cHRM .*\(31 bytes", id="cHRM"),
            pytest.param(chrm((0,) * 8), "span no colours", id="cHRM of 0"),
            pytest.param(chrm((0.3, 0.3) * 4), "span no colours", id="cHRM of one point"),
            pytest.param(chrm((*REC709[:6], 0.3, 0.0)), "span no colours", id="white without light"),
            pytest.param(chunk(b"iCCP", b""), "iCCP chunk of the PNG is damaged", id="iCCP of 0 bytes"),
            pytest.param(chunk(b"iCCP", b"name\0\0"), r"iCCP .*cut short", id="no profile"),
            pytest.param(chunk(b"iCCP", b"name\0\0junk"), r"iCCP .*damaged", id="no zlib stream"),
            pytest.param(chunk(b"iCCP", b"name\0\1" + zlib.compress(P3)), "iCCP .*damaged", id="another method"),
            pytest.param(chunk(b"iCCP", b"name\0\0" + zlib.compress(P3)[:-9]), r"iCCP .*cut short", id="half of it"),
            pytest.param(
                chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(1 << 25))), "iCCP .*longer than", id="a bomb"
            ),
            pytest.param(gama(0.5)[:-1] + b"?", r"gAMA .*its checksum is wrong", id="checksum"),
        ],
    )
    def test_damaged(self, damaged: bytes, words: str) -> None:
        with pytest.raises(ImageError, match=words):
            said(damaged)

    @pytest.mark.parametrize("end", range(0, 90, 5))
    def test_cut_short(self, end: int) -> None:
        """The pixels are not looked at: that they are missing is for the decoder to say."""
        whole = png(PIXEL, 8, 2, before=[gama(0.5)])
        try:
            assert png_colour(whole[:end]).gamma in (None, 2)
        except ImageError as error:
            assert "checksum" in str(error)  # noqa: PT017 (either is right)

    def test_a_length_beyond_the_file(self) -> None:
        whole = bytearray(png(PIXEL, 8, 2, before=[gama(0.5)]))
        whole[33:37] = b"\xff" * 4
        with pytest.raises(ImageError, match=r"gAMA .*checksum"):
            png_colour(bytes(whole))


# Primaries


class TestPrimaries:
    @pytest.mark.parametrize(
        ("xy", "expected", "digits"),
        [
            pytest.param(DISPLAY_P3, TO_SRGB["Display P3"], 12, id="Display P3"),
            pytest.param(ADOBE, TO_SRGB["Adobe RGB (1998)"], 12, id="Adobe RGB"),
            pytest.param(PROPHOTO, TO_SRGB["ProPhoto RGB"], 3, id="ProPhoto"),
            pytest.param(REC2020, REC2020_TO_SRGB, 4, id="Rec. 2020"),
            pytest.param(ACESCG, ACESCG_TO_SRGB, 5, id="ACEScg"),
        ],
    )
    def test_against_published_matrices(self, xy: Any, expected: Any, digits: int) -> None:
        matrix = chromaticities_matrix(xy)
        assert matrix is not None
        assert abs(matrix - expected).max() <= 0.6 * 10.0**-digits if digits < 12 else 1e-12

    @pytest.mark.parametrize("xy", [DISPLAY_P3, REC2020, ACESCG, ADOBE, PROPHOTO], ids=str)
    def test_white_stays_white(self, xy: Any) -> None:
        matrix = chromaticities_matrix(xy)
        assert matrix is not None
        assert abs(matrix.sum(axis=1) - 1).max() < 1e-12

    @pytest.mark.parametrize("xy", [REC709, RESAVED, tuple(round(number, 3) for number in REC709)], ids=str)
    def test_those_of_srgb(self, xy: Any) -> None:
        assert chromaticities_matrix(xy) is None

    @pytest.mark.parametrize(
        "xy",
        [
            pytest.param((0.64, 0.33, 0.29, 0.60, 0.15, 0.06, 0.3127, 0.3290), id="PAL"),
            pytest.param((0.63, 0.34, 0.31, 0.595, 0.155, 0.07, 0.3127, 0.3290), id="SMPTE-C"),
            pytest.param((*REC709[:6], 0.3457, 0.3585), id="D50"),
        ],
    )
    def test_near_ones_are_not_those_of_srgb(self, xy: Any) -> None:
        assert chromaticities_matrix(xy) is not None

    @pytest.mark.parametrize("xy", [(float("nan"),) * 8, (1e308, 1e-308) * 4, (0.0,) * 8], ids=str)
    def test_that_are_no_colours(self, xy: Any) -> None:
        with pytest.raises(ImageError, match="span no colours"):
            chromaticities_matrix(xy)


class TestCurves:
    def test_srgb_against_its_definition_and_back(self) -> None:
        values = np.linspace(0, 1, 1001)
        assert np.array_equal(from_srgb(values), decoded(values))
        assert np.array_equal(to_srgb(values), encoded(values))
        assert abs(to_srgb(from_srgb(values)) - values).max() < 1e-6  # its two parts do not quite meet

    def test_srgb_goes_on_beyond_its_ends(self) -> None:
        assert from_srgb(np.array([-0.1]))[0] == pytest.approx(-0.1 / 12.92)
        assert to_srgb(np.array([-0.01]))[0] == pytest.approx(-0.1292)
        assert to_srgb(from_srgb(np.array([1.5])))[0] == pytest.approx(1.5)

    def test_gamma(self) -> None:
        assert from_gamma(np.array([0, 0.5, 1, -0.5]), 2).tolist() == [0, 0.25, 1, -0.25]
        assert from_gamma(np.array([0.5], np.float32), 2.2).dtype == np.float64


def test_the_writer_of_gamma_writes_what_the_specification_says() -> None:
    assert gama(0.45455) == chunk(b"gAMA", struct.pack(">I", 45455))
