"""The record: what one run leaves, as one JSON file. The schema in `results/record-v1.schema.json` is made from this module.

Scores are fractions (0.65, not 65); differences and gains are in the same unit. Pages multiply by 100 and say so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, model_validator
from pydantic_core import from_json

from benchmarks.consistency import check_swap, inconsistencies
from benchmarks.errors import InvalidRecord
from benchmarks.files import write_atomically
from benchmarks.formats import FOREIGN, Amount, Finite, Gain, Part, Whole, foreign, read_with_content
from benchmarks.hashes import hash_of

SCHEMA_VERSION = 1
ALTERED = "the file was changed after it was written; take it from where it was made, or run again"
_ALL = "every fault is asked for"


class Spec(Part):
    """What was asked for. Two records of one spec hash are the same run on the same code path."""

    task: str
    dataset: str
    backbone: str
    method: str = Field(description="a registered method, with or without +swap")
    protocol: str
    seed: Whole
    precision: str = "float32"
    limit: int | None = Field(None, description="at most so many test images; a limited record never reaches a board")


class Metric(Part):
    """A mean over the test images with its 95 % bootstrap interval over images."""

    value: Finite
    low: Finite
    high: Finite


class Evaluation(Part):
    """One way of running the model over the test set. `scores[metric]` is aligned with the record's `images`."""

    name: str = Field(description="base, dora, dora+swap, or a control such as dora+random-swap")
    role: Literal["base", "method", "control"]
    metrics: dict[str, Metric]
    scores: dict[str, list[Finite]]


class Comparison(Part):
    """`a` minus `b`, paired by image."""

    a: str
    b: str
    metric: str
    difference: Finite
    low: Finite
    high: Finite
    p: Annotated[float, Field(ge=0, le=1)]


class Trainable(Part):
    """Trained parameters: the method's own, and by name what is trained besides (counted apart)."""

    method: Whole
    besides: dict[str, Whole] = {}


class Training(Part):
    """How the trained weights came about. They are those of the last epoch: nothing was chosen by looking at a score."""

    micro_batch: int = Field(description="images whose gradient was computed at once; the protocol's batch is accumulated")
    activation_checkpointing: bool
    loaders: int = Field(description="processes that read images ahead")
    losses: list[Finite] = Field(description="mean loss of each epoch")
    artefact_bytes: int = Field(description="size of the file of trained weights, which holds nothing else")


class ScreenedPair(Part):
    redundant: Whole
    effective: Whole
    gain: Gain


class Search(Part):
    """How the swap was found. Gains are against the unswapped model, on the search set (of the objective) and on the test set (of the
    protocol's metric); more is better, whichever way the metric runs."""

    strategy: str
    objective: str = Field("miou", description="what the search scores are")
    images: list[str] = Field(description="ids of the search set, disjoint from the test set")
    channels: Whole
    pairs: list[tuple[int, int]] = Field(description="the chosen swap, (redundant, effective), 0-based; empty: none helped")
    kept: list[ScreenedPair] = Field(
        description="the best single pairs, from which the combinations were made; of a greedy search its steps"
    )
    evaluations: Whole = Field(description="decoder passes, one candidate on one image each")
    gradients: Whole = Field(0, description="backward passes, beside the evaluations")
    combinations: Whole = Field(description="swaps scored after the screening; of a greedy search all that were scored")
    conflicts: Whole = Field(description="combinations skipped: two pairs overwrite one channel")
    base_score: Gain
    search_gain: Gain
    test_gain: Gain | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Search:
        if len(set(self.images)) != len(self.images):
            raise ValueError("a search image is listed twice")
        check_swap(self.pairs, self.channels)
        for pair in self.kept:
            if self.strategy == "greedy" and pair.redundant == pair.effective < self.channels:
                continue  # the step that takes a replacement off again
            check_swap([(pair.redundant, pair.effective)], self.channels)
        return self


class Stage(Part):
    """Cost of one stage. A stage taken from the cache keeps the figures of the call that computed it."""

    name: str
    seconds: Amount
    threads: Whole
    peak_memory_mb: Amount | None = Field(description="peak resident memory of the process during the stage")
    peak_gpu_mb: Amount | None = None
    cached: bool = False
    device: str | None = Field(None, description="that computed it, where it is another than the run's own: on no page of times")


