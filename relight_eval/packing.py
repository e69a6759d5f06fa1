"""Values of which there may be a million: what many of them have in common is there once.

Of a dataclass that derives from `Small` each object has slots only for what is its own. What is not, or is its own but
can be kept in less memory, is set and read through descriptors (dataclasses knows them: descriptor-typed fields).

    @dataclass(frozen=True, eq=False)
    class Row(Small):
        __slots__ = ("_scores", "name")
        name: str  # set before what is Named
        target: Named = Named("")
        scores: Scores = Scores(NOTHING)
        note: Common[str] = Common("")

Of Row("scene/a", "gt/scene/a.png", {"psnr": 20.0, "ssim": 0.5}) there is

    name     "scene/a"
    _scores  the bytes of 20.0 and 0.5, and where in them "psnr" and "ssim" are: once for all scores of these two
    _common  (("target", ("gt/", ".png")),), once for all rows of which that is true
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from functools import lru_cache
from operator import attrgetter
from struct import Struct, pack, unpack
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

T = TypeVar("T")
SHA256 = 32  # bytes
SIDES = {side[0]: side for side in ("prediction", "target", "input", "mask")}
NUMBER = Struct("<d")


class Numbers(Mapping[str, float]):
    """Numbers by name, as an immutable dict of floats has them, in a fourth of its memory."""

    __slots__ = ("_places", "_values")

    def __init__(self, numbers: Mapping[str, float]) -> None:
        self._places = _places(tuple(numbers))
        self._values = pack(f"<{len(numbers)}d", *numbers.values())

    def as_dict(self) -> dict[str, float]:
        """The same as a dict, which is the faster where all of them are wanted."""
        return dict(zip(self._places, unpack(f"<{len(self._places)}d", self._values), strict=True))

    def __getitem__(self, name: str) -> float:
        return NUMBER.unpack_from(self._values, self._places[name])[0]  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    # (What a Mapping makes of these three is slow.)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def keys(self) -> KeysView[str]:
        return self._places.keys()

    def values(self) -> ValuesView[float]:
        return self.as_dict().values()

    def items(self) -> ItemsView[str, float]:
        return self.as_dict().items()

    def __hash__(self) -> int:
        return hash(frozenset(self.items()))

    def __repr__(self) -> str:
        return repr(self.as_dict())

    def __getstate__(self) -> tuple[dict[str, int], bytes]:
        return self._places, self._values

    def __setstate__(self, state: tuple[dict[str, int], bytes]) -> None:
        places, self._values = state
        self._places = _places(tuple(places))


@lru_cache(2**10)
def _places(names: tuple[str, ...]) -> dict[str, int]:
    """At which byte the number of each name begins."""
    return {name: NUMBER.size * place for place, name in enumerate(names)}


NOTHING: Mapping[str, Any] = Numbers({})  # (unlike {}, a default that dataclasses take)


class Small:
    """What has such fields. Equal, hashed and pickled by what is kept."""

    __slots__: tuple[str, ...] = ("_common",)
    _common: tuple[tuple[str, Any], ...]  # of each `Common` field that is not its default: its name, and what is kept
    _kept: ClassVar[Callable[[Any], tuple[Any, ...]]]  # what stands in the slots

    def __init_subclass__(cls) -> None:
        cls._kept = attrgetter("_common", *cls.__slots__)

    def __new__(cls, *_: Any, **__: Any) -> Self:
        one = super().__new__(cls)
        object.__setattr__(one, "_common", ())
        return one

    def __getstate__(self) -> tuple[Any, ...]:
        return type(self)._kept(self)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        common, *own = state
        object.__setattr__(self, "_common", shared(tuple(map(shared, common))))
        for slot, value in zip(self.__slots__, own, strict=True):
            object.__setattr__(self, slot, value)

    def __eq__(self, other: object) -> bool:
        return self.__getstate__() == other.__getstate__() if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.__getstate__())


def shared(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """This tuple, or an equal one that others have already."""
    try:
        return _shared(parts)
    except TypeError:  # of what cannot be hashed there are few
        return parts


@lru_cache(2**15)
def _shared(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    return parts


def share_name(one: Any, other: Any) -> None:
    """Of two that have equal names, `one` gets that of the other: the same, once."""
    assert one.name == other.name
    object.__setattr__(one, "name", other.name)


class Packed(Generic[T]):
    """A field of which less is kept than it is set to: what `packed` makes of it, in the slot `_` and its name."""

    def __init__(self, *default: T) -> None:
        self.default = default  # none, or one

    def __set_name__(self, owner: type, name: str) -> None:
        self.name, self.slot = name, f"_{name}"

    @overload
    def __get__(self, one: None, owner: type) -> T: ...
    @overload
    def __get__(self, one: object, owner: type) -> T: ...
    def __get__(self, one: Any, owner: type) -> T:
        if one is not None:
            return self.unpacked(one, getattr(one, self.slot))
        if not self.default:
            raise AttributeError(self.name)  # tells dataclasses that it has no default
        return self.default[0]

    def __set__(self, one: Any, value: T) -> None:
        object.__setattr__(one, self.slot, self.packed(one, value))

    def packed(self, one: Any, value: T) -> Any:
        return value

    def unpacked(self, one: Any, kept: Any) -> T:
        return kept  # type: ignore[no-any-return]


class Scores(Packed[Numbers]):
    """Numbers by name."""

    def __set__(self, one: Any, value: Mapping[str, float]) -> None:
        super().__set__(one, value if isinstance(value, Numbers) else Numbers(value))


class Hashes(Packed[Mapping[str, str]]):
    """SHA-256 in hexadecimal by side: kept are their bytes, and behind them the initials of the sides.

    (Anything else, of a file that was edited by hand, is kept as it is.)
    """

    def packed(self, one: Any, value: Mapping[str, str]) -> bytes | Mapping[str, str]:
        try:
            kept = b"".join(map(bytes.fromhex, value.values())) + "".join(side[:1] for side in value).encode()
        except ValueError:
            return value
        return kept if self._told(kept) == dict(value) else value

    def unpacked(self, one: Any, kept: bytes | Mapping[str, str]) -> Mapping[str, str]:
        return self._told(kept) if isinstance(kept, bytes) else kept

    def _told(self, kept: bytes) -> dict[str, str]:
        sides = len(kept) // (SHA256 + 1)
        hashes, initials = kept[: sides * SHA256].hex(), kept[sides * SHA256 :].decode("latin-1")
        return {SIDES.get(initial, ""): hashes[64 * i : 64 * i + 64] for i, initial in enumerate(initials)}


class Common(Packed[T]):
    """A field that is the same for many: kept in `_common`, where it is not the default."""

    def __get__(self, one: Any, owner: type) -> T:
        if one is not None:
            for name, kept in one._common:
                if name == self.name:
                    return self.unpacked(one, kept)
        return super().__get__(None, owner)

    def __set__(self, one: Any, value: T) -> None:
        if (value,) != self.default:
            field = shared((self.name, self.packed(one, value)))  # (where the sizes differ, the paths do not)
            object.__setattr__(one, "_common", shared((*one._common, field)))


class Named(Common[str]):
    """A text that has the `name` of what it is of in it, as its path has: what stands around that is common."""

    def packed(self, one: Any, value: str) -> tuple[str, ...]:
        return around(value, one.name)

    def unpacked(self, one: Any, kept: tuple[str, ...]) -> str:
        name: str = one.name
        return name.join(kept)


def around(text: str, name: str) -> tuple[str, ...]:
    """What stands before and behind the name in a text; all of it where the name is not in it."""
    before, found, behind = text.rpartition(name) if name else ("", "", text)
    return (before, behind) if found else (text,)
