"""The one HTML page: it asks nothing of a network, says what the Markdown pages say, and lets nothing out of its place.

What it does in a browser is in test_html_browser.py.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from statistics import mean, median
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchmarks.board import html
from benchmarks.board.build import check, render, site
from benchmarks.board.collect import EMBEDDED, boards, collect
from benchmarks.board.front import _ends, _verdict, front
from benchmarks.board.pool import Difference
from benchmarks.board.sections import Sources, sections
from benchmarks.board.tables import show_difference, summary
from benchmarks.board.text import MARK
from benchmarks.board.units import unit
from benchmarks.metrics.intervals import Estimate
from benchmarks.records import Record, dump
from tests.make_example_results import IMAGES, RESULTS, example

ROOT = Path(__file__).parents[1]
HOSTILE = "decoder|<script>alert(1)</script>"
VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """Elements as (tag, attributes), the text of each script and style, and whether all that was opened was closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements, self.inner, self.open, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("script", "style"):
            self.inner.append([tag, dict(attrs), ""])

    def handle_startendtag(self, tag, attrs):
        assert tag in VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            self.inner[-1][2] += data
        else:
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def files():
    return site(RESULTS)


@pytest.fixture(scope="module")
def page(files):
    return Page(files[html.PAGE])


@pytest.fixture(scope="module")
def data(page):
    (found,) = [json.loads(text) for tag, attributes, text in page.inner if attributes.get("type") == "application/json"]
    return found


def named(data, tier, dataset, name, precision="float32", protocol=None) -> dict:
    (row,) = [
        row
        for row in data["rows"]
        if row["name"] == name
        and {"tier": tier, "dataset": dataset, "precision": precision}.items() <= data["boards"][row["board"]].items()
        and (protocol is None or data["boards"][row["board"]]["hash"] == protocol)
    ]
    return row


def put(record: Record, path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump(record), encoding="utf-8")


def test_the_page_stands_beside_the_markdown_pages_and_is_the_same_anywhere(files, tmp_path):
    assert {name: text for name, text in files.items() if name != html.PAGE} == render(RESULTS)
    shutil.copytree(RESULTS, tmp_path / "elsewhere")
    assert site(tmp_path / "elsewhere") == files
    assert str(RESULTS) not in files[html.PAGE] and files[html.PAGE].splitlines()[:2] == ["<!doctype html>", MARK]


def test_nothing_on_the_page_asks_for_anything(page):
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") or name in ("style", "srcset", "action") for name in attributes), (tag, attributes)
        assert attributes.get("src", "data:").startswith("data:")
        if "href" in attributes and tag != "a":
            assert attributes["href"] == "data:,"  # the icon that a browser would ask for otherwise
    allowed = {
        "html",
        "head",
        "meta",
        "title",
        "link",
        "style",
        "body",
        "header",
        "nav",
        "main",
        "section",
        "div",
        "form",
        "button",
    }
    allowed |= {"h1", "h2", "h3", "h4", "h5", "h6", "p", "ul", "li", "a", "code", "pre", "em", "strong", "noscript", "blockquote"}
    allowed |= {"details", "summary", "table", "thead", "tbody", "tr", "th", "td", "dialog", "script", "img"}
    assert {tag for tag, _ in page.elements} <= allowed
    style = next(text for tag, _, text in page.inner if tag == "style")
    assert not re.search(r"url\(|@import|@font-face|https?:", style)


