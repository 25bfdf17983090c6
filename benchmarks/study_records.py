"""The study record: what the channels of one backbone do on one dataset, as one JSON file with pictures beside it.

Scores are fractions, channels count from 0. The schema in `results/study-v1.schema.json` is made from this module.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from benchmarks.files import write_atomically
from benchmarks.formats import Finite, Part, read_as
from benchmarks.records import Environment, Stage
from chanswap.multiple import labels

SCHEMA_VERSION = 1
EXAMPLES, MAPS = "examples", "maps"  # the pictures: the paper's figures 3 and 5
Chance = Annotated[float, Field(gt=0, le=1)]
Channel = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Pair = tuple[Channel, Channel]


class Effect(Part):
    """A mean over images with its 95 % bootstrap interval and two-sided p-value."""

    value: Finite
    low: Finite
    high: Finite
    p: Chance

    @model_validator(mode="after")
    def _consistent(self) -> Effect:
        if not self.low <= self.high:
            raise ValueError("the interval is upside down")
        return self


class Zeroed(Part):
    """A channel: what setting it to zero gains on each set, its label by the corrected p-values of that set, and what the search
    saw of it."""

    search: Effect
    test: Effect
    search_label: Literal["harmful", "redundant", "useful"]
    test_label: Literal["harmful", "redundant", "useful"]
    best_replacement: Channel = Field(description="the channel whose showing in its place gained most on the search set")
    replacement_gain: Finite = Field(description="what that gained on the search set")
    level: Finite = Field(description="mean of the channel over the search images and positions")
    spread: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(description="its standard deviation over the same")


class Size(Part):
    """The best swap of so many pairs on the search set; `test` is the same swap on the test set."""

    pairs: list[Pair]
    search_gain: Finite
    test: Effect
    tried: Annotated[int, Field(ge=1, description="swaps of this size that were scored")]
    conflicts: Count = Field(description="subsets of this size that overwrite one channel twice and cannot stand")


class Curve(Part):
    """Gain over the number of pairs, from one on, chosen from `candidates`."""

    candidates: list[Pair]
    sizes: list[Size]

    @model_validator(mode="after")
    def _consistent(self) -> Curve:
        for count, size in enumerate(self.sizes, 1):
            if len({r for r, _ in size.pairs}) != count or not set(size.pairs) <= set(self.candidates):
                raise ValueError(f"the swap of {count} pairs is none of the candidates'")
        return self


class Example(Part):
    """A test image of the picture, and the score of each column."""

    place: Literal["best", "median", "worst"]
    image: str
    scores: dict[str, Finite]


class Picture(Part):
    kind: Literal["examples", "maps"]
    file: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._+-]*\.png$", max_length=200)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]


class Mapped(Part):
    """What the picture of feature maps shows: images, and channels by kind."""

    images: list[str]
    replaced: list[Channel] = Field(description="whose best replacement gains most on the search set")
    shown: list[Channel] = Field(description="shown by the best single pairs")
    useful: list[Channel] = Field(description="whose zeroing loses most on the search set")


class StudyRecord(Part):
    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Literal["study"] = "study"
    task: str
    dataset: str
    backbone: str
    method: str = Field(description="whose channels these are, and to which a swap was added")
    place: str | None = Field(None, description="file and class of a method that is none of the suite's")
    protocol: str
    protocol_hash: str
    metric: str
    seed: Count
    limit: int | None = Field(None, description="only so many test images were used")
    code: str = Field(description="digest of the code and libraries that made the numbers")
    weights: str
    data: str
    search_images: list[str]
    test_images: list[str]
    search_base: Finite = Field(description="mean score of the search set as it is")
    test_base: Finite
    channels: list[Zeroed] = Field(description="by channel number")
    swap: list[Pair] = Field(description="that the search found")
    swap_search_gain: Finite
    swap_test: Effect = Field(description="its gain on the test set")
    constant_test: Effect = Field(
        description="gain on the test set when each replaced channel is set to the level of the channel shown: no map, one number"
    )
    zeroed_test: Effect = Field(description="gain on the test set when each replaced channel is set to zero")
    map_test: Effect = Field(description="the swap against that constant on the test set: what the shown channel's map adds")
    best_pairs: Curve = Field(description="from the ten best pairs, as the search combines them")
    one_a_channel: Curve = Field(description="from the best pair of each of ten channels")
    examples: list[Example]
    maps: Mapped
    pictures: list[Picture]
    stages: list[Stage]
    environment: Environment

    @model_validator(mode="after")
    def _consistent(self) -> StudyRecord:
        if set(self.search_images) & set(self.test_images):
            raise ValueError("search and test images overlap")
        for images in (self.search_images, self.test_images):
            if not images or len(set(images)) != len(images):
                raise ValueError("images are missing or named twice")
        for part in ("search", "test"):
            found = [getattr(c, part) for c in self.channels]
            if [getattr(c, f"{part}_label") for c in self.channels] != labels([e.value for e in found], [e.p for e in found]):
                raise ValueError(f"the labels on the {part} set are not those of the p-values")
        named = [*self.swap, *self.best_pairs.candidates, *self.one_a_channel.candidates]
        named = {c for pair in named for c in pair} | {c.best_replacement for c in self.channels}
        named |= {*self.maps.replaced, *self.maps.shown, *self.maps.useful}
        if not self.channels or max(named, default=0) >= len(self.channels):
            raise ValueError(f"a channel that the {len(self.channels)} channels do not have")
        if len({picture.kind for picture in self.pictures}) != len(self.pictures):
            raise ValueError("two pictures of one kind")
        return self

    def picture(self, kind: str) -> Picture | None:
        return next((p for p in self.pictures if p.kind == kind), None)

    @property
    def command(self) -> str:
        """The command that does this study again."""
        words = ["python", "-m", "benchmarks", "study", "--dataset", self.dataset, "--backbone", self.backbone]
        words += ["--method", self.place or self.method] if self.method != "base" else []
        words += ["--seed", str(self.seed)] if self.seed else []
        return shlex.join(words + (["--limit", str(self.limit)] if self.limit else []))

    @property
    def file_name(self) -> str:
        """Readable; one for each dataset, backbone, method and seed under a protocol. What was studied again replaces it."""
        parts = (self.protocol, self.dataset, self.backbone, self.method, f"seed{self.seed}")
        limited = f"-limit{self.limit}" if self.limit else ""
        return re.sub(r"[^a-z0-9._+-]+", "-", "-".join(parts).lower()).strip(".-")[:120] + f"{limited}.json"


def dump(record: StudyRecord) -> str:
    """A record as it is stored: each plain list, and each channel, on one line so that a diff can be read."""
    value = record.model_dump(mode="json")
    lines = [
        f' "{name}": [\n' + ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in part) + "\n ]"
        if name in ("channels", "examples", "pictures", "stages") and part
        else f' "{name}": {json.dumps(part, ensure_ascii=False)}'
        for name, part in value.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write(record: StudyRecord, path: Path) -> None:
    """Write a record whole or not at all. Raises OSError."""
    write_atomically(path, dump(record))


def read(path: Path) -> StudyRecord:
    """Read and check a record. Raises InvalidRecord, one line that names the file and the first fault."""
    return read_as(StudyRecord, path, "; mend or delete it, then study again")


def schema() -> str:
    """The JSON schema of a study record, as text."""
    return json.dumps(StudyRecord.model_json_schema(), indent=1) + "\n"
