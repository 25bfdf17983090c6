"""`cost` and `bench epoch`: rows that are measured, memory that runs out, records that are read again, the page of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import backbones, cost_records, watched
from benchmarks.board import cost_page
from benchmarks.board.build import build, check, render
from benchmarks.board.text import MARK
from benchmarks.catalog import BACKBONES, METHODS
from benchmarks.cli import main
from benchmarks.cost_records import CostRecord, CostRow, read, write
from benchmarks.cost_run import measure_rows, rows_of
from benchmarks.cost_steps import Subject, measure, rows_of_all
from benchmarks.errors import InvalidRecord, UsageError
from benchmarks.options import Options
from benchmarks.printed import printed
from tests.test_board import rows_below

ROOT = Path(__file__).parents[1]
MINI = BACKBONES.get("sam-mini")
BATCH = 16  # large enough for the encoder's graph to stand out from what the libraries take
MEASURED = ["base+swap", "decoder", "encoder", "lora"]


def subject(device: str = "cpu", batch: int = BATCH) -> Subject:
    return Subject(MINI, "", backbones.checkpoint(MINI), batch, "float32", Options(batch), device, 1)


def measured(path: Path, names: list[str], **more) -> tuple[CostRecord, list[tuple[str, bool]]]:
    heard = []
    settings = {"force": False, "limit": None} | more
    record, _ = measure_rows(subject(), names, path, said=lambda row, cached: heard.append((row.method, cached)), **settings)
    return record, heard


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> tuple[CostRecord, Path]:
    path = tmp_path_factory.mktemp("cost") / "record.json"
    return measured(path, MEASURED)[0], path


def test_every_method_but_base_is_a_row():
    assert rows_of_all() == ["base+swap", *(name for name in METHODS if name != "base")] == rows_of("all")
    assert rows_of("lora, decoder") == ["decoder", "lora"]


@pytest.mark.parametrize(
    "name, word", [("base", "base+swap"), ("dora+swap", "name dora"), ("lorra", "did you mean lora"), (",", "all")]
)
def test_other_names_are_refused_with_what_to_name(name, word):
    with pytest.raises(UsageError, match=re.escape(word)):
        rows_of(name)


def test_parameters_are_those_that_the_methods_count(kept):
    for row in kept[0].rows:
        assert row.status == "done", row.reason
        assert row.trainable.method == METHODS.get(row.method.removesuffix("+swap"))().count(backbones.build(MINI, None))
    assert kept[0].row("base+swap").trainable.model_dump() == {"method": 0, "besides": {}}
    assert kept[0].row("lora").trainable.besides == {"mask_decoder": kept[0].row("decoder").trainable.method}


def test_training_the_encoder_takes_more_memory_and_time_than_the_decoder_alone(kept):
    inference, decoder, encoder = (kept[0].row(name) for name in ("base+swap", "decoder", "encoder"))
    assert encoder.peak_resident_mib > decoder.peak_resident_mib + 150  # MiB: 16 images' activations in six blocks
    assert encoder.seconds_per_step > decoder.seconds_per_step
    for row in (inference, decoder, encoder):
        assert row.peak_resident_mib > row.resident_before_mib > 0
        assert row.peak_allocated_mib is None and row.peak_reserved_mib is None  # no GPU, no GPU memory


def test_a_method_that_does_not_fit_has_a_worded_row_and_the_next_goes_on(kept, tmp_path):
    peaks = {name: kept[0].row(name).peak_resident_mib for name in ("decoder", "encoder")}
    limit = int(sum(peaks.values()) / 2 * 2**20)
    record, heard = measured(tmp_path / "r.json", ["encoder", "decoder"], limit=limit)
    assert heard == [("encoder", False), ("decoder", False)]
    assert record.row("decoder").status == "done"
    lost = record.row("encoder")
    assert lost.status == "out of memory" and lost.peak_resident_mib is None and lost.seconds_per_step is None
    assert re.fullmatch(r"stopped at [\d.]+ GiB of memory, [\d.]+ GiB could be had", lost.reason)
    assert lost.trainable.method == kept[0].row("encoder").trainable.method  # known before the step
    table = cost_page.table(record, {})
    assert dict(table.frame.iloc[1])["process, GiB"] == "did not fit"
    assert f"encoder: out of memory: {lost.reason}" in table.notes


def test_rows_are_read_again_unless_forced_or_of_another_kind(kept, tmp_path):
    record, path = kept
    again, heard = measured(path, MEASURED)
    assert again == record and heard == [(name, True) for name in MEASURED]
    other = record.model_copy(update={"code": "0" * 16})
    write(other, tmp_path / "r.json")
    _, heard = measured(tmp_path / "r.json", ["decoder"], limit=2**26)
    assert heard == [("decoder", False)]
    assert read(tmp_path / "r.json") == other  # of other code: not used, and not lost for a row that did not fit


def test_a_failed_measurement_does_not_replace_a_row(kept, tmp_path, caplog):
    path = tmp_path / "r.json"
    write(kept[0], path)
    record, heard = measured(path, ["decoder"], force=True, limit=2**26)
    assert heard == [("decoder", False)]
    assert record == kept[0] and "that row is kept" in caplog.text


def test_the_command_from_end_to_end(tmp_path, capsys):
    call = "cost --backbone sam-mini --batch 1 --methods decoder --threads 1 --device cpu".split()
    call += ["--results", str(tmp_path / "results")]
    assert main([*call, "--memory-limit", "0.05"]) == 0  # less than an interpreter with torch takes
    shown = capsys.readouterr()
    assert shown.out.count("did not fit") == 1 and "stopped at" in shown.out
    assert re.search(r"sam-mini, batch 1, real weights: .* a method's process is ended at 0.0 GiB[.,]", shown.err.splitlines()[0])
    assert main(call) == 0
    shown = capsys.readouterr()
    assert "did not fit" not in shown.out and "191,292" in shown.out
    assert re.search(r"decoder: 191,292 trained, [\d.]+ GiB resident, [\d.]+ s a step$", shown.err, re.M)
    assert main(call) == 0
    assert capsys.readouterr().err.count("(--force measures again)") == 1
    [path] = (tmp_path / "results" / "cost").glob("*.json")
    assert path.name == read(path).file_name and re.fullmatch(r"sam-mini-cpu-.+-batch1\.json", path.name)
    assert check(tmp_path / "results", tmp_path / "leaderboard") == []
    assert (tmp_path / "leaderboard" / "cost.md").read_text().startswith(MARK)


@pytest.mark.parametrize("flags", [["--batch", "0"], ["--micro-batch", "5"], ["--memory-limit", "0"], ["--threads", "0"]])
def test_flags_that_cannot_be_are_refused_in_one_line(flags, capsys):
    assert main(["cost", "--backbone", "sam-mini", *flags]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_other_shapes_of_a_measurement_run(tmp_path):
    """In this process, quickly: micro-batches, half precision, checkpointing, random weights."""
    for method in ("base+swap", "encoder"):
        parts = {}
        for part in measure(Subject(MINI, method, None, 3, "bfloat16", Options(2, True), "cpu", 1)):
            parts |= part
        assert parts["status"] == "done" and parts["seconds_per_step"] > 0, parts


def test_a_fault_in_a_method_is_a_failed_row(monkeypatch):
    monkeypatch.setattr(METHODS.get("decoder"), "count", lambda self, model: 7)
    *_, last = measure(Subject(MINI, "decoder", None, 1, "float32", Options(1), "cpu", 1))
    assert last["status"] == "failed" and "declares 7" in last["reason"]


@pytest.mark.parametrize("words", ["DefaultCPUAllocator: can't allocate memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED"])
def test_an_allocation_that_fails_is_memory_that_ran_out(monkeypatch, words):
    def attach(self, model):
        raise RuntimeError(words)

    monkeypatch.setattr(METHODS.get("decoder"), "attach", attach)
    [only] = measure(Subject(MINI, "decoder", None, 1, "float32", Options(1), "cpu", 1))
    assert only["status"] == "out of memory" and words in only["reason"]


# --- the watched process


def dies():
    import os

    yield "begun"
    os._exit(3)


def counts():
    yield from range(3)


def test_a_watched_process_hands_over_what_it_yields_and_how_it_ended():
    assert watched.collect(counts, ()).parts == (0, 1, 2)
    ended = watched.collect(dies, ())
    assert (ended.parts, ended.exit_code, ended.stopped) == (("begun",), 3, None)


def test_a_watched_process_is_stopped_when_the_machine_runs_short(monkeypatch):
    monkeypatch.setattr(watched, "available", lambda: 2**20)
    ended = watched.collect(counts, (), reserve=2**30)
    assert "the machine had 0.0 GiB left" in ended.stopped and ended.exit_code == -9


def test_available_memory_keeps_to_a_containers_limit(monkeypatch):
    real = watched._read
    files = {"max": str(2**30), "current": str(2**29), "stat": f"anon 5\ninactive_file {2**28}\n"}
    monkeypatch.setattr(watched, "_read", lambda path: files.get(path.rsplit(".", 1)[-1]) or real(path))
    assert watched.available() == 2**29 + 2**28
    files["max"] = "max\n"
    assert watched.available() != 2**29 + 2**28


# --- records and the page, of invented numbers


def row(method: str, gpu: bool, **more) -> CostRow:
    parts = {
        "method": method,
        "status": "done",
        "trainable": {"method": 147456, "besides": {"mask_decoder": 4058340}},
        "parameters": 93882928,
        "seconds_per_step": 1.5,
        "peak_resident_mib": 9216.0,
        "resident_before_mib": 1024.0,
        "threads": 2,
        "random_weights": True,
        "started": "2026-01-02T10:00:00+00:00",
    }
    parts |= {"peak_allocated_mib": 28672.0, "peak_reserved_mib": 30720.0} if gpu else {}
    return CostRow(**(parts | more))


LOST = {
    "status": "out of memory",
    "reason": "stopped at 20.0 GiB of memory | <b>",
    "peak_resident_mib": None,
    "resident_before_mib": None,
    "seconds_per_step": None,
}


def record(gpu: bool, rows: list[CostRow] | None = None, **more) -> CostRecord:
    parts = {
        "backbone": "sam-vit-b",
        "image_size": 1024,
        "device_kind": "cuda" if gpu else "cpu",
        "batch": 4,
        "precision": "float32",
        "micro_batch": 4,
        "activation_checkpointing": False,
        "code": "0123456789abcdef",
        "rows": rows or [row("lora", gpu), row("dora", gpu), row("encoder", False, **LOST)],
        "environment": {
            "commit": "0" * 40,
            "dirty": False,
            "python": "3.11.7",
            "platform": "Linux x86_64",
            "device": "Example GPU" if gpu else "CPU Example",
            "precision": "float32",
            "threads": 2,
            "packages": {"torch": "2.9.0"},
        },
    }
    return CostRecord(**(parts | more))


@pytest.fixture
def results(tmp_path):
    """A results folder with one record of a GPU and one of a CPU, and the paper's row of lora."""
    folder = tmp_path / "results"
    for made in (record(True), record(False)):
        write(made, folder / "cost" / made.file_name)
    (folder / "reference").mkdir()
    lines = ["table,backbone,method,dataset,metric,value"]
    lines += ["table4,sam-vit-b,lora,,gpu_memory_gb,28.9", "table4,sam-vit-b,lora,,trainable_params_k,147"]
    (folder / "reference" / "table4.csv").write_text("\n".join([*lines, "table4,sam-vit-b,encoder,,gpu_memory_gb,much", ""]))
    return folder


