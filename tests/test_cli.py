"""The commands around a run: list, show, doctor, bench, data; threads; names that do not exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import threads
from benchmarks.catalog import BACKBONES, DATASETS, METHODS, TASKS
from benchmarks.cli import main
from benchmarks.errors import UsageError
from benchmarks.protocols import PROTOCOLS
from benchmarks.registry import Registry

ROOT = Path(__file__).parents[1]


def test_list_names_everything(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for registry in (TASKS, DATASETS, BACKBONES, METHODS, PROTOCOLS):
        assert all(re.search(rf"^{re.escape(name)} ", shown, re.M) for name in registry)


@pytest.mark.parametrize("registry", [TASKS, DATASETS, BACKBONES, METHODS, PROTOCOLS], ids=lambda r: r.kind)
def test_show_knows_every_name(registry, capsys):
    for name in registry:
        assert main(["show", name]) == 0
        shown = capsys.readouterr().out
        assert name in shown and not re.search(r": (null|None|0|\{\}|\[\]|)$|null", shown, re.M)
        if registry in (DATASETS, BACKBONES):
            assert re.search(r"^  licence: \S", shown, re.M) and re.search(r"^  state: (ready|not prepared: )", shown, re.M)
            cards = re.findall(r"^  card: (.+)$", shown, re.M)
            assert len(cards) == (registry is DATASETS or registry.get(name).weights.shipped)
            assert all((ROOT / card).is_file() for card in cards)


def test_show_suggests_the_nearest_name(capsys):
    assert main(["show", "camo-minni"]) == 2
    assert "did you mean camo-mini" in capsys.readouterr().err


def test_show_of_a_record_that_is_not_there_names_the_nearest(capsys):
    assert main(["show", "lora-sam-mini-seed0.json"]) == 2
    assert re.search(
        r"no record lora-sam-mini-seed0.json; did you mean \S+/lora-sam-mini-seed0-\w+.json\?", capsys.readouterr().err
    )
    assert main(["show", "qqq.json"]) == 2
    assert "they lie in results/verified" in capsys.readouterr().err


def test_a_dataset_and_a_backbone_of_two_protocols_are_named_with_their_own(capsys):
    words = ["run", "--task", "medical", "--method", "base", "--dry-run", "--dataset", "kvasir", "--backbone", "sam-mini"]
    assert main(words) == 2
    assert "(kvasir to paper-v1, sam-mini to mini-v1)" in capsys.readouterr().err


def test_doctor_names_what_is_missing_and_what_mends_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"ok +backbones, weights verified: sam-mini, ", shown)
    assert re.search(r"MISS +backbones without weights: sam-vit-b, ", shown)
    mends = " ".join(shown.split("to mend:")[1].split())
    assert "python -m benchmarks weights fetch NAME" in mends and "python -m benchmarks data fetch NAME" in mends
    assert f"Weights go to {tmp_path}/weights, data to {tmp_path}/data/NAME" in mends


@pytest.mark.parametrize("columns", [80, 100, None])
def test_what_is_listed_fits_the_terminal(columns, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", str(columns or ""))
    for words in (["list"], ["doctor"], ["run", "--task", "camo", "--method", "base", "--dry-run"]):
        assert main(words) == 0
        shown = capsys.readouterr()
        lines = (shown.err if words[0] == "run" else shown.out).splitlines()
        # What is to be copied stays whole, and so does a path, however long.
        lines = [line for line in lines if not line.startswith("  python -m benchmarks ") and str(tmp_path) not in line]
        assert lines and max(map(len, lines)) <= (columns or 110), max(lines, key=len)


@pytest.mark.parametrize("name", [n for n, d in DATASETS.items() if d.source == "official"])
def test_a_dataset_that_is_here_in_part_is_not_called_ready(name, capsys, monkeypatch, tmp_path):
    from benchmarks import readiness
    from benchmarks.data import fixtures

    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    dataset, root = DATASETS.get(name), tmp_path / "data" / name
    assert readiness.of_dataset(dataset) == "not prepared"
    kind = TASKS.get(dataset.task).kind
    fixtures.write(name, root, fixtures.drawn(kind, 6, dataset.classes), fixtures.drawn(kind, 2, dataset.classes, 6))
    state = readiness.of_dataset(dataset)
    assert re.fullmatch(r"ready" if name == "perseg" else r"incomplete: [28] of [\d,]+ images", state)  # nobody says how many
    if name == "kvasir":
        assert state == "incomplete: 8 of 1,000 images"
        assert main(["list"]) == 0
        shown = capsys.readouterr().out
        assert re.search(r"^kvasir .*incomplete:", shown, re.M) and re.search(r"^SAM ViT-B( +dw){5} +iw", shown, re.M)
        assert main(["doctor"]) == 0
        assert "dataset kvasir: incomplete: 8 of 1,000 images" in capsys.readouterr().out
        assert main(["show", name]) == 0
        assert "state: incomplete: 8 of 1,000 images" in capsys.readouterr().out
        next((root / "Kvasir-SEG" / "masks").iterdir()).unlink()
        assert readiness.of_dataset(dataset) == "faulty, see: data verify kvasir"


def test_bench_prints_its_ratio(capsys):
    assert main(["bench", "--pairs", "24", "--images", "1", "--rounds", "2", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    assert float(re.search(r"^float32 +\S+ +([\d.]+) \(", shown, re.M)[1]) > 1
    assert re.search(r"^float32 .* 0 of 24 ", shown, re.M)


def test_sheet_shows_the_asked_number(tmp_path, capsys):
    assert main(["data", "sheet", "camo-mini", "--count", "3", "--out", str(tmp_path / "sheet.png")]) == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (8 * 128, 2 * 128)
    assert main(["data", "sheet", "camo-mini"]) == 2


def test_a_registry_refuses_a_second_entry_of_one_name():
    registry: Registry = Registry("thing")
    registry.add("one", 1)
    with pytest.raises(ValueError, match="registered twice"):
        registry.add("one", 2)
    with pytest.raises(UsageError, match="known: one"):
        registry.get("zzz")


def test_every_protocol_hash_depends_on_every_rule():
    from dataclasses import fields, replace

    protocol = PROTOCOLS.get("mini-v1")
    changed = {"training": replace(protocol.training, epochs=99), "seeds": (7,), "stage_versions": {"train": 99}}
    for field in fields(protocol):
        value = getattr(protocol, field.name)
        if field.name in changed:
            other = changed[field.name]
        else:
            other = value + "x" if isinstance(value, str) else (value or 0) + 1
        assert replace(protocol, **{field.name: other}).hash != protocol.hash


def test_the_protocol_names_the_mask_that_a_family_answers_with():
    from dataclasses import replace

    from benchmarks.catalog import BACKBONES, TASKS
    from benchmarks.plan import Request, plan
    from benchmarks.rules import check_rules

    one, two = (plan(Request("camo", "base", backbone=name, device="cpu"), 0) for name in ("sam-mini", "sam2-mini"))
    assert (one.protocol.mask, one.protocol.hash[:8]) == ("single", "7b3eb69f")  # that of the records under results/
    assert two.protocol.mask == "single, best-scored of three where unstable"
    assert two.protocol.hash != one.protocol.hash and two.jobs["evaluate base"].inputs["mask"] == two.protocol.mask
    for p, other in ((one, two), (two, one)):
        for mask in (other.protocol.mask, "best of three"):
            with pytest.raises(UsageError, match=f"asks for mask {mask!r}; here is only {p.protocol.mask!r}"):
                check_rules(TASKS.get("camo"), replace(p.protocol, mask=mask), BACKBONES.get(p.backbone.name))


@pytest.mark.parametrize(
    "task, rule, value",
    [
        ("depth", "head", "dpt"),
        ("depth", "head_optimiser", "sgd"),
        ("depth", "head_loss", "mse"),
        ("depth", "input", "resized, bicubic"),
        ("depth", "crop", "garg"),
        ("classification", "head", "linear on patches"),
        ("classification", "head_optimiser", "adamw"),
        ("classification", "head_loss", "silog"),
        ("classification", "input", "cropped"),
    ],
)
def test_a_rule_of_a_head_that_nothing_implements_is_refused(monkeypatch, task, rule, value):
    from dataclasses import replace

    from benchmarks.plan import Request, plan

    protocol = PROTOCOLS.get("mini-v1")
    assert plan(Request(task, "base", "mini-v1", device="cpu"), 0)
    monkeypatch.setitem(PROTOCOLS._entries, "mini-v1", replace(protocol, rules={rule: value}))
    with pytest.raises(UsageError, match=f"protocol mini-v1 asks for {rule} {value!r}; here is only"):
        plan(Request(task, "base", "mini-v1", device="cpu"), 0)


def test_threads_leave_busy_cores_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.setattr(threads, "usable_cores", lambda: 8)
    monkeypatch.setattr(threads, "busy_cores", lambda: 2.9)
    assert threads.choose() == 5
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.setattr(threads, "busy_cores", lambda: 8.0)
    assert threads.choose() == 1
    assert threads.choose(3) == 3


@pytest.mark.slow
def test_a_busy_neighbour_costs_its_share_and_no_more():
    """Two threads' worth of search beside one busy process on two cores: at most 3 times as slow (a collapse is 80 times)."""
    code = (
        "from benchmarks.cli import main; main(['bench', '--pairs', '256', '--images', '2', '--rounds', '3', '--threads', '2'])"
    )

    def milliseconds() -> float:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300, check=True)
        return float(re.search(r"^float32 +([\d.]+)", done.stdout, re.M)[1])

    alone = milliseconds()
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        assert milliseconds() < 3 * alone
    finally:
        neighbour.kill()


