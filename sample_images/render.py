"""Make the sample images: eight small scenes, each under two lights, and two "checkpoints" to be scored.

Everything in `input/`, `target/`, `prediction/` and `prediction_early/` beside this file comes from here:

- input, target: path-traced renderings of one scene under two lights that differ in direction and in
  colour temperature, as in VIDIT (El Helou et al. 2020, "VIDIT: Virtual Image Dataset for Illumination
  Transfer").
- prediction: what a nearly finished relighting network might give: the target with one fault, in each
  scene another.
- prediction_early: what an early checkpoint might give: the input with its colours moved to the target's.

Needs Mitsuba 3 (`pip install -e '.[samples]'`), no other asset: textures and shapes are computed below.
`python sample_images/render.py` takes five to ten minutes on two cores. Two runs with the same
versions of Mitsuba, NumPy and Pillow write the same bytes, whatever the number of threads.

World: x is east, y is north, z is up, in metres. The camera stands in the south and looks north, so a light
from N is a back light and one from W comes from the left.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mitsuba as mi
import numpy as np
from PIL import Image

mi.set_variant("scalar_rgb")

Array = np.ndarray
Bsdf = dict[str, Any]
Profile = tuple[tuple[float, float], ...]

SIZE_PX = 384
SAMPLES_PER_PIXEL = 100  # 10 x 10: multijitter strata want a square
MAX_DEPTH = 5
TEXTURE_PX = 512
LIGHT_DISTANCE_M = 10.0
COMPASS_DEGREES = {"N": 0, "NE": 45, "E": 90, "SE": 135, "S": 180, "SW": 225, "W": 270, "NW": 315}


# ---------------------------------------------------------------- what a scene is


@dataclass(frozen=True)
class Light:
    """A glowing ball that stands `direction` of the scene."""

    direction: str
    kelvin: int
    elevation: float = 45.0  # degrees above the horizon
    turned: float = 0.0  # degrees clockwise from `direction`
    radius_m: float = 0.2
    strength: float = 2.2  # irradiance at the origin of the world, facing the light


@dataclass(frozen=True)
class Shape:
    """One object: a Mitsuba shape, "lathe" (a profile turned around the vertical axis) or "rock"."""

    kind: str
    at: tuple[float, float, float]
    scale: tuple[float, float, float]
    material: str
    turn: float = 0.0  # degrees around the vertical axis
    tilt: float = 0.0  # degrees around its own x axis, before the turn
    roll: float = 0.0  # degrees around its own x axis, before scaling
    profile: Profile = ()
    seed: int = 0  # of the form of a rock


@dataclass(frozen=True)
class Camera:
    at: tuple[float, float, float] = (0.0, -8.0, 5.6)
    look_at: tuple[float, float, float] = (0.0, 0.0, 0.5)
    fov: float = 36.0


@dataclass(frozen=True)
class Fault:
    """What is wrong with a prediction.

    `change` takes the target and the source (the input image), both (H, W, 3) linear light, and returns the
    prediction in the same form. `light` names the fields of the target's light to replace; the target is then
    rendered again first.
    """

    change: Callable[[Array, Array], Array]
    light: dict[str, Any] = field(default_factory=dict)
    jpeg_quality: int | None = None


@dataclass(frozen=True)
class Scene:
    name: str
    shapes: tuple[Shape, ...]
    input: Light
    target: Light
    fault: Fault
    ambient: float = 0.08  # radiance from every direction, so that no shadow is pure black
    camera: Camera = Camera()


def floor(material: str) -> Shape:
    return Shape("rectangle", (0, 0, 0), (16, 16, 1), material)


def wall(at: tuple[float, float], width: float, height: float, material: str, *, turn: float = 0.0) -> Shape:
    """A wall that looks south; turned by 90 degrees it looks east, by -90 west."""
    return Shape("rectangle", (*at, height / 2), (width / 2, height / 2, 1), material, turn=turn, tilt=90)


def box(
    at: tuple[float, float],
    size: tuple[float, float, float],
    material: str,
    *,
    z: float = 0.0,
    turn: float = 0.0,
    tilt: float = 0.0,
) -> Shape:
    """A box of that width, depth and height whose bottom is at height z."""
    width, depth, height = size
    half = (width / 2, depth / 2, height / 2)
    return Shape("cube", (*at, z + height / 2), half, material, turn=turn, tilt=tilt)


def ball(at: tuple[float, float], radius: float, material: str, *, z: float = 0.0) -> Shape:
    return Shape("sphere", (*at, z + radius), (radius, radius, radius), material)


def rock(at: tuple[float, float], size: tuple[float, float, float], *, seed: int) -> Shape:
    """A boulder about that wide, deep and high, a quarter of it in the ground."""
    width, depth, height = size
    return Shape("rock", (*at, height / 4), (width / 2, depth / 2, height / 2), "sandstone", seed=seed)


def turned(profile: Profile, at: tuple[float, float], height: float, material: str, *, z: float = 0.0) -> Shape:
    """A body of revolution; the profile is scaled by the height in all directions."""
    return Shape("lathe", (*at, z), (height, height, height), material, profile=profile)


def house(
    at: tuple[float, float], size: tuple[float, float, float], walls: str, *, turn: float = 0.0
) -> tuple[Shape, ...]:
    """Walls, gables and two roof slabs with eaves; the ridge lies along the width."""
    width, depth, height = size
    rise, eaves, thickness = 0.42 * depth, 0.15, 0.08
    # The gables are the upper half of a cube that stands on its edge; the lower half is inside the walls.
    gable = Shape("cube", (*at, height), (0.499 * width, depth / 8**0.5, rise / 2**0.5), walls, turn=turn, roll=45)
    slope = math.atan2(rise, depth / 2)
    length = (depth / 2 + eaves) / math.cos(slope)
    middle = height + rise - length / 2 * math.sin(slope)
    slabs = []
    for side in (1, -1):
        out = side * (depth / 2 + eaves) / 2
        x = at[0] - out * math.sin(math.radians(turn))
        y = at[1] + out * math.cos(math.radians(turn))
        half = (width / 2 + eaves, length / 2 + 0.02, thickness / 2)
        slabs.append(Shape("cube", (x, y, middle), half, "roof", turn=turn, tilt=-side * math.degrees(slope)))
    return (box(at, size, walls, turn=turn), gable, *slabs)


# Radius and height along the outline, from the foot up, height 1. A point given twice is a sharp edge.
CONE: Profile = ((0, 0), (0.36, 0), (0.36, 0), (0, 1))
PAWN: Profile = (
    (0, 0), (0.28, 0), (0.28, 0), (0.29, 0.06), (0.25, 0.12), (0.25, 0.12), (0.16, 0.2), (0.11, 0.36),
    (0.09, 0.58), (0.09, 0.58), (0.19, 0.6), (0.19, 0.65), (0.1, 0.68), (0.1, 0.68), (0.145, 0.73),
    (0.165, 0.82), (0.145, 0.91), (0.09, 0.97), (0, 1),
)  # fmt: skip
VASE: Profile = (
    (0, 0), (0.17, 0), (0.17, 0), (0.24, 0.1), (0.3, 0.25), (0.31, 0.4), (0.26, 0.57), (0.16, 0.72),
    (0.11, 0.82), (0.12, 0.92), (0.18, 1), (0.18, 1), (0.15, 1), (0.15, 1), (0.09, 0.9), (0.08, 0.8),
    (0, 0.75),
)  # fmt: skip
CUP: Profile = (
    (0, 0), (0.28, 0), (0.28, 0), (0.36, 0.12), (0.43, 0.45), (0.46, 1), (0.46, 1), (0.42, 1), (0.42, 1),
    (0.39, 0.5), (0.31, 0.2), (0, 0.12),
)  # fmt: skip
CACTUS: Profile = (
    (0, 0), (0.13, 0), (0.15, 0.15), (0.165, 0.45), (0.155, 0.75), (0.13, 0.88), (0.09, 0.96),
    (0.04, 0.995), (0, 1),
)  # fmt: skip
COLUMN: Profile = (
    (0, 0), (0.17, 0), (0.17, 0), (0.17, 0.05), (0.17, 0.05), (0.14, 0.09), (0.115, 0.1), (0.115, 0.1),
    (0.118, 0.4), (0.1, 0.88), (0.1, 0.88), (0.12, 0.9), (0.16, 0.95), (0.16, 0.95), (0.16, 1), (0.16, 1),
    (0, 1),
)  # fmt: skip


# ---------------------------------------------------------------- textures


@dataclass(frozen=True)
class Texture:
    colour: Array  # (H, W, 3) linear reflectance
    height: Array  # (H, W), 0 to 1


def grid() -> tuple[Array, Array]:
    """u and v of every texel, each (H, W), in [0, 1)."""
    v, u = np.mgrid[0:TEXTURE_PX, 0:TEXTURE_PX] / TEXTURE_PX
    return u, v


def value_noise(u: Array, v: Array, cells: int, seed: int) -> Array:
    """Random values on a cells x cells lattice, smoothly interpolated; it tiles. Range [0, 1]."""
    lattice = np.random.default_rng(seed).random((cells, cells))
    x, y = u * cells, v * cells
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    fade_x, fade_y = ((t * t * (3 - 2 * t)) for t in (x - column, y - row))
    corner = [[lattice[(row + j) % cells, (column + i) % cells] for i in (0, 1)] for j in (0, 1)]
    below = corner[0][0] * (1 - fade_x) + corner[0][1] * fade_x
    above = corner[1][0] * (1 - fade_x) + corner[1][1] * fade_x
    return below * (1 - fade_y) + above * fade_y


def fractal_noise(u: Array, v: Array, cells: int, octaves: int, seed: int) -> Array:
    """Octaves of value noise, each twice as fine and half as strong. Range [0, 1]."""
    layers = [value_noise(u, v, cells * 2**k, seed + k) / 2**k for k in range(octaves)]
    return sum(layers) / sum(1 / 2**k for k in range(octaves))


def between(first: tuple[float, ...], second: tuple[float, ...], share: Array) -> Array:
    """Colours from `first` (share 0) to `second` (share 1): (H, W) to (H, W, 3)."""
    return np.array(first) + (np.array(second) - np.array(first)) * share[..., None]


def staggered(rows: int, columns: int, gap: float, seed: int) -> tuple[Array, Array]:
    """Bricks in a running bond: a random number per brick; 0 in the joints to 1 on bricks; both (H, W)."""
    u, v = grid()
    row = np.floor(v * rows).astype(int)
    x = u * columns + 0.5 * (row % 2)
    column = np.floor(x).astype(int) % columns
    in_x, in_y = np.abs(x % 1 - 0.5), np.abs(v * rows % 1 - 0.5)
    to_edge = np.minimum((0.5 - in_x) / columns, (0.5 - in_y) / rows) * rows
    return np.random.default_rng(seed).random((rows, columns))[row, column], np.clip(to_edge / gap - 0.5, 0, 1)


def bricks() -> Texture:
    tone, brick = staggered(8, 4, 0.07, seed=1)
    u, v = grid()
    grain = fractal_noise(u, v, 24, 4, seed=2)
    face = between((0.24, 0.07, 0.04), (0.50, 0.20, 0.12), 0.65 * tone + 0.35 * grain)
    mortar = between((0.30, 0.28, 0.25), (0.45, 0.43, 0.40), grain)
    return Texture(mortar + (face - mortar) * brick[..., None], brick * (0.8 + 0.2 * grain))


def planks() -> Texture:
    tone, plank = staggered(8, 1, 0.03, seed=3)
    u, v = grid()
    grain = fractal_noise(u, (v * 12 + tone * 5) % 1, 6, 4, seed=4)
    face = between((0.20, 0.10, 0.045), (0.52, 0.32, 0.17), 0.5 * tone + 0.5 * grain)
    return Texture(face * (0.25 + 0.75 * plank[..., None]), plank)


def oak() -> Texture:
    """Growth rings of a sawn board: a warped sine."""
    u, v = grid()
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (v * 9 + 1.6 * fractal_noise(u, v, 2, 3, seed=5)))
    fibre = fractal_noise(u * 0.125, v, 128, 2, seed=6)
    share = 0.6 * rings**1.5 + 0.4 * fibre
    return Texture(between((0.46, 0.27, 0.12), (0.20, 0.095, 0.04), share), fibre)


def cobbles() -> Texture:
    """Rounded stones: distance to the nearest border of a Voronoi diagram of jittered points."""
    cells = 8
    u, v = grid()
    rng = np.random.default_rng(7)
    points, tones = rng.uniform(0.15, 0.85, (cells, cells, 2)), rng.random((cells, cells))
    x, y = u * cells, v * cells
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    distances, stones = [], []
    for j in (-1, 0, 1):
        for i in (-1, 0, 1):
            cell = (row + j) % cells, (column + i) % cells
            px, py = points[cell].transpose(2, 0, 1)
            distances.append(np.hypot(column + i + px - x, row + j + py - y))
            stones.append(tones[cell])
    order = np.argsort(distances, axis=0)
    nearest, second = (np.take_along_axis(np.array(distances), order[k : k + 1], axis=0)[0] for k in (0, 1))
    tone = np.take_along_axis(np.array(stones), order[:1], axis=0)[0]
    stone_mask = np.clip((second - nearest) * 4 - 0.15, 0, 1)
    grain = fractal_noise(u, v, 32, 3, seed=8)
    face = between((0.16, 0.16, 0.17), (0.46, 0.43, 0.39), 0.6 * tone + 0.4 * grain)
    return Texture(face * (0.2 + 0.8 * stone_mask[..., None]), np.sqrt(stone_mask) * (0.9 + 0.1 * grain))


def grass() -> Texture:
    u, v = grid()
    blades = fractal_noise(u, v, 64, 3, seed=9)
    patches = fractal_noise(u, v, 4, 3, seed=10)
    green = between((0.05, 0.11, 0.02), (0.19, 0.27, 0.07), 0.7 * blades + 0.3 * patches)
    return Texture(green, blades)


def sand() -> Texture:
    u, v = grid()
    ripples = 0.5 + 0.5 * np.sin(2 * np.pi * (v * 10 + 1.3 * fractal_noise(u, v, 2, 3, seed=11)))
    grain = fractal_noise(u, v, 64, 3, seed=12)
    colour = between((0.36, 0.25, 0.14), (0.56, 0.43, 0.28), 0.25 * ripples + 0.75 * grain)
    return Texture(colour, 0.8 * ripples + 0.2 * grain)


def marble() -> Texture:
    u, v = grid()
    veins = np.abs(np.sin(2 * np.pi * (u + v + 1.2 * fractal_noise(u, v, 3, 5, seed=13)))) ** 0.35
    return Texture(between((0.20, 0.20, 0.22), (0.62, 0.60, 0.56), veins), veins)


def tiles() -> Texture:
    """Two-coloured stone squares with fine joints."""
    u, v = grid()
    cloud = fractal_noise(u, v, 8, 5, seed=14)
    dark = (np.floor(u * 4) + np.floor(v * 4)) % 2
    joint = np.minimum(0.5 - np.abs(u * 4 % 1 - 0.5), 0.5 - np.abs(v * 4 % 1 - 0.5))
    light_stone = between((0.45, 0.42, 0.36), (0.62, 0.59, 0.53), cloud)
    dark_stone = between((0.035, 0.04, 0.05), (0.11, 0.115, 0.13), cloud)
    face = light_stone + (dark_stone - light_stone) * dark[..., None]
    return Texture(face * np.clip(joint / 0.02, 0.3, 1)[..., None], np.clip(joint / 0.03, 0, 1))


def wallpaper() -> Texture:
    u, v = grid()
    stripe = (np.sin(2 * np.pi * u * 8) > 0).astype(float)
    paper = fractal_noise(u, v, 64, 2, seed=15)
    colour = between((0.16, 0.24, 0.27), (0.42, 0.45, 0.40), stripe) * (0.85 + 0.3 * paper[..., None])
    return Texture(colour, paper)


def weathered() -> Texture:
    u, v = grid()
    rough = fractal_noise(u, v, 6, 6, seed=16)
    return Texture(between((0.13, 0.12, 0.11), (0.48, 0.42, 0.36), np.clip(2 * rough - 0.5, 0, 1)), rough)


# ---------------------------------------------------------------- materials


def matte(red: float, green: float, blue: float) -> Bsdf:
    return two_sided({"type": "diffuse", "reflectance": {"type": "rgb", "value": [red, green, blue]}})


def plastic(red: float, green: float, blue: float, *, alpha: float = 0.12) -> Bsdf:
    diffuse = {"type": "rgb", "value": [red, green, blue]}
    return two_sided({"type": "roughplastic", "diffuse_reflectance": diffuse, "alpha": alpha})


def metal(name: str, *, alpha: float = 0.2) -> Bsdf:
    return two_sided({"type": "roughconductor", "material": name, "alpha": alpha})


def textured(texture: Texture, repeat: tuple[float, float], *, bump_m: float = 0.0, gloss: bool = False) -> Bsdf:
    """A texture laid `repeat` times over the shape's u and v; `bump_m` is how high its relief is."""
    placed = {"type": "bitmap", "raw": True, "to_uv": mi.ScalarTransform4f().scale([*repeat, 1])}
    colour = {**placed, "bitmap": mi.Bitmap(texture.colour.astype(np.float32))}
    if gloss:
        surface = {"type": "roughplastic", "diffuse_reflectance": colour, "alpha": 0.3}
    else:
        surface = {"type": "diffuse", "reflectance": colour}
    if bump_m:
        height = {**placed, "bitmap": mi.Bitmap(texture.height.astype(np.float32)[..., None])}
        surface = {"type": "bumpmap", "arbitrary": height, "scale": bump_m, "nested_bsdf": surface}
    return two_sided(surface)


