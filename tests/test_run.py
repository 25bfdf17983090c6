"""Whole runs through the command line, on a small protocol: records, resumption, faults, exit codes."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import files, records
from benchmarks.catalog import METHODS
from benchmarks.cli import main
from benchmarks.plan import Request, plan
from benchmarks.protocols import PROTOCOLS
from tests.small import small

ROOT = Path(__file__).parents[1]
RUN = ["run", "--task", "camo", "--threads", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The generated images, made once for all tests of this file."""
    return tmp_path_factory.mktemp("images")


@pytest.fixture
def place(tmp_path, monkeypatch, images):
    """An empty home and an empty results folder, the small protocol, the generated images shared."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "data").symlink_to(images)
    monkeypatch.setenv("CHANSWAP_HOME", str(home))
    monkeypatch.setitem(PROTOCOLS._entries, "mini-v1", small())
    return tmp_path


def run(place, method: str, *more: str) -> int:
    return main([*RUN, "--method", method, "--results", str(place / "results"), *more])


def found(place) -> dict[str, records.Record]:
    return {p.name.split("-sam")[0]: records.read(p) for p in (place / "results").rglob("*.json")}


def timeless(record: records.Record) -> dict:
    value = record.model_dump(mode="json", exclude={"started", "stages", "digest"})
    return value


def test_the_main_job_from_end_to_end(place, capsys):
    assert run(place, "dora+swap") == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines()[0].startswith("Protocol mini-v1")
    assert "paper-v1 still needs the images of camo and the weights of sam-vit-b" in shown.err.splitlines()[0]
    record = found(place)["dora+swap"]
    assert [e.name for e in record.evaluations] == ["base", "base+best-of-three", "dora", "dora+swap", "dora+random-swap"]
    assert all(len(e.scores["miou"]) == 10 for e in record.evaluations)
    assert record.trainable.method == 13_824 and record.trainable.besides == {"mask_decoder": 191_292}
    assert [s.name for s in record.stages] == ["train", "embed", "search", "evaluate base", "evaluate dora", "evaluate dora+swap"]
    assert all(s.threads == 1 and s.seconds > 0 for s in record.stages)
    assert not set(record.search.images) & set(record.images)
    assert record.search.evaluations >= (64 * 63 + 1) * 2
    assert record.search.combinations + record.search.conflicts == 2**4 - 1
    for name in ("base", "dora", "dora+swap", "dora+random-swap", "base+best-of-three"):
        assert name in shown.out
    page = (place / "leaderboard" / "mini-v1-camo-mini.md").read_text()
    assert "dora+swap" in page

    # A second call says that it is cached, changes nothing and imports none of the slow libraries.
    before = {p: p.read_bytes() for p in (place / "results").rglob("*.json")}
    assert run(place, "dora+swap") == 0
    again = capsys.readouterr()
    assert "cached" in again.err and "dora+swap" in again.out
    assert before == {p: p.read_bytes() for p in (place / "results").rglob("*.json")}

    # --force does everything again and comes to the same record, times apart.
    assert run(place, "dora+swap", "--force") == 0
    forced = found(place)["dora+swap"]
    assert timeless(forced) == timeless(record)
    assert not any(s.cached for s in forced.stages)

    # The plain method shares what was trained and evaluated.
    assert run(place, "dora") == 0
    plain = found(place)["dora"]
    assert all(s.cached for s in plain.stages)
    assert plain.evaluation("dora") == record.evaluation("dora")


@pytest.mark.parametrize("name", [n for n in METHODS if n != "dora"])
def test_every_method_runs_with_swap(place, name):
    assert run(place, f"{name}+swap") == 0
    record = found(place)[f"{name}+swap"]
    swapped, plain = record.evaluation(f"{name}+swap"), record.evaluation(name)
    assert swapped.scores["miou"] != plain.scores["miou"] or not record.search.pairs
    assert record.search.test_gain == pytest.approx(swapped.metrics["miou"].value - plain.metrics["miou"].value)


def test_a_cached_call_needs_none_of_the_slow_libraries(place):
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.small import shrink
shrink()
from benchmarks.cli import main
code = main({[*RUN, "--method", "base", "--results", str(place / "results")]!r})
print("slow:", sorted(set(sys.modules) & {{"torch", "timm", "peft", "transformers", "segment_anything"}}), "code:", code)
"""

    def call() -> str:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]

    first = call()
    assert "torch" in first and "timm" not in first and "peft" not in first and "transformers" not in first
    assert call() == "slow: [] code: 0"


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["list"], ["show", "dora"]])
def test_quick_commands_import_no_torch(words):
    code = f"""
import sys
from benchmarks.cli import main
try:
    main({words!r})
except SystemExit:
    pass
print(sorted(set(sys.modules) & {{"torch", "timm", "peft", "transformers", "pandas"}}), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stderr.splitlines()[-1] == "[]", done.stderr


def test_an_interrupted_search_goes_on_where_it_stopped(place, monkeypatch, capsys):
    import chanswap.scoring as scoring

    original, calls = scoring._block, []

    def interrupted(*args):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(args)
        return original(*args)

    monkeypatch.setattr(scoring, "_block", interrupted)
    assert run(place, "base+swap") == 130
    assert "goes on from here" in capsys.readouterr().err
    assert not list((place / "results").rglob("*.json"))
    blocks: list = []
    monkeypatch.setattr(scoring, "_block", lambda *args: blocks.append(args[2:4]) or original(*args))
    assert run(place, "base+swap") == 0
    screened = [b for b in blocks if b[1] or b in [(0, 0), (1, 0)]]
    assert not {(0, 0), (0, 1024), (0, 2048)} & set(blocks[:5])  # what was finished is not scored again
    assert len(screened) >= 5
    record = found(place)["base+swap"]
    monkeypatch.setattr(scoring, "_block", original)
    assert run(place, "base+swap", "--force") == 0
    assert timeless(found(place)["base+swap"]) == timeless(record)


@pytest.mark.parametrize("file", ["weights.safetensors", "search.features", "stage.json"])
def test_a_damaged_stage_is_done_again(place, file, capsys):
    assert run(place, "lora+swap") == 0
    record = found(place)["lora+swap"]
    victims = list((place / "home" / "stages").rglob(file))
    assert victims
    for victim in victims:
        whole = bytearray(victim.read_bytes())
        whole[len(whole) // 2] ^= 0xFF
        victim.write_bytes(whole)
    for path in (place / "results").rglob("*.json"):
        path.unlink()
    assert run(place, "lora+swap") == 0
    assert "is damaged; it is done again" in capsys.readouterr().err
    assert timeless(found(place)["lora+swap"]) == timeless(record)


def test_options_of_training_are_shown_by_the_record(place, capsys):
    words = ["--micro-batch", "1", "--activation-checkpointing", "--loaders", "1"]
    assert run(place, "lora", *words) == 0 and run(place, "decoder", *words) == 0
    lora, decoder = found(place)["lora"], found(place)["decoder"]
    assert (lora.training.micro_batch, lora.training.activation_checkpointing, lora.training.loaders) == (1, True, 1)
    assert not decoder.training.activation_checkpointing  # its encoder is not run: there is nothing to compute again
    assert " ".join(words) in lora.command
    capsys.readouterr()
    (path,) = (place / "results").rglob("lora-*.json")
    assert main(["show", str(path)]) == 0
    assert "micro-batches of 1, with activation checkpointing, 1 loaders" in capsys.readouterr().out
    # Another option of arithmetic is another record; loaders, which change no bit, are not.
    assert run(place, "lora") == 0
    assert len([*(place / "results").rglob("lora-*.json")]) == 2


def test_a_failed_run_leaves_its_record(place, monkeypatch):
    monkeypatch.setattr("benchmarks.stages.train.train", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("the step exploded")))
    assert run(place, "decoder") == 1
    record = found(place)["decoder"]
    assert record.status == "failed" and record.error == "RuntimeError: the step exploded"
    assert not record.evaluations


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(place, monkeypatch):
    import torch

    monkeypatch.setattr("benchmarks.backbones.sam.dice_ce", lambda logits, truth: logits.sum() * torch.nan)
    assert run(place, "decoder") == 1
    assert "the loss is nan in epoch 1 on train-" in found(place)["decoder"].error


@pytest.mark.parametrize(
    "words, says",
    [
        (["--task", "camoo", "--method", "base"], "did you mean camo"),
        (["--task", "camo", "--method", "doraa"], "did you mean dora"),
        (["--task", "camo", "--method", "dora+swp"], "only suffix is +swap"),
        (["--task", "camo", "--method", "base", "--dataset", "medical-mini"], "is of task medical"),
        (["--task", "camo", "--method", "base", "--backbone", "sam-mni"], "did you mean sam-mini"),
        (["--task", "camo", "--method", "base", "--protocol", "mini-v2"], "did you mean mini-v1"),
        (["--task", "camo", "--method", "base", "--dataset", "camo-mini", "--backbone", "sam-vit-b"], "choose both from one"),
        (["--task", "depth", "--method", "base", "--backbone", "sam-mini"], "choose from: dino-mini"),
        (["--task", "camo", "--method", "base", "--seeds", "0,0"], "--seeds must differ"),
        (["--task", "camo", "--method", "base", "--seeds", "x"], "--seeds takes whole numbers"),
        (["--task", "camo", "--method", "base", "--limit", "0"], "--limit must be at least 1"),
        (["--task", "camo", "--method", "base", "--threads", "0"], "--threads must be at least 1"),
        (["--task", "camo", "--method", "base", "--device", "gpu"], "unknown device"),
        (["--task", "camo", "--method", "base", "--verified", "--limit", "3"], "--verified wants the full test set"),
    ],
)
def test_bad_input_is_one_clear_line(place, words, says, capsys):
    assert main(["run", *words, "--results", str(place / "results")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and says in last
    assert not (place / "results").exists()


def test_missing_weights_and_data_say_what_to_do(place, capsys):
    assert run(place, "base", "--protocol", "paper-v1") == 3
    shown = capsys.readouterr().err.splitlines()[-1]
    assert "data fetch camo" in shown or "weights fetch" in shown


def test_a_damaged_checkpoint_is_refused(place, monkeypatch, tmp_path, capsys):
    from benchmarks import backbones

    copy = tmp_path / "checkpoints"
    copy.mkdir()
    for file in backbones.SHIPPED.glob("sam-mini.*"):
        (copy / file.name).write_bytes(file.read_bytes())
    weights = copy / "sam-mini.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    monkeypatch.setattr(backbones, "SHIPPED", copy)
    assert run(place, "base") == 3
    assert "is damaged: sha256" in capsys.readouterr().err


def test_a_full_disk_while_the_record_is_written_loses_nothing(place, monkeypatch, capsys):
    original = os.fsync

    def full(handle):
        if "results" in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        original(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    assert run(place, "base") == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not [p for p in (place / "results").rglob("*") if p.is_file()]
    monkeypatch.setattr(files.os, "fsync", original)
    assert run(place, "base") == 0
    assert all(s.cached for s in found(place)["base"].stages)


def test_a_limited_run_is_marked(place):
    assert run(place, "base", "--limit", "3") == 0
    record = found(place)["base"]
    assert len(record.images) == 3 and record.marks == ["limited to 3 test images"]
    assert not (place / "leaderboard").exists()  # no board takes it


def test_a_failed_run_says_why_and_where_more_is_and_leaves_the_pages_alone(place, monkeypatch, capsys):
    assert run(place, "base") == 0
    before = {p: p.stat().st_mtime_ns for p in (place / "leaderboard").iterdir()}
    assert re.search(r"build \d+ pages", capsys.readouterr().err)
    monkeypatch.setattr("benchmarks.stages.train.train", lambda *a, **k: (_ for _ in ()).throw(OSError("a cable came off")))
    for ending in (".json", ".failed.json"):  # the second failure does not overwrite the first
        assert run(place, "decoder") == 1
        shown = capsys.readouterr().err
        assert "failed: OSError: a cable came off\n" in shown
        (named,) = [line.partition("python -m benchmarks show ")[2] for line in shown.splitlines() if "benchmarks show" in line]
        assert named.endswith(ending) and records.read(Path(named)).error == "OSError: a cable came off"
    assert before == {p: p.stat().st_mtime_ns for p in (place / "leaderboard").iterdir()}


@pytest.mark.parametrize("words", [[*RUN, "--method", "base"], ["data", "fetch", "kvasir"], ["weights", "fetch", "sam-vit-b"]])
def test_a_home_that_cannot_be_used_is_said_at_once(words, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path / "file" / "home"))
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and "cannot be used" in shown and "set CHANSWAP_HOME" in shown


def test_images_are_drawn_before_a_stage_is_timed(place, monkeypatch):
    from benchmarks.data import generated

    (place / "home" / "data").unlink()
    original = generated.generate

    def slow(*of):
        time.sleep(3)
        return original(*of)

    monkeypatch.setattr(generated, "generate", slow)
    monkeypatch.setattr(generated, "digest", lambda *arrays: generated.manifest("camo-mini")["splits"]["test"]["sha256"])
    drawn = generated.scene("camo", "test", 0)
    monkeypatch.setattr(generated, "scene", lambda *of: drawn)
    assert run(place, "base", "--limit", "2") == 0
    (stage,) = found(place)["base"].stages
    assert stage.seconds < 3


def test_a_dry_run_does_nothing(place, capsys):
    assert run(place, "dora+swap", "--dry-run", "--seeds", "all") == 0
    shown = capsys.readouterr().out
    assert shown.count("exhaustive, at most") == 3 and "to do" in shown
    assert not (place / "results").exists() and not (place / "home" / "stages").exists()


def test_several_seeds_in_one_call(place):
    assert run(place, "base+swap", "--seeds", "0,1") == 0
    both = [records.read(p) for p in (place / "results").rglob("*.json")]
    assert {r.spec.seed for r in both} == {0, 1}
    assert both[0].evaluation("base") == both[1].evaluation("base")
    assert both[0].search.images != both[1].search.images


def test_an_invalid_record_is_refused(place, capsys):
    assert run(place, "base") == 0
    path = next((place / "results").rglob("*.json"))
    value = json.loads(path.read_text())
    value["evaluations"][0]["scores"]["miou"][0] += 0.1
    path.write_text(json.dumps(value))
    assert main(["show", str(path)]) == 4
    assert "is not the mean of its scores" in capsys.readouterr().err
    assert run(place, "base") == 0  # and is written anew, not trusted
    assert found(place)["base"]


def test_without_git_the_record_is_still_written(place, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert run(place, "base") == 0
    assert found(place)["base"].environment.commit is None


def test_a_device_that_does_not_answer_costs_no_record(place, monkeypatch):
    from benchmarks import device

    monkeypatch.setattr(device, "name", lambda _: (_ for _ in ()).throw(RuntimeError("driver gone")))
    assert run(place, "base") == 0
    assert found(place)["base"].environment.device == "cpu"


def test_a_stage_that_another_machine_computed_names_it_and_its_times_are_on_no_page(place, monkeypatch):
    """Machines may share a home; a stage's key knows the kind of a device alone."""
    from benchmarks import device
    from benchmarks.board.stage_costs import stage_costs
    from benchmarks.board.tables import cost

    assert run(place, "base") == 0
    here = device.name("cpu")
    monkeypatch.setattr(device, "name", lambda _: "CPU of another machine")
    assert run(place, "base+swap") == 0
    record = found(place)["base+swap"]
    assert {s.name: s.device for s in record.stages} == {
        "evaluate base": here,
        "embed": None,
        "search": None,
        "evaluate base+swap": None,
    }
    (table,), (shared,) = cost([record]), stage_costs([record])
    assert "evaluate base" not in set(table.frame["stage"]) and "CPU of another machine" in table.caption
    assert "evaluate, s" not in shared.frame.columns


