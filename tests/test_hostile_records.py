"""What the suite itself wrote, altered: records, swaps, kept stages, epochs and features, the paper's tables."""

from __future__ import annotations

import json
import struct
import zlib

import pytest
import torch

from benchmarks import records, store
from benchmarks.encoded_cache import EncodedCache
from benchmarks.errors import InvalidRecord
from benchmarks.printed import printed
from benchmarks.train_state import TrainState
from chanswap import CacheError, FeatureCache
from chanswap.swap import Swap, SwapError
from tests.make_example_results import example


def altered(tmp_path, change) -> str:
    """The error of a record that `change` altered."""
    value = json.loads(records.dump(example("dora+swap", 0)))
    change(value)
    (tmp_path / "r.json").write_text(json.dumps(value))
    with pytest.raises(InvalidRecord) as caught:
        records.read(tmp_path / "r.json")
    text = str(caught.value)
    assert "r.json" in text and "\n" not in text
    return text


def test_scores_in_percent_are_refused(tmp_path):
    """65 for 0.65, consistently: means, intervals and differences all agree."""

    def percent(value):
        for e in value["evaluations"]:
            e["scores"] = {m: [100 * x for x in xs] for m, xs in e["scores"].items()}
            e["metrics"] = {m: {k: 100 * v for k, v in shown.items()} for m, shown in e["metrics"].items()}
        for c in value["comparisons"]:
            c |= {k: 100 * c[k] for k in ("difference", "low", "high")}
        value["search"]["test_gain"] *= 100

    assert "a miou score is not between 0 and 1" in altered(tmp_path, percent)


@pytest.mark.parametrize(
    "pairs, why",
    [
        ([[0, 64]], "not of channels 0 to 63"),
        ([[-1, 3]], "not of channels"),
        ([[5, 5]], "by itself"),
        ([[5, 6], [5, 7]], "overwrites one channel twice"),
        ([[5, 6], [5, 6]], "overwrites one channel twice"),
        ([[5]], "Field required|at least 2|Input should be"),
        ([[5, 6, 7]], "at most 2|Input should be"),
        ([[5.0, 6]], "valid integer"),
        ([["5", 6]], "valid integer"),
    ],
)
def test_a_swap_that_cannot_be_is_refused(tmp_path, pairs, why):
    import re

    def change(value):
        value["search"]["channels"], value["search"]["pairs"], value["search"]["kept"] = 64, pairs, []

    assert re.search(why, altered(tmp_path, change))


@pytest.mark.parametrize("number", ["0", "0.5", True, None, [0.5], {"x": 1}, float("nan"), float("inf")])
def test_numbers_are_numbers(tmp_path, number):
    altered(tmp_path, lambda value: value["evaluations"][0]["metrics"]["miou"].update(low=number))
    altered(tmp_path, lambda value: value["search"].update(search_gain=number))
    if number is not None:
        altered(tmp_path, lambda value: value["spec"].update(seed=number))


def test_counts_and_times_are_not_negative(tmp_path):
    for key in ("evaluations", "combinations", "conflicts", "channels", "gradients"):
        altered(tmp_path, lambda value, key=key: value["search"].update({key: -1}))
    altered(tmp_path, lambda value: value["stages"][0].update(seconds=-0.5))
    altered(tmp_path, lambda value: value["trainable"].update(method=-5))


def test_a_swap_says_each_thing_once():
    text = '{"format": "chanswap/swap", "version": 1, "channels": 8, "pairs": [[1, 2]], "pairs": [[3, 4]]}'
    with pytest.raises(SwapError, match="a field stands twice"):
        Swap.from_json(text)
    assert Swap.from_json(text.replace('"pairs": [[1, 2]], ', "")) == Swap([(3, 4)], channels=8)


# What is kept


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setenv("CHANSWAP_HOME", str(tmp_path))
    job = store.Job("evaluate", {"seed": 0})
    job.folder.mkdir(parents=True)
    (job.folder / "file").write_bytes(b"content")
    store.keep(job, {"base": {"miou": [0.65, 0.7]}, "pairs": [(1, 2)]}, {"seconds": 1.5}, ("file",))
    return job


def test_a_stage_is_read_as_it_was_kept(job):
    found = store.kept(job)
    assert found.result == {"base": {"miou": [0.65, 0.7]}, "pairs": [[1, 2]]} and found.cost == {"seconds": 1.5}
    assert found.files["file"].read_bytes() == b"content"


@pytest.mark.parametrize("was, now", [("0.65", "0.66"), ("1.5", "2.5"), ('"miou"', '"dice"'), ("evaluate", "Evaluate")])
def test_a_flipped_digit_of_a_kept_stage_is_found(job, was, now, caplog):
    path = job.folder / "stage.json"
    path.write_text(path.read_text().replace(was, now, 1))
    assert store.kept(job) is None and "is damaged; it is done again" in caplog.text and not job.folder.exists()


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "[" * 100_000, '{"key": 1, "files": 5}', "\ufeff{}"])
def test_a_stage_that_is_none_is_done_again(job, text):
    (job.folder / "stage.json").write_text(text)
    assert store.kept(job) is None


