"""What stands on the page of one record. A pure function of the record: no time of making it, no path of the machine."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from benchmarks.board.collect import fault
from benchmarks.board.how import how
from benchmarks.board.overview import embedded
from benchmarks.board.pool import RANDOM, family, metrics_of, reference
from benchmarks.board.tables import cost, other_metrics, search_table, summary
from benchmarks.board.text import Table
from benchmarks.board.units import Unit, unit
from benchmarks.errors import count
from benchmarks.records import Comparison, Record
from benchmarks.run_page import plots
from benchmarks.run_page.again import again, others
from benchmarks.run_page.blocks import Block, Commands, Drawing, Fact, Facts, Heading, Page, Paragraph, Photos

EMBEDDED = "Embedded suite: generated images and a small checkpoint. These numbers never stand in the paper's tables."


def page(record: Record, photos: Photos | Paragraph | None = None) -> Page:
    """The page of a record, a failed one too. `photos` are its best and worst images, or the reason why they are not shown."""
    spec = record.spec
    blocks: list[Block] = [Paragraph(sentence(record))]
    blocks += [Paragraph(EMBEDDED, warning=True)] if embedded(spec.protocol) else []
    if reason := fault(record, "community"):
        blocks.append(Paragraph(f"On no board: {reason[1]}", warning=True))
    if record.evaluations and record.images:
        blocks += _numbers(record)
        blocks += _images(record, photos)
    blocks += _swap(record) + _training(record)
    blocks += [Heading("Cost"), *cost([record])] if record.stages else []
    blocks += [Heading("Where it ran"), _facts(record.environment.model_dump() | {"code": record.code}), *_inputs(record)]
    blocks += [Heading("Rules of the protocol"), _facts(record.protocol)]
    blocks += _again(record)
    blocks += [Heading("How to read it"), *_how(record)] if record.evaluations else []
    return Page(f"{spec.method} on {spec.dataset}, seed {spec.seed}", tuple(blocks))


def sentence(record: Record) -> str:
    """What was run, under which rules, where and when."""
    spec, on = record.spec, record.environment
    limit = f", at most {spec.limit} of them" if spec.limit is not None else ""
    return (
        f"{spec.method} with {spec.backbone} on {spec.dataset} (task {spec.task}), seed {spec.seed}, under protocol {spec.protocol}, version "
        f"{record.protocol_hash[:8]}: {count(len(record.images), 'test image')}{limit}; {record.status}, started {record.started} on {on.device} "
        f"with {count(on.threads, 'thread')} in {spec.precision}."
    )


def compared(record: Record) -> tuple[str, str | None]:
    """The evaluation that the run is about, and what it is compared with: its own method, or the first where that is missing."""
    names = [e.name for e in record.evaluations]
    own = record.spec.method if record.spec.method in names else names[0]
    other = reference(own)
    return own, other if other in names else None


def ranked(record: Record) -> str:
    return metrics_of([record])[0]


def scores(record: Record, name: str | None) -> np.ndarray | None:
    """(images,) of the ranked metric; None where they were not kept."""
    found = record.evaluation(name) if name else None
    values = found.scores.get(ranked(record)) if found else None
    return np.asarray(values) if values else None


def gains(record: Record) -> np.ndarray | None:
    """(images,) how much better each test image became than its reference; None without one."""
    own, other = (scores(record, name) for name in compared(record))
    sign = 1 if unit(ranked(record)).higher else -1
    return None if own is None or other is None else sign * (own - other)


def _numbers(record: Record) -> list[Block]:
    shown = unit(ranked(record))
    blocks: list[Block] = [Heading("Result"), Facts(tuple(_headline(record, shown))), summary([record], further=False)]
    blocks += [Heading("Every comparison"), _comparisons(record.comparisons)] if record.comparisons else []
    if (others := other_metrics([record])) is not None:
        blocks += [Heading("Other metrics"), others]
    return blocks


def _headline(record: Record, shown: Unit) -> list[Fact]:
    metric, (own, _), found = ranked(record), compared(record), []
    if mean := record.evaluation(own).metrics.get(metric):
        about = "" if shown.higher else ", lower is better"
        found.append(
            Fact(f"{own}: {shown.label}{about}", shown.show(mean.value), f"{shown.show(mean.low)} to {shown.show(mean.high)}")
        )
    wanted = [(own, reference(own)), (own, "base"), (f"{family(own)}{RANDOM}", family(own))]
    for a, b in dict.fromkeys(wanted):
        for c in record.comparisons:
            if (c.a, c.b, c.metric) == (a, b, metric):
                found.append(Fact(f"{a} - {b}", shown.show(c.difference, True), _range(c, shown)))
    return found


def _range(c: Comparison, shown: Unit) -> str:
    return f"{shown.show(c.low, True)} to {shown.show(c.high, True)}{', a tie' if _tie(c) else ''}"


def _tie(c: Comparison) -> bool:
    return c.low <= 0 <= c.high


def _comparisons(found: list[Comparison]) -> Table:
    rows = []
    for c in found:
        shown = unit(c.metric)
        value = f"{shown.show(c.difference, True)} ({shown.show(c.low, True)} to {shown.show(c.high, True)})"
        rows.append(
            {
                "": f"{c.a} - {c.b}",
                "metric": shown.header,
                "difference (95 % interval)": value + (" tie" if _tie(c) else ""),
                "p": f"{c.p:.4f}",
            }
        )
    return Table("Paired by image, over the images of this one run; p is of no difference, two-sided.", pd.DataFrame(rows))


def _images(record: Record, photos: Photos | Paragraph | None) -> list[Block]:
    shown, (own, other), found = unit(ranked(record)), compared(record), gains(record)
    mine, theirs = scores(record, own), scores(record, other)
    if mine is None:
        return []
    blocks: list[Block] = [Heading("Image by image")]
    if found is not None:
        better, worse = int((found > 0).sum()), int((found < 0).sum())
        blocks += [
            Paragraph(
                f"Against {other}, {own} is better on {better:,} test images, worse on {worse:,} and equal on {len(found) - better - worse:,}. "
                f"The middle image changes by {shown.show(float(np.median(found)), True)}."
            ),
            Drawing("differences", plots.differences(found, shown), f"Gain of {own} over {other} on each test image, sorted"),
        ]
    about = f"Histogram of the scores of {own}" + (f" and of {other}" if theirs is not None else "")
    blocks.append(Drawing("scores", plots.histogram(mine, theirs, (own, other or ""), shown), about))
    return blocks + ([photos] if photos else [])


def _swap(record: Record) -> list[Block]:
    found = record.search
    if found is None:
        return []
    shown = unit(ranked(record)) if record.evaluations else unit(found.objective)
    blocks: list[Block] = [Heading("The swap"), search_table([record])]
    if found.kept:
        chosen = set(found.pairs)
        rows = [
            {"pair (redundant<-effective)": f"{p.redundant}<-{p.effective}", "gain by itself": f"{p.gain:+.6f}", "in the swap": "yes" if (p.redundant, p.effective) in chosen else "no"}
            for p in found.kept
        ]  # fmt: skip
        what = f"The best single pairs of {found.channels} channels on {len(found.images)} search images, from which the swap was made"
        blocks.append(
            Table(
                f"{what}. Gains are in the search's own score, {found.objective}; without a swap it is {found.base_score:.6f}.",
                pd.DataFrame(rows),
            )
        )
    if found.test_gain is not None and found.search_gain > 0 >= found.test_gain:
        blocks.append(
            Paragraph(
                f"What the search gained ({shown.show(found.search_gain, True)}) the test set does not confirm ({shown.show(found.test_gain, True)})."
            )
        )
    return blocks


def _training(record: Record) -> list[Block]:
    how_, spent = record.training, record.trainable
    if how_ is None:
        return []
    besides = "".join(f" and {n:,} of {what}" for what, n in spent.besides.items()) if spent else ""
    text = f"{spent.method:,} parameters of the method's own{besides} were trained. " if spent else ""
    text += (
        f"The weights are those of the last of {count(len(how_.losses), 'epoch')}; their file has {how_.artefact_bytes:,} bytes. Micro-batches of "
        f"{how_.micro_batch}, {'with' if how_.activation_checkpointing else 'without'} activation checkpointing, {count(how_.loaders, 'loader')}."
    )
    blocks: list[Block] = [Heading("Training"), Paragraph(text)]
    return blocks + ([Drawing("losses", plots.losses(how_.losses), "Mean loss of each epoch")] if how_.losses else [])


def _facts(value: dict) -> Table:
    """A table of a JSON object, nested names joined by dots."""
    rows: list[dict[str, str]] = []

    def walk(name: str, part) -> None:
        if isinstance(part, dict) and part:
            for key, inner in part.items():
                walk(f"{name}.{key}" if name else str(key), inner)
        else:
            rows.append({"name": name, "value": part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)})

    walk("", value)
    return Table("", pd.DataFrame(rows))


def _inputs(record: Record) -> list[Block]:
    facts = {"weights": record.weights, "data": record.data, "spec": record.spec_hash, "protocol": record.protocol_hash}
    if record.origin:
        facts["method from outside"] = record.origin.model_dump()
    return [Paragraph("What went in, by sha256:"), _facts(facts)]


def _again(record: Record) -> list[Block]:
    blocks: list[Block] = [Heading("Do it again"), Commands(again(record))]
    if lines := others(record):
        compare = (
            "To compare: the protocol's other seeds, and other methods on the same board; each call prints them all side by side."
        )
        blocks += [Paragraph(compare), Commands(lines)]
    return blocks


def _how(record: Record) -> list[Block]:
    """The leaderboard's own words, without their Markdown."""
    lines = how([[record]]).split("\n- ")[1:]
    return [Paragraph(" ".join(line.split()).replace("**", "").replace("`", "").replace("*", "")) for line in lines]
