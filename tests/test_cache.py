"""`FeatureCache`: what is read is what was written, or a CacheError; a file is whole or not there."""

from __future__ import annotations

import errno
import os
import random
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chanswap import CacheError, FeatureCache

DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def items(count=3, shape=(4, 2, 3), dtype=torch.float32):
    made = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return [(f"image {k}", made[k]) for k in range(count)]


@pytest.fixture
def whole(tmp_path):
    """A small file and its bytes."""
    path = tmp_path / "features"
    FeatureCache.write(path, items(), model="toy")
    return path, path.read_bytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@settings(max_examples=20)
@given(st.integers(1, 4), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_round_trip(tmp_path_factory, dtype, count, shape):
    written = items(count, shape, dtype)
    path = tmp_path_factory.mktemp("cache") / "new" / "features"
    about = {"model": "sam-mini", "nested": {"a": [1, None, "ä"]}}
    for cache in (FeatureCache.write(path, iter(written), **about), FeatureCache(path), FeatureCache(str(path))):
        assert len(cache) == count and cache.ids == [name for name, _ in written] and cache.about == about
        assert cache.shape == torch.Size(shape)
        for got, (_, tensor) in zip(cache, written, strict=True):
            assert got.dtype is dtype and torch.equal(got, tensor)
    assert os.listdir(path.parent) == ["features"]


def test_bit_patterns_survive(tmp_path):
    odd = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])
    got = FeatureCache.write(tmp_path / "f", [("a", odd)])[0]
    assert torch.equal(got.view(torch.int32), odd.view(torch.int32))


def test_views_and_tensors_with_gradients(tmp_path):
    base = torch.randn(5, 4, requires_grad=True)
    cache = FeatureCache.write(tmp_path / "f", [("a", base.T), ("b", base.T[:, [0, 2, 1, 3, 4]])])
    assert torch.equal(cache[0], base.T) and torch.equal(cache[1], base.T[:, [0, 2, 1, 3, 4]])


def test_it_ends_where_the_images_end(whole):
    cache = FeatureCache(whole[0])
    for k in (3, 99):
        with pytest.raises(IndexError):
            cache[k]
    assert len(list(cache)) == 3


def test_writing_to_a_tensor_does_not_reach_the_file(whole):
    path, data = whole
    FeatureCache(path)[0].zero_()
    assert path.read_bytes() == data and torch.equal(FeatureCache(path)[0], items()[0][1])


def test_every_flipped_byte_is_seen(whole):
    path, data = whole
    draw = random.Random(0)
    # All of the front, where a damaged letter of an id would still be valid JSON, and a sample of the rest.
    positions = {*range(120), *draw.sample(range(len(data)), 200), len(data) - 1}
    for position in positions:
        for change in {1 << draw.randrange(8), 0x20 ^ 0x0A, 0xFF}:  # the second makes a line break of a space
            damaged = bytearray(data)
            damaged[position] ^= change
            path.write_bytes(damaged)
            with pytest.raises(CacheError) as caught:
                FeatureCache(path)
            assert "\n" not in str(caught.value) and str(path) in str(caught.value), position


def test_every_truncation_is_seen(whole):
    path, data = whole
    lengths = {*range(40), *random.Random(1).sample(range(len(data)), 150), len(data) - 1}
    for length in lengths:
        path.write_bytes(data[:length])
        with pytest.raises(CacheError):
            FeatureCache(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(CacheError):
        FeatureCache(path)
    path.write_bytes(data)
    assert len(FeatureCache(path)) == 3


@pytest.mark.parametrize("data", [b"", b"\0" * 500, b"chanswap-features-2\n" + struct.pack("<II", 2**32 - 1, 0) + b"{}"])
def test_other_files_are_refused(tmp_path, data):
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(CacheError):
        FeatureCache(tmp_path / "f")


def test_no_file_at_all(tmp_path):
    with pytest.raises(FileNotFoundError):
        FeatureCache(tmp_path / "none")


@pytest.mark.parametrize("before", [None, b"an earlier file"], ids=["new", "replacing"])
@pytest.mark.parametrize("trouble", ["iterator", "fsync", "replace", "about"])
def test_an_unfinished_write_leaves_nothing_and_spares_the_old(tmp_path, monkeypatch, before, trouble):
    path = tmp_path / "features"
    if before:
        path.write_bytes(before)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def features():
        yield from items(2)
        if trouble == "iterator":
            raise KeyboardInterrupt

    if trouble in ("fsync", "replace"):
        monkeypatch.setattr(os, trouble, full)
    wanted = {"iterator": KeyboardInterrupt, "about": TypeError}.get(trouble, OSError)
    with pytest.raises(wanted) as caught:
        FeatureCache.write(path, features(), about_what=object() if trouble == "about" else "x")
    if wanted is OSError:
        assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == (["features"] if before else [])
    if before:
        assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ([*items(2), ("odd", torch.zeros(4, 3, 2))], "odd"),  # as many numbers, another shape
        ([*items(2), ("odd", torch.zeros(4, 2, 3).half())], "odd"),
        ([("first", torch.zeros(4).double())], "float64"),
        ([("first", torch.zeros(4, dtype=torch.int64))], "int64"),
        ([], "no features"),
    ],
    ids=["shape", "dtype", "float64", "int64", "nothing"],
)
def test_features_that_do_not_go_together_are_refused(tmp_path, bad, says):
    with pytest.raises(ValueError, match=says):
        FeatureCache.write(tmp_path / "f", bad)
    assert os.listdir(tmp_path) == []
