"""Scoring, screening, combining and search, on toy models whose scores are whole numbers: equality is then exact."""

from __future__ import annotations

import os
from itertools import combinations, count

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chanswap import (
    FeatureCache,
    Journal,
    Scorer,
    Swap,
    SwapError,
    all_subsets,
    exhaustive,
    random,
    random_swap,
    score,
    score_one_by_one,
    scoring,
    search,
)


class Toy:
    """A nonlinear score in which every channel has its own weight and acts on its neighbour; another one for each image."""

    def __init__(self, channels: int, images: int, seed: int = 0):
        draw = torch.Generator().manual_seed(seed)
        self.features = [torch.randint(-4, 5, (channels, 2, 3), generator=draw).float() for _ in range(images)]
        self.weights = torch.randint(-4, 5, (images, channels, 2, 3), generator=draw).float()
        self.passes, self.largest, self.threads = 0, 0, set()

    def __call__(self, x, image):
        self.passes += len(x)
        self.largest = max(self.largest, len(x))
        self.threads.add(torch.get_num_threads())
        return (x * self.weights[image] + x * x.roll(1, 1)).flatten(1).sum(1)

    def scorer(self, **options) -> Scorer:
        return Scorer(self.features, self, **options)


@st.composite
def problems(draw):
    channels, images = draw(st.integers(2, 7)), draw(st.integers(1, 3))
    source = st.lists(st.integers(0, channels - 1), min_size=channels, max_size=channels)
    swaps = [Swap.from_source(s) for s in draw(st.lists(source, max_size=20))]
    return Toy(channels, images, draw(st.integers(0, 99))), swaps


@pytest.fixture
def small_blocks(monkeypatch):
    """Work comes in units of 4 candidates, so that a small problem has many."""
    monkeypatch.setattr(scoring, "BLOCK", 4)


# score


@pytest.mark.parametrize("workers", [1, 2])
@settings(max_examples=60)
@given(problems(), st.integers(1, 9), st.integers(1, 7))
def test_score_equals_the_literal_loop(workers, problem, batch, block):
    toy, swaps = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "BLOCK", block)
        table = score(toy.scorer(batch=batch, workers=workers), iter(swaps))
    assert toy.passes == len(swaps) * len(toy.features) and toy.largest <= batch
    assert table.dtype is torch.float32 and table.shape == (len(toy.features), len(swaps))
    assert torch.equal(table, score_one_by_one(toy.scorer(), swaps))
    # And by hand, with neither of the two loops.
    for image, features in enumerate(toy.features):
        for column, swap in enumerate(swaps):
            assert table[image, column] == toy(features[list(swap.source)][None], image)[0]


def by_pairs(toy: Toy):
    """`evaluate_pairs` of a toy, by plain loops."""

    def evaluate(pairs, image):
        made = [Swap([p for p in rows if p[0] >= 0], channels=len(toy.features[image])) for rows in pairs.tolist()]
        return torch.cat([toy(swap(toy.features[image], axis=0)[None], image) for swap in made])

    return evaluate


@pytest.mark.parametrize("workers", [1, 2])
@settings(max_examples=30)
@given(problems(), st.integers(1, 9))
def test_a_shorter_way_is_given_the_pairs_themselves(workers, problem, batch):
    toy, swaps = problem
    scorer = Scorer(toy.features, None, batch, workers, evaluate_pairs=by_pairs(toy))  # `evaluate` is then never called
    assert torch.equal(score(scorer, swaps), score_one_by_one(toy.scorer(), swaps))


def test_memory_that_a_shorter_way_lacks_halves_its_batch_too():
    toy, sizes = Toy(4, 2), []
    plain = by_pairs(toy)

    def evaluate(pairs, image):
        sizes.append(len(pairs))
        if len(pairs) > 3:
            raise torch.OutOfMemoryError
        return plain(pairs, image)

    swaps = [random_swap(4, 2, seed) for seed in range(10)]
    assert torch.equal(
        score(Scorer(toy.features, None, 12, evaluate_pairs=evaluate), swaps), score_one_by_one(toy.scorer(), swaps)
    )
    assert max(size for size in sizes if size <= 3) == 3 and 10 in sizes


