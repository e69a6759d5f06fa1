"""The pages as text: nothing in them is markup that should not be, and nothing asks for anything from anywhere."""

from __future__ import annotations

import base64
import json
import math
import os
import re
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes, urljoin

import pytest

from relight_eval.comparison import Comparison, compare
from relight_eval.findings import Finding
from relight_eval.gallery import Gallery, Picture
from relight_eval.groups import Grouping
from relight_eval.reports import html
from relight_eval.reports.page import data
from relight_eval.reports.page.data import plain
from relight_eval.results import Results, Row
from tests.browser.reports import ODD_NAMES, many_results, odd_results
from tests.runs import COLUMNS, ROWS, VERDICTS, run

MOST_BYTES = 900_000  # of a page without pictures


class Parsed(HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        inside = self.get_starttag_text() or ""
        (self.scripts if inside.startswith("<script") and data.strip() else self.words).append(data)

    @property
    def policy(self) -> str:
        return next(
            attributes["content"] or "" for _, attributes in self.tags if attributes.get("http-equiv") is not None
        )

    @property
    def data(self) -> dict:  # type: ignore[type-arg]
        return dict(json.loads(self.scripts[0]))


def runs() -> dict[str, Results]:
    worse = tuple(replace(row, scores={name: score / 2 for name, score in row.scores.items()}) for row in ROWS)
    rows = [tuple(row for row in of if row.status == "ok") for of in (ROWS, worse)]
    return {"a": run(rows[0]), "b</script>": replace(run(rows[1]), prediction="later/")}


def pages() -> dict[str, str]:
    grouped = replace(run(verdicts=VERDICTS), grouping=Grouping("(?P<first>.)"))
    return {
        "run": html.render(grouped),
        "odd": html.render(odd_results(Path("/odd"))),
        "comparison": html.render_comparison(compare(runs())),
        "steps": html.render_comparison(
            compare({f"step_{i}": one for i, one in enumerate([*runs().values(), run(runs()["a"].rows)])}, step=r"(\d)")
        ),
    }


@pytest.mark.parametrize("name", ["run", "odd", "comparison", "steps"])
def test_one_file_that_asks_for_nothing(name: str) -> None:
    text = pages()[name]
    page = Parsed(text)
    loading = {"src", "srcset", "action", "data", "poster", "background"}
    assert not [(tag, of) for tag, of in page.tags if loading & of.keys()]
    assert {tag for tag, of in page.tags} & {"iframe", "object", "embed", "base", "form", "img"} == set()
    assert all((of["href"] or "").startswith("data:") for tag, of in page.tags if tag == "link")
    assert not re.search(r"url\(|@import", text), "styles load nothing"
    named = set(re.findall(r"https?://[\w./-]+", text))
    assert named <= {"http://www.w3.org/2000/svg", "https://github.com/leeoniya/uPlot"}, "names, not addresses"


@pytest.mark.parametrize("name", ["run", "comparison"])
def test_only_its_own_script_may_run(name: str) -> None:
    page = Parsed(pages()[name])
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert [attributes.get("type") for attributes in scripts] == ["application/json", None]
    digest = base64.b64encode(sha256(page.scripts[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.policy
    assert page.policy.startswith("default-src 'none';")
    assert "connect-src 'none'" in page.policy
    assert "unsafe-eval" not in page.policy
    assert not [of for _, of in page.tags if any(key.startswith("on") for key in of)], "no handlers in attributes"


def test_scripts_never_write_markup() -> None:
    own = "".join((html.PAGE / name).read_text() for name in (*html.SCRIPTS, "page.js", "comparison.js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", own)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_are_never_markup(name: str) -> None:
    row = Row(name, f"{name}.png", f"{name}.png", 9, 9, {"psnr": 20.0}, note=name, mistakes=(name,), error=name)
    ours = Results(name, name, COLUMNS, (row,), {name: name}, warnings=(name,), verdicts=VERDICTS[:1])
    page, harmless = Parsed(html.render(ours)), Parsed(html.render(run(ROWS[:1], verdicts=VERDICTS[:1])))
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in harmless.tags}
    assert page.data["names"] == [plain(name)]
    assert plain(name) in "".join(page.words), "as it is"


def test_the_data_is_ascii_without_markup() -> None:
    text = data.dumped({"</script><!--": ["\u2028", "🌅", "'\"&"]})
    assert text.isascii()
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"</script><!--": ["\u2028", "🌅", "'\"&"]}


def test_a_page_is_utf_8() -> None:
    """Also where a name is not: what cannot be written is spelled out."""
    html.render(odd_results(Path("/odd"))).encode("utf-8")


# Links


@pytest.mark.parametrize("name", [*ODD_NAMES, "a:b", "-", "..", "ü", " space "])
def test_links_lead_to_the_files_from_where_the_page_is(tmp_path: Path, name: str) -> None:
    path = tmp_path / "out" / f"{name}.png"
    link = data.link(str(path), tmp_path / "reports" / "page.html")
    assert link.isascii()
    assert link.startswith("../out/")
    found = unquote_to_bytes(urljoin((tmp_path / "reports" / "page.html").as_uri(), link).removeprefix("file://"))
    assert found == os.fsencode(path)


def test_links_are_absolute_where_the_page_has_no_place() -> None:
    assert data.link("/out/a b.png", None) == "file:///out/a%20b.png"


@pytest.mark.parametrize(
    "path", [r"\\evil.example\x.png", "//evil.example/x.png", r"\/evil.example/x.png", r"/\evil.example\x.png", "//"]
)
@pytest.mark.parametrize("place", [None, Path("/out/page.html")])
def test_what_names_another_machine_is_not_linked(path: str, place: Path | None) -> None:
    assert data.link(path, place) is None
    row = Row("a", path, path, 9, 9, {"psnr": 20.0}, input=path, mask=path)
    given = Parsed(html.render(run([row]), place=place)).data
    assert [side["links"] for side in (*given["sides"], given["masks"])] == [[None]] * 4
    assert "evil" not in json.dumps(given)


def test_links_are_written_once_as_far_as_they_are_alike() -> None:
    found = data.links(["/out/x/a.png", "", "/out/x/b.png"], Path("/out/page.html"))
    assert found == {"base": "x/", "links": ["a.png", None, "b.png"]}


@pytest.mark.parametrize(
    "path", ["s3://bucket/out/a.png", "https://host/a.png", "tar://day/a.png::/out/day.tar", "file:///etc/a.png"]
)
@pytest.mark.parametrize("place", [None, Path("/out/page.html")])
def test_an_address_is_named_and_not_linked(path: str, place: Path | None) -> None:
    row = Row("a", path, "/gt/a.png", 9, 9, {"psnr": 20.0})
    prediction, target = Parsed(html.render(run([row]), place=place)).data["sides"]
    assert (prediction["links"], prediction["addresses"]) == ([None], {"base": path, "links": [""]})
    assert target["links"] == [""]
    assert "addresses" not in target


# What is in it


def test_tells_what_was_found() -> None:
    text = html.render(run(verdicts=VERDICTS))
    page = Parsed(text)
    words = re.sub(r"\s+", " ", "".join(page.words))
    assert "<title>6 of 9 rules failed, 4 pairs – relight-eval</title>".replace("6 of 9", f"{_failed()} of 9") in text
    assert "vgg19 was left out" in words
    assert "each ssim: 1 of 2 images < 0.75001 (worst 0.75, by 1e-05)" in words
    assert "seams show below 0.75" in words
    assert "relight-eval:0.1.0|charbonnier:eps=0.001|device:cpu" in words
    assert "1 infinite (identical images), not in the mean" in words
    assert "vgg19 ↓ no image has this score" in words


def _failed() -> int:
    return sum(verdict.outcome == "fail" for verdict in VERDICTS)


@pytest.mark.parametrize(
    ("outcomes", "colour"),
    [((), "7a828e"), (("pass",), "1a7f43"), (("pass", "warn"), "b57b00"), (("warn", "fail", "pass"), "c0322b")],
)
def test_the_icon_has_the_colour_of_the_verdicts(outcomes: tuple[str, ...], colour: str) -> None:
    verdicts = tuple(next(verdict for verdict in VERDICTS if verdict.outcome == outcome) for outcome in outcomes)
    icon = next(of["href"] or "" for tag, of in Parsed(html.render(run(verdicts=verdicts))).tags if tag == "link")
    assert colour in icon


def test_the_data_has_every_row_the_worst_first() -> None:
    given = Parsed(html.render(run(verdicts=VERDICTS))).data
    assert given["names"] == ["a", "b10", "broken", "extra", "gone", "small"]
    assert given["status"] == "001321"
    assert given["scores"][1] == [21.5, "Infinity", None, None, None, 33]
    assert given["order"][0] == 0
    assert sorted(given["order"]) == [0, 1, 2, 3, 4, 5]
    assert given["errors"]["2"] == "out/broken.png: truncated"
    assert given["rules"][5]["rows"] == [5]


def test_a_rule_about_groups_blames_the_images_of_the_groups() -> None:
    grouped = replace(
        run(verdicts=(replace(VERDICTS[6], unit="first", failing=("b",)),)), grouping=Grouping("(?P<first>.)")
    )
    assert Parsed(html.render(grouped)).data["rules"][0]["rows"] == [1, 2]


def test_findings_are_those_of_the_diagnosis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "findings", lambda _: {"a": (Finding("blur", "blurry (0.6)"), Finding("noise", "noisy"))})
    given = Parsed(html.render(run())).data
    assert given["kinds"] == ["blur", "noise"]
    assert given["findings"] == {"0": [[0, "blurry (0.6)"], [1, "noisy"]]}


def test_pictures_are_embedded_by_row_and_side() -> None:
    picture = Picture(target=b"T", predictions={"": b"P"}, input=b"I", maps={"": {"error": b"M", "ssim": b"S"}})
    thumbnails = {"a": Picture(target=b"t", predictions={"": b"p"})}
    gallery = Gallery({"b10": picture}, thumbnails, {"error": (0.0, 0.25)}, {"error": "<b>how</b>"})
    page = Parsed(html.render(run(), gallery))
    embedded = [of["id"] for tag, of in page.tags if tag == "script" and of.get("type") == "text/plain"]
    assert embedded == ["s0-t", "s0-r0", "p1-t", "p1-i", "p1-r0", "p1-r0-m0", "p1-r0-m1"]
    assert [base64.b64decode(script) for script in page.scripts[2:]] == [b"t", b"p", b"T", b"I", b"P", b"M", b"S"]
    assert page.data["maps"][0] == {"name": "error", "low": 0.0, "high": 0.25, "meaning": "<b>how</b>"}


def test_a_run_may_be_called_target() -> None:
    before, after = runs().values()
    thumbnails = {"a": Picture(target=b"t", predictions={"other": b"o", "target": b"p"})}
    text = html.render_comparison(compare({"other": before, "target": after}), Gallery(thumbnails=thumbnails))
    assert re.findall(r'id="(s[^"]+)">(\w+)=*<', text) == [("s0-t", "dA"), ("s0-r0", "bw"), ("s0-r1", "cA")]


def test_links_to_images_that_are_shown_alike_have_their_row() -> None:
    rows = [Row(name, scores={"psnr": score}) for name, score in (("a\x01", 30.0), ("a\x02", 20.0), ("b", 40.0))]
    hrefs = [of["href"] for tag, of in Parsed(html.render(run(rows))).tags if tag == "a"]
    assert hrefs == ["#open=a%EF%BF%BD&row=1"]
    assert data.addresses(rows)[2] == "#open=b"


def test_groups_that_are_shown_alike_are_one_to_filter_by() -> None:
    rows = [Row(f"{name}_", scores={"psnr": 20.0}) for name in ("a\x01", "b", "a\x02")]
    grouped = replace(run(rows), grouping=Grouping(r"(?P<scene>[^_]+)_"))
    (group,) = Parsed(html.render(grouped)).data["groups"]
    assert group == {"name": "scene", "values": ["a\N{REPLACEMENT CHARACTER}", "b"], "of": [0, 1, 0]}


def test_floors_stand_beside_the_run() -> None:
    floors = {"input": {"ssim": 0.5, "charbonnier": 0.4}}
    text = html.render(run(tuple(replace(row, floors=floors) if row.scores else row for row in ROWS)))
    assert "Against trivial predictions" in text
    assert "better on 100 %" in text


# A comparison


def test_a_comparison_has_changes_for_columns() -> None:
    given = Parsed(html.render_comparison(compare(runs()))).data
    assert [column["name"] for column in given["columns"]][:2] == ["charbonnier@1", "psnr@1"]
    assert given["runs"] == ["a", "b</script>"]
    assert given["scores"][1] == [-10.75, 0]
    assert given["absolute"]["psnr"] == [[21.5, "Infinity"], [10.75, "Infinity"]]
    assert given["moves"] == [{"run": 1, "better": [0, 1], "worse": []}]
    assert [side["label"] for side in given["sides"]] == ["target", "a", "b</script>"]


@pytest.mark.parametrize("best", ["a", "b</script>"])
def test_the_best_mean_is_that_of_the_comparison(monkeypatch: pytest.MonkeyPatch, best: str) -> None:
    monkeypatch.setattr(Comparison, "best", lambda self, column: {best})
    table = html.render_comparison(compare(runs())).split("<h2>Means</h2>")[1].split("</table>")[0]
    bold = [[cell.startswith("<b>") for cell in line.split("<td>")[1:]] for line in table.split("<tr")[2:]]
    assert bold == [[label == best for label in runs()]] * 3


def test_a_comparison_says_what_it_means() -> None:
    words = "".join(Parsed(html.render_comparison(compare(runs()))).words)
    assert "2 images are too few to tell" in words
    assert "2 / 0 / 0" in words


# Size


def test_small() -> None:
    sizes = {name: len(text.encode()) for name, text in pages().items()}
    assert max(sizes.values()) < 250_000


def test_ten_thousand_rows_take_little_room() -> None:
    text = html.render(many_results(10_000), place=Path("/none/page.html"))
    assert len(text) < 2_000_000
    assert math.isfinite(Parsed(text).data["scores"][0][0])
