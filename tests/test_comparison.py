"""Ranks, gains and costs of a board: every number derived again from the JSON of the records; fronts, labels and pictures."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks.board import axes, gain_plot, pareto
from benchmarks.board.build import render
from benchmarks.board.pool import pool
from benchmarks.board.ranking import gains, gains_table, ranking, standings
from benchmarks.board.units import unit
from benchmarks.hashes import hash_of
from benchmarks.metrics.intervals import bootstrap, bootstraps, holm, mean_of_independent, paired, resampled_means, ties
from tests.make_example_results import RESULTS, example, measured
from tests.test_board import changed, put, with_scores
from tests.test_paper_pages import raw, tables  # noqa: F401 - `raw` is a fixture

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def pages():
    return render(RESULTS)


def boards_of(page: str) -> list[tuple[str, str, str]]:
    """(tier, heading, section) of each board of a page."""
    found = []
    for tier in ("Verified", "Community"):
        part = re.split(r"\n## ", page.split(f"\n## {tier}\n")[1])[0]
        for section in part.split("\n### ")[1:]:
            heading = section.splitlines()[0]
            if ", task " in heading:
                found.append((tier.lower(), heading, f"\n{section}"))
    return found


def table_of(metric: str):
    u = unit(metric)
    show = lambda v, sign="": f"{round(round(v * u.scale, 9), u.decimals) + 0.0:{sign}.{u.decimals}f}"  # noqa: E731
    span = lambda e, s=1: (  # noqa: E731
        "not paired: different test images"
        if e is None
        else f"{show(s * e.value, '+')} ({show(min(s * e.low, s * e.high), '+')} to {show(max(s * e.low, s * e.high), '+')})"
        + (" tie" if e.low <= 0 <= e.high else "")
    )
    return show, span


def test_every_number_of_every_comparison_derived_again(pages, raw):  # noqa: F811
    numbers = 0
    for name in [n for n in pages if re.fullmatch(r"(mini|paper)-v1-.*\.md", n)]:
        protocol, dataset = re.fullmatch(r"((?:mini|paper)-v1)-(.*)\.md", name).groups()
        for tier, heading, section in boards_of(pages[name]):
            backbone, _, rest = heading.partition(", task ")
            backbone, _, precision = backbone.partition(", ")
            version = re.search(r", version (\w{8})", heading) or re.search(r"version (\w{8})", section)
            records = [
                r
                for t, r in raw
                if t == tier
                and (r["spec"]["protocol"], r["spec"]["dataset"], r["spec"]["backbone"]) == (protocol, dataset, backbone)
                and r["spec"]["precision"] == (precision or "float32")
                and r["protocol_hash"].startswith(version[1])
            ]
            assert records
            metric = records[0]["protocol"].get("metric") or "miou"
            held = {}
            for r in records:
                for e in r["evaluations"]:
                    held.setdefault(e["name"], {})[r["spec"]["seed"]] = dict(zip(r["images"], e["scores"][metric]))
            numbers += (
                _ranks(section, held, metric) + _gains(section, held, records, metric) + _costs(section, held, records, metric)
            )
    assert numbers > 100


def _gap(held, a, b):
    """The paired estimate over the seeds that both have, image by image; None where the images differ."""
    seeds = sorted(set(held[a]) & set(held[b]))
    images = list(held[a][seeds[0]])
    if any(set(held[n][s]) != set(images) for n in (a, b) for s in seeds):
        return None
    return paired(*([[held[n][s][i] for i in images] for s in seeds] for n in (a, b)))


def _few(held, a, b) -> str:
    shared = len(set(held[a]) & set(held[b]))
    return f", {shared} of {len(held[a])} seeds" if shared < len(held[a]) and _gap(held, a, b) else ""


def _ranks(section, held, metric) -> int:
    controls = {n for n in held if n.endswith(("random-swap", "best-of-three"))}
    show, span = table_of(metric)
    sign = 1 if unit(metric).higher else -1
    means = {n: np.mean([np.mean(list(s.values())) for s in seeds.values()]) for n, seeds in held.items()}
    names = sorted(set(held) - controls, key=lambda n: (-sign * means[n], n))
    if len(names) < 2:
        assert "#### Ranking" not in section
        return 0
    (rows,) = tables(section, "#### Ranking")
    assert [r["method"] for r in rows][: len(names)] == names and {r["method"] for r in rows[len(names) :]} == controls
    heads = list(rows[0])
    better = {n: 0 for n in names}
    worse = dict(better)
    for a, b in combinations(names, 2):
        e = _gap(held, a, b)
        if e and not e.low <= 0 <= e.high:
            better[b] += 1
            worse[a] += 1
    following = [_gap(held, a, b) for a, b in zip(names, names[1:])]
    corrected, largest = {}, 0.0
    for k, i in enumerate(sorted((i for i, e in enumerate(following) if e), key=lambda i: following[i].p)):
        largest = max(largest, min(1.0, (sum(map(bool, following)) - k) * following[i].p))
        corrected[i] = largest
    for k, row in enumerate(rows):
        name = row["method"]
        assert row[heads[2]] == show(means[name])
        assert row[heads[3]] == ("" if name == names[0] else span(_gap(held, name, names[0])) + _few(held, name, names[0]))
        if name in controls:
            assert row["rank"] == "control" and row["p (Holm)"] == ""
            continue
        first, last = 1 + better[name], len(names) - worse[name]
        assert row["rank"] == (str(first) if first == last else f"{first}-{last}")
        if k < len(names) - 1:
            p = "" if k not in corrected else "< 0.001" if corrected[k] < 0.001 else f"{corrected[k]:.3f}"
            assert (row["next"], row["minus the next (95 %)"], row["p (Holm)"]) == (
                names[k + 1],
                span(following[k]) + _few(held, name, names[k + 1]),
                p,
            )
    return 3 * len(rows)


def _gains(section, held, records, metric) -> int:
    swaps = sorted((n for n in held if n.endswith("+swap")), key=lambda n: (not n.startswith("base"), n))
    if not swaps:
        return 0
    (rows,) = tables(section, "#### Search gain and test gain")
    show, span = table_of(metric)
    sign = 1 if unit(metric).higher else -1
    assert [r["method"] for r in rows] == swaps
    for row, name in zip(rows, swaps):
        plain = name.removesuffix("+swap")
        search = np.mean([r["search"]["search_gain"] for r in records if r["spec"]["method"] == name])
        test = _gap(held, name, plain)
        values = list(row.values())
        assert values[1:4] == [str(len(held[name])), show(search, "+"), span(test, sign)]
        assert values[4:] == [show(search - sign * test.value, "+"), span(_gap(held, f"{plain}+random-swap", plain), sign)]
    return 4 * len(rows)


def _costs(section, held, records, metric) -> int:
    if "#### Quality over cost" not in section:
        return 0
    found, count = tables(section, "#### Quality over cost"), 0
    devices = sorted({f"{r['environment']['device']}, 2 threads" for r in records})
    assert len(found) == len(devices) == section.count("\nOn ")
    for rows, device in zip(found, devices):
        here = [r for r in records if f"{r['environment']['device']}, 2 threads" == device]
        for row in rows:
            name, own = row["method"], [r for r in here if r["spec"]["method"] == row["method"]]
            family = name.removesuffix("+swap")
            sizes = [r["trainable"] for r in here if r["spec"]["method"].removesuffix("+swap") == family]
            size = {t["method"] + sum(t["besides"].values()) for t in sizes} if family != "base" else {0}
            shown = [row["trained parameters"], row["peak resident memory, MB"], row["seconds"]]
            assert shown[0] == f"{size.pop():,}" and not size
            # The examples time the evaluation of a run's own method alone.
            seconds = np.median([sum(s["seconds"] for s in r["stages"]) for r in own]) if own else None
            memory = np.median([max(s["peak_memory_mb"] for s in r["stages"]) for r in own]) if own else None
            assert shown[1:] == ([f"{memory:,.0f}", f"{seconds:,.1f}"] if own else ["not recorded"] * 2)
            count += 3
    return count


def test_ties_of_draws_are_the_ties_of_paired_intervals():
    draw = np.random.default_rng(4)
    table = 0.5 + draw.normal(0, 0.1, (1, 1, 40)) + np.linspace(0, 0.02, 12)[:, None, None] + draw.normal(0, 0.03, (12, 3, 40))
    table[1] = table[0]
    found = ties(resampled_means(table))
    for a, b in combinations(range(12), 2):
        assert found[a, b] == found[b, a] == paired(table[a], table[b]).tie
    assert found[0, 1] and 20 < found.sum() < 144  # some of both


def test_intervals_of_many_tables_are_those_of_each():
    draw = np.random.default_rng(3)
    several = [draw.normal(0.1, 1, shape) for shape in [(20,), (3, 20), (20,), (2, 7), (3, 20)] * 9]
    for one, many in zip(map(bootstrap, several), bootstraps(several)):
        assert (one.value, one.low, one.high, one.p) == pytest.approx((many.value, many.low, many.high, many.p), abs=1e-12)
    assert bootstraps([]) == []


def test_holm():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # the textbook's
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_the_interval_of_a_mean_of_independent_estimates():
    draw = np.random.default_rng(0)
    several = [draw.normal(k, 1, 200) for k in range(4)]
    value, low, high = mean_of_independent(map(bootstrap, several))
    assert value == pytest.approx(np.mean(several))
    # Against the normal theory of the mean of four means.
    error = np.sqrt(sum(s.var(ddof=1) / 200 for s in several)) / 4
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.05)
    with pytest.raises(ValueError, match="no estimate"):
        mean_of_independent([])


def ladder(levels: dict[str, float], noise: float = 0.001) -> list:
    """A record a method, one seed, whose scores differ by level and a little noise of its own."""
    draw, images = np.random.default_rng(1), [f"i{k}" for k in range(30)]
    shared, made = draw.uniform(-0.1, 0.1, 30), []
    for name, level in levels.items():
        record = example("dora", 0, held=["dora"], images=images)
        spec = record.spec.model_dump() | {"method": name}
        scores = [round(float(x), 6) for x in level + shared + draw.normal(0, noise, 30)]
        found = record.evaluation("dora").model_dump() | {"name": name, "scores": {"miou": scores}, "metrics": {}}
        made.append(changed(record, spec=spec, spec_hash=hash_of(spec), evaluations=[found]))
    return made


def test_ranks_show_ties():
    apart = standings(pool(ladder({"a": 0.3, "b": 0.4, "c": 0.5}), "miou"))
    assert [(s.name, s.rank) for s in apart] == [("c", "1"), ("b", "2"), ("a", "3")]
    tied = standings(pool(ladder({"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.3}, 0.05), "miou"))
    assert [s.rank for s in tied] == ["1-3", "1-3", "1-3", "4"] and tied[-1].name == "d"
    # A chain: the middle is tied with both ends, which are told apart.
    draw = np.random.default_rng(2)
    chain = ladder({"top": 0.52, "bottom": 0.5}, 0.001)
    middle = with_scores(ladder({"middle": 0.51}, 0)[0], "middle", draw.normal(0.51, 0.06, 30).round(6).tolist())
    assert [s.rank for s in standings(pool([*chain, middle], "miou"))] == ["1-2", "1-3", "2-3"]


def test_methods_of_other_seeds_or_images_are_ranked_by_what_they_share():
    records = [example("base", s, held=["base"]) for s in (0, 1, 2)] + [example("dora", s, held=["dora"]) for s in (1, 2, 3)]
    assert [(s.name, s.rank) for s in standings(pool(records, "miou"))] == [("dora", "1"), ("base", "2")]
    strange = example("lora", 0, held=["lora"], images=["x", "y", "z"])
    (row, *_) = [r for r in ranking([*records, strange]).frame.to_dict("records") if r["method"] == "lora"]
    assert row["rank"] == "1-3" and "not paired" in "".join(map(str, row.values()))
    assert ranking(records[:3]) is None and ranking([]) is None


def test_controls_and_hostile_names_have_no_rank(pages):
    for table in tables(pages["mini-v1-camo.md"], "#### Ranking"):
        assert all((r["rank"] == "control") == ("random" in r["method"] or "three" in r["method"]) for r in table)


def test_failures_are_named_beside_the_gains(pages):
    page = pages["mini-v1-camo.md"]
    assert "- Note: dora+swap, seed 5: failed: out of memory &#124; &lt;script&gt;" in page
    only = gains_table([example("base", 0, held=["base"])], [example("dora+swap", 1, error="broken")])
    assert only.missing == "No swap was evaluated." and only.notes == ("dora+swap, seed 1: failed: broken",)
    assert gains_table([example("base", 0, held=["base"])], []) is None


def test_a_search_of_another_score_has_no_search_gain():
    record = measured("depth", "base+swap", 0)
    other = changed(record, search=record.search.model_dump() | {"objective": "abs_rel"})
    (gain,) = gains([other])
    assert gain.search is None and gain_plot.plot([gain], unit("mse")) is None
    assert gains_table([other], []).frame["search gain, m²"].item() == "not of this metric"


def points(*given: tuple[str, float, float]) -> list[pareto.Point]:
    return [pareto.Point(name, cost, value, value - 1, value + 1) for name, cost, value in given]


def test_front():
    several = points(("a", 1, 5), ("b", 2, 4), ("c", 2, 7), ("d", 3, 7), ("e", 9, 8), ("f", 9, 8))
    assert [p.name for p in pareto.front(several, True)] == ["a", "c", "e", "f"]
    assert [p.name for p in pareto.front(several, False)] == ["a", "b"]
    draw = np.random.default_rng(0)
    many = points(*((str(k), float(c), float(v)) for k, (c, v) in enumerate(draw.integers(0, 12, (60, 2)))))
    beaten = lambda p, q: q.cost <= p.cost and q.value >= p.value and (q.cost < p.cost or q.value > p.value)  # noqa: E731
    assert {p.name for p in pareto.front(many, True)} == {p.name for p in many if not any(beaten(p, q) for q in many)}


def test_gpu_memory_and_resident_memory_never_share_a_picture():
    def on(method, seed, gpu):
        record = example(method, seed, device="GPU X")
        return changed(record, stages=[s.model_dump() | {"peak_gpu_mb": gpu} for s in record.stages])

    records = [on("base", 0, 700.0), on("dora", 0, 900.0), on("base+swap", 0, None)]
    pooled, names = pareto.methods(records)
    (found,) = pareto.costs(records, names)
    assert found.memory == pareto.GPU and found.known[pareto.GPU] == {"base": 700.0, "dora": 900.0}
    table = pareto.table(pooled, names, found)
    assert "peak resident memory, MB" not in table.frame and "left out of its picture: base+swap" in table.notes[0]
    drawn = pareto.pictures(pooled, [found])
    assert "GPU memory" in drawn["memory-gpu-x-2-threads"][1] and "base+swap" not in drawn["memory-gpu-x-2-threads"][1]


def test_stages_of_a_real_run_are_counted_once():
    record = example("dora+swap", 0)
    stage = record.stages[0].model_dump()
    names = {"train": 8.0, "embed": 1.0, "search": 32.0, "evaluate base": 64.0, "evaluate dora": 2.0, "evaluate dora+swap": 4.0}
    made = changed(record, stages=[stage | {"name": n, "seconds": s, "peak_memory_mb": s} for n, s in names.items()])
    (found,) = pareto.costs([made], ["base", "dora", "dora+swap"])
    assert found.known[pareto.SECONDS] == {"base": 64.0, "dora": 10.0, "dora+swap": 45.0}
    assert found.known[pareto.RESIDENT] == {"base": 64.0, "dora": 8.0, "dora+swap": 32.0}
    elsewhere = [s.model_copy(update={"device": "another"}) if s.name == "train" else s for s in made.stages]
    (found,) = pareto.costs([made.model_copy(update={"stages": elsewhere})], ["base", "dora", "dora+swap"])
    assert found.known[pareto.SECONDS] == {"base": 64.0}  # no time of another machine beside those of this one


def test_each_device_has_its_own_pictures(pages):
    drawn = [n for n in pages if n.startswith("mini-v1-camo-0eda834a") or re.match(r"mini-v1-camo-[0-9a-f]{8}-seconds", n)]
    titles = {re.search(r'font-size="12">([^<]*)<', pages[n])[1] for n in drawn if "seconds" in n}
    assert {t.partition(", on ")[2] for t in titles} == {"cpu: two cores, 2 threads", "gpu: example, 2 threads"}
    for name in [n for n in pages if n.endswith(".svg") and not n.startswith("headline")]:
        assert f"]({name})" in pages[re.sub(r"-[0-9a-f]{8}-(gains|parameters|memory|seconds).*", ".md", name)]


def test_pictures_are_sound_whatever_their_names_and_numbers():
    u = unit("miou")
    odd = points(("<script>&\x00", 0, 0.5), ("b" * 80, 1e9, 0.5), ("c", 1e-3, 0.5))
    for several in (odd, odd[:1], points(("a", 0, 0), ("b", 0, 0))):
        picture = pareto.plot(several, "seconds", "<device>", u)
        assert len(ElementTree.fromstring(picture).findall(f".//{SVG}title")) == len(several)
    many = points(*((f"method-{k}", 10.0 + k, -k / 100) for k in range(60)))
    assert "more methods are named in the table" in pareto.plot(many, "seconds", "x", u)


def test_labels_do_not_cover_each_other_or_a_point():
    draw = np.random.default_rng(0)
    near = [axes.Label(300 + x, 200 + y, f"method{k}+swap") for k, (x, y) in enumerate(draw.normal(0, 12, (18, 2)))]
    texts = [ElementTree.fromstring(t) for t in axes.labels(near, (0, 0, 720, 420)) if t.startswith("<text")]
    boxes = [axes.Label(0, 0, t.text).box(float(t.get("x")), float(t.get("y"))) for t in texts]
    assert len(boxes) == 18
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] + 0.2 or b[2] <= a[0] + 0.2 or a[3] <= b[1] + 0.2 or b[3] <= a[1] + 0.2
    for box in boxes:
        assert box[0] >= 0 and box[1] >= 0 and box[2] <= 720 and box[3] <= 420
        assert not any(box[0] < p.x < box[2] and box[1] < p.y < box[3] for p in near)


def test_scales():
    x = axes.decades([0, 128, 200_000], 0, 100)
    assert x(0) == 0 and x(128) > 0 and x.ticks()[0] == (0.0, "0") and ("1,000" in [w for _, w in x.ticks()])
    near = axes.costs([20.0, 120.0], 0, 100)
    assert not near.logarithmic and near(near.low) == 0 and near(near.high) == 100 and near.low <= 20 and near.high >= 120
    same = axes.linear([5.0, 5.0], 0, 100)
    assert 0 <= same(5.0) <= 100 and len(same.ticks()) >= 2


def test_a_page_of_a_board_with_one_method_has_no_comparison(tmp_path):
    put(example("base", 0, held=["base"]), tmp_path / "verified" / "a.json")
    made = render(tmp_path)
    assert set(made) == {"README.md", "mini-v1-camo.md"} and "#### Ranking" not in made["mini-v1-camo.md"]


def test_a_board_too_large_to_keep_its_draws_has_the_same_numbers(monkeypatch):
    from benchmarks.board import pool as module

    records = [example("dora+swap", seed) for seed in range(3)]
    kept = pool(records, "miou")
    assert module.draws(kept)
    monkeypatch.setattr(module, "MOST", 1)
    anew = pool(records, "miou")
    assert not module.draws(anew)
    for name in kept.scores:
        one, other = module.interval(kept, name), module.interval(anew, name)
        assert (one.value, one.low, one.high, one.p) == pytest.approx((other.value, other.low, other.high, other.p), abs=1e-12)
    assert [s.rank for s in standings(kept)] == [s.rank for s in standings(anew)]
    one, other = (module.difference(p, "dora+swap", "dora").estimate for p in (kept, anew))
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-12)
