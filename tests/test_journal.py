"""`Journal`: whatever happens to the file, what is read back was written, under the name that it was written under."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chanswap import Journal

BLOCKS = [
    ((0, 0), torch.tensor([0.5, -1.0, 2.0])),
    ((0, 3), torch.tensor([1e-8])),
    ((2, 0), torch.linspace(-1, 1, 5)),
    ((1, 1024), torch.zeros(2)),
]


def written(path, blocks=BLOCKS, key="job"):
    journal = Journal(path, key)
    journal.load()
    ends = [path.stat().st_size]
    for (image, start), scores in blocks:
        journal.append(image, start, scores)
        ends.append(path.stat().st_size)  # append alone puts it on disk: a kill may come at any moment
    journal.close()
    return ends


def read(path, key="job"):
    journal = Journal(path, key)
    blocks = journal.load()
    journal.close()
    return blocks


def same(found, wanted):
    wanted = dict(wanted)
    return found.keys() == wanted.keys() and all(torch.equal(found[k], v) for k, v in wanted.items())


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)),
        st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=9),
        max_size=6,
    )
)
def test_round_trip(tmp_path_factory, blocks):
    path = tmp_path_factory.mktemp("journal") / "new" / "scores"
    wanted = {name: torch.tensor(scores) for name, scores in blocks.items()}
    written_path = Journal(path, "job")
    assert written_path.load() == {}
    for (image, start), scores in wanted.items():
        written_path.append(image, start, scores)
    written_path.close()
    assert same(read(path), wanted) and same(read(path), wanted)


def test_scores_are_kept_as_float32_whatever_they_were(tmp_path):
    wanted = torch.tensor([0.25, 3.0, -1.0])
    scores = [wanted.double(), wanted.half(), torch.stack([wanted, wanted], 1)[:, 0]]
    written(tmp_path / "j", [((k, 0), s) for k, s in enumerate(scores)])
    found = read(tmp_path / "j")
    assert all(torch.equal(found[k, 0], wanted) and found[k, 0].dtype is torch.float32 for k in range(3))


def test_cut_anywhere_a_prefix_counts_and_appending_goes_on(tmp_path):
    path = tmp_path / "j"
    ends = written(path)
    data = path.read_bytes()
    for length in range(len(data) + 1):
        path.write_bytes(data[:length])
        survived = sum(end <= length for end in ends[1:])
        assert same(read(path), BLOCKS[:survived]), length
        written(path, BLOCKS[survived:])
        assert same(read(path), BLOCKS) and path.read_bytes() == data, length


def test_a_flipped_byte_costs_its_block_and_what_follows_never_more(tmp_path):
    path = tmp_path / "j"
    ends = written(path)
    data = path.read_bytes()
    for position in range(len(data)):
        for change in (0x01, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= change
            path.write_bytes(damaged)
            # In the head: another job. In a block, its name and length included: the blocks before it.
            survived = sum(end <= position for end in ends[1:])
            assert same(read(path), BLOCKS[:survived]), (position, change)
            written(path, BLOCKS[survived:])
            assert path.read_bytes() == data


@given(st.binary(max_size=200))
def test_any_file_is_started_anew(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("journal") / "j"
    path.write_bytes(data)
    assert read(path) == {}
    written(path)
    assert same(read(path), BLOCKS)


def test_another_key_starts_anew(tmp_path):
    path = tmp_path / "j"
    written(path)
    assert read(path, "another job") == {}
    assert read(path) == {}  # and the old job's scores are gone, not mixed in
    written(path, BLOCKS[:1], "another job")
    assert same(read(path, "another job"), BLOCKS[:1])


def test_a_block_written_again_counts_once_the_later_one(tmp_path):
    written(tmp_path / "j", [*BLOCKS, ((0, 0), torch.tensor([7.0]))])
    assert same(read(tmp_path / "j"), {**dict(BLOCKS), (0, 0): torch.tensor([7.0])})


def test_discard_removes_the_file_open_or_not_there_or_not(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path, "job")
    journal.discard()
    journal.load()
    journal.append(0, 0, torch.ones(1))
    journal.discard()
    assert not path.exists()
    journal.discard()
    assert journal.load() == {}
    journal.close()
    journal.close()


def test_a_folder_in_its_place_is_an_error_not_a_loss(tmp_path):
    with pytest.raises(OSError):
        Journal(tmp_path, "job").load()
