"""The name of a record's file, which tells runs apart."""

from __future__ import annotations

from benchmarks.catalog import SWAP
from benchmarks.hashes import hash_of
from benchmarks.options import Decoding, Options
from benchmarks.records import Spec


def file_name(
    spec: Spec,
    protocol_hash: str,
    weights: str,
    images: str,
    kind: str,
    options: Options,
    decoding: Decoding,
    origin: tuple[str, str] | None,
    deterministic: bool,
) -> str:
    """A record's place below its tier's folder; `kind` of device is cpu, cuda or mps, `origin` place and sha256 of a method from
    outside."""
    made_of = [spec.model_dump(), protocol_hash, weights, images, kind]
    altered = spec.method.removesuffix(SWAP) != "base" and options.arithmetic != Options().arithmetic
    made_of += [options.arithmetic] if altered else []
    made_of += [decoding.altered] if decoding.altered else []
    # Two files may name their methods alike, and one file changes: neither run replaces the other's record.
    made_of += [list(origin)] if origin else []
    made_of += ["deterministic"] if deterministic else []
    short = hash_of(made_of)[:8]
    return f"{spec.protocol}/{spec.dataset}/{spec.method}-{spec.backbone}-seed{spec.seed}-{short}.json"
