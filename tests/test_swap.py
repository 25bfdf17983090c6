"""`Swap`: its meaning on real tensors, its algebra, its file, and what it refuses."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chanswap import Swap, SwapError


@st.composite
def swaps(draw, count: int = 1, channels: int | None = None):
    """`count` swaps of one width; every gather index can occur, the identity included."""
    width = channels or draw(st.integers(1, 12))
    source = st.lists(st.integers(0, width - 1), min_size=width, max_size=width)
    made = [Swap.from_source(draw(source)) for _ in range(count)]
    return made[0] if count == 1 else made


def refused(call, *args, **named) -> str:
    """The message of the SwapError that the call must raise: one line, short enough to read, and not empty."""
    with pytest.raises(SwapError) as caught:
        call(*args, **named)
    assert type(caught.value) is SwapError
    message = str(caught.value)
    assert message and message.isprintable() and len(message) < 300
    return message


# Meaning


@given(swaps())
def test_pairs_and_source_say_the_same(swap):
    assert Swap.from_source(swap.source) == Swap(swap.pairs, channels=swap.channels) == swap
    assert [(c, s) for c, s in enumerate(swap.source) if c != s] == list(swap.pairs)
    assert swap.index().tolist() == list(swap.source) and swap.index().dtype == torch.int64
    assert len(swap) == len(swap.pairs) and pickle.loads(pickle.dumps(swap)) == swap


@given(swaps(), st.randoms())
def test_the_order_and_repetition_of_pairs_have_no_meaning(swap, random):
    pairs = [*swap.pairs, *swap.pairs]
    random.shuffle(pairs)
    again = Swap(iter(pairs), channels=swap.channels)
    assert again == swap and hash(again) == hash(swap) and again.pairs == swap.pairs


@given(swaps(), st.integers(1, 4), st.data())
def test_every_channel_is_read_from_the_original_along_any_axis(swap, ndim, data):
    axis = data.draw(st.integers(-ndim, ndim - 1))
    shape = [data.draw(st.integers(1, 3)) for _ in range(ndim)]
    shape[axis] = swap.channels
    original = torch.randn(shape)
    kept = original.clone()
    swapped = swap(original, axis)
    assert swapped.shape == original.shape and torch.equal(original, kept)
    for c, s in enumerate(swap.source):
        assert torch.equal(swapped.select(axis, c), original.select(axis, s))
    if swap.pairs:  # a new tensor: writing to it must not reach the input
        swapped.zero_()
        assert torch.equal(original, kept)


def test_chains_do_not_cascade():
    features = torch.tensor([[10.0, 11.0, 12.0]])
    for pairs in ([(0, 1), (1, 2)], [(1, 2), (0, 1)]):
        assert Swap(pairs, channels=3)(features).tolist() == [[11.0, 12.0, 12.0]]  # 0 shows the old 1, not the new one
    assert Swap([(0, 1), (1, 0)], channels=3)(features).tolist() == [[11.0, 10.0, 12.0]]


def test_non_contiguous_features_half_precision_and_gradients():
    swap = Swap([(0, 2), (1, 0)], channels=3)
    view = torch.randn(4, 5, 3).transpose(1, 2)
    assert torch.equal(swap(view), view[:, [2, 0, 2]])
    for dtype in (torch.float16, torch.bfloat16, torch.int64):
        cast = (view * 8).to(dtype)
        assert swap(cast).dtype is dtype and torch.equal(swap(cast), cast[:, [2, 0, 2]])
    leaf = torch.ones(1, 3, requires_grad=True)
    swap(leaf).sum().backward()
    assert leaf.grad.tolist() == [[1.0, 0.0, 2.0]]  # how often each channel is read


# Algebra


@given(swaps(count=3))
def test_then_is_one_after_the_other(three):
    first, second, third = three
    features = torch.randn(2, first.channels)
    identity = Swap(channels=first.channels)
    assert torch.equal(first.then(second)(features), second(first(features)))
    assert first.then(second).then(third) == first.then(second.then(third))
    assert identity.then(first) == first.then(identity) == first


@given(swaps(count=3))
def test_or_is_the_union_and_refuses_exactly_the_conflicts(three):
    first, second, third = three
    identity = Swap(channels=first.channels)
    assert first | identity == identity | first == first | first == first
    clash = any(a == c and b != d for a, b in first.pairs for c, d in second.pairs)
    assert first.conflicts(second) == second.conflicts(first) == clash
    if clash:
        refused(lambda: first | second)
        refused(lambda: second | first)
        return
    assert set((first | second).pairs) == set(first.pairs) | set(second.pairs)
    assert first | second == second | first
    if not (first | second).conflicts(third):
        assert (first | second) | third == first | (second | third)


@given(st.integers(1, 50))
def test_the_empty_swap_returns_equal_features(channels):
    features = torch.randn(2, channels, 2)
    assert torch.equal(Swap(channels=channels)(features), features)
    assert str(Swap(channels=channels)) == "no pairs"


def test_str_shows_the_pairs():
    assert str(Swap([(5, 0), (1, 2)], channels=6)) == "1<-2, 5<-0"


# File


@given(swaps(), st.dictionaries(st.text(min_size=1).filter(lambda k: k != "self"), st.text() | st.integers()))
def test_json_round_trip(swap, about):
    text = swap.to_json(**about)
    assert Swap.from_json(text) == Swap.from_json(text.encode()) == swap
    assert json.loads(text).get("about", {}) == about


def test_save_and_load(tmp_path):
    swap, path = Swap([(3, 1)], channels=4), tmp_path / "a.swap.json"
    swap.save(path, site="SAM", gain=0.03)
    assert Swap.load(path) == Swap.load(str(path)) == swap
    path.write_text(path.read_text()[:-9])
    assert str(path) in refused(Swap.load, path)
    with pytest.raises(FileNotFoundError):
        Swap.load(tmp_path / "none.json")


# Refusals


@pytest.mark.parametrize("integer", [int, np.int64, np.uint8, torch.tensor, lambda v: torch.tensor(v, dtype=torch.uint8)])
def test_whole_numbers_of_other_libraries_become_ints(integer):
    swap = Swap([(integer(0), integer(2))], channels=integer(3))
    assert swap == Swap([(0, 2)], channels=3) == Swap.from_source([integer(c) for c in (2, 1, 2)])
    assert {type(n) for n in (*swap.pairs[0], swap.channels)} == {int}  # else JSON refuses them later
    assert swap == Swap(np.array([[0, 2]]), channels=3) == Swap(torch.tensor([[0, 2]]), channels=3)


NOT_WHOLE = [True, False, 1.0, "1", None, float("nan"), b"1", [1], np.True_, np.float32(1), torch.tensor(True), torch.tensor(1.0)]


@pytest.mark.parametrize("bad", [*NOT_WHOLE, torch.arange(3000), "x\ny" * 500], ids=lambda v: type(v).__name__)
def test_what_is_no_whole_number_is_refused_everywhere(bad):
    for call in (lambda: Swap([(bad, 1)], channels=3), lambda: Swap([(1, bad)], channels=3), lambda: Swap(channels=bad)):
        assert "whole number" in refused(call)
    assert "whole number" in refused(Swap.from_source, [0, bad])


@pytest.mark.parametrize(
    ("pairs", "channels", "says"),
    [
        ([(0, 3)], 3, "channel 3 is not in 0..2"),
        ([(3, 0)], 3, "channel 3 is not in 0..2"),
        ([(-1, 0)], 3, "channel -1"),
        ([(0, -1)], 3, "channel -1"),
        ([(1, 1)], 3, "by itself"),
        ([(0, 1), (0, 2)], 3, "channel 0 is overwritten twice, by 1 and by 2"),
        ([(0, 1, 2)], 3, "a pair is"),
        ([(0,)], 3, "a pair is"),
        ([7], 3, "a pair is"),
        ([list(range(5000))], 3, "a pair is"),
        ([], 0, "at least 1"),
        ([], -4, "at least 1"),
    ],
)
def test_pairs_that_cannot_be(pairs, channels, says):
    assert says in refused(Swap, pairs, channels=channels)


def test_source_out_of_range_or_empty():
    for bad in ([0, 2], [-1, 0], []):
        refused(Swap.from_source, bad)


def test_wrong_width_and_wrong_axis():
    swap = Swap([(0, 1)], channels=3)
    assert "3 channels" in refused(swap, torch.zeros(2, 4))
    assert "3 channels" in refused(swap, torch.zeros(3, 2))  # right on another axis is still wrong
    for axis in (2, -3):
        assert f"axis {axis}" in refused(swap, torch.zeros(3, 3), axis)
    refused(swap, torch.tensor(1.0), 0)
    refused(Swap(channels=3), torch.zeros(2, 4))  # the empty swap checks too
    other = Swap(channels=4)
    for call in (swap.then, swap.__or__, swap.conflicts):
        assert "3 and 4 channels" in refused(call, other)


GOOD = {"format": "chanswap/swap", "version": 1, "channels": 3, "pairs": [[0, 2]]}


def test_the_good_file_is_good():
    assert Swap.from_json(json.dumps(GOOD)) == Swap([(0, 2)], channels=3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "version 2"),
        ({"version": None}, "version None"),
        ({"version": True}, "version True"),
        ({"version": 1.0}, "version 1.0"),
        ({"version": "1\n" * 999}, "version"),
        ({"format": "other"}, "not a swap"),
        ({"weights": 1}, "weights"),
        ({"line\nbreak": 1}, "unknown"),
        ({"x" * 9999: 1}, "unknown"),
        ({"pairs": None}, "pairs"),
        ({"pairs": {"0": 2}}, "pairs"),
        ({"pairs": "02"}, "pairs"),
        ({"pairs": [None]}, "a pair is"),
        ({"pairs": ["02"]}, "whole number"),
        ({"pairs": [[0, 2.0]]}, "whole number"),
        ({"pairs": [[0, 99]]}, "99"),
        ({"channels": "3"}, "whole number"),
        ({"channels": True}, "whole number"),
        ({"channels": None}, "whole number"),
    ],
)
def test_files_that_are_no_swap(change, says):
    assert says in refused(Swap.from_json, json.dumps({**GOOD, **change}))


@pytest.mark.parametrize("field", GOOD)
def test_every_field_is_needed(field):
    refused(Swap.from_json, json.dumps({k: v for k, v in GOOD.items() if k != field}))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"swap"', b"\xff\xfe", b"\x00", '{"a": ' + "1" * 9999 + "}"])
def test_text_that_is_no_json_or_no_object(text):
    refused(Swap.from_json, text)


@pytest.mark.parametrize("depth", [10, 500, 900, 980, 990, 1000, 5000, 200_000])
@pytest.mark.parametrize("frame", ["{}", *({**GOOD, field: "DEEP"} for field in (*GOOD, "about"))], ids=str)
def test_deep_nesting_is_one_error(depth, frame):
    deep = "[" * depth + "]" * depth
    text = deep if frame == "{}" else json.dumps(frame).replace('"DEEP"', deep)
    if isinstance(frame, dict) and "about" in frame:  # `about` is free: it may be read, or be too deep, and nothing else
        try:
            assert Swap.from_json(text).channels == 3
        except SwapError as error:
            assert "\n" not in str(error)
    else:
        refused(Swap.from_json, text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ALMOST = st.fixed_dictionaries(
    {},
    optional={
        "format": st.just("chanswap/swap") | VALUES,
        "version": st.just(1) | VALUES,
        "channels": st.integers(-1, 5) | VALUES,
        "pairs": st.lists(st.lists(st.integers(-1, 5), min_size=1, max_size=3), max_size=4) | VALUES,
        "about": VALUES,
        "more": VALUES,
    },
)


@given(VALUES | ALMOST)
def test_any_json_is_a_swap_or_a_swap_error(value):
    try:
        swap = Swap.from_json(json.dumps(value))
    except SwapError as error:
        assert str(error).isprintable()
    else:
        assert swap.channels == value["channels"] and {tuple(p) for p in value["pairs"]} == set(swap.pairs)


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_bytes_are_a_swap_or_a_swap_error(data):
    with pytest.raises(SwapError):  # 60 characters cannot hold one
        Swap.from_json(data)