def test_stage_keys_follow_what_decides_the_result(place):
    request = Request("camo", "dora+swap", device="cpu")
    one, two = plan(request, 0), plan(request, 1)
    assert one.jobs["evaluate base"].key == two.jobs["evaluate base"].key  # base knows no seed
    for name in ("train", "embed", "search", "evaluate dora", "evaluate dora+swap"):
        assert one.jobs[name].key != two.jobs[name].key
    plain = plan(Request("camo", "dora", device="cpu"), 0)
    assert plain.jobs["train"].key == one.jobs["train"].key
    half = plan(Request("camo", "dora+swap", device="cpu", precision="bfloat16"), 0)
    assert not {j.key for j in half.jobs.values()} & {j.key for j in one.jobs.values()}


def test_pages_can_be_checked(place, capsys):
    assert run(place, "base") == 0
    words = ["board", "build", "--results", str(place / "results"), "--out", str(place / "leaderboard")]
    assert main([*words, "--check"]) == 0
    page = place / "leaderboard" / "mini-v1-camo-mini.md"
    page.write_text(page.read_text().replace("base", "bass", 1))
    assert main([*words, "--check"]) == 1
    assert main(words) == 0
    assert main([*words, "--check"]) == 0


def test_a_failure_never_overwrites_a_finished_run(place, monkeypatch):
    assert run(place, "decoder") == 0
    (done,) = (place / "results").rglob("*.json")
    before = done.read_bytes()
    monkeypatch.setattr("benchmarks.stages.train.train", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("broken")))
    assert run(place, "decoder", "--force") == 1
    assert done.read_bytes() == before
    assert records.read(done.with_suffix(".failed.json")).status == "failed"


