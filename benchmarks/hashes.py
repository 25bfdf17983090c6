"""The hash of a value: what stages, protocols, specs and records are told apart by."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def hash_of(value: Any) -> str:
    """The sha256, in hex, of a JSON value in canonical form (sorted keys, no spaces). Raises ValueError for NaN."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()
