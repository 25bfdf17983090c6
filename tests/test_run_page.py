"""The page of one record: its numbers derived again, both formats, hostile input, and pages where something is missing."""

from __future__ import annotations

import html.parser
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from benchmarks import data
from benchmarks.catalog import DATASETS
from benchmarks.cli import main
from benchmarks.hashes import hash_of
from benchmarks.protocols import PROTOCOLS
from benchmarks.records import Record
from benchmarks.run_page import as_html, as_markdown, plots
from benchmarks.run_page.blocks import Heading, Page, Paragraph, Photos
from benchmarks.run_page.content import gains, page
from benchmarks.run_page.photos import photos, picked
from tests.make_example_results import example, examples, measured
from tests.small import few, small
from tests.test_board import changed, put

ATTACK = "\"><script>alert(1)</script><img src=x onerror=alert(1)>|`[a](http://x)\n```\n\x1b[31m\u202e' &"
VOID = {"meta", "img", "rect", "line", "path", "circle", "polyline"}


class Elements(html.parser.HTMLParser):
    """Every element with its attributes, and whether all that open also close."""

    def __init__(self, text: str):
        super().__init__()
        self.found, self.open, self.words = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def hostile() -> Record:
    """Every free word of a record as an attack."""
    record = example("base+swap", 0, dataset=ATTACK, backbone=ATTACK, task=ATTACK)
    protocol = record.protocol | {"prompt": ATTACK, ATTACK: {ATTACK: [ATTACK]}}
    environment = record.environment.model_dump() | {"device": ATTACK, "platform": ATTACK, "packages": {ATTACK: ATTACK}}
    stages = [s.model_dump() | {"name": ATTACK} for s in record.stages]
    search = record.search.model_dump() | {"strategy": ATTACK, "objective": ATTACK}
    evaluations = [e.model_dump() for e in record.evaluations]
    evaluations.append(
        evaluations[0]
        | {
            "name": ATTACK,
            "metrics": {ATTACK: evaluations[0]["metrics"]["miou"]},
            "scores": {ATTACK: evaluations[0]["scores"]["miou"]},
        }
    )
    trained = {"method": 1, "besides": {ATTACK: 1}}
    parts = {
        "protocol": protocol,
        "protocol_hash": hash_of(protocol),
        "environment": environment,
        "stages": stages,
        "search": search,
    }
    parts |= {
        "evaluations": evaluations,
        "trainable": trained,
        "marks": [ATTACK],
        "command": f"rm -rf / {ATTACK}",
        "started": ATTACK,
    }
    parts |= {
        "images": [f"{i}{ATTACK}" for i in record.images],
        "weights": {ATTACK: ATTACK},
        "origin": {"place": ATTACK, "sha256": ATTACK},
    }
    parts["training"] = {
        "micro_batch": 2,
        "activation_checkpointing": False,
        "loaders": 0,
        "losses": [0.4, 0.3],
        "artefact_bytes": 9,
    }
    return changed(record, **parts)


def words(made: Page) -> str:
    return " ".join(Elements(as_html.html(made)).words)


@pytest.fixture(scope="module")
def every() -> dict[str, Record]:
    of_runs = {name: text for name, text in examples().items() if not name.startswith("cost/") and "cut-off" not in name}
    return {name: Record.model_validate_json(text) for name, text in of_runs.items()}


def test_every_kind_of_record_has_a_whole_page_in_both_formats(every):
    one_of_each = {(r.spec.task, r.spec.method, r.status, r.spec.limit, bool(r.marks)): r for r in every.values()}
    for record in one_of_each.values():
        made = page(record)
        text = as_html.html(made)
        assert Elements(text).open == [] and as_html.html(page(record)) == text  # nothing of the moment or the place
        assert record.spec.method.split("|")[0] in as_markdown.text(made, "x")
        shown = words(made)
        if record.status == "failed":
            assert "On no board: " + record.error.partition(" |")[0] in shown and "Result" not in shown
        if record.marks:
            assert "On no board: " in shown


