"""Records: nothing is lost on the way to disk and back, and a record that does not add up is refused."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks.errors import InvalidRecord
from benchmarks.hashes import hash_of
from benchmarks.records import ALTERED, Record, dump, faults, read, schema, write
from tests.make_example_results import example

SCHEMA = Path(__file__).resolve().parent.parent / "results" / "record-v1.schema.json"


@pytest.fixture
def record() -> Record:
    return example("dora+swap", 0)


def test_round_trip(record, tmp_path):
    for i, one in enumerate(
        [
            record,
            example("base", 1),
            example("dora", 0, limit=2),
            example("dora", 0, error="a\nb [x] {y}"),
            example("base", 0, marks=["dirty", "[odd]\n", "µ |"]),
        ]
    ):
        path = tmp_path / f"{i}.json"
        write(one, path)
        again = read(path)
        assert again.model_copy(update={"digest": None}) == one
        assert json.loads(path.read_text(encoding="utf-8")) == again.model_dump(mode="json")
        assert dump(read(path)) == path.read_text(encoding="utf-8")
        assert path.stat().st_mode & 0o777 == 0o644


def test_a_list_of_scores_is_one_line(record):
    scores = record.evaluation("dora").scores["miou"]
    assert f'"miou": [{", ".join(map(str, scores))}]' in dump(record)


def test_a_change_that_nothing_contradicts_is_noticed_by_the_digest(record, tmp_path):
    path = tmp_path / "record.json"
    text = dump(record)
    assert '"seconds": 12.5' in text
    path.write_text(text.replace('"seconds": 12.5', '"seconds": 11.5'))
    with pytest.raises(InvalidRecord, match="record.json: digest: the file was changed after it was written"):
        read(path)
    raw = json.loads(text)
    del raw["digest"]  # as records were written before
    path.write_text(json.dumps(raw))
    assert read(path) == record and dump(read(path)) == text


def test_every_fault_of_a_file_is_named_at_once(record):
    raw = json.loads(dump(record))
    raw["evaluations"][0]["scores"]["miou"][0] = 0.99
    raw["spec"]["seed"] = 9
    raw["comparisons"][0]["difference"] = 0.5
    found, said = faults(json.dumps(raw).encode())
    assert found is not None and [what for _, what in said] == [
        "base: miou is not the mean of its scores",
        "the difference of dora+swap and dora is not that of their scores",
        "the search's test gain is not the difference of dora+swap and dora",
        "spec_hash does not belong to the spec",
        ALTERED,
    ]
    del raw["weights"], raw["started"]
    found, said = faults(json.dumps(raw).encode())
    assert found is None and said == [("weights", "Field required"), ("started", "Field required")]


def test_hash_of_ignores_the_order_of_keys_and_tells_values_apart():
    assert hash_of({"a": 1, "b": [2]}) == hash_of({"b": [2], "a": 1})
    assert len({hash_of(v) for v in ({}, [], None, 0, "0", {"a": 0}, {"a": None})}) == 7


def test_schema_file_is_what_the_code_says():
    assert SCHEMA.read_text(encoding="utf-8") == schema(), "write it again: results/record-v1.schema.json is records.schema()"


def _set(*path_and_value):
    *path, last, value = path_and_value

    def alter(raw: dict) -> None:
        for step in path:
            raw = raw[step]
        raw[last] = value

    return alter


def _repeat(key):
    return lambda raw: raw[key].append(raw[key][0])


FAULTS = {
    "an altered score": (_set("evaluations", 0, "scores", "miou", 0, 0.99), "base: miou is not the mean of its scores"),
    "an altered mean": (_set("evaluations", 2, "metrics", "miou", "value", 0.99), "dora: miou is not the mean of its scores"),
    "a missing score": (lambda raw: raw["evaluations"][0]["scores"]["miou"].pop(), "base: 5 miou scores for 6 images"),
    "an image twice": (lambda raw: raw["images"].__setitem__(1, raw["images"][0]), "a test image is listed twice"),
    "an evaluation twice": (_repeat("evaluations"), "two evaluations have the same name"),
    "a comparison of nothing": (
        _set("comparisons", 0, "b", "lora"),
        "a comparison of dora+swap and lora, which were not both evaluated",
    ),
    "a metric without scores": (_set("evaluations", 0, "scores", {}), "base: miou is not the mean of its scores"),
    "an interval upside down": (
        lambda raw: raw["evaluations"][0]["metrics"]["miou"].update(low=0.9, high=0.1),
        "base: the interval of miou is upside down",
    ),
    "another difference": (
        _set("comparisons", 0, "difference", 0.5),
        "the difference of dora+swap and dora is not that of their scores",
    ),
    "another gain": (_set("search", "test_gain", 0.5), "the search's test gain is not the difference of dora+swap and dora"),
    "nothing evaluated": (lambda raw: raw.update(evaluations=[], comparisons=[]), "a finished record without evaluations"),
    "a rule that is no number": (_set("protocol", "search_images", float("nan")), "not JSON compliant"),
    "search on test images": (_set("search", "images", 0, "camo-0"), "search and test images overlap"),
    "a failure without error": (_set("status", "failed"), "a failed record without its error"),
    "another spec": (_set("spec", "seed", 9), "spec_hash does not belong to the spec"),
    "another protocol": (_set("protocol", "prompt", "centroid"), "protocol_hash does not belong to the protocol"),
    "an unknown field": (_set("bogus", 1), "bogus: Extra inputs are not permitted"),
    "an unknown field inside": (_set("spec", "bogus", 1), "spec.bogus: Extra inputs are not permitted"),
    "a missing field": (lambda raw: raw.pop("weights"), "weights: Field required"),
    "not a number": (_set("search", "search_gain", float("nan")), "search.search_gain: Input should be a finite number"),
    "an infinite score": (_set("evaluations", 0, "scores", "miou", 0, float("inf")), "finite number"),
    "p above one": (_set("comparisons", 0, "p", 1.5), "comparisons.0.p: Input should be less than or equal to 1"),
    "another version": (_set("schema_version", 2), "schema_version: Input should be 1"),
    "another status": (_set("status", "maybe"), "status: Input should be 'done' or 'failed'"),
    "another role": (_set("evaluations", 0, "role", "hero"), "evaluations.0.role: Input should be"),
    "a count beyond floats": (
        _set("search", "evaluations", 10**400),
        "search.evaluations: Input should be less than or equal to",
    ),
    "a gain beyond axes": (_set("search", "search_gain", 1e308), "search.search_gain: Input should be less than or equal to"),
    "a channel by itself": (
        _set("search", "kept", 0, {"redundant": 3, "effective": 3, "gain": 0.1}),
        "replaces a channel by itself",
    ),
    "words for a number": (_set("stages", 0, "seconds", "long"), "stages.0.seconds: Input should be a valid number"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_record_that_does_not_add_up_is_refused(record, tmp_path, fault):
    alter, message = FAULTS[fault]
    raw = json.loads(dump(record))
    alter(raw)
    path = tmp_path / "altered.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(InvalidRecord) as caught:
        read(path)
    assert message in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_number_in_quotation_marks_is_a_fault_for_reader_and_reviewer_alike(record, tmp_path):
    raw = json.loads(dump(record))
    raw["stages"][0]["seconds"] = str(raw["stages"][0]["seconds"])
    (tmp_path / "a.json").write_text(text := json.dumps(raw))
    with pytest.raises(InvalidRecord, match="stages.0.seconds: Input should be a valid number"):
        read(tmp_path / "a.json")
    assert faults(text.encode())[1][0][0] == "stages.0.seconds"


def test_a_greedy_search_may_take_a_replacement_off_again(record):
    raw = json.loads(dump(record))
    raw["search"] |= {"strategy": "greedy", "kept": [{"redundant": 3, "effective": 3, "gain": 0.1}]}
    assert Record.model_validate(raw).search.kept[0].redundant == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe"])
def test_a_file_that_is_no_record_is_refused(tmp_path, content):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(InvalidRecord, match="broken.json: record: "):
        read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidRecord, match="none.json: No such file"):
        read(tmp_path / "none.json")


def test_records_cannot_be_changed_in_place(record):
    with pytest.raises(ValidationError, match="frozen"):
        record.status = "failed"
    assert record.evaluation("dora").name == "dora" and record.evaluation("lora") is None


@pytest.mark.parametrize("earlier", [True, False])
def test_a_full_disk_leaves_the_old_file_and_no_other(record, tmp_path, monkeypatch, earlier):
    path = tmp_path / "record.json"
    if earlier:
        path.write_text("old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        write(record, path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == ([("record.json", "old")] if earlier else [])