def test_the_literal_loop_on_some_images():
    toy = Toy(4, 3)
    swaps = [random_swap(4, 2, seed) for seed in range(5)]
    assert torch.equal(score_one_by_one(toy.scorer(), swaps, images=[2, 0]), score_one_by_one(toy.scorer(), swaps)[[2, 0]])


def test_features_from_a_file_and_half_precision(tmp_path):
    toy, swaps = Toy(5, 2), [random_swap(5, 2, seed) for seed in range(9)]
    wanted = score(toy.scorer(), swaps)
    cache = FeatureCache.write(tmp_path / "f", ((str(k), f) for k, f in enumerate(toy.features)))
    assert torch.equal(score(Scorer(cache, toy, workers=2), swaps), wanted)
    halves = Scorer([f.half() for f in toy.features], lambda x, image: toy(x.float(), image).half().double())
    assert torch.equal(score(halves, swaps), wanted.half().float())


def test_the_features_are_not_written_to():
    toy = Toy(5, 2)
    kept = [f.clone() for f in toy.features]
    score(Scorer(toy.features, lambda x, image: x.zero_().flatten(1).sum(1)), [Swap(channels=5), Swap([(0, 1)], channels=5)])
    assert all(torch.equal(a, b) for a, b in zip(toy.features, kept, strict=True))


def test_progress_rises_to_the_whole(small_blocks):
    toy, seen = Toy(4, 3), []
    score(toy.scorer(workers=2), [Swap(channels=4)] * 10, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 30) and seen[-1] == (30, 30) and {total for _, total in seen} == {30}
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("stop", [1, 4, 7, 11])
def test_an_interrupted_scoring_goes_on_where_it_stopped(tmp_path, small_blocks, workers, stop):
    toy, swaps = Toy(6, 3), [random_swap(6, 2, seed) for seed in range(18)]  # 5 blocks an image, the last one of 2
    wanted, calls = score(toy.scorer(), swaps), count(1)

    def interrupted(x, image):
        if next(calls) == stop:
            raise KeyboardInterrupt
        return toy(x, image)

    with pytest.raises(KeyboardInterrupt):
        score(Scorer(toy.features, interrupted, workers=workers), swaps, journal=Journal(tmp_path / "j", "job"))
    journal = Journal(tmp_path / "j", "job")
    kept = sum(len(block) for block in journal.load().values())
    journal.close()
    if workers == 1:
        assert kept == sum(min(4, 18 - 4 * (k % 5)) for k in range(stop - 1))  # all that was finished
    toy.passes, seen = 0, []
    table = score(
        toy.scorer(workers=workers), swaps, journal=Journal(tmp_path / "j", "job"), progress=lambda done, total: seen.append(done)
    )
    assert torch.equal(table, wanted) and toy.passes == 54 - kept and seen[0] == kept
    # Once more: nothing is left to do. Under another key: everything.
    toy.passes = 0
    assert torch.equal(score(toy.scorer(), swaps, journal=Journal(tmp_path / "j", "job")), wanted) and toy.passes == 0
    assert torch.equal(score(toy.scorer(), swaps, journal=Journal(tmp_path / "j", "other")), wanted) and toy.passes == 54


@settings(max_examples=30)
@given(problems(), st.integers(1, 64), st.integers(1, 30), st.integers(1, 2))
def test_out_of_memory_halves_the_batch_and_changes_nothing(problem, batch, fits, workers):
    toy, swaps = problem

    def small(x, image):
        if len(x) > fits:
            raise torch.OutOfMemoryError("toy")
        return toy(x, image)

    assert torch.equal(score(Scorer(toy.features, small, batch, workers), swaps), score(toy.scorer(), swaps))