def checker(dark: tuple[float, ...], light: tuple[float, ...], repeat: int) -> Bsdf:
    colour = {
        "type": "checkerboard",
        "color0": {"type": "rgb", "value": list(dark)},
        "color1": {"type": "rgb", "value": list(light)},
        "to_uv": mi.ScalarTransform4f().scale([repeat, repeat, 1]),
    }
    return two_sided({"type": "roughplastic", "diffuse_reflectance": colour, "alpha": 0.25})


def two_sided(surface: Bsdf) -> Bsdf:
    return {"type": "twosided", "bsdf": surface}


def materials() -> dict[str, Bsdf]:
    return {
        "white": matte(0.62, 0.60, 0.56),
        "clay": matte(0.48, 0.22, 0.13),
        "ochre": matte(0.55, 0.36, 0.10),
        "sage": matte(0.25, 0.34, 0.22),
        "fir": matte(0.06, 0.14, 0.07),
        "cactus": matte(0.12, 0.22, 0.08),
        "sandstone": matte(0.44, 0.29, 0.18),
        "roof": matte(0.34, 0.10, 0.06),
        "plaster": matte(0.58, 0.54, 0.46),
        "ivory": plastic(0.60, 0.53, 0.40),
        "ebony": plastic(0.045, 0.035, 0.03),
        "red": plastic(0.50, 0.04, 0.03),
        "blue": plastic(0.04, 0.12, 0.42),
        "green": plastic(0.06, 0.32, 0.10),
        "yellow": plastic(0.62, 0.43, 0.04),
        "glaze": plastic(0.10, 0.34, 0.36, alpha=0.08),
        "gold": metal("Au"),
        "copper": metal("Cu", alpha=0.25),
        "steel": metal("Cr", alpha=0.25),
        "brick wall": textured(bricks(), (4, 2), bump_m=0.05),
        "brick pier": textured(bricks(), (0.5, 1), bump_m=0.03),
        "cobble floor": textured(cobbles(), (6, 6), bump_m=0.06),
        "plank floor": textured(planks(), (6, 6), bump_m=0.01, gloss=True),
        "crate": textured(planks(), (0.5, 0.5), bump_m=0.02),
        "oak table": textured(oak(), (4, 4), gloss=True),
        "oak": textured(oak(), (1, 1)),
        "grass": textured(grass(), (6, 6), bump_m=0.05),
        "sand": textured(sand(), (5, 5), bump_m=0.06),
        "stone": textured(weathered(), (1, 1), bump_m=0.04),
        "marble floor": textured(marble(), (8, 8), gloss=True),
        "tile floor": textured(tiles(), (8, 8), bump_m=0.01, gloss=True),
        "chess floor": checker((0.07, 0.045, 0.03), (0.50, 0.41, 0.28), 16),
        "wallpaper": textured(wallpaper(), (2, 1)),
    }