def test_half_precision_runs_and_stands_apart(place):
    assert run(place, "base") == 0
    assert run(place, "base", "--precision", "bfloat16") == 0
    full, half = sorted(
        (records.read(p) for p in (place / "results").rglob("*.json")), key=lambda r: r.spec.precision, reverse=True
    )
    assert (full.spec.precision, half.spec.precision) == ("float32", "bfloat16")
    assert half.evaluation("base").metrics["miou"].value == pytest.approx(full.evaluation("base").metrics["miou"].value, abs=0.02)


def test_a_test_image_that_was_searched_on_is_found_by_its_content(place, monkeypatch, capsys):
    from benchmarks import data

    original = data.load

    def leaking(dataset, split, wanted):
        samples = list(original(dataset, split, wanted))
        if split == "test":
            copied = original(dataset, "train", plan(Request("camo", "base+swap", device="cpu"), 0).search_ids[:1])[0]
            samples[3] = type(copied)(samples[3].id, copied.image, copied.mask)
        return samples

    monkeypatch.setattr(data, "load", leaking)
    assert run(place, "base+swap") == 3
    assert "test image test-00003 also stands in the training split" in capsys.readouterr().err


def test_a_rule_that_nothing_implements_is_refused(place, monkeypatch, capsys):
    from dataclasses import replace

    monkeypatch.setitem(PROTOCOLS._entries, "mini-v1", replace(small(), prompt="centroid"))
    assert run(place, "base") == 2
    assert "asks for prompt 'centroid'; here is only 'interior'" in capsys.readouterr().err