def test_a_record_comes_back_as_it_was_written(tmp_path):
    for made in (record(True), record(False)):
        write(made, tmp_path / made.file_name)
        assert read(tmp_path / made.file_name) == made
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "sam-vit-b-cpu-example-batch4.json",
        "sam-vit-b-example-gpu-batch4.json",
    ]
    altered = record(True, micro_batch=2, activation_checkpointing=True)
    assert altered.file_name == "sam-vit-b-example-gpu-batch4-micro-batch2-activation-checkpointing.json"
    assert altered.command.endswith("--batch 4 --device cuda --micro-batch 2 --activation-checkpointing")


@pytest.mark.parametrize(
    "path, value, word",
    [
        (("rows", 0, "seconds_per_step"), None, "lora is done, but"),
        (("rows", 0, "peak_reserved_mib"), None, "without the other"),
        (("rows", 0, "peak_resident_mib"), -1, "greater than or equal to 0"),
        (("rows", 1, "method"), "lora", "same method"),
        (("rows", 2, "reason"), None, "no reason is given"),
        (("rows", 0, "surprise"), 1, "not permitted"),
        (("device_kind",), "cpu", "has GPU memory, but the device is cpu"),
        (("micro_batch",), 5, "larger than the batch"),
        (("precision",), "bfloat16", "precision is another one"),
        (("environment",), None, "environment"),
    ],
)
def test_a_mangled_record_is_refused_in_one_line(tmp_path, path, value, word):
    content = record(True).model_dump(mode="json")
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    file = tmp_path / "r.json"
    file.write_text(json.dumps(content))
    with pytest.raises(InvalidRecord) as caught:
        read(file)
    assert word in str(caught.value) and str(caught.value).endswith("then measure again")
    assert len(str(caught.value).splitlines()) == 1 and str(file) in str(caught.value)


