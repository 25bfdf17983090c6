"""`validate` and `submit`: every kind of fault is found out, all at once, and what is sound is taken."""

from __future__ import annotations

import copy
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import records
from benchmarks.cli import main
from benchmarks.hashes import hash_of
from benchmarks.records import Record, digest_of, dump
from benchmarks.submission import prepare
from benchmarks.validation import CHECKS, examine, inputs
from benchmarks.validation.rerun import compared

ROOT = Path(__file__).parents[1]
VERIFIED = ROOT / "results" / "verified" / "mini-v1"
PLAIN = VERIFIED / "camo-mini" / "base-sam-mini-seed0-f90a0e47.json"
SWAPPED = VERIFIED / "camo-mini" / "base+swap-sam-mini-seed0-8125035c.json"
TRAINED = VERIFIED / "camo-mini" / "decoder+swap-sam-mini-seed0-f2236d30.json"


def raw_of(path: Path) -> dict:
    """A record as a run of today would write it, with its digest."""
    return json.loads(dump(records.read(path)))


def place(folder: Path, raw: dict, of: Path, tier: str = "community") -> Path:
    path = folder / tier / "mini-v1" / raw["spec"]["dataset"] / of.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(raw))
    return path


def refreshed(raw: dict) -> dict:
    """With hashes and digest as one who alters with care would make them."""
    raw = raw | {"spec_hash": hash_of(raw["spec"]), "protocol_hash": hash_of(raw["protocol"])}
    return raw | {"digest": digest_of(raw)}


def faults(path: Path) -> set[tuple[str, str]]:
    """Check and text of each fault but that the other seeds are missing."""
    return {(f.check, f.what) for f in examine([path]).faults if "seeds are missing" not in f.what}


def test_committed_records_have_no_fault_and_notes_say_what_is_older():
    """Those that need no model; all of them in the slow test below."""
    files = [f for d in VERIFIED.iterdir() for m in ("base", "base+swap") for f in d.glob(f"{m}-*.json")]
    report = examine(files)
    assert len(report.files) == 30 and report.faults == ()
    said = {(n.check, n.what) for n in report.notes}
    assert ("complete", "made before dice were measured") in said and ("digest", "written before records had a digest") in said
    other = {what for _, what in said if what.startswith("made by other code or libraries than installed here, at commit ")}
    assert any("commit 784680a4" in what for what in other) and len(said) == 3 + len(other)


@pytest.mark.slow
def test_every_committed_record_has_no_fault(capsys):
    assert main(["validate", str(ROOT / "results" / "verified")]) == 0
    shown = capsys.readouterr().out
    assert shown.endswith("198 records examined: no fault\n")


def test_records_of_earlier_protocols_are_named_and_are_no_fault():
    report = examine([ROOT / "benchmarks" / "backbones" / "checkpoints" / "tried"])
    assert {n.what for n in report.notes if n.check == "protocol"} == {
        f"of an earlier version, mini-v1 before {what}; it joins no board of the installed one"
        for what in (
            "a checkpoint whose clicks may mean parts",
            "training took two epochs of small batches",
            "search images were held out of training",
        )
    }
    assert {f.check for f in report.faults} == {
        "code",
        "seeds",
    }  # four ran from a tree with changes; of one the seeds are missing


def _set(*path_and_value):
    *path, last, value = path_and_value

    def alter(raw: dict) -> None:
        for step in path:
            raw = raw[step]
        raw[last] = value(raw[last]) if callable(value) else value

    return alter


def _drop(*path):
    def alter(raw: dict) -> None:
        for step in path[:-1]:
            raw = raw[step]
        raw.pop(path[-1])

    return alter


def _all(*alterations):
    def alter(raw: dict) -> None:
        for each in alterations:
            each(raw)

    return alter


def _fewer_images(raw: dict) -> None:
    raw["images"].pop()
    for e in raw["evaluations"]:
        for values in e["scores"].values():
            values.pop()


def _rescored(raw: dict) -> None:
    """Every base score raised, with the mean made anew."""
    e = raw["evaluations"][0]
    e["scores"]["miou"] = [round(min(1, x + 0.01), 6) for x in e["scores"]["miou"]]
    e["metrics"]["miou"]["value"] = sum(e["scores"]["miou"]) / 500


