"""What the suite's record formats share: strict parts, kinds of numbers, and how a file of one is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.errors import InvalidRecord
from benchmarks.plain import LONGEST, printable

Finite = Annotated[float, Field(allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=0, le=2**53)]  # what a float holds to the digit: pages divide and draw it
Gain = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]  # beyond, an axis of a picture has no end
M = TypeVar("M", bound=BaseModel)


class Part(BaseModel):
    """A part of a record: it cannot be changed, and a field that is not of its format is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True)


FOREIGN = "this JSON file is of another kind, with none of a record's fields; name records, or a folder of nothing else"


def foreign(model: type[BaseModel], error: ValidationError) -> bool:
    """Whether the file is no damaged record but none at all: it lacks every field that `model` requires."""
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    found = error.errors(include_url=False, include_input=False)
    lacking = {e["loc"][0] for e in found if e["type"] == "missing" and len(e["loc"]) == 1}
    return required <= lacking


def read_as(model: type[M], path: Path, cure: str = "") -> M:
    """Read and check a file of any of the suite's record formats; `cure` ends the error. Raises InvalidRecord as `read` does.

    Strictly: a number in quotation marks, or `true` in the place of 1, is a fault.
    """
    return read_with_content(model, path, cure)[0]


def read_with_content(model: type[M], path: Path, cure: str = "") -> tuple[M, bytes]:
    """`read_as`, and the bytes of the file."""
    try:
        with open(path, "rb", buffering=0) as file:
            content = file.readall()
        return model.model_validate_json(content, strict=True), content
    except ValidationError as error:
        if foreign(model, error):
            raise InvalidRecord(f"{path}: {FOREIGN}{cure}") from None
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(x) for x in first["loc"]) or "record"
        raise InvalidRecord(printable(f"{path}: {where[:LONGEST]}: {first['msg'][:LONGEST]}{cure}")) from None
    except (RecursionError, OverflowError) as error:  # of a protocol nested a thousandfold, or a sum beyond all floats
        raise InvalidRecord(f"{path}: {error}{cure}") from None
    except OSError as error:
        raise InvalidRecord(f"{path}: {error.strerror or error}{cure}") from None