# ---------------------------------------------------------------- light and colour


def planckian_srgb(kelvin: float) -> Array:
    """Linear sRGB of a black body, luminance 1, (3,); negative parts (out of gamut) are clipped to 0 first.

    Source: Kim et al. 2002, "Design of advanced color temperature control system for HDTV applications":
    cubic approximation of the Planckian locus in CIE 1931 xy, for 1667 to 25000 K.
    """
    t = 1000.0 / kelvin
    if kelvin <= 4000:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
    else:
        x = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
    if kelvin <= 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif kelvin <= 4000:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    xyz = np.array([x / y, 1.0, (1 - x - y) / y])
    # IEC 61966-2-1, XYZ (D65) to linear sRGB
    matrix = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    rgb = np.clip(matrix @ xyz, 0, None)
    return rgb / luminance(rgb)


def luminance(linear: Array) -> Array:
    """Relative luminance of linear sRGB: (..., 3) to (...)."""
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def srgb_from_linear(linear: Array) -> Array:
    """IEC 61966-2-1, after clipping to [0, 1]."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def linear_from_srgb(srgb: Array) -> Array:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


# ---------------------------------------------------------------- rendering


def mitsuba_light(light: Light) -> dict[str, Any]:
    """Radiance falls with the square of the radius: a larger ball softens shadows but brightens nothing."""
    azimuth = math.radians(COMPASS_DEGREES[light.direction] + light.turned)
    elevation = math.radians(light.elevation)
    towards = [
        math.sin(azimuth) * math.cos(elevation),
        math.cos(azimuth) * math.cos(elevation),
        math.sin(elevation),
    ]
    radiance = light.strength * LIGHT_DISTANCE_M**2 / (math.pi * light.radius_m**2)
    colour = radiance * planckian_srgb(light.kelvin)
    return {
        "type": "sphere",
        "center": [LIGHT_DISTANCE_M * part for part in towards],
        "radius": light.radius_m,
        "emitter": {"type": "area", "radiance": {"type": "rgb", "value": colour.tolist()}},
    }


def lathe(profile: Profile, segments: int = 96) -> tuple[Array, Array]:
    """Vertices (V, 3) and triangles (F, 3) of a profile turned around the z axis."""
    radius, height = np.array(profile).T
    angle = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    x, y = radius[:, None] * np.cos(angle), radius[:, None] * np.sin(angle)
    vertices = np.stack([x, y, np.broadcast_to(height[:, None], x.shape)], axis=-1).reshape(-1, 3)
    ring, step = np.meshgrid(np.arange(len(profile) - 1), np.arange(segments), indexing="ij")
    following = (step + 1) % segments
    a, b = ring * segments + step, ring * segments + following
    c, d = a + segments, b + segments
    triangles = np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    corner = vertices[triangles]
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
    return vertices, triangles[area > 1e-9]  # a point given twice joins two rings by empty triangles


def boulder(seed: int) -> tuple[Array, Array]:
    """A unit sphere pushed in and out by plane waves of random direction, the finer the weaker."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 96)
    vertices, triangles = lathe(tuple(zip(np.cos(angle), np.sin(angle), strict=True)), segments=160)
    rng = np.random.default_rng(seed)
    radius = np.ones(len(vertices))
    for frequency in np.geomspace(1.5, 24, 40):
        direction = rng.normal(size=3)
        wave = vertices @ direction * (frequency / np.linalg.norm(direction))
        radius += 0.13 / frequency**0.9 * np.sin(wave + rng.uniform(0, 2 * np.pi))
    return vertices * radius[:, None], triangles