# what is altered -> (of which record, how, check, part of the message)
ALTERED = {
    "no number": (PLAIN, _set("spec", "seed", "none"), "file", "spec.seed: Input should be a valid integer"),
    "field gone": (PLAIN, _drop("weights"), "file", "weights: Field required"),
    "field more": (PLAIN, lambda raw: raw.update(extra=1), "file", "extra: Extra inputs are not permitted"),
    "mean": (PLAIN, _set("evaluations", 0, "metrics", "miou", "value", 0.99), "record", "base: miou is not the mean of its scores"),
    "digest": (PLAIN, _set("stages", 0, "seconds", 1.25), "digest", "the file was changed after it was written"),
    "failed": (PLAIN, _all(_set("status", "failed"), _set("error", "out of memory\x1b[31m")), "status", "the run failed: out of memory"),
    "limited": (PLAIN, _set("spec", "limit", 20), "status", "limited to 20 test images"),
    "marked": (PLAIN, _set("marks", ["random weights"]), "status", "kept off the boards: random weights"),
    "task": (PLAIN, _set("spec", "task", "natural"), "names", "dataset camo-mini is of task camo, not natural"),
    "dataset": (PLAIN, _set("spec", "dataset", "camo-mine"), "names", "unknown dataset 'camo-mine'"),
    "backbone": (PLAIN, _set("spec", "backbone", "sam-vit-b"), "names", "sam-vit-b belongs to protocol paper-v1, not mini-v1"),
    "method": (PLAIN, _set("spec", "method", "better"), "names", "method better is none of the suite's, and no origin is stated"),
    "origin": (PLAIN, _set("origin", {"place": "x.py:X", "sha256": "0"}), "names", "a method from outside is named base"),
    "protocol": (PLAIN, _set("protocol", "prompt", "centroid"), "protocol", "is none that was ever installed (other than installed: prompt)"),
    "weights": (PLAIN, _set("weights", {"sam-mini": "0" * 64}), "weights", "not the pinned ones of sam-mini"),
    "data": (PLAIN, _set("data", "0" * 64), "data", "the images were others than those of camo-mini here"),
    "image gone": (PLAIN, _fewer_images, "test split", "of camo-mini's 500 test images: 1 missing (test-00499)"),
    "image of another": (PLAIN, _set("images", 0, "mine"), "test split", "1 that are none of its (mine)"),
    "order": (PLAIN, _set("images", lambda x: x[::-1]), "test split", "in another order"),
    "dirty": (PLAIN, _set("environment", "dirty", True), "code", "uncommitted changes"),
    "unknown tree": (PLAIN, _set("environment", "dirty", None), "code", "unknown whether its tree was clean"),
    "commit": (PLAIN, _set("environment", "commit", "--help"), "code", "its commit is unknown"),
    "code": (PLAIN, _set("code", ""), "code", "the digest of its code is missing"),
    "precision": (PLAIN, _set("environment", "precision", "bfloat16"), "code", "the environment's precision is bfloat16"),
    "control gone": (PLAIN, _all(lambda r: r["evaluations"].pop(1), _set("comparisons", [])), "complete", "the control base+best-of-three is missing"),
    "random gone": (SWAPPED, lambda r: (r["evaluations"].pop(), r["comparisons"].pop()), "complete", "the control base+random-swap is missing"),
    "comparison gone": (SWAPPED, _set("comparisons", lambda c: c[:1]), "complete", "the comparison of base+swap with base by miou is missing"),
    "comparison more": (PLAIN, _set("comparisons", lambda c: c * 2), "complete", "is there more than once"),
    "role": (PLAIN, _set("evaluations", 1, "role", "method"), "complete", "base+best-of-three has the role method, not control"),
    "stage gone": (SWAPPED, _set("stages", lambda s: s[1:]), "complete", "stages without their cost: embed"),
    "stage more": (PLAIN, _set("stages", lambda s: s * 2), "complete", "stages that this run has not, or not twice: evaluate base"),
    "score above one": (PLAIN, _set("evaluations", 0, "scores", "miou", 7, 1.2), "scores", "1 of 500 scores outside 0 to 1 (test-00007)"),
    "digits": (PLAIN, _set("evaluations", 0, "scores", "miou", 7, 0.12345678), "scores", "with more than 6 decimals (test-00007)"),
    "metric": (PLAIN, _set("evaluations", 0, "scores", lambda s: s | {"mine": s["miou"]}), "scores", "base, mine: no such metric"),
    "mean by a little": (PLAIN, _set("evaluations", 0, "metrics", "miou", "value", lambda x: x + 5e-10), "derived", "base, miou: value is"),
    "interval": (PLAIN, _set("evaluations", 0, "metrics", "miou", "low", lambda x: x + 1e-6), "derived", "base, miou: low is"),
    "rescored": (PLAIN, _rescored, "derived", "base, miou: low is"),
    "p": (PLAIN, _set("comparisons", 0, "p", 0.0002), "derived", "base+best-of-three against base, miou: p is 0.0002"),
    "difference": (PLAIN, _set("comparisons", 0, "high", lambda x: x + 0.001), "derived", "base+best-of-three against base, miou: high is"),
    "search gone": (SWAPPED, _set("search", None), "search", "it is missing"),
    "search set": (SWAPPED, _set("search", "images", lambda x: x[:49]), "search", "49 search images; the protocol asks for 50"),
    "another draw": (SWAPPED, _set("search", "images", 0, "train-00000"), "search", "not those that seed 0 draws"),
    "search on test": (SWAPPED, _set("search", "images", 0, "test-00000"), "record", "search and test images overlap"),
    "pair outside": (SWAPPED, _set("search", "pairs", [[64, 3]]), "file", "pair 64<-3 is not of channels 0 to 63"),
    "pair not kept": (SWAPPED, _set("search", "pairs", [[60, 61]]), "search", "not made of the kept pairs: 60<-61"),
    "pair twice": (SWAPPED, _set("search", "pairs", lambda p: p + p[:1]), "file", "a swap overwrites one channel twice"),
    "kept": (SWAPPED, _set("search", "kept", lambda k: k[::-1]), "search", "not in the order of their gains"),
    "passes": (SWAPPED, _set("search", "evaluations", 1000), "search", "1000 decoder passes; these images, pairs and combinations take"),
    "combinations": (SWAPPED, _set("search", "conflicts", lambda c: c + 1), "search", "of the kept pairs"),
    "channels": (SWAPPED, _set("search", "channels", 128), "search", "128 channels; sam-mini has 64"),
    "strategy": (SWAPPED, _set("search", "strategy", "taylor"), "search", "its strategy is taylor, the protocol's exhaustive"),
    "search gain": (SWAPPED, _set("search", "search_gain", 0.0), "search", "is below that of the best pair"),
    "score without swap": (SWAPPED, _set("search", "base_score", 0.9999), "search", "no score is above 1"),
    "test gain": (SWAPPED, _set("search", "test_gain", lambda x: x + 1e-10), "derived", "search: test_gain is"),
    "test gain gone": (SWAPPED, _set("search", "test_gain", None), "search", "its test gain is missing"),
    "objective": (SWAPPED, _set("search", "objective", "dice"), "search", "the search scored dice, not miou"),
    "trained": (TRAINED, _set("trainable", "method", 191_293), "trainable", "191,293; the method trains 191,292"),
    "trained by base": (PLAIN, _set("trainable", "method", 1), "trainable", "base trains nothing"),
    "epochs": (TRAINED, _set("training", "losses", [0.3]), "training", "1 losses of 2 epochs"),
    "artefact": (TRAINED, _set("training", "artefact_bytes", 1000), "training", "the trained weights take 1,000 bytes"),
    "training gone": (TRAINED, _set("training", None), "training", "how it was trained is missing"),
    "seconds": (PLAIN, _set("stages", 0, "seconds", -1.0), "file", "stages.0.seconds: Input should be greater than or equal to 0"),
    "threads": (PLAIN, _set("stages", 0, "threads", 0), "times", "stage evaluate base: 0 threads"),
    "no time": (PLAIN, _set("stages", 0, "seconds", 0.0), "times", "no stage took any time"),
    "future": (PLAIN, _set("started", "2999-01-01T00:00:00+00:00"), "times", "in the future"),
    "before the paper": (PLAIN, _all(_set("started", "1970-01-01T00:00:00+00:00"), _set("environment", "commit", "0" * 40)), "times", "before the code that it names"),
    "no moment": (PLAIN, _set("started", "yesterday"), "times", "no moment with a time zone"),
    "command": (PLAIN, _set("command", "rm -rf ~"), "command", "it does not make this record"),
    "command of another": (PLAIN, _set("command", lambda c: c.replace("--seeds 0", "--seeds 1")), "command", "it lacks: --seeds 0"),
    "command and more": (PLAIN, _set("command", lambda c: f"{c} ; rm -rf ~"), "command", "no ;, no rm, no -rf, no ~"),
    "command with a folder": (PLAIN, _set("command", lambda c: f"{c} --results /tmp/x"), "command", "no --results, no /tmp/x"),
    "command with a value": (PLAIN, _set("command", lambda c: f"{c} --loaders $(x)"), "command", "no $(x)"),
    "command said twice": (PLAIN, _set("command", lambda c: f"{c} --seeds 0"), "command", "no --seeds"),
    "strange seed": (PLAIN, _set("spec", "seed", 7), "seeds", "seed 7 is none of the protocol's, 0, 1, 2"),
}  # fmt: skip