def test_the_numbers_are_those_of_the_record():
    record = measured("camo", "dora+swap", 1)
    own, other = (np.array(record.evaluation(n).scores["miou"]) for n in ("dora+swap", "dora"))
    shown = words(page(record))
    (c,) = [c for c in record.comparisons if (c.a, c.b, c.metric) == ("dora+swap", "dora", "miou")]
    assert f"{100 * c.difference:+.2f}" in shown and f"{100 * c.low:+.2f} to {100 * c.high:+.2f}" in shown
    assert (
        f"better on {(own > other).sum()} test images, worse on {(own < other).sum()} and equal on {(own == other).sum()}"
        in shown
    )
    mean = record.evaluation("dora+swap").metrics["miou"]
    assert f"{100 * mean.value:.2f}" in shown and f"{100 * mean.low:.2f} to {100 * mean.high:.2f}" in shown
    for name in ("dora+random-swap (control)", "base+best-of-three (control)", "3<-7", "interior point", "torch", "2.9.0"):
        assert name in shown, name
    assert np.allclose(gains(record), own - other)


def test_where_the_metric_falls_a_gain_is_a_fall():
    record = measured("depth", "dora+swap", 0)
    own, other = (np.array(record.evaluation(n).scores["mse"]) for n in ("dora+swap", "dora"))
    assert np.allclose(gains(record), other - own)
    assert f"better on {(own < other).sum()} test images" in words(page(record)) and "lower is better" in words(page(record))


def test_a_tie_is_called_one_and_an_unconfirmed_search_gain_is_said():
    record = example("base+swap", 0)
    low, flat = record.evaluation("base").scores["miou"], record.evaluation("base+swap").model_dump()
    scores = [s - 0.01 + 0.02 * (k % 2) for k, s in enumerate(low)]
    difference = sum(scores) / len(scores) - sum(low) / len(low)
    evaluations = [e.model_dump() for e in record.evaluations if e.name != "base+swap"] + [
        flat | {"scores": {"miou": scores}, "metrics": {}}
    ]
    comparisons = [
        {"a": "base+swap", "b": "base", "metric": "miou", "difference": difference, "low": -0.01, "high": 0.01, "p": 0.9}
    ]
    search = record.search.model_dump() | {"test_gain": difference}
    shown = words(page(changed(record, evaluations=evaluations, comparisons=comparisons, search=search)))
    assert "-1.00 to +1.00, a tie" in shown and "the test set does not confirm" in shown


def test_hostile_records_stay_text_in_html():
    text = as_html.html(page(hostile(), Paragraph(ATTACK)))
    parsed = Elements(text)
    assert parsed.open == []
    assert not {tag for tag, _ in parsed.found} & {"script", "iframe", "object", "link", "a", "form", "base"}
    assert not any(name.startswith("on") or name in ("href", "srcdoc") for _, attrs in parsed.found for name in attrs)
    assert not any(tag == "img" for tag, _ in parsed.found) and "alert(1)" in text
    assert "\x1b" not in text and "\u202e" not in text
    assert "default-src 'none'" in text and not re.search(r"url\(|@import", text)
    assert "rm -rf" not in text and "not a command of ours" in text


def test_hostile_records_stay_text_in_markdown():
    made = page(hostile(), Paragraph(ATTACK))
    prose = re.sub(r"```sh\n.*?```", "", as_markdown.text(made, "x-files"), flags=re.S)
    assert "<script" not in prose and "](http" not in prose and "`" not in prose
    for table in re.findall(r"(?:^\|.*\n)+", prose, re.M):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    for name, picture in as_markdown.pictures(made).items():
        tags = {e.tag.split("}")[1] for e in ElementTree.fromstring(picture).iter()}
        assert re.fullmatch(r"[a-z]+\.svg", name) and tags <= {
            "svg",
            "g",
            "text",
            "line",
            "path",
            "rect",
            "circle",
            "polyline",
            "title",
        }


def test_the_sorted_differences_are_drawn_to_scale():
    from benchmarks.board.units import unit

    svg = plots.differences([0.1, -0.2, 0.0, 0.3], unit("miou"))
    paths = {e.get("fill"): e.get("d") for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("path")}
    bars = {colour: re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)H([\d.]+)", d) for colour, d in paths.items()}
    (loss,), (small_, large) = bars[plots.BAD], bars[plots.GOOD]
    height = lambda bar: float(bar[1]) - float(bar[2])  # noqa: E731 - upwards
    assert height(loss) < 0 < height(small_) < height(large)
    assert -height(loss) / height(small_) == pytest.approx(2, rel=0.02) and height(large) / height(small_) == pytest.approx(
        3, rel=0.02
    )
    assert float(loss[0]) < float(small_[0]) < float(large[0])


