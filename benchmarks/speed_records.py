"""The speed record: what a scorer of swaps takes beside the literal loop, both measured in one call, as one JSON file.

The schema in `results/speed-v1.schema.json` is made from this module.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from benchmarks.files import write_atomically
from benchmarks.formats import Amount, Part, read_as
from benchmarks.records import Environment

SCHEMA_VERSION = 1
Count = Annotated[int, Field(ge=1)]
LITERAL = "literal"  # the way that all others are compared with


class Way(Part):
    """One way of scoring the same candidates on the same images."""

    name: str = Field(description="literal, own loop, or a kind of the batched scorer")
    precision: str
    compiled: bool = False
    batch: Count = Field(description="versions at a time")
    milliseconds: Amount = Field(description="one candidate on one image, median over the rounds")
    ratio: Amount = Field(description="times faster than the literal loop, median over the rounds, each taken within its round")
    lowest: Amount
    highest: Amount
    mflop: Amount | None = Field(None, description="matrix arithmetic of one pass as it was executed, 2 a multiply-add")
    share: Amount | None = Field(
        None, description="of the rate of a large matrix product in this precision, in this call: arithmetic over time over rate"
    )
    peak_gpu_mb: Amount | None = None
    difference: Amount = Field(description="largest difference of a score to the literal loop's")
    differing: Annotated[int, Field(ge=0)] = Field(description="scores that differ by more than 1e-4")
    best_kept: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="of the literal loop's ten best candidates by mean over the images, how many are among this way's ten best",
    )


class Whole(Part):
    """All pairs on all search images, timed from end to end and not extrapolated."""

    way: str
    pairs: Count
    images: Count
    seconds: Amount
    peak_memory_mb: Amount | None = None
    peak_gpu_mb: Amount | None = None


class SpeedRecord(Part):
    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Literal["speed"] = "speed"
    subject: str = Field(description="what is scored: mask decoder, or a linear head of so many classes")
    backbone: str
    weights: str = Field(description="sha256 of the checkpoint, or random")
    channels: Count
    code: str = Field(description="digest of the code and libraries that were measured")
    candidates: Count = Field(description="of the sample")
    images: Count = Field(description="of the sample")
    rounds: Count
    rates: dict[str, Amount] = Field({}, description="GFLOP/s of a large matrix product in this call, by precision")
    ways: list[Way]
    whole: Whole | None = None
    environment: Environment
    command: str

    @model_validator(mode="after")
    def _consistent(self) -> SpeedRecord:
        names = [way.name for way in self.ways]
        if LITERAL not in names or len(set(names)) != len(names):
            raise ValueError("the literal loop is missing, or a way stands twice")
        if self.whole and self.whole.way not in names:
            raise ValueError("the whole was timed in a way that was not measured")
        return self

    @property
    def literal(self) -> Way:
        return next(way for way in self.ways if way.name == LITERAL)

    @property
    def passes(self) -> int:
        """Of the paper's screening: every pair of different channels and the empty swap, on 50 images."""
        return 50 * (self.channels * (self.channels - 1) + 1)

    @property
    def file_name(self) -> str:
        """Readable, and another one for everything that must not share a table."""
        device = re.sub(r"[^a-z0-9]+", "-", self.environment.device.lower()).strip("-")[:80]
        return f"{self.backbone}-{device}.json"


def write(record: SpeedRecord, path: Path) -> None:
    """Write a record whole or not at all. Raises OSError."""
    write_atomically(path, json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")


def read(path: Path) -> SpeedRecord:
    """Read and check a record. Raises InvalidRecord, one line that names the file and the first fault."""
    return read_as(SpeedRecord, path, "; mend or delete it, then measure again")


def schema() -> str:
    """The JSON schema of a speed record, as text."""
    return json.dumps(SpeedRecord.model_json_schema(), indent=1) + "\n"