@pytest.mark.parametrize("what", ALTERED)
def test_what_is_altered_is_found_out(what, tmp_path):
    """Hashes and digest are made anew where the fault is not theirs: one who alters can do as much."""
    of, alter, check, message = ALTERED[what]
    raw = raw_of(of)
    alter(raw)
    if check not in ("file", "digest"):
        raw = refreshed(raw)
    path = place(tmp_path, raw, of)
    found = examine([path]).faults
    assert [f for f in found if f.check == check and message in f.what], [(f.check, f.what) for f in found]
    assert all(f.check in CHECKS and f.cure and f.path == str(path) for f in found)
    assert not any(c in f.what + f.cure for f in found for c in "\x1b\n")


def test_what_is_not_altered_is_not(tmp_path):
    for of in (PLAIN, SWAPPED, TRAINED):
        assert faults(place(tmp_path, raw_of(of), of)) == set()


def test_every_check_has_its_altered_record():
    elsewhere = {"place", "agreement", "rerun", "source", "name"}  # tests of their own, below
    assert {check for *_, check, _ in ALTERED.values()} | elsewhere == set(CHECKS)


def test_all_faults_of_all_files_are_printed_at_once(tmp_path, capsys):
    one, other = raw_of(PLAIN), raw_of(SWAPPED)
    for alter in ("dirty", "data", "no moment", "stage more"):
        ALTERED[alter][1](one)
    for alter in ("channels", "passes", "objective"):
        ALTERED[alter][1](other)
    place(tmp_path, refreshed(one), PLAIN), place(tmp_path, refreshed(other), SWAPPED)
    (tmp_path / "community" / "cut\x1b[2J-off.json").write_text('{"status": "do')
    assert main(["validate", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    for alter in ("dirty", "data", "no moment", "stage more", "channels", "passes", "objective"):
        assert ALTERED[alter][3] in " ".join(shown.split()), alter
    assert "fault, file: Invalid JSON" in shown and "\x1b" not in shown
    assert shown.count("fault, ") == shown.count("to do: ") == int(re.search(r"(\d+) faults in 3 of them", shown)[1])


def test_a_misplaced_or_misnamed_record_is_found_out(tmp_path):
    raw = raw_of(PLAIN)
    path = place(tmp_path, raw, Path("mine.json"))
    assert {c for c, _ in faults(path)} == {"place"}
    (found,) = (f for f in examine([path]).faults if f.check == "place")
    assert found.cure == f"move it to community/mini-v1/camo-mini/{PLAIN.name}"
    alone = tmp_path / "anywhere.json"  # in no tier: a file on its way
    alone.write_text(json.dumps(raw))
    assert faults(alone) == set()


def test_a_careful_forgery_of_one_record_is_found_out_by_the_others(tmp_path):
    """One score of base raised and every number that follows from it made anew: alone it is sound, among its like it is not."""
    from benchmarks.metrics.intervals import bootstrap, paired

    raw = raw_of(PLAIN)
    scores = {e["name"]: e["scores"]["miou"] for e in raw["evaluations"]}
    scores["base"][3] = 0.99
    for e in raw["evaluations"]:
        made = bootstrap(scores[e["name"]])
        e["metrics"]["miou"] = {"value": made.value, "low": made.low, "high": made.high}
    for c in raw["comparisons"]:
        made = paired(scores[c["a"]], scores[c["b"]])
        c |= {"difference": made.value, "low": made.low, "high": made.high, "p": made.p}
    path = place(tmp_path, refreshed(raw), PLAIN)
    assert faults(path) == set()
    for seed in (1, 2):
        (other,) = (VERIFIED / "camo-mini").glob(f"base-sam-mini-seed{seed}-*.json")
        shutil.copy(other, path.parent)
    report = examine([tmp_path])
    (found,) = report.faults
    assert found.check == "agreement" and found.path == str(path)
    assert "base: 1 scores of miou differ by up to" in found.what and "test-00003" in found.what


def test_seeds_and_doubles(tmp_path):
    first = place(tmp_path, raw_of(PLAIN), PLAIN)
    (found,) = examine([first]).faults
    assert found.what == "of base, seeds are missing: 1, 2" and "--seeds 1,2" in found.cure
    (second,) = (VERIFIED / "camo-mini").glob("base-sam-mini-seed1-*.json")
    shutil.copy(second, first.parent)  # lies beside, so it counts
    assert examine([first]).faults[0].what == "of base, seeds are missing: 2"
    shutil.copy(first, tmp_path / "again.json")
    said = [f.what for f in examine([tmp_path]).faults]
    assert any(what.startswith("the same run as ") for what in said)


def test_one_training_under_the_names_of_three_seeds_is_found_out(tmp_path):
    """Of a method that is sent in without a swap nothing else says what another seed gave."""
    (of,) = (VERIFIED / "camo-mini").glob("lora-sam-mini-seed0-*.json")
    for copied, what in ((("losses", "scores"), 2), (("scores",), 1)):
        for seed in (0, 1, 2):
            raw = raw_of(of)
            raw["spec"]["seed"] = seed
            raw["command"] = raw["command"].replace("--seeds 0", f"--seeds {seed}")
            if "losses" not in copied:
                raw["training"]["losses"][0] += seed / 1000
            place(tmp_path, refreshed(raw), Path(f"{seed}.json"))
        found = [f for f in examine([tmp_path]).faults if "the same to the last digit under seeds 0, 1, 2" in f.what]
        assert [f.check for f in found] == ["seeds"] * 3 * what


def test_a_swap_beside_another_training_of_its_method_is_named(tmp_path):
    """Both are sound: what the swap gained over its own training says nothing of the other."""
    (of,) = (VERIFIED / "camo-mini").glob("decoder-sam-mini-seed0-*.json")
    place(tmp_path, raw_of(TRAINED), TRAINED)
    raw = raw_of(of)
    raw["environment"]["device"] = "another GPU"
    other = place(tmp_path, refreshed(raw), Path("other.json"))
    assert "was trained anew" not in " ".join(n.what for n in examine([tmp_path]).notes)  # it came to the same
    (e,) = (e for e in raw["evaluations"] if e["name"] == "decoder")
    e["scores"]["miou"][3] = 0.123456
    other.write_text(json.dumps(refreshed(raw)))
    (note,) = (n for n in examine([tmp_path]).notes if "was trained anew" in n.what)
    assert note.check == "agreement" and note.what.startswith("decoder, seed 0, ")


def test_the_moment_of_the_named_commit_is_the_earliest(tmp_path):
    raw = raw_of(PLAIN)
    raw["started"] = "2025-06-01T00:00:00+00:00"  # after the paper, before this code
    if inputs._committed(raw["environment"]["commit"]) is None:
        pytest.skip("the checkout's history is not here")
    assert {c for c, _ in faults(place(tmp_path, refreshed(raw), PLAIN))} == {"times"}


# -- any number --------------------------------------------------------------------------------------------------------


def _numbers(value, path=()) -> list[tuple]:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return []
    if isinstance(value, (int, float)):
        return [path]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [found for key, part in items for found in _numbers(part, (*path, key))]


SOUND = raw_of(SWAPPED)
EVERY = _numbers(SOUND)
# What a record contradicts itself by, the digest apart: times, losses and the search's own scores nothing else knows.
BOUND = [p for p in EVERY if p[0] in ("spec", "protocol", "evaluations", "comparisons", "schema_version")]
BOUND += [
    p
    for p in EVERY
    if p[0] == "search" and p[1] in ("channels", "evaluations", "combinations", "conflicts", "test_gain", "pairs", "gradients")
]
HOW = {
    "a digit": lambda x: x + (1 if isinstance(x, int) else 1e-6),
    "sign": lambda x: -x if x else x + 1,
    "half": lambda x: x // 2 + 7 if isinstance(x, int) else x / 2 + 0.1,
}


def _altered(path: tuple, how: str) -> dict:
    raw = copy.deepcopy(SOUND)
    _set(*path, HOW[how])(raw)
    return raw


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("altered")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(path=st.sampled_from(EVERY), how=st.sampled_from(sorted(HOW)))
def test_any_single_changed_number_is_reported(folder, path, how):
    file = place(folder, _altered(path, how), SWAPPED)
    assert faults(file), (path, how)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(kind=st.sampled_from(sorted({p[0] for p in BOUND})), data=st.data(), how=st.sampled_from(sorted(HOW)))
def test_most_are_reported_without_a_digest_too(folder, kind, data, how):
    path = data.draw(st.sampled_from([p for p in BOUND if p[0] == kind]))
    raw = _altered(path, how)
    raw.pop("digest")
    assert faults(place(folder, raw, SWAPPED)), (path, how)


# -- a run done again --------------------------------------------------------------------------------------------------


def _model(raw: dict) -> Record:
    return Record.model_validate(raw)


def test_a_run_done_again_finds_what_was_altered():
    record = _model(raw_of(PLAIN))
    assert compared("x", record, record).found == ()
    raw = raw_of(PLAIN)
    e = raw["evaluations"][1]
    e["scores"]["miou"][0] = round(e["scores"]["miou"][0] + 1e-6, 6)
    e["metrics"]["miou"]["value"] = sum(e["scores"]["miou"]) / 500
    raw["comparisons"] = []
    (found,) = compared("x", _model(raw), record).found
    assert (
        found.check == "rerun"
        and "base+best-of-three, miou: 1 of 500 scores differ, by up to 1e-06, on the same platform" in found.what
    )
    # On another device a pixel may fall to the other side; a whole evaluation may not move.
    raw["environment"]["device"] = "another"
    moved = compared("x", _model(raw), record)
    assert [type(f).__name__ for f in moved.found] == ["Note"] and "1 of 1,000 scores differ" in moved.line
    e["scores"]["miou"] = [round(min(1, x + 0.01), 6) for x in e["scores"]["miou"]]
    e["metrics"]["miou"]["value"] = sum(e["scores"]["miou"]) / 500
    said = [f.what for f in compared("x", _model(raw), record).found]
    assert any("base+best-of-three, miou: the mean differs by" in what for what in said)


@pytest.fixture
def small_place(tmp_path, monkeypatch):
    """A home and the small protocol of one seed, as the installed one; its images from a manifest of a few."""
    import benchmarks.data.generated as generated
    from benchmarks.protocols import PROTOCOLS
    from tests.small import few, small

    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(PROTOCOLS._entries, "mini-v1", replace(small(), seeds=(0,)))
    monkeypatch.setattr(generated, "manifest", few)
    monkeypatch.setattr("benchmarks.data.manifests.manifest", few)
    monkeypatch.setattr("benchmarks.environment.changes", lambda: "")  # as in a clean tree, whatever this one is
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> int:
    return main(["--quiet", "run", "--task", "camo", "--threads", "1", "--device", "cpu", "--results", "results", *words])


def test_rerun_does_every_run_again_from_nothing(small_place, capsys):
    assert run("--method", "base", "--seeds", "all") == 0
    shutil.rmtree(small_place / "home" / "stages")
    capsys.readouterr()
    assert main(["--quiet", "validate", "results/community", "--rerun", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    assert "0 of 90 scores differ, by up to 0; the same platform" in shown and "1 record examined: no fault" in shown
    assert not (small_place / "home" / "stages").exists()


def test_submit_lays_out_what_is_sound_and_nothing_else(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in (VERIFIED / "camo-mini").glob("base+swap-*.json"):
        place(tmp_path / "results", raw_of(file), file)
    files = sorted((tmp_path / "results").rglob("*.json"))
    assert main(["submit", "--results", "results", "--name", "first", "--out", "sent"]) == 0
    shown = capsys.readouterr().out
    assert "git switch -c submit-first" in shown and "python -m benchmarks board build" in shown
    sent = {p.relative_to("sent").as_posix() for p in Path("sent").rglob("*") if p.is_file()}
    page = "results/community/submissions/first/README.md"
    assert sent == {p.relative_to(tmp_path).as_posix() for p in files} | {page}
    assert all(records.read(Path("sent") / p.relative_to(tmp_path)) == records.read(p) for p in files)
    text = (Path("sent") / page).read_text()
    assert "| base+swap" in text and "| pairs (redundant&lt;-effective)" in text and "--seeds 0,1,2" in text
    assert "| 76.99" in text and "+1.02 (+0.01 to +1.82)" in text  # as on the leaderboard

    # The same again changes nothing; another record of the same place is never overwritten.
    assert main(["submit", "--results", "results", "--name", "first", "--out", "sent"]) == 0
    assert "0 new files" in capsys.readouterr().out
    other = Path("sent") / files[0].relative_to(tmp_path)
    other.write_text("{}")
    assert main(["submit", "--results", "results", "--name", "first", "--out", "sent"]) == 1
    assert (
        "is there already, of another run of the same" in " ".join(capsys.readouterr().out.split()) and other.read_text() == "{}"
    )

    # An altered record: all of it is said, and nothing is written.
    raw = json.loads(files[0].read_text())
    raw["evaluations"][0]["scores"]["miou"][0] = 0.5
    files[0].write_text(json.dumps(raw))
    assert main(["submit", "--results", "results", "--name", "second", "--out", "never"]) == 1
    assert "Nothing was written" in capsys.readouterr().out and not Path("never").exists()
    assert main(["submit", "--results", "results", "--name", "Sec/ond"]) == 2


SOURCE = """
from benchmarks.methods import Attachment, Method

class Mine(Method):
    name, summary = "mine", "the encoder's last bias"
    def attach(self, model):
        return Attachment(own=("image_encoder.neck.3.bias",))
    def count(self, model):
        return model.image_encoder.neck[3].bias.numel()
"""


def test_a_method_from_outside_is_sent_with_its_source(small_place, capsys):
    Path("mine.py").write_text(SOURCE)
    assert run("--method", "mine.py:Mine", "--seeds", "all") == 0
    capsys.readouterr()
    assert main(["--quiet", "validate", "results/community", "--rerun"]) == 1  # not run unasked
    assert capsys.readouterr().out.count("a method from outside is not run unasked") == 1
    (file, *_) = sorted(Path("results").rglob("*.json"))
    made = prepare([Path("results")], "mine-one", [], [])
    assert made.report.faults == () and made.files["results/community/submissions/mine-one/mine.py"] == SOURCE.encode()
    page = made.files["results/community/submissions/mine-one/README.md"].decode()
    assert "source [mine.py](mine.py)" in page and "mine" in page
    Path("mine.py").write_text(SOURCE + "# edited\n")
    said = prepare([Path("results")], "mine-one", [], []).report.faults
    assert [f.check for f in said] == ["source"] and "--source" in said[0].cure
    Path("kept.py").write_text(SOURCE)
    assert not prepare([Path("results")], "mine-one", [], [Path("kept.py")]).report.faults


def test_paths_that_hold_nothing(tmp_path, capsys):
    for words in (
        ["validate", str(tmp_path)],
        ["validate", "nowhere.json"],
        ["submit", "--results", str(tmp_path), "--name", "x"],
    ):
        assert main(words) == 2
        assert "there is no" in capsys.readouterr().err
    assert main(["validate", str(PLAIN), "--method", "x.py:X"]) == 2


def test_a_mean_of_roots_is_at_most_the_root_of_the_mean():
    """Scores of random swaps are means over draws; those of all else are of one answer."""
    from benchmarks.validation.scores import scores

    path = next(Path("results/verified/mini-v1/depth-mini").glob("base+swap-*.json"))
    record = records.read(Path(__file__).parents[1] / path)
    assert not list(scores(record))
    for name, factor, faults in (("base", 0.99, 1), ("base+random-swap", 0.99, 0), ("base+random-swap", 1.5, 1)):
        raw = record.model_dump(mode="json") | {"comparisons": []}
        (found,) = [e for e in raw["evaluations"] if e["name"] == name]
        found["scores"]["rmse"] = [round(factor * x, 6) for x in found["scores"]["rmse"]]
        found["metrics"].pop("rmse")
        said = [fault.what for fault in scores(records.Record.model_validate(raw)) if "root of mse" in fault.what]
        assert len(said) == faults