def test_a_stage_reads_no_file_that_it_did_not_write(job, tmp_path):
    (tmp_path / "other").write_bytes(b"content")
    path = job.folder / "stage.json"
    path.write_text(path.read_text().replace('"file":', '"../../../other":'))
    assert store.kept(job) is None


def trained(path, key="job"):
    layer = torch.nn.Linear(3, 2)
    adam = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    adam.step()
    TrainState(path, key).save(dict(layer.named_parameters()), adam, [0.5], 2.0)


def test_a_flipped_bit_of_a_kept_epoch_is_found(tmp_path, caplog):
    """safetensors has no checksum: a flipped bit of a weight is a weight, and the run would go on from it."""
    path = tmp_path / "epoch.safetensors"
    trained(path)
    whole = path.read_bytes()
    start = 8 + struct.unpack("<Q", whole[:8])[0]
    assert _load(path)[0] == [0.5]
    for k in range(start, len(whole), 5):
        path.write_bytes(whole[:k] + bytes([whole[k] ^ 0x10]) + whole[k + 1 :])
        losses, layer = _load(path)
        assert losses == [] and torch.equal(layer.weight, torch.zeros(2, 3)), k
    assert "its checksum does not fit" in caplog.text


def _load(path):
    layer = torch.nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.zero_()
    return TrainState(path, "job").load(dict(layer.named_parameters()), torch.optim.Adam(layer.parameters())), layer


def with_header(path, change) -> None:
    """A cache whose header is altered and whose checksum of the header is right."""
    data = path.read_bytes()
    size, _ = struct.unpack_from("<II", data, 20)
    header = json.loads(data[28 : 28 + size])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(data[:20] + struct.pack("<II", len(text), zlib.crc32(text)) + text + data[28 + size :])


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["crc32"].pop(),
        lambda h: h.update(crc32=[]),
        lambda h: h.update(ids="ab"),
        lambda h: h.update(ids=[0, 1]),
        lambda h: h.update(shape=[-2, -3]),
        lambda h: h.update(shape=[]),
        lambda h: h.update(shape=[0]),
        lambda h: h.update(shape=[2**40, 2**40]),
        lambda h: h.update(shape=[2.0, 3]),
        lambda h: h.update(shape=[True, 6]),
        lambda h: h.update(dtype="float64"),
        lambda h: h.update(dtype="float16"),
        lambda h: h.update(about=None),
    ],
)
def test_features_that_nothing_vouches_for_are_refused(tmp_path, change):
    path = tmp_path / "f"
    FeatureCache.write(path, [("a", torch.ones(2, 3)), ("b", torch.zeros(2, 3))])
    with_header(path, change)
    with pytest.raises(CacheError, match=str(path)):
        FeatureCache(path)


@pytest.mark.parametrize("shapes", [None, [], [[2, 3]], [[2, 3], [5]], [[2, 3], [-6]], [[2, 3], "6"], [[2.0, 3], [6]], 5])
def test_parts_that_do_not_fill_their_features_are_refused(tmp_path, shapes):
    path = tmp_path / "e"
    EncodedCache.write(path, [("a", (torch.ones(2, 3), (torch.ones(6),)))])
    assert EncodedCache(path)[0][1][0].shape == (6,)
    with_header(path, lambda header: header.update(about={} if shapes is None else {"shapes": shapes}))
    with pytest.raises(CacheError, match=str(path)):
        EncodedCache(path)


# The paper's tables


def test_a_printed_number_is_a_number_and_stands_once(tmp_path, caplog):
    path = tmp_path / "reference" / "table4.csv"
    path.parent.mkdir()
    head = b"table,backbone,method,dataset,metric,value\n"
    rows = [
        b"table4,b,sound,,m,34.6",
        *[
            b"table4,b,odd%d,,m,%s" % (k, v)
            for k, v in enumerate((b"", b"nan", b"1e3", b"1_000", b" 5", b"x", b"\xd9\xa3", b"9" * 40))
        ],
        b"table4,b,twice,,m,1.0",
        b"table4,b,twice,,m,2.0",
        b"table4,b,same,,m,3.0",
        b"table4,b,same,,m,3.0",
        b"table4,b",
    ]
    path.write_bytes(head + b"\n".join(rows))
    # An empty value is the paper's dash.
    sound = {("b", "sound", "", "m"): "34.6", ("b", "odd0", "", "m"): "-", ("b", "same", "", "m"): "3.0"}
    assert printed(tmp_path, "table4") == sound
    for damage in (b"\xff\xfe", b"\xed\xa0\x80"):
        path.write_bytes(head + damage + rows[0])
        assert printed(tmp_path, "table4") == {} and "table4.csv is damaged" in caplog.text
        caplog.clear()
    path.write_bytes(head + b'table4,"b' + b"x" * 200_000)
    assert printed(tmp_path, "table4") == {} and "table4.csv is damaged" in caplog.text