@pytest.mark.slow
def test_paper_v1_runs_at_true_size(monkeypatch, tmp_path):
    """SAM ViT-B at 1024 x 1024 with random weights on images in CAMO's layout: the path that real weights take."""
    import hashlib
    from dataclasses import replace

    import numpy as np
    import torch
    from segment_anything import build_sam_vit_b

    from benchmarks import records
    from benchmarks.data.synthetic import scene

    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    for split in ("train", "test"):
        for part in ("Imgs", "GT"):
            (tmp_path / "data" / "camo" / split / part).mkdir(parents=True)
        for k in range(3):
            made = scene("camo", split, k)
            for part, picture in (("Imgs", made.image), ("GT", made.target.astype(np.uint8) * 255)):
                Image.fromarray(picture).resize((320, 200), 0).save(tmp_path / "data" / "camo" / split / part / f"{k}.png")
    weights = tmp_path / "weights" / "sam_vit_b_01ec64.pth"
    weights.parent.mkdir()
    torch.manual_seed(0)
    torch.save(build_sam_vit_b().state_dict(), weights)
    backbone = BACKBONES.get("sam-vit-b")
    pinned = replace(backbone.weights, sha256=hashlib.sha256(weights.read_bytes()).hexdigest())
    monkeypatch.setitem(BACKBONES._entries, "sam-vit-b", replace(backbone, weights=pinned))
    words = ["run", "--task", "camo", "--method", "base", "--limit", "2", "--results", str(tmp_path / "results")]
    assert main(words) == 0  # auto finds paper-v1 prepared
    record = records.read(next((tmp_path / "results").rglob("*.json")))
    assert record.spec.protocol == "paper-v1" and record.spec.backbone == "sam-vit-b"
    assert record.images == ["test/0", "test/1"] and record.marks
