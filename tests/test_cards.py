"""Cards of datasets and checkpoints in the Hugging Face format, Croissant metadata, the citation: each judged by its own reader."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import DatasetCard, ModelCard

from benchmarks.board.checkpoint_cards import card, refreshed
from benchmarks.board.collect import Collection, Kept
from benchmarks.catalog import BACKBONES, DATASETS, TASKS
from benchmarks.croissant import croissant, text
from benchmarks.data.manifests import cards, manifest
from benchmarks.errors import UsageError
from benchmarks.export.model_index import HUB_TASKS
from tests.make_example_results import example, measured

ROOT = Path(__file__).parents[1]
SIZES = {"n<1K": (1, 999), "1K<n<10K": (1_000, 9_999), "10K<n<100K": (10_000, 99_999), "100K<n<1M": (100_000, 999_999)}
SHIPPED = [name for name, b in BACKBONES.items() if b.weights.shipped]


def front(name: str) -> DatasetCard:
    return DatasetCard((cards() / name / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", list(DATASETS))
def test_the_hub_reads_every_dataset_card(name):
    found, dataset, stated = front(name).data, DATASETS.get(name), manifest(name)
    assert found.pretty_name and found.language is None  # pictures speak none
    assert found.task_categories == [HUB_TASKS[TASKS.get(dataset.task).kind]]
    assert {"chanswap", "benchmark"} <= set(found.tags) and ("synthetic" in found.tags) == (dataset.source == "generated")
    # The Hub's own words: where no licence of its list is confirmed, it says so.
    assert found.license == "apache-2.0" if stated["licence"] == "Apache-2.0" else found.license in ("other", "unknown")
    (size,) = found.size_categories
    counts = [s["images"] for s in stated["splits"].values()]
    if None not in counts and name != "chameleon":  # whose training images are those of two others
        assert SIZES[size][0] <= sum(counts) <= SIZES[size][1]
    assert front(name).text.strip().startswith("# ") and f"`{name}`" in front(name).text


@pytest.mark.parametrize("name", list(DATASETS))
def test_croissant_files_are_what_the_manifests_give(name):
    written = (cards() / name / "croissant.json").read_text(encoding="utf-8")
    assert written == text(DATASETS.get(name)), "run `python -m benchmarks.croissant`"


@pytest.mark.parametrize("name", list(DATASETS))
def test_the_croissant_validator_takes_every_file(name):
    mlcroissant = pytest.importorskip("mlcroissant")
    logging.getLogger("absl").setLevel(logging.ERROR)
    found = mlcroissant.Dataset(str(cards() / name / "croissant.json"))
    said = [w for w in found.metadata.ctx.issues.warnings if "datePublished" not in w and '/version"' not in w]
    assert not found.metadata.ctx.issues.errors and said == []
    rows = {
        r["splits/name"].decode() if isinstance(r["splits/name"], bytes) else r["splits/name"]: r for r in found.records("splits")
    }
    stated = manifest(name)["splits"]
    assert set(rows) == set(stated)
    for split, entry in stated.items():
        if None not in [s["images"] for s in stated.values()]:
            assert rows[split]["splits/images"] == entry["images"]


def test_croissant_invents_no_checksum_and_leaves_no_source_unsaid():
    for name, dataset in DATASETS.items():
        made, stated = croissant(dataset), manifest(name)
        files = {f["name"]: f for f in made.get("distribution", [])}
        for source in stated.get("sources", []):
            held = {k: source[k] for k in ("sha256", "md5") if source[k]}
            if held:
                assert {k: files[source["file"]].get(k) for k in held} == held
            else:
                assert source["file"] not in files and source["file"] in made["description"]
        assert ("version" in made) == (dataset.source == "generated") and "datePublished" not in made


@pytest.mark.parametrize("name", SHIPPED)
def test_the_hub_reads_every_checkpoint_card(name):
    found = ModelCard(card(BACKBONES.get(name)).read_text(encoding="utf-8"))
    assert found.data.license == "apache-2.0" and found.data.library_name in ("segment-anything", "sam2", "timm")
    assert "embedded-benchmark" in found.data.tags and found.data.pipeline_tag
    assert f"# {name}" in found.text


def test_a_cards_index_is_of_the_bare_model_and_of_verified_records_alone():
    before = "---\nlicense: apache-2.0\ntags: [a, b]\n---\n# x\n---\nlast | `y`\n"
    runs = [measured("camo", "base+swap", s) for s in range(3)]
    found = Collection(tuple(Kept(f"verified/{k}.json", "verified", r) for k, r in enumerate(runs)), ())
    made = refreshed(before, "sam-mini", found)
    assert made.startswith("---\nlicense: apache-2.0\ntags: [a, b]\nmodel-index:\n") and made.endswith(
        "---\n# x\n---\nlast | `y`\n"
    )
    results = {e.metric_type: e for e in ModelCard(made).data.eval_results}
    expected = np.mean([r.evaluation("base").scores["miou"] for r in runs])
    assert results["miou"].metric_value == round(100 * expected, 2) and len(results) == 8
    assert results["miou"].dataset_args["tier"] == "verified" and ModelCard(made).data.model_name == "sam-mini"
    assert refreshed(made, "sam-mini", found) == made  # nothing is left to do
    assert refreshed(made, "sam-mini", Collection((), ())) == before  # and nothing stays that nobody measured
    community = Collection((Kept("community/a.json", "community", example("base", 0)),), ())
    assert refreshed(before, "sam-mini", community) == before
    assert refreshed(before, "sam2-mini", found) == before


@pytest.mark.parametrize("text", ["# no front\n", "---\n- a\n---\n", "---\nmodel-index:\n- name: x\nlicense: mit\n---\n"])
def test_a_card_without_a_place_for_the_index_is_an_error(text):
    with pytest.raises(UsageError, match="mend that"):
        refreshed(text, "sam-mini", Collection((), ()))


def test_the_citation_file_is_valid():
    cffconvert = pytest.importorskip("cffconvert")  # not among the test requirements: it asks for old versions of others
    cffconvert.Citation((ROOT / "CITATION.cff").read_text(), src="CITATION.cff").validate()


def test_the_version_is_one():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"\nversion: {project['version']}\n" in (ROOT / "CITATION.cff").read_text()
