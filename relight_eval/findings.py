"""Why an image is wrong, in words: the columns of the diagnosis, held against thresholds.

    mostly a colour cast (+0.1 stops, 6.2° warm; 100 % of the error goes with a gain for each channel)

What is said first is what explains most of the error; the numbers in brackets are the evidence. Thresholds are
parameters, so that saved results can be told again with others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from relight_eval.columns import diagnosis
from relight_eval.errors import UsageError, nearest
from relight_eval.results import Column, Results, Row

Scores = Mapping[str, float]

# What a number must reach, or fall to, before it is called a fault.
THRESHOLDS: Mapping[str, float] = MappingProxyType(
    {
        "exposure": 0.15,  # stops of ev_median
        "colour": 2.0,  # degrees of wb_angle
        "share": 0.2,  # of the error that exposure must explain, and colour of what exposure leaves
        "baked": 0.15,  # shadow_baked, at least
        "copy": 0.9,  # copy_ratio from which on the input had done as well
        "shadows": 0.12,  # shadow_missed or shadow_extra, at least
        "soft": 0.8,  # shadow_sharpness, at most,
        "overlap": 0.5,  # while shadow_iou is at least this: else they are shadows of something else
        "detail": 0.75,  # detail_edges or detail_texture, at most
        "noise": 1.5,  # detail_texture, at least
        "content": 0.25,  # detail_match, at most
        "blocks": 1.3,  # blockiness, at least
        "local": 0.6,  # local_share, at least
    }
)


NOTHING = "nothing stands out"
FLAT = 0.02  # of the contrast of edges
NEEDED = {column.name for column in diagnosis() if not column.optional}
LEAST_STOPS = next(column.low for column in diagnosis() if column.name == "ev_error")  # of a black prediction


@dataclass(frozen=True)
class Finding:
    """What is wrong with an image: its kind, one or two words for lists and filters, and the kind with its evidence."""

    kind: str
    words: str


def findings(results: Results) -> dict[str, tuple[Finding, ...]]:
    """Of every image that has a diagnosis, what is wrong with it, the main thing first; () where nothing stands out.

    The thresholds are `THRESHOLDS`, but for those that the results have of their own.
    """
    return dict(each(results, diagnosed(results)))


def each(results: Results, rows: Iterable[Row]) -> Iterator[tuple[str, tuple[Finding, ...]]]:
    """The same one by one, of these rows: of a million, all at once are more than their scores."""
    thresholds = {**THRESHOLDS, **results.thresholds}
    return ((row.name, tuple(found(row.scores.as_dict(), thresholds))) for row in rows)


def diagnosed(results: Results) -> list[Row]:
    """The rows that have a diagnosis."""
    return list(filter(is_diagnosed, results.rows))


def is_diagnosed(row: Row) -> bool:
    return row.scores.keys() >= NEEDED


def told(found: Iterable[Finding]) -> str:
    """Findings in one line: `mostly blurry (…); also too dark (…)`."""
    words = [finding.words for finding in found]
    if not words:
        return NOTHING
    return f"mostly {words[0]}" + (f"; also {'; '.join(words[1:])}" if words[1:] else "")


def counts(found: Mapping[str, Sequence[Finding]]) -> Counter[str]:
    """How many images are mostly wrong in each way, the most frequent first; "nothing stands out" last."""
    return tally(found.items())


def tally(found: Iterable[tuple[str, Sequence[Finding]]]) -> Counter[str]:
    """The same of images one by one."""
    kinds = Counter(of_image[0].kind if of_image else NOTHING for _, of_image in found)
    nothing = kinds.pop(NOTHING, 0)
    ordered = Counter(dict(kinds.most_common()))
    if nothing:
        ordered[NOTHING] = nothing
    return ordered


def parse(words: Iterable[str]) -> dict[str, float]:
    """`["colour=3", …]` as thresholds. Raises UsageError for what is none."""
    chosen = {}
    for word in words:
        name, _, number = word.partition("=")
        if name.strip() not in THRESHOLDS:
            raise UsageError(
                f'--threshold "{word}": no finding has the threshold {name!r}; {nearest(name, THRESHOLDS)}'
            )
        try:
            chosen[name.strip()] = float(number)
        except ValueError:
            raise UsageError(f'--threshold "{word}": {number!r} is not a number; write colour=3') from None
        if not 0 <= chosen[name.strip()] < float("inf"):
            raise UsageError(f'--threshold "{word}": a threshold is a number from 0')
    return chosen


def require_told(thresholds: Mapping[str, float], columns: Iterable[Column]) -> None:
    """Raises UsageError for thresholds of findings that a run with these columns does not have."""
    if thresholds and not {column.name for column in columns} >= NEEDED:
        raise UsageError("--threshold is about the findings, which need the metric diagnosis; add it with -m")


def found(scores: Scores, thresholds: Mapping[str, float] = THRESHOLDS) -> list[Finding]:
    """What the diagnosis in these scores says, the main thing first."""
    if scores["ev_error"] <= LEAST_STOPS:
        return [Finding("exposure", "too dark (black)")]  # what else is said of it says nothing
    if other := [*_content(scores, thresholds)]:  # then shadows and detail are those of something else
        every = [*other, *_exposure(scores, thresholds), *_colour(scores, thresholds)]
        return [finding for _, finding in sorted(every, key=lambda weighed: -weighed[0])]
    every = [finding for rule in RULES for finding in rule(scores, thresholds)] or [*_uneven(scores, thresholds)]
    return [finding for _, finding in sorted(every, key=lambda weighed: -weighed[0])]


# Each rule yields what it found, with how much of the error that explains.

Weighed = tuple[float, Finding]


def _content(scores: Scores, least: Mapping[str, float]) -> Iterator[Weighed]:
    match = scores.get("detail_match", 1.0)
    if scores.get("detail_edges", 1.0) <= FLAT and match <= least["content"]:
        yield _rest(scores), Finding("flat", "flat, without any detail")
    elif match <= least["content"]:
        words = f"other content than the target, or moved (its detail correlates with the target's by {match:.2f})"
        yield _rest(scores), Finding("other content", words)


def _exposure(scores: Scores, least: Mapping[str, float]) -> Iterator[Weighed]:
    """Of the whole image: the median must say so, too, for a wrong shadow moves the least-squares gain.

    A target that is all but black has no median.
    """
    stops, share = scores["ev_error"], scores["share_exposure"]
    median = scores.get("ev_median", stops)
    if min(abs(stops), abs(median)) >= least["exposure"] and stops * median > 0 and share >= least["share"]:
        word = "too bright" if stops > 0 else "too dark"
        yield (
            share,
            Finding("exposure", f"{word} ({stops:+.1f} stops; {_percent(share)} of the error goes with one gain)"),
        )


def _colour(scores: Scores, least: Mapping[str, float]) -> Iterator[Weighed]:
    """Of what exposure leaves: under a warm light, a gain of red is for the most part an exposure."""
    angle, exposure, share = scores["wb_angle"], scores["share_exposure"], scores["share_colour"]
    if angle >= least["colour"] and share >= least["share"] * (1 - exposure):
        evidence = f"{scores['ev_error']:+.1f} stops, {angle:.1f}° {_tint(scores)}"
        gone = f"{_percent(exposure + share)} of the error goes with a gain for each channel"
        yield share, Finding("colour cast", f"a colour cast ({evidence}; {gone})")


def _tint(scores: Scores) -> str:
    """What the prediction has too much of, from the gains that would mend it."""
    red, green, blue = (max(scores[f"gain_{name}"], 1e-6) for name in "rgb")
    warm, magenta = (blue / red) ** 0.5, green / (red * blue) ** 0.5
    if max(warm, 1 / warm) >= max(magenta, 1 / magenta):
        return "warm" if warm > 1 else "cool"
    return "magenta" if magenta > 1 else "green"


def _baked(scores: Scores, least: Mapping[str, float]) -> Iterator[Weighed]:
    baked = scores.get("shadow_baked", 0.0)
    if baked >= least["baked"]:
        ratio = scores.get("copy_ratio", 0.0)
        copied = f"; no better than the input, {ratio:.2f} of its error" if ratio >= least["copy"] else ""
        words = f"the input's shadows baked in ({_percent(baked)} of them are still there{copied})"
        yield _rest(scores), Finding("baked shadows", words)


def _shadows(scores: Scores, least: Mapping[str, float]) -> Iterator[Weighed]:
    missed, extra = scores["shadow_missed"], scores["shadow_extra"]
    sharpness = scores.get("shadow_sharpness", 1.0)
    if max(missed, extra) < least["shadows"]:
        return
    if _is_blurry(scores, least) or _has_blocks(scores, least) or _is_noisy(scores, least):  # which move them, too
        return
    evidence = f"{_percent(missed)} of the target's are missing, {_percent(extra)} of its own have no place there"
    if sharpness <= least["soft"] and scores["shadow_iou"] >= least["overlap"]:
        words = f"shadow edges too soft ({_percent(sharpness)} of the target's contrast; {evidence})"
        yield _rest(scores) * 0.95, Finding("soft shadows", words)
    else:
        yield _rest(scores) * 0.9, Finding("shadows", f"shadows in the wrong place ({evidence})")


def _detail(scores: Scores, least: Mapping[str, float]) -> Iterator[Weighed]:
    edges, texture = _details(scores)
    evidence = f"{_percent(edges)} of the contrast of edges, {_percent(texture)} of fine texture"
    if _is_blurry(scores, least):
        yield _rest(scores), Finding("blur", f"blurry ({evidence})")
    elif texture <= least["detail"]:
        yield _rest(scores), Finding("lost texture", f"texture lost ({evidence})")
    elif _is_noisy(scores, least):
        yield _rest(scores), Finding("noise", f"too much fine contrast ({_percent(texture)} of the target's)")


def _details(scores: Scores) -> tuple[float, float]:
    return scores.get("detail_edges", 1.0), scores.get("detail_texture", 1.0)


def _is_blurry(scores: Scores, least: Mapping[str, float]) -> bool:
    """Edges have lost contrast, and not to what is beside them, as where they moved."""
    edges, texture = _details(scores)
    return edges <= least["detail"] and edges * texture <= least["detail"] ** 2


def _is_noisy(scores: Scores, least: Mapping[str, float]) -> bool:
    return _details(scores)[1] >= least["noise"]


def _has_blocks(scores: Scores, least: Mapping[str, float]) -> bool:
    return scores.get("blockiness", 1.0) >= least["blocks"]


def _blocks(scores: Scores, least: Mapping[str, float]) -> Iterator[Weighed]:
    if _has_blocks(scores, least):
        ratio = scores["blockiness"]
        words = f"compression blocks (steps every 8 pixels {ratio:.1f} times the target's)"
        yield _rest(scores), Finding("blocks", words)


def _local(scores: Scores, least: Mapping[str, float]) -> Iterator[Weighed]:
    share = scores["local_share"]
    if share >= least["local"] and "local_x" in scores:
        place = f"near x={scores['local_x']:.0f}, y={scores['local_y']:.0f}"
        yield (
            _rest(scores),
            Finding("local fault", f"a local fault {place} ({_percent(share)} of the error in 1 % of the image)"),
        )


def _uneven(scores: Scores, least: Mapping[str, float]) -> Iterator[Weighed]:
    """Where nothing else is found: the least-squares gain and the median differ when a part of the image is off."""
    apart = scores["ev_error"] - scores.get("ev_median", scores["ev_error"])
    if abs(apart) >= least["exposure"]:
        word = "too bright" if apart > 0 else "too dark"
        evidence = f"{scores['ev_error']:+.1f} stops by least squares, {scores['ev_median']:+.1f} in the median"
        yield _rest(scores), Finding("uneven light", f"uneven light, a part is {word} ({evidence})")


def _rest(scores: Scores) -> float:
    """What neither exposure nor colour explains."""
    return scores["share_rest"]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


RULES: tuple[Callable[[Scores, Mapping[str, float]], Iterator[Weighed]], ...] = (
    _local, _blocks, _baked, _exposure, _colour, _detail, _shadows,
)  # fmt: skip