def mitsuba_mesh(shape: Shape, material: Bsdf) -> mi.Mesh:
    vertices, triangles = boulder(shape.seed) if shape.kind == "rock" else lathe(shape.profile)
    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict(material)
    mesh = mi.Mesh(shape.kind, len(vertices), len(triangles), has_vertex_normals=True, props=properties)
    parameters = mi.traverse(mesh)
    parameters["vertex_positions"] = (vertices * shape.scale + shape.at).ravel().astype(np.float32)
    parameters["faces"] = triangles.ravel().astype(np.uint32)
    parameters.update()  # computes the normals
    return mesh


def mitsuba_shape(shape: Shape, material: Bsdf) -> dict[str, Any] | mi.Mesh:
    if shape.kind in ("lathe", "rock"):
        return mitsuba_mesh(shape, material)
    placed = (
        mi.ScalarTransform4f()
        .translate(shape.at)
        .rotate([0, 0, 1], shape.turn)
        .rotate([1, 0, 0], shape.tilt)
        .scale(shape.scale)
        .rotate([1, 0, 0], shape.roll)
    )
    return {"type": shape.kind, "to_world": placed, "bsdf": material}


def render(scene: Scene, light: Light, *, seed: int, bsdfs: dict[str, Bsdf]) -> Array:
    """The scene under one light: (H, W, 3) float64, linear light, not clipped.

    Reproducible: each block has its own seed, so the block size is fixed (Mitsuba would pick it by the number
    of threads), and the box filter keeps blocks from adding into their neighbours in the order they finish.
    """
    camera = scene.camera
    view = mi.ScalarTransform4f().look_at(origin=camera.at, target=camera.look_at, up=[0, 0, 1])
    film = {
        "type": "hdrfilm",
        "width": SIZE_PX,
        "height": SIZE_PX,
        "pixel_format": "rgb",
        "component_format": "float32",
        "rfilter": {"type": "box"},
    }
    world: dict[str, Any] = {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": MAX_DEPTH, "hide_emitters": True, "block_size": 32},
        "sensor": {
            "type": "perspective",
            "fov": camera.fov,
            "to_world": view,
            "film": film,
            "sampler": {"type": "multijitter", "sample_count": SAMPLES_PER_PIXEL},
        },
        "light": mitsuba_light(light),
        "ambient": {"type": "constant", "radiance": {"type": "rgb", "value": scene.ambient}},
    }
    for number, shape in enumerate(scene.shapes):
        world[f"shape {number}"] = mitsuba_shape(shape, bsdfs[shape.material])
    return np.array(mi.render(mi.load_dict(world), seed=seed), dtype=np.float64)


