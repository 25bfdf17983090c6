"""The search record: what each strategy spent and found on one task of the embedded suite, as one JSON file.

Scores are fractions. The schema in `results/search-v1.schema.json` is made from this module.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from benchmarks.consistency import check_swap
from benchmarks.files import write_atomically
from benchmarks.formats import Amount, Finite, Part, read_as
from benchmarks.metrics.names import METRICS
from benchmarks.records import Environment

SCHEMA_VERSION = 1
Count = Annotated[int, Field(ge=1)]
PAPER = "exhaustive"  # the strategy that is the paper's, which all others are compared with


class Trial(Part):
    """One strategy on one draw of search images."""

    strategy: str
    seed: Annotated[int, Field(ge=0)]
    images: Count = Field(description="of the search set")
    pairs: list[tuple[int, int]] = Field(description="the swap found, (redundant, effective), 0-based")
    evaluations: Count = Field(description="decoder passes, one candidate on one image each")
    gradients: Annotated[int, Field(ge=0)] = Field(description="backward passes, beside the evaluations")
    seconds: Amount = Field(description="wall time of the search, features in memory")
    base_score: Finite
    search_gain: Finite
    scores: list[Finite] = Field(description="of each test image with the swap on, in the order of test_images")

    @property
    def name(self) -> str:
        return f"{self.strategy}, {self.images} images"

    @model_validator(mode="after")
    def _consistent(self) -> Trial:
        check_swap(self.pairs)
        return self


class SearchRecord(Part):
    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Literal["search"] = "search"
    task: str
    dataset: str
    backbone: str
    protocol: str
    protocol_hash: str
    metric: str
    search_images: Count = Field(description="of the protocol")
    code: str = Field(description="digest of the code and libraries that were measured")
    weights: str
    test_images: list[str]
    base: list[Finite] = Field(description="score of each test image without a swap")
    literal_ms: Amount = Field(
        description="one pass of the one-by-one loop over the library's own decoder, median over the sample"
    )
    literal_passes: Count = Field(description="of that sample, timed in the same call")
    trials: list[Trial]
    environment: Environment

    @model_validator(mode="after")
    def _consistent(self) -> SearchRecord:
        count = len(self.test_images)
        if len(set(self.test_images)) != count or len(self.base) != count:
            raise ValueError("test images are named twice, or have no score without a swap")
        for trial in self.trials:
            if len(trial.scores) != count:
                raise ValueError(f"{trial.name}, seed {trial.seed}: {len(trial.scores)} scores of {count} test images")
        known = METRICS.get(self.metric)
        if known and not known.fits([*self.base, *(x for t in self.trials for x in t.scores)]):
            raise ValueError(f"a {self.metric} score does not fit the metric")
        keys = [(t.name, t.seed) for t in self.trials]
        if len(set(keys)) != len(keys):
            raise ValueError("a strategy has two trials of one seed")
        return self

    @property
    def file_name(self) -> str:
        """Readable, and another one for everything that must not share a table."""
        device = re.sub(r"[^a-z0-9]+", "-", self.environment.device.lower()).strip("-")[:80]
        return f"{self.protocol}-{self.dataset}-{self.backbone}-{device}.json"

    @property
    def command(self) -> str:
        return f"python -m benchmarks bench search --tasks {self.task}"


def write(record: SearchRecord, path: Path) -> None:
    """Write a record whole or not at all. Raises OSError."""
    write_atomically(path, json.dumps(record.model_dump(mode="json"), indent=None, ensure_ascii=False) + "\n")


def read(path: Path) -> SearchRecord:
    """Read and check a record. Raises InvalidRecord, one line that names the file and the first fault."""
    return read_as(SearchRecord, path, "; mend or delete it, then measure again")


def schema() -> str:
    """The JSON schema of a search record, as text."""
    return json.dumps(SearchRecord.model_json_schema(), indent=1) + "\n"
