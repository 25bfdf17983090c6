"""The cost record: trainable parameters, memory and time of the methods on one backbone, device and batch, as one JSON file.

Memory in MiB (2^20 bytes), time in seconds. GPU memory and a process's resident memory are different fields and never stand in
for each other. The schema in `results/cost-v1.schema.json` is made from this module.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from benchmarks.files import write_atomically
from benchmarks.formats import Amount, Part, read_as
from benchmarks.records import Environment, Trainable

SCHEMA_VERSION = 1
Count = Annotated[int, Field(ge=1)]


class CostRow(Part):
    """One method, measured in a process of its own. `reason` says why there is no measurement."""

    method: str
    status: Literal["done", "out of memory", "failed", "not for this backbone"]
    reason: str | None = None
    trainable: Trainable | None = Field(None, description="known also where the step itself did not fit in memory")
    parameters: Count | None = Field(None, description="of the whole model with the method attached, trained or not")
    peak_allocated_mib: Amount | None = Field(None, description="GPU: the most that tensors held at once")
    peak_reserved_mib: Amount | None = Field(None, description="GPU: the most that torch held; a context comes on top")
    peak_resident_mib: Amount | None = Field(None, description="resident memory of the process while it worked: no GPU memory")
    resident_before_mib: Amount | None = Field(None, description="the same before the first step: libraries and weights")
    seconds_per_step: Amount | None = Field(None, description="of the second step; the first pays for allocations")
    threads: Count
    random_weights: bool = Field(description="random weights of true size: memory and time do not depend on the values")
    started: str

    @model_validator(mode="after")
    def _consistent(self) -> CostRow:
        if self.status == "done" and None in (self.trainable, self.parameters, self.seconds_per_step):
            raise ValueError(f"{self.method} is done, but its parameters or seconds are missing")
        if self.status != "done" and not self.reason:
            raise ValueError(f"{self.method} was not measured, and no reason is given")
        if (self.peak_allocated_mib is None) != (self.peak_reserved_mib is None):
            raise ValueError(f"{self.method} has one figure of GPU memory without the other")
        return self


class CostRecord(Part):
    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Literal["cost"] = "cost"
    backbone: str
    image_size: Count
    device_kind: Literal["cpu", "cuda", "mps"]
    batch: Count
    precision: str
    micro_batch: Count
    activation_checkpointing: bool
    code: str = Field(description="digest of the code and libraries that were measured")
    rows: list[CostRow]
    environment: Environment = Field(description="of the latest call; a row keeps its own threads and time")

    @model_validator(mode="after")
    def _consistent(self) -> CostRecord:
        names = [row.method for row in self.rows]
        if len(set(names)) != len(names):
            raise ValueError("two rows have the same method")
        if self.micro_batch > self.batch:
            raise ValueError("a micro-batch larger than the batch")
        if self.environment.precision != self.precision:
            raise ValueError("the environment's precision is another one")
        for row in self.rows:
            on_gpu = row.peak_allocated_mib is not None
            if on_gpu and self.device_kind != "cuda":
                raise ValueError(f"{row.method} has GPU memory, but the device is {self.device_kind}")
            if row.status == "done" and self.device_kind == "cuda" and not on_gpu:
                raise ValueError(f"{row.method} ran on a GPU, and its GPU memory is missing")
        return self

    def row(self, method: str) -> CostRow | None:
        return next((row for row in self.rows if row.method == method), None)

    @property
    def same(self) -> tuple:
        """What must be equal for rows to stand in one record."""
        made = (self.backbone, self.image_size, self.device_kind, self.batch, self.precision, self.micro_batch)
        return (*made, self.activation_checkpointing, self.code, self.environment.device)

    @property
    def altered(self) -> list[str]:
        """The command line's words for options that differ from the paper's way."""
        words = ["--micro-batch", str(self.micro_batch)] if self.micro_batch != self.batch else []
        return words + (["--activation-checkpointing"] if self.activation_checkpointing else [])

    @property
    def file_name(self) -> str:
        """Readable, and another one for everything that must not share a table."""
        device = re.sub(r"[^a-z0-9]+", "-", self.environment.device.lower()).strip("-")[:80]
        parts = [self.backbone, device, f"batch{self.batch}", *([self.precision] if self.precision != "float32" else [])]
        parts += ["".join(self.altered).replace("--", "-").strip("-")] if self.altered else []
        return "-".join(parts) + ".json"

    @property
    def command(self) -> str:
        words = ["python", "-m", "benchmarks", "cost", "--backbone", self.backbone, "--batch", str(self.batch)]
        words += ["--precision", self.precision] if self.precision != "float32" else []
        return shlex.join([*words, "--device", self.device_kind, *self.altered])


def write(record: CostRecord, path: Path) -> None:
    """Write a record whole or not at all. Raises OSError."""
    write_atomically(path, json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")


def read(path: Path) -> CostRecord:
    """Read and check a record. Raises InvalidRecord, one line that names the file and the first fault."""
    return read_as(CostRecord, path, "; mend or delete it, then measure again")


def schema() -> str:
    """The JSON schema of a cost record, as text."""
    return json.dumps(CostRecord.model_json_schema(), indent=1) + "\n"