def test_memory_may_run_out_in_the_middle_of_a_block():
    toy, swaps, calls = Toy(6, 2), [random_swap(6, 2, seed) for seed in range(40)], count()

    def sometimes(x, image):
        if len(x) > 1 and next(calls) % 3 == 2:  # another process took the memory meanwhile
            raise torch.OutOfMemoryError("toy")
        return toy(x, image)

    table = score(Scorer(toy.features, sometimes, batch=8), swaps)
    assert toy.passes == 80 and torch.equal(table, score(toy.scorer(), swaps))  # what was scored before it ran out is kept


def test_out_of_memory_for_one_version_is_raised():
    def never(x, image):
        raise torch.OutOfMemoryError("toy")

    with pytest.raises(torch.OutOfMemoryError):
        score(Scorer(Toy(3, 1).features, never), [Swap(channels=3)] * 9)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    "wrong", [lambda x: x.flatten(1), lambda x: x.sum(), lambda x: x[1:, 0, 0, 0], lambda x: x[:, 0, 0, :1]], ids=range(4)
)
def test_a_score_of_the_wrong_shape_is_refused(workers, wrong):
    with pytest.raises(ValueError, match="one score each"):
        score(Scorer(Toy(3, 2).features, lambda x, image: wrong(x), workers=workers), [Swap(channels=3)] * 5)


@pytest.mark.parametrize("trouble", [None, "evaluate", "progress"])
def test_the_callers_thread_count_comes_back(small_blocks, trouble):
    toy, calls = Toy(4, 3), count()

    def evaluate(x, image):
        if trouble == "evaluate" and next(calls) == 5:
            raise RuntimeError
        return toy(x, image)

    def progress(done, total):
        if trouble == "progress" and done:
            raise RuntimeError

    torch.set_num_threads(3)  # conftest puts it back to 1
    try:
        score(Scorer(toy.features, evaluate, workers=2), [Swap(channels=4)] * 20, progress=progress)
    except RuntimeError:
        assert trouble
    else:
        assert trouble is None
    assert torch.get_num_threads() == 3 and toy.threads == {1}
    toy.threads.clear()
    score(toy.scorer(workers=1), [Swap(channels=4)])
    assert toy.threads == {3}  # a single worker leaves the threads of its operations alone


# Screening


class Planted:
    """Scores how close the features are to those with a given swap on: that swap is the best there is."""

    def __init__(self, swap: Swap, images: int = 2):
        draw = torch.Generator().manual_seed(3)
        self.features = [torch.randint(-50, 50, (swap.channels, 4), generator=draw).float() for _ in range(images)]
        self.targets = [swap(f, 0) for f in self.features]

    def __call__(self, x, image):
        return -(x - self.targets[image]).abs().flatten(1).sum(1)

    def scorer(self, **options) -> Scorer:
        return Scorer(self.features, self, **options)


@pytest.mark.parametrize("channels", [2, 3, 9])
def test_exhaustive_screens_all_pairs_and_no_other(channels):
    toy = Toy(channels, 2)
    screen = exhaustive(toy.scorer())
    pairs = [tuple(p) for p in screen.pairs.tolist()]
    assert pairs == [(r, e) for r in range(channels) for e in range(channels) if r != e]
    assert screen.evaluations == toy.passes == 2 * (len(pairs) + 1)
    table = score_one_by_one(toy.scorer(), [Swap([p], channels=channels) for p in pairs]).double()
    base = score_one_by_one(toy.scorer(), [Swap(channels=channels)]).double().mean()
    assert screen.base == base and torch.equal(screen.gains, table.mean(0) - base)


def test_exhaustive_finds_the_planted_pair():
    planted = Planted(Swap([(4, 1)], channels=8))
    screen = exhaustive(planted.scorer())
    assert screen.best(1) == [((4, 1), -screen.base)] and screen.base < 0
    gains = [gain for _, gain in screen.best(99)]
    assert len(gains) == 56 and gains == sorted(gains, reverse=True)