def test_a_file_that_is_cut_off_or_missing_is_refused_in_one_line(tmp_path):
    (tmp_path / "r.json").write_text('{"schema_version": 1, "ro')
    for name in ("r.json", "none.json"):
        with pytest.raises(InvalidRecord, match="then measure again"):
            read(tmp_path / name)


def test_the_schema_beside_the_records_is_that_of_the_code():
    assert (ROOT / "results" / "cost-v1.schema.json").read_text() == cost_records.schema()


PAGE = """## sam-vit-b on GPU Example GPU, batch 4, float32

sam-vit-b at 1024 x 1024 pixels, batch 4, float32, on Example GPU.

| method   | trained   | trained besides        | share of the model   | paper, K    | allocated, GiB   | reserved, GiB   | paper, GB   | reserved / paper   | s a step   | threads   |
|----------|-----------|------------------------|----------------------|-------------|------------------|-----------------|-------------|--------------------|------------|-----------|
| lora     | 147,456   | mask_decoder 4,058,340 | 4.48 %               | 147         | 28.00            | 30.00           | 28.9        | 1.04               | 1.500      | 2         |
| dora     | 147,456   | mask_decoder 4,058,340 | 4.48 %               | not printed | 28.00            | 30.00           | not printed |                    | 1.500      | 2         |
| encoder  | 147,456   | mask_decoder 4,058,340 | 4.48 %               | not printed | did not fit      | did not fit     | not printed |                    |            | 2         |
"""
CPU_PAGE = """## sam-vit-b on CPU Example, batch 4, float32

sam-vit-b at 1024 x 1024 pixels, batch 4, float32, on CPU Example.

| method   | trained   | trained besides        | share of the model   | paper, K    | before, GiB   | process, GiB   | s a step   | threads   |
|----------|-----------|------------------------|----------------------|-------------|---------------|----------------|------------|-----------|
| lora     | 147,456   | mask_decoder 4,058,340 | 4.48 %               | 147         | 1.00          | 9.00           | 1.500      | 2         |
| dora     | 147,456   | mask_decoder 4,058,340 | 4.48 %               | not printed | 1.00          | 9.00           | 1.500      | 2         |
| encoder  | 147,456   | mask_decoder 4,058,340 | 4.48 %               | not printed |               | did not fit    |            | 2         |
"""