# ---------------------------------------------------------------- faults


def as_it_is(target: Array, _source: Array) -> Array:
    """For faults that come from another light or from the file format."""
    return target


def half_a_stop_darker(target: Array, _source: Array) -> Array:
    return target * 2**-0.5


def warm_cast(target: Array, _source: Array) -> Array:
    return target * np.array([1.12, 1.0, 0.80])


def baked_in_input_shadow(target: Array, source: Array) -> Array:
    """Where the input is much darker than the target, some of its darkness stays: a ghost of its shadows."""
    ratio = blurred(luminance(source)[..., None], 1.0) / np.maximum(blurred(luminance(target)[..., None], 1.0), 1e-6)
    ghost = np.clip(ratio / 0.5, 0, 1)  # 1 where the input is at least half as bright
    return target * (0.45 + 0.55 * ghost)


def blurry(target: Array, _source: Array) -> Array:
    return linear_from_srgb(blurred(srgb_from_linear(target), 1.2))


def over_smoothed(target: Array, _source: Array) -> Array:
    """Edges stay, texture goes: a bilateral filter on sRGB values."""
    return linear_from_srgb(bilateral(srgb_from_linear(target), radius=5, sigma_px=3.0, sigma_value=0.12))


def blurred(image: Array, sigma_px: float) -> Array:
    """Gaussian blur of (H, W, C), edges mirrored."""
    radius = math.ceil(3 * sigma_px)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padding = [(radius, radius) if axis == other else (0, 0) for other in range(3)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(image, padding, mode="reflect"), len(kernel), axis)
        image = windows @ kernel
    return image