def test_ties_go_to_the_smaller_indices():
    flat = Scorer([torch.zeros(30, 1)], lambda x, image: torch.zeros(len(x)))  # 870 equal gains: an unstable sort would mix them
    assert [pair for pair, _ in exhaustive(flat).best(4)] == [(0, 1), (0, 2), (0, 3), (0, 4)]
    best = [pair for pair, _ in random(flat, 300, seed=1).best(300)]
    assert best == sorted(best)


@given(st.integers(2, 12), st.integers(0, 999), st.data())
def test_random_draws_different_valid_pairs_by_its_seed(channels, seed, data):
    size = data.draw(st.integers(1, channels * (channels - 1)))
    scorer = Toy(channels, 1).scorer()
    screen = random(scorer, size, seed)
    pairs = {tuple(p) for p in screen.pairs.tolist()}
    assert len(pairs) == len(screen.pairs) == size and screen.evaluations == size + 1
    assert all(r != e and 0 <= r < channels and 0 <= e < channels for r, e in pairs)
    again = random(scorer, size, seed)
    assert torch.equal(again.pairs, screen.pairs) and torch.equal(again.gains, screen.gains)
    every = dict(exhaustive(scorer).best(999))
    assert all(every[pair] == gain for pair, gain in screen.best(size))


def test_random_draws_every_pair_about_equally_often():
    scorer, times = Toy(4, 1).scorer(), torch.zeros(4, 4)
    for seed in range(600):
        for r, e in random(scorer, 2, seed).pairs:
            times[r, e] += 1
    # 100 expected for each of the 12 pairs, standard deviation 9: five of them for the extremes.
    assert times.sum() == 1200 and (times.fill_diagonal_(100) - 100).abs().max() < 46


def test_random_refuses_what_there_is_not():
    for wrong in (0, -1, 13):
        with pytest.raises(ValueError, match="12 pairs"):
            random(Toy(4, 1).scorer(), wrong, seed=0)


@given(st.integers(2, 40), st.integers(0, 999), st.data())
def test_random_swap_has_the_size_and_depends_on_the_seed(channels, seed, data):
    size = data.draw(st.integers(0, channels))
    swap = random_swap(channels, size, seed)  # Swap itself refuses pairs that cannot be
    assert len(swap) == size and swap.channels == channels and swap == random_swap(channels, size, seed)
    if channels > 20 and size > 5:
        assert swap != random_swap(channels, size, seed + 1)


# Combining


@settings(max_examples=40)
@given(st.integers(2, 6), st.integers(1, 3), st.integers(0, 999), st.data())
def test_all_subsets_equals_brute_force(channels, images, seed, data):
    every = [(r, e) for r in range(channels) for e in range(channels) if r != e]
    pairs = data.draw(st.lists(st.sampled_from(every), unique=True, max_size=7))
    toy = Toy(channels, images, seed)
    totals, conflicts = {}, 0
    for size in range(len(pairs) + 1):
        for chosen in combinations(pairs, size):
            try:
                swap = Swap(chosen, channels=channels)
            except SwapError:
                conflicts += 1
            else:
                totals[swap] = sum(toy(f[list(swap.source)][None], k).item() for k, f in enumerate(toy.features))
    toy.passes = 0
    found = all_subsets(toy.scorer(), pairs)
    top = max(totals.values())
    assert totals[found.swap] == top and len(found.swap) == min(len(s) for s, total in totals.items() if total == top)
    assert found.base == pytest.approx(totals[Swap(channels=channels)] / images, rel=1e-12)
    assert found.gain == pytest.approx((top - totals[Swap(channels=channels)]) / images, rel=1e-12, abs=1e-12)
    assert (found.tried, found.conflicts) == (len(totals) - 1, conflicts) and found.tried + conflicts == 2 ** len(pairs) - 1
    assert found.evaluations == toy.passes == images * len(totals)