def test_the_policy_allows_this_script_and_this_style_alone(page):
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    digest = lambda text: f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"  # noqa: E731
    by_kind = {(tag, attributes.get("type")): text for tag, attributes, text in page.inner}
    assert set(by_kind) == {("style", None), ("script", None), ("script", "application/json")} and len(page.inner) == 3
    assert rules == {
        "default-src": "'none'",
        "script-src": digest(by_kind["script", None]),
        "style-src": digest(by_kind["style", None]),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_the_script_makes_no_markup(page):
    (script,) = [text for tag, attributes, text in page.inner if tag == "script" and not attributes]
    forbidden = "innerHTML|outerHTML|insertAdjacent|document.write|eval|new Function|fetch|XMLHttp|WebSocket|import"
    assert not re.search(rf"\b({forbidden})\b", script)


def test_hostile_names_stay_text(files, page, data):
    assert "<script>alert" not in files[html.PAGE]
    row = named(data, "community", "camo", HOSTILE)
    assert row["method"] == HOSTILE and "".join(page.text).count(HOSTILE) >= 1  # once as data, and on its page as text
    assert any("out of memory | <script>alert(1)</script>" in text for text in page.text)


def test_each_row_says_what_the_markdown_page_says(files, data):
    """Every cell of every table of results is one row's, and no row is left over."""
    cells = {}
    for number, board in enumerate(data["boards"]):
        for row in (r for r in data["rows"] if r["board"] == number):
            control = " (control)" if row["control"] else ""
            shown = [
                row["name"] + control,
                row["score"],
                row["interval"],
                row["seeds"],
                row["versus"],
                row["gap"],
                row["trained"],
            ]
            key = (board["protocol"], board["dataset"], board["tier"], board["hash"][:8], board["precision"], row["name"])
            assert cells.setdefault(key, shown) is shown
    found = 0
    for name, text in files.items():
        if not name.endswith(".md"):
            continue
        tier = None
        for block in re.split(r"^(?=#+ )", text, flags=re.M):
            if match := re.match(r"## (Verified|Community)\n", block):
                tier = match[1].lower()
            if not (match := re.search(r"^Task .*, dataset (\S+), backbone .*Protocol (\S+), version (\w+);", block, re.M)):
                continue
            precision = "bfloat16" if "Precision bfloat16." in block else "float32"
            for line in re.findall(r"^\|(?!-)(.*)\|$", block, re.M)[1:]:
                found += 1
                read = [unescaped(cell.strip()) for cell in line.split("|")]
                assert read == cells[match[2], match[1], tier, match[3], precision, read[0].removesuffix(" (control)")]
    assert found == len(cells) == len(data["rows"]) > 30


def unescaped(cell: str) -> str:
    return re.sub(r"&#(\d+);", lambda m: chr(int(m[1])), cell).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def test_what_stands_behind_a_row_is_in_its_records(data):
    for row in data["rows"]:
        board = data["boards"][row["board"]]
        shown, gains = None, {"search": [], "test": []}
        for run in row["runs"]:
            path = RESULTS / unquote(run["link"]).removeprefix("../results/")
            raw = json.loads(path.read_text(encoding="utf-8"))
            assert run["path"] == f"results/{path.relative_to(RESULTS).as_posix()}" and raw["spec"]["seed"] == run["seed"]
            assert raw["spec"]["method"] == run.get("by", row["name"]) and raw["protocol_hash"] == board["hash"]
            metric = raw["protocol"].get("metric", "miou")
            shown = unit(metric)
            (held,) = [e for e in raw["evaluations"] if e["name"] == row["name"]]
            assert run["value"] == shown.show(sum(held["scores"][metric]) / len(held["scores"][metric]))
            assert ("pairs" in run) == (raw["search"] is not None and raw["spec"]["method"] == row["name"])
            if "pairs" in run:
                assert run["pairs"] == raw["search"]["pairs"] and run["channels"] == raw["search"]["channels"]
                for which in gains:
                    gains[which].append(raw["search"][f"{which}_gain"])
            device = dict(data["environments"][run["environment"]])["device"]
            assert device == raw["environment"]["device"] and any(d.startswith(device) for d in row["devices"])
        for which, values in gains.items():
            assert row[which] == (shown.show(mean(values), True) if values else "")
        assert len(row["runs"]) == int(row["seeds"]) and len({run["seed"] for run in row["runs"]}) == len(row["runs"])
    assert named(data, "verified", "camo-mini", "dora+swap")["commands"] == [
        "python -m benchmarks run --task camo --dataset camo-mini --method dora+swap --protocol mini-v1"
    ]


def test_the_record_of_the_method_itself_goes_first(data):
    row = named(data, "verified", "camo", "base", protocol=example("base", 0).protocol_hash)
    assert all("by" not in run for run in row["runs"]) and row["others"] == 9  # base+swap, dora, dora+swap hold it too
    control = named(data, "verified", "camo", "dora+random-swap")
    assert control["control"] and {run["by"] for run in control["runs"]} == {"dora+swap"}


def test_seconds_are_of_one_device_each(data):
    """Trained for 30 s + seed, searched for 12.5 s + seed; seed 2 ran on another device."""
    row = named(data, "verified", "camo", "dora+swap")
    assert row["times"] == {
        "cpu: two cores, 2 threads": f"{median([42.5, 44.5]):.1f}",
        "gpu: example, 2 threads": "46.5",
    }
    assert named(data, "verified", "camo", "dora")["times"]["cpu: two cores, 2 threads"] == "30.5"
    assert set(named(data, "verified", "camo", "base", protocol=data["boards"][row["board"]]["hash"])["times"].values()) == {
        "0.0"
    }


def test_embedded_boards_are_marked(data):
    assert {b["protocol"]: b["embedded"] for b in data["boards"]} == {"mini-v1": True, "paper-v1": False}
    assert data["words"]["embedded"] == EMBEDDED


@given(
    st.floats(-1, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from(["miou", "mse", "mae", "unknown"]),
    st.integers(1, 3),
)
def test_a_difference_is_read_as_it_is_shown(value, below, above, metric, seeds):
    estimate = Estimate(value, value - below, value + above, 0.5)
    shown = unit(metric)
    text = show_difference(Difference(estimate, tuple(range(seeds))), 3, shown)
    assert _ends(text) == [float(shown.show(x)) for x in (estimate.value, estimate.low, estimate.high)]
    better = "gain" if (value > 0) == shown.higher else "loss"
    assert _verdict(text, shown) == ("tie" if estimate.tie else better if float(shown.show(value)) else "")


def test_a_reason_in_the_place_of_a_difference_is_no_number(data):
    row = named(data, "community", "cod10k", "lora")
    assert row["gap"] == "not paired: base was not evaluated" and row["ends"] is None and row["verdict"] == ""


def test_links_lead_to_something(page, files):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for link in page.all("a"):
        target = link["href"]
        assert target.removeprefix("#") in ids if target.startswith("#") else target.startswith("../"), target
    pages = [f"p-{name.removesuffix('.md').lower()}" for name in files if name.endswith(".md")]
    assert [s for s in ids if s.startswith("p-") and "--" not in s] == pages and "p-mini-v1-camo" in pages
    assert all(cell.get("scope") for cell in page.all("th"))


PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 10


@pytest.mark.parametrize(
    "text, holds",
    [
        ("[x](README.md)", '<a href="#p-readme">x</a>'),
        ("[x](README.md#a-b)", '<a href="#p-readme--a-b">x</a>'),
        ("[x](#here)", '<a href="#p-a--here">x</a>'),
        ("[x](index.html)", '<a href="#table">x</a>'),
        ("[x](../results/y.json)", '<a href="../results/y.json">x</a>'),
        ("[x](https://example.org/)", '<a href="https://example.org/" rel="noopener noreferrer">x</a>'),
        ("[x](//example.org/)", "<p><span>x</span></p>"),
        ("[x](/etc/passwd)", "<p><span>x</span></p>"),
        ("[x](mailto:a@b.c)", "<p><span>x</span></p>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("[x](data:text/html,y)", "[x](data:text/html,y)"),
        ("![x](p.svg)", '<img src="data:image/svg+xml;base64,PHN2Zy8+" alt="x"'),
        ("![x](../datasets/s.png)", f'<img src="data:image/png;base64,{base64.b64encode(PNG).decode()}" alt="x"'),
        ("![a *b* <c>](missing.png)", "<p>a b &lt;c&gt;</p>"),
        ("![x](../../outside.png)", "<p>x</p>"),
        ("![x](../datasets/text.png)", "<p>x</p>"),
        ("![x](https://example.org/y.png)", "<p>x</p>"),
        ("<b onclick=x>y</b> <!-- z -->", "&lt;b onclick=x&gt;y&lt;/b&gt; &lt;!-- z --&gt;"),
        ("|a|b|\n|:-:|--:|\n|1|2|", '<th scope="row" class="center">1</th>'),
        ("|a|b|\n|:-:|--:|\n|1|2|", '<th scope="col" class="right">b</th>'),
        ("|a|b|\n|-|-|\n|`x` \\| *y* &#124;|\n\nz", '<th scope="row"><code>x</code> | <em>y</em> |</th><td></td></tr>'),
        ("|a|b|\n|-|-|\n|[x](README.md)|<b>|", '<th scope="row"><a href="#p-readme">x</a></th><td>&lt;b&gt;</td>'),
        ("|a|b|\n\n|-|", "<p>|a|b|</p>"),
        ("# T\n\n## S\n\n## S", '<h3 id="p-a--s">S</h3>\n<h3 id="p-a--s-1">S</h3>'),
    ],
)
def test_markdown_becomes_safe_html(tmp_path, text, holds):
    (tmp_path / "top" / "datasets").mkdir(parents=True)
    (tmp_path / "top" / "leaderboard").mkdir()
    (tmp_path / "top" / "datasets" / "s.png").write_bytes(PNG)
    (tmp_path / "top" / "datasets" / "text.png").write_bytes(b"root:x:0")
    (tmp_path / "outside.png").write_bytes(PNG)
    pages = {"README.md": f"{MARK}\n\n# Index\n", "a.md": f"{MARK}\n\n{text}\n", "p.svg": "<svg/>"}
    index, made = sections(Sources(pages, tmp_path / "top", html.PAGE))
    assert index.title == "Index" and made.id == "p-a"
    assert holds in made.html
    Page(made.html)


def cells_of(text: str) -> list[str]:
    cells = re.findall(r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>", text, re.S)
    return ["".join(Page(f"<p>{cell}</p>").text) for cell in cells]


def test_tables_hold_what_the_markdown_library_reads_in_them(files, tmp_path):
    """Our own rule for tables, which is fast, against the library's, on all example pages and the committed ones."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    committed = {p.name: p.read_text(encoding="utf-8") for p in (ROOT / "leaderboard").glob("*.md")}
    for pages in ({name: text for name, text in files.items() if name.endswith(".md")}, committed):
        for text, section in zip(pages.values(), sections(Sources(pages, tmp_path, html.PAGE)), strict=True):
            assert cells_of(section.html) == cells_of(reader.render(text))
            assert cells_of(section.html) or "\n|" not in text


def test_pages_whose_names_become_one_have_ids_of_their_own(tmp_path):
    pages = {name: "# T\n" for name in ("a+b.md", "ab.md", "A.B.md", "B.md")}
    assert len(set(Sources(pages, tmp_path, html.PAGE).ids.values())) == 4


def test_hostile_records_give_a_page_that_is_whole(tmp_path):
    odd = "</script><script>alert(1)</script><!-- \u2028 \x1b[31m & \U0001f600 " + "x" * 400
    record = example("base", 0)
    held = record.evaluation("base").model_dump()
    words = record.model_dump() | {
        "evaluations": [held, held | {"name": odd, "role": "method"}, held | {"name": "base (control)", "role": "method"}],
        "command": f"python -m benchmarks run --method '{odd}'",
        "environment": record.environment.model_dump() | {"device": odd, "packages": {odd: odd}},
        "origin": {"place": odd, "sha256": odd},
        "weights": {odd: odd},
        "data": odd,
        "started": odd,
    }
    put(Record.model_validate(words), tmp_path / "results/community/a#<b>?.json")
    text = site(tmp_path / "results")[html.PAGE]
    page = Page(text)
    assert len(page.inner) == 3 and "<script>alert" not in text and "\x1b" not in text
    data = json.loads(page.inner[1][2])
    assert sorted(row["name"][:14] for row in data["rows"]) == ["</script><scri", "base", "base (control)"]
    assert [row["control"] for row in data["rows"]] == [False, False, False]
    assert all(len(row["name"]) <= 300 for row in data["rows"])
    assert data["rows"][0]["runs"][0]["link"] == "../results/community/a%23%3Cb%3E%3F.json"


def test_a_protocol_of_any_size_is_cut(tmp_path):
    from tests.make_example_results import MINI

    record = example("base", 0, protocol=MINI | {f"rule{k}": "x" * 250 for k in range(500)})
    put(record, tmp_path / "verified/a.json")
    found = collect(tmp_path)
    groups = boards(found.kept)
    (board,) = front(found.kept, {b: summary(r) for b, r in groups.items()})["boards"]
    assert len(json.dumps(board["rules"])) < 25_000 and board["rules"][-1] == ["and more", "see the record"]
    assert [name for name, _ in board["rules"]][:3] == ["prompt", "mask", "seeds"]


def test_the_size_is_bounded(files, tmp_path):
    """The frame is small, and a record costs little more than the lines that speak of it."""
    (tmp_path / "results").mkdir()
    empty = len(site(tmp_path / "results")[html.PAGE])
    assert empty < 50_000
    markdown = sum(len(text) for name, text in files.items() if name.endswith(".md"))
    kept = len(collect(RESULTS).kept)
    assert len(files[html.PAGE]) < empty + 3 * markdown + 2_500 * kept


def test_records_without_images_of_their_own_seed_are_no_rows(tmp_path):
    put(example("base", 0, images=IMAGES), tmp_path / "results/verified/a.json")
    put(example("dora", 0, error="out of memory"), tmp_path / "results/verified/b.json")
    files = site(tmp_path / "results")
    assert check(tmp_path / "results", tmp_path / "nowhere") == [f"missing: {name}" for name in files]
    data = json.loads(Page(files[html.PAGE]).inner[1][2])
    assert [row["name"] for row in data["rows"]] == ["base", "base+best-of-three"]