def bilateral(image: Array, *, radius: int, sigma_px: float, sigma_value: float) -> Array:
    """Bilateral filter of (H, W, 3) (Tomasi and Manduchi 1998); distances of values are between RGB triples."""
    height, width, _ = image.shape
    padded = np.pad(image, [(radius, radius), (radius, radius), (0, 0)], mode="reflect")
    total, weights = np.zeros_like(image), np.zeros((height, width, 1))
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            moved = padded[radius + dy : radius + dy + height, radius + dx : radius + dx + width]
            apart = ((moved - image) ** 2).sum(axis=-1, keepdims=True)
            weight = np.exp(-(dx * dx + dy * dy) / (2 * sigma_px**2) - apart / (2 * sigma_value**2))
            total += weight * moved
            weights += weight
    return total / weights


def colours_matched(source: Array, target: Array) -> Array:
    """The early checkpoint: mean and standard deviation of each channel as the target's, in sRGB values."""
    given, wanted = srgb_from_linear(source), srgb_from_linear(target)
    gain = wanted.std(axis=(0, 1)) / given.std(axis=(0, 1))
    matched = (given - given.mean(axis=(0, 1))) * gain + wanted.mean(axis=(0, 1))
    return linear_from_srgb(np.clip(matched, 0, 1))


# ---------------------------------------------------------------- the scenes