class MethodOrigin(Part):
    """Where the code of a method came from that is not one of the suite's own."""

    place: str = Field(description="file and class, or module and class of an installed package")
    sha256: str = Field(description="of the file, or of all Python files of the package")


class Environment(Part):
    """Where it ran. Fields are null where the machine did not tell."""

    commit: str | None = None
    dirty: bool | None = Field(None, description="uncommitted changes of code, protocols or data cards")
    python: str
    platform: str
    device: str
    precision: str
    threads: int
    packages: dict[str, str | None]


class Record(Part):
    schema_version: Literal[1] = SCHEMA_VERSION
    status: Literal["done", "failed"]
    error: str | None = None
    spec: Spec
    spec_hash: str
    protocol: dict[str, Any] = Field(description="the protocol, resolved: every rule that made these numbers")
    protocol_hash: str
    weights: dict[str, str] = Field(description="backbone checkpoint: name and sha256")
    data: str = Field("", description="identity of the dataset's images")
    code: str = Field("", description="digest of the code and libraries that made the numbers")
    origin: MethodOrigin | None = Field(None, description="of a method from outside the suite")
    marks: list[str] = Field([], description="reasons that keep the record off the boards")
    images: list[str] = Field([], description="ids of the test images, in the order of every score list")
    evaluations: list[Evaluation] = []
    comparisons: list[Comparison] = []
    search: Search | None = None
    trainable: Trainable | None = None
    training: Training | None = None
    stages: list[Stage] = []
    environment: Environment
    started: str
    command: str
    digest: str | None = Field(
        None, description="sha256 of all the rest, written with the file: an edit by accident is noticed; anyone can make it anew"
    )

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Record:
        if not (info.context or {}).get(_ALL):  # who wants every fault asks for them one by one
            for fault in inconsistencies(self):
                raise ValueError(fault)
        return self

    def evaluation(self, name: str) -> Evaluation | None:
        return next((e for e in self.evaluations if e.name == name), None)


def digest_of(raw: dict[str, Any]) -> str:
    """The digest of a record as it stands in its file, of all fields but `digest`. Raises ValueError for NaN."""
    return hash_of({name: value for name, value in raw.items() if name != "digest"})


def dump(record: Record) -> str:
    """A record as it is stored, with its digest: indented, each list of plain values on one line so that a diff can be read."""
    raw = record.model_dump(mode="json")
    text = json.dumps(raw | {"digest": digest_of(raw)}, indent=1, ensure_ascii=False)
    # JSON strings hold no raw line break, so a bracket followed by one is always a list's.
    flat = re.sub(r"\[\n\s+([^\[\]{}]*?)\n\s*\]", lambda m: "[" + re.sub(r"\n\s+", " ", m[1]) + "]", text)
    return flat + "\n"


def write(record: Record, path: Path) -> None:
    """Write a record whole or not at all. Raises OSError (disk full, read-only) and leaves an earlier file untouched."""
    write_atomically(path, dump(record))


def read(path: Path) -> Record:
    """Read and check a record. Raises InvalidRecord, one line that names the file and the first fault."""
    record, content = read_with_content(Record, path)
    if record.digest is not None and record.digest != digest_of(from_json(content)):
        raise InvalidRecord(f"{path}: digest: {ALTERED}")
    return record


def faults(content: bytes) -> tuple[Record | None, list[tuple[str, str]]]:
    """Every fault of a record file at once, as (where, what), and the record itself where its fields at least are of the right
    kinds: it may then still contradict itself."""
    try:
        record = Record.model_validate_json(content, strict=True, context={_ALL: True})
    except ValidationError as error:
        if foreign(Record, error):
            return None, [("record", FOREIGN)]
        return None, [(".".join(str(x) for x in e["loc"]) or "record", e["msg"]) for e in error.errors()]
    found = [("record", text) for text in _until_broken(record)]
    if record.digest is not None and record.digest != digest_of(from_json(content)):
        found.append(("digest", ALTERED))
    return record, found


def _until_broken(record: Record) -> Iterator[str]:
    try:
        yield from inconsistencies(record)
    except ValueError as error:  # a protocol that is no JSON has no hash
        yield str(error)


def schema() -> str:
    """The JSON schema of a record, as text."""
    return json.dumps(Record.model_json_schema(), indent=1) + "\n"
