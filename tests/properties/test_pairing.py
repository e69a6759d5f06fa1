"""Pairing: every file is in exactly one place, whatever it is called and in whatever order it was made."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from relight_eval.errors import PairingError
from relight_eval.pairs import Pairing, find

OFTEN = settings(max_examples=10 * settings().max_examples)  # one takes no time

# Whatever a name may hold, but what ends it, hides it, or is a folder; and not so long that no file system has it.
STEMS = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=12
).filter(lambda name: not name.startswith(".") and name.strip(".") != "")
SUFFIXES = st.sampled_from((".png", ".PNG", ".jpg", ".exr", ".txt", ""))
FILES = st.lists(st.builds(str.__add__, STEMS, SUFFIXES), max_size=6, unique=True)


def made(root: Path, side: str, names: Iterable[str]) -> Path:
    folder = root / side
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    return folder


def names(pairing: Pairing) -> tuple[object, ...]:
    return (
        [(pair.name, pair.prediction.name, pair.target.name) for pair in pairing.pairs],
        [(file.name, file.path.name, file.missing) for file in pairing.unpaired],
        pairing.ignored,
    )


@OFTEN
@given(ours=FILES, theirs=FILES, common=STEMS)
def test_every_file_is_in_one_place(ours: list[str], theirs: list[str], common: str) -> None:
    ours, theirs = ({*side, f"{common}.png"} for side in (ours, theirs))
    with tempfile.TemporaryDirectory() as folder:
        try:
            first, second = (
                find(made(Path(folder) / at, "out", order(ours)), made(Path(folder) / at, "gt", order(theirs)))
                for at, order in (("a", sorted), ("b", lambda side: sorted(side, reverse=True)))
            )
        except PairingError as error:
            assume("have one name" not in str(error))
            raise
        assert names(first) == names(second)
        found = [path for pair in first.pairs for path in (pair.prediction, pair.target)]
        found += [file.path for file in first.unpaired]
        assert len(found) == len(set(found))
        assert len(found) + first.ignored == len(ours) + len(theirs)
        assert all(path.exists() for path in found)
        assert all(pair.prediction.stem == pair.target.stem for pair in first.pairs)