def test_the_page_says_what_the_records_say(results):
    page = render(results)["cost.md"]
    assert page.startswith(MARK) and PAGE in page and CPU_PAGE in page
    assert "- Note: encoder: out of memory: stopped at 20.0 GiB of memory &#124; &lt;b&gt;" in page
    assert "python -m benchmarks cost --backbone sam-vit-b --batch 4 --device cuda\n" in page
    assert "[What each method takes: trained parameters, memory, time](cost.md)" in render(results)["README.md"]
    build(results, results.parent / "pages")
    assert check(results, results.parent / "pages") == []


def test_gpu_and_process_memory_never_share_a_table(results):
    page = render(results)["cost.md"]
    gpu, cpu = rows_below(page, "## sam-vit-b on GPU"), rows_below(page, "## sam-vit-b on CPU")
    assert all("reserved, GiB" in r and "process, GiB" not in r for r in gpu)
    assert all("process, GiB" in r and not {"allocated, GiB", "reserved, GiB", "paper, GB"} & set(r) for r in cpu)
    headings = [line for line in page.splitlines() if line.startswith("| method")]
    assert len(headings) == 2 and not any("process" in line and "reserved" in line for line in headings)


@pytest.mark.parametrize("other", [{"batch": 1, "micro_batch": 1}, {"micro_batch": 2}, {"activation_checkpointing": True}])
def test_printed_memory_stands_only_beside_memory_measured_in_its_way(results, other):
    table = cost_page.table(record(True, **other), printed(results, "table4"))
    assert "paper, K" in table.frame and "paper, GB" not in table.frame
    assert any("does not stand beside" in note for note in table.notes)