@pytest.mark.parametrize("values", [[0.0] * 5, [0.5], [0.2, 0.9], [1.0, 1.0], [-3.0, 7.5]])
def test_plots_bear_flat_single_and_unbounded_values(values):
    from benchmarks.board.units import unit

    for svg in (
        plots.differences(values, unit("miou")),
        plots.histogram(values, None, ("a", ""), unit("mse")),
        plots.losses(values),
    ):
        ElementTree.fromstring(svg)
        assert "nan" not in svg and "inf" not in svg
    bars = [
        float(e.get("height"))
        for e in ElementTree.fromstring(plots.histogram(values, values, ("a", "b"), unit("miou"))).iter()
        if e.get("fill-opacity")
    ]
    assert sum(bars) > 0  # every image is in a bar


def test_best_middle_and_worst_are_what_they_say():
    values = np.array([0.3, -0.5, 0.1, 0.9, 0.0, -0.1, 0.2])
    assert picked(values) == [("best", 3), ("best", 0), ("middle", 2), ("middle", 4), ("worst", 5), ("worst", 1)]
    assert picked(np.array([0.5])) == [("best", 0)]


@pytest.fixture
def drawn(monkeypatch):
    """camo-mini with ten test images, and a record of them."""
    monkeypatch.setitem(PROTOCOLS._entries, "mini-v1", small())
    for module in ("benchmarks.data.manifests", "benchmarks.data.generated"):
        monkeypatch.setattr(f"{module}.manifest", few)
    record = example("base+swap", 0, dataset="camo-mini", images=[f"test-{k:05d}" for k in range(10)])
    return changed(record, data=data.identity(DATASETS.get("camo-mini")))


def test_photos_show_the_image_beside_its_outlined_truth(drawn):
    found = photos(drawn)
    assert (
        isinstance(found, Photos)
        and [p.name.split("-")[0] for p in found.photos] == ["best"] * 2 + ["middle"] * 2 + ["worst"] * 2
    )
    best = int(np.argmax(gains(drawn)))
    assert drawn.images[best] in found.photos[0].caption
    (sample,) = data.load(DATASETS.get("camo-mini"), "test", [drawn.images[best]])
    shown = np.asarray(Image.open(io.BytesIO(found.photos[0].png)))
    assert np.array_equal(shown[:, :128], sample.image)
    outline = (shown[:, 128:] == (255, 0, 255)).all(-1)
    assert outline.any() and not outline[~sample.mask].any()
    assert as_html.html(page(drawn, found)).count("data:image/png;base64,") == 6


def test_photos_of_other_images_or_of_no_dataset_are_not_shown(drawn):
    assert "of other images than those that are here" in photos(changed(drawn, data="0" * 64)).text
    assert "knows no dataset" in photos(example("base", 0, dataset=ATTACK)).text
    missing = photos(example("base", 0, dataset="kvasir", task="medical")).text
    assert "python -m benchmarks data fetch kvasir" in missing


def test_the_command_writes_one_html_file_or_markdown_with_its_pictures(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(example("dora+swap", 0), tmp_path / "r.json")
    assert main(["report", "r.json", "--no-photos"]) == 0 and capsys.readouterr().out == "r.html\n"
    assert main(["report", "r.json", "--no-photos", "--out", "a b.md"]) == 0
    text = (tmp_path / "a b.md").read_text()
    linked = re.findall(r"\]\((.*?)\)", text)
    assert linked and all((tmp_path / target).is_file() and " " not in target for target in linked)
    assert main(["report", "r.json", "--out", "r.pdf"]) == 2 and main(["report", "no.json"]) == 2
    (tmp_path / "bad.json").write_text("{")
    assert main(["report", "bad.json"]) == 4


def test_the_commands_repeat_and_compare_the_run():
    shown = as_markdown.text(page(example("dora+swap", 0)), "x")
    (again, others) = re.findall(r"```sh\n(.*?)\n```", shown, re.S)
    assert "--method dora+swap" in again
    assert others.splitlines()[0].endswith("--seeds all") and "--method base " in others.splitlines()[1]
    assert Heading("Do it again") in page(example("dora+swap", 0)).blocks