SCENES = (
    Scene(
        "01_chess",
        (
            floor("chess floor"),
            turned(PAWN, (-1.0, -1.0), 1.7, "ivory"),
            turned(PAWN, (1.0, 1.0), 1.7, "ebony"),
            turned(PAWN, (1.0, -1.0), 1.7, "ivory"),
            turned(PAWN, (-3.0, 1.0), 1.7, "ebony"),
            turned(PAWN, (-1.0, 3.0), 1.7, "ebony"),
            turned(PAWN, (3.0, 3.0), 1.7, "ivory"),
        ),
        input=Light("W", 6500),
        target=Light("NE", 3500, strength=1.8),
        fault=Fault(half_a_stop_darker),
    ),
    Scene(
        "02_bricks",
        (
            floor("cobble floor"),
            wall((0, 2.2), 12, 6, "brick wall"),
            box((-2.1, 1.6), (0.9, 0.9, 2.0), "brick pier"),
            box((-2.1, 1.6), (1.1, 1.1, 0.2), "stone", z=2.0),
            ball((-2.1, 1.6), 0.4, "plaster", z=2.2),
            box((0.4, 0.3), (1.1, 1.1, 1.1), "crate", turn=25),
            box((1.7, 0.9), (1.1, 1.1, 1.1), "crate", turn=-10),
            box((1.1, 0.7), (0.9, 0.9, 0.9), "crate", z=1.1, turn=5),
            turned(VASE, (-0.7, -0.9), 1.2, "clay"),
        ),
        input=Light("SE", 4500),
        target=Light("W", 5500),
        fault=Fault(warm_cast),
    ),
    Scene(
        "03_columns",
        (
            floor("marble floor"),
            *(turned(COLUMN, (x, 2.4), 2.5, "plaster") for x in (-2.7, -0.9, 0.9, 2.7)),
            box((0, 2.4), (6.4, 0.9, 0.35), "plaster", z=2.5),
            box((-1.7, -0.6), (1.0, 1.0, 0.6), "clay", turn=15),
            ball((-1.7, -0.6), 0.45, "gold", z=0.6),
            turned(VASE, (1.4, -0.7), 1.3, "glaze"),
        ),
        input=Light("SE", 5500, strength=1.6),
        target=Light("NW", 4500, elevation=55, strength=1.6),
        fault=Fault(as_it_is, light={"radius_m": 1.1}),
    ),
    Scene(
        "04_table",
        (
            floor("oak table"),
            turned(CUP, (-1.5, 0.5), 1.1, "white"),
            turned(CUP, (1.7, 1.4), 1.1, "glaze"),
            turned(VASE, (0.2, 1.5), 2.0, "clay"),
            ball((0.5, -0.8), 0.45, "red"),
            ball((1.5, -0.4), 0.42, "green"),
            ball((-0.9, -1.3), 0.40, "yellow"),
        ),
        input=Light("E", 3500),
        target=Light("NW", 6500),
        fault=Fault(baked_in_input_shadow),
    ),
    Scene(
        "05_village",
        (
            floor("grass"),
            *house((-1.5, 0.6), (2.0, 1.5, 1.1), "plaster", turn=15),
            *house((1.3, 1.8), (1.9, 1.5, 1.2), "white", turn=-60),
            *house((1.2, -1.2), (1.5, 1.2, 0.9), "ochre", turn=80),
            turned(CONE, (-0.1, 2.6), 1.9, "fir"),
            turned(CONE, (-2.9, 2.2), 1.6, "fir"),
            turned(CONE, (2.7, 0.2), 1.5, "fir"),
            turned(CONE, (-0.7, -1.9), 1.2, "fir"),
            turned(CONE, (-2.6, -1.2), 1.4, "fir"),
        ),
        input=Light("NE", 6500),
        target=Light("SW", 3500),
        fault=Fault(blurry),
    ),
    Scene(
        "06_stairs",
        (
            floor("tile floor"),
            *(box((-1.0, 0.4 + 0.7 * k), (3.0, 0.72, 0.45 * (k + 1)), "plaster") for k in range(5)),
            box((0.75, 1.8), (0.5, 3.6, 1.6), "clay"),
            ball((-0.4, 0.4), 0.28, "red", z=0.45),
            ball((-1.9, 1.8), 0.3, "yellow", z=1.35),
            ball((0.6, -1.3), 0.55, "steel"),
            turned(PAWN, (2.2, -0.2), 1.4, "ivory"),
        ),
        input=Light("SW", 2500),
        target=Light("E", 5500),
        fault=Fault(as_it_is, jpeg_quality=18),
    ),
    Scene(
        "07_parlour",
        (
            floor("plank floor"),
            wall((0, 2.6), 14, 6, "wallpaper"),
            box((0, 2.55), (14, 0.1, 0.3), "oak"),
            box((-1.1, 2.55), (1.7, 0.1, 1.2), "oak", z=1.4),
            box((-1.1, 2.50), (1.4, 0.1, 0.9), "sage", z=1.55),
            box((1.3, 1.6), (1.6, 1.0, 1.1), "oak", turn=-8),
            turned(VASE, (1.0, 1.6), 0.9, "blue", z=1.1),
            ball((1.7, 1.5), 0.28, "copper", z=1.1),
            turned(CUP, (-1.7, 0.9), 1.0, "white"),
            ball((-0.2, -0.7), 0.5, "yellow"),
        ),
        input=Light("SW", 4500),
        target=Light("E", 2500),
        fault=Fault(over_smoothed),
    ),
    Scene(
        "08_desert",
        (
            floor("sand"),
            rock((-1.6, 0.7), (1.5, 1.2, 1.8), seed=1),
            rock((1.0, 1.9), (2.2, 1.5, 2.8), seed=2),
            rock((2.0, -0.5), (0.9, 1.1, 0.9), seed=3),
            rock((-0.4, -1.4), (0.7, 0.6, 0.5), seed=4),
            rock((-3.0, 2.8), (1.4, 1.4, 1.6), seed=5),
            turned(CACTUS, (-0.3, 0.5), 1.8, "cactus"),
            turned(CACTUS, (0.05, 0.3), 1.1, "cactus"),
            turned(CACTUS, (-0.55, 0.2), 0.7, "cactus"),
        ),
        input=Light("N", 4500),
        target=Light("SE", 6500, elevation=35),
        fault=Fault(as_it_is, light={"turned": 8.0}),
    ),
)