def test_without_cost_records_there_is_no_page_and_no_link(tmp_path):
    pages = render(tmp_path)
    assert list(pages) == ["README.md"] and "cost.md" not in pages["README.md"]


def test_the_newest_record_of_a_kind_is_shown_and_damaged_files_are_named(results):
    late = row("lora", True, started="2026-02-02T10:00:00+00:00", seconds_per_step=9.0)
    write(record(True, rows=[late], code="f" * 16), results / "cost" / "again.json")
    (results / "cost" / "bad.json").write_text("{")
    page = render(results)["cost.md"]
    assert rows_below(page, "## sam-vit-b on GPU") == [rows_below(page, "## sam-vit-b on GPU")[0]]
    assert rows_below(page, "## sam-vit-b on GPU")[0]["s a step"] == "9.000"
    assert "- sam-vit-b-example-gpu-batch4.json: again.json is newer" in page
    assert re.search(r"^- bad\.json: .*Invalid JSON", page, re.M)


def test_the_papers_numbers_come_from_a_file_that_may_be_absent(tmp_path):
    paper = printed(ROOT / "results", "table4")
    assert len(paper) == 16 and paper["sam-vit-b", "base+swap", "", "gpu_memory_gb"] == "11.1"
    assert set(m for _, m, _, _ in paper) == set(rows_of_all()) - {"dora"}
    assert printed(tmp_path, "table4") == {}
    table = cost_page.table(record(True), {})
    assert not {"paper, K", "paper, GB"} & set(table.frame)


def test_nothing_heavy_is_imported_before_a_measurement():
    code = "import sys, benchmarks.cli, benchmarks.cost_run, benchmarks.board.cost_page; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout == "False\n"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_its_memory_is_measured(tmp_path):
    record, _ = measure_rows(subject("cuda:0"), ["decoder", "encoder"], tmp_path / "r.json", False, None, lambda r, c: None)
    for made in record.rows:
        assert made.status == "done", made.reason
        assert 0 < made.peak_allocated_mib <= made.peak_reserved_mib
    assert record.row("encoder").peak_allocated_mib > record.row("decoder").peak_allocated_mib


# --- bench epoch


def test_bench_epoch_prints_both_sides_and_what_the_cache_took(capsys):
    assert main(["bench", "epoch", "--images", "4", "--rounds", "2", "--threads", "1", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "decoder, 4 images, batch 4, 2 rounds, 1 thread," in shown
    found = re.search(r"ratio without / with cache +([\d.]+) +\(lowest round ([\d.]+), highest ([\d.]+)\)", shown)
    middle, low, high = map(float, found.groups())
    assert low <= middle <= high and middle > 1
    assert float(re.search(r"making the cache, once for all epochs +([\d.]+) s", shown)[1]) > 0


def test_bench_epoch_refuses_what_only_the_scorer_takes(capsys):
    assert main(["bench", "epoch", "--pairs", "3"]) == 2
    assert "leave them out" in capsys.readouterr().err
    assert main(["bench", "epoch", "--rounds", "0"]) == 2