def test_the_empty_swap_where_nothing_helps():
    planted = Planted(Swap(channels=5))  # already perfect
    found = all_subsets(planted.scorer(), [(0, 1), (0, 2), (3, 4)])
    assert found.swap == Swap(channels=5) and found.gain == 0.0 and found.conflicts == 2


def test_among_equals_the_one_with_fewest_pairs():
    def first_only(x, image):
        return x[:, 0, 0]

    found = all_subsets(Scorer([torch.tensor([[0.0], [1.0], [5.0]])], first_only), [(1, 0), (2, 0), (0, 2)])
    assert found.swap == Swap([(0, 2)], channels=3) and found.gain == 5.0


def test_more_than_20_pairs_are_refused():
    with pytest.raises(ValueError, match="at most 20"):
        all_subsets(Toy(30, 1).scorer(), [(k, k + 1) for k in range(21)])


# Search


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", [{}, {"strategy": "random", "budget": 56, "seed": 5}], ids=["exhaustive", "random, all of them"])
def test_search_finds_the_planted_swap(tmp_path, workers, how):
    swap = Swap([(4, 1), (0, 7), (6, 4)], channels=8)  # a chain: 6 shows the old 4
    planted, seen = Planted(swap), []
    found = search(
        planted.scorer(workers=workers),
        keep=7,
        journal=tmp_path / "new" / "j",
        key="planted",
        progress=lambda *state: seen.append(state),
        **how,
    )
    assert found.swap == swap and found.gain == pytest.approx(-found.base) and found.base < 0
    assert len(found.kept) == 7 and {pair for pair, _ in found.kept} >= set(swap.pairs)
    assert [gain for _, gain in found.kept] == sorted((gain for _, gain in found.kept), reverse=True)
    assert found.tried + found.conflicts == 2**7 - 1 and found.evaluations == 2 * (57 + found.tried + 1)
    assert os.listdir(tmp_path / "new") == []  # the journals go once the answer is there
    assert list(dict.fromkeys(stage for stage, _, _ in seen)) == ["screen", "combine"]
    assert search(planted.scorer(), keep=7, **how) == found


@pytest.mark.parametrize("stop", [3, 20, 34, 40])  # in the screening, and in the combining
def test_a_search_that_was_killed_goes_on(tmp_path, small_blocks, stop):
    swap = Swap([(4, 1), (0, 2)], channels=6)
    planted, calls, passes = Planted(swap), count(1), []

    def counted(x, image):
        if next(calls) == stop:
            raise KeyboardInterrupt
        passes.append(len(x))
        return planted(x, image)

    scorer = Scorer(planted.features, counted, batch=2)
    with pytest.raises(KeyboardInterrupt):
        search(scorer, keep=5, journal=tmp_path / "j", key="model A")
    before = sum(passes)
    assert os.listdir(tmp_path)
    found = search(scorer, keep=5, journal=tmp_path / "j", key="model A")
    assert found.swap == swap and found == search(planted.scorer(), keep=5)
    assert found.evaluations <= sum(passes) <= found.evaluations + 4 and before < found.evaluations  # at most one block twice
    assert os.listdir(tmp_path) == []


def test_a_journal_of_another_model_is_not_used(tmp_path, small_blocks):
    first, second = Planted(Swap([(4, 1)], channels=6)), Planted(Swap([(2, 3)], channels=6))

    def killed_late(stage, done, total):
        if stage == "combine" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(first.scorer(), keep=4, journal=tmp_path / "j", key="first", progress=killed_late)
    assert search(second.scorer(), keep=4, journal=tmp_path / "j", key="second") == search(second.scorer(), keep=4)


def test_strategies_that_cannot_be():
    with pytest.raises(ValueError, match="choose from: exhaustive, random"):
        search(Toy(3, 1).scorer(), strategy="clever")
    with pytest.raises(ValueError, match="a journal needs a key"):
        search(Toy(3, 1).scorer(), journal="nowhere/j")
    with pytest.raises(ValueError, match="budget"):
        search(Toy(3, 1).scorer(), strategy="random")