def test_a_record_of_sam2_says_which_mask_it_counts(place, capsys):
    assert run(place, "base", "--backbone", "sam2-mini") == 0
    mask = "single, best-scored of three where unstable"
    assert found(place)["base"].protocol["mask"] == mask
    assert f"mask choice: {mask}" in " ".join(capsys.readouterr().out.split())
    assert f"mask choice: {mask}" in (place / "leaderboard" / "mini-v1-camo-mini.md").read_text()


def test_records_of_other_code_are_not_reused(place, monkeypatch):
    from benchmarks import code

    assert run(place, "base") == 0
    first = found(place)["base"]
    monkeypatch.setattr(code, "digest", lambda: "another")
    assert run(place, "base") == 0
    again = found(place)["base"]
    assert again.code == "another" != first.code
    assert not any(s.cached for s in again.stages)


def test_the_code_digest_ignores_comments_alone(monkeypatch, tmp_path):
    import shutil

    from benchmarks import code

    for part in (*code.PARTS, "benchmarks/code.py"):
        source, copy = ROOT / part, tmp_path / part
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__")) if source.is_dir() else shutil.copy(
            source, copy
        )
    monkeypatch.setattr(code, "__file__", str(tmp_path / "benchmarks" / "code.py"))

    def digest() -> str:
        code.digest.cache_clear()
        return code.digest()

    before, file = digest(), tmp_path / "benchmarks" / "metrics" / "iou.py"
    text = file.read_text()
    file.write_text("# a comment\n" + text.replace('"""IoU (B,)', '"""The IoU (B,)'))
    assert digest() == before
    file.write_text(text.replace("union > 0, 1.0", "union > 0, 0.0"))
    assert digest() != before
    monkeypatch.undo()
    code.digest.cache_clear()
