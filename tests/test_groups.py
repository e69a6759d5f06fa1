"""Groups told from names: values, what is resampled together, and patterns that would mislead."""

from __future__ import annotations

import re

import pytest

from relight_eval.errors import UsageError
from relight_eval.groups import Grouping

VIDIT = r"(?P<scene>Image\d+)_(?P<temperature>\d+)_(?P<direction>\w+)"
IMAGES = ["Image001_4500_NE", "val/Image001_6500_S", "Image010_4500_S"]


@pytest.mark.parametrize(
    ("pattern", "names", "values"),
    [
        pytest.param(
            VIDIT,
            ("scene", "temperature", "direction"),
            [("Image001", "Image001", "Image010"), ("4500", "6500", "4500"), ("NE", "S", "S")],
            id="three-named",
        ),
        pytest.param(r"_(?P<t>\d+)_", ("t",), [("4500", "6500", "4500")], id="one-named"),
        pytest.param(r"(Image\d+)", ("group",), [("Image001", "Image001", "Image010")], id="one-without-name"),
        pytest.param(r"(Im)age(?P<group>\d+)", ("group",), [("001", "001", "010")], id="named-as-the-unnamed"),
        pytest.param(r"(Im)age(?P<n>\d+)", ("n",), [("001", "001", "010")], id="named-before-unnamed"),
        pytest.param(r"(?P<folder>val/|)Image", ("folder",), [("", "val/", "")], id="empty-is-a-value"),
    ],
)
def test_values_of_each_named_group(pattern: str, names: tuple[str, ...], values: list[tuple[str, ...]]) -> None:
    grouping = Grouping(pattern)
    grouping.require(IMAGES)
    assert grouping.names == names
    for name, expected in zip(names, values, strict=True):
        assert grouping.labels(name, IMAGES) == dict(zip(IMAGES, expected, strict=True))


def test_units_are_the_values_of_the_first_group_in_order_of_the_images() -> None:
    assert Grouping(VIDIT).units(IMAGES) == ["Image001", "Image001", "Image010"]
    assert Grouping(r"_(\d+)_").units(reversed(IMAGES)) == ["4500", "6500", "4500"]
    assert Grouping(VIDIT).units([]) == []


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        pytest.param("(?P<scene>", r"is no regular expression: .*unterminated", id="unterminated"),
        pytest.param("(?P<a>x)(?P<a>y)", "is no regular expression: redefinition", id="one-name-twice"),
        pytest.param("(a{99999999999999999999})", "is no regular expression: the repetition number", id="huge-repeat"),
        pytest.param("Image", r"names no group; write one as \(\?P<scene>", id="no-group"),
        pytest.param("(?:Image)", "names no group", id="group-that-keeps-nothing"),
        pytest.param(r"(\w+)_(\w+)", "names no group", id="two-without-names"),
        pytest.param("", "names no group", id="empty"),
    ],
)
def test_patterns_that_say_no_group(pattern: str, said: str) -> None:
    with pytest.raises(UsageError, match=rf'^--group "{re.escape(pattern)}" {said}'):
        Grouping(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(r"(?P<scene>Image\d+)", id="no-match"),
        pytest.param(r"(?P<scene>Image\d+)?", id="group-that-took-no-part"),
        pytest.param(r"(?P<scene>Image\d+)|(?P<other>\w+)", id="either-or"),
    ],
)
def test_every_image_must_belong_to_a_group(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"does not match . of 3 images: .*house.*every image must belong"):
        Grouping(pattern).require([*IMAGES[:2], "house"])


def test_of_many_images_outside_five_are_named() -> None:
    images = [*IMAGES, *(f"x{i}" for i in range(7))]
    with pytest.raises(UsageError, match=r"does not match 7 of 10 images: x0, x1, x2, x3, x4 and 2 more; every"):
        Grouping(VIDIT).require(images)


def test_names_that_are_not_utf8_belong_too() -> None:
    assert Grouping(r"(?P<scene>\w+|.)_").units(["\udcff_1"]) == ["\udcff"]