# ---------------------------------------------------------------- files


def save(linear: Array, folder: Path, stem: str, *, jpeg_quality: int | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.round(srgb_from_linear(linear) * 255).astype(np.uint8))
    if jpeg_quality is None:
        image.save(folder / f"{stem}.png", optimize=True)
    else:
        image.save(folder / f"{stem}.jpg", quality=jpeg_quality)


def make(scene: Scene, output: Path, bsdfs: dict[str, Bsdf]) -> None:
    """The four images of a scene. Each rendering has a seed of its own: no two share their noise."""
    source = render(scene, scene.input, seed=1, bsdfs=bsdfs)
    target = render(scene, scene.target, seed=2, bsdfs=bsdfs)
    base = target
    if scene.fault.light:
        base = render(scene, replace(scene.target, **scene.fault.light), seed=3, bsdfs=bsdfs)
    save(source, output / "input", scene.name)
    save(target, output / "target", scene.name)
    prediction = scene.fault.change(base, source)
    save(prediction, output / "prediction", scene.name, jpeg_quality=scene.fault.jpeg_quality)
    save(colours_matched(source, target), output / "prediction_early", scene.name)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the sample images.")
    parser.add_argument("--only", metavar="NAME", default="", help="only scenes whose name begins like this, as 01")
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=Path(__file__).parent, help="default: beside this file"
    )
    arguments = parser.parse_args()
    scenes = [scene for scene in SCENES if scene.name.startswith(arguments.only)]
    if not scenes:
        parser.error(f"no scene begins with {arguments.only!r}; there are {', '.join(s.name for s in SCENES)}")
    bsdfs = materials()
    for scene in scenes:
        print(scene.name, flush=True)
        make(scene, arguments.output, bsdfs)


if __name__ == "__main__":
    main()
