"""Stage embed: the encoder's features of the search images."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from benchmarks import data, store
from benchmarks.encoded_cache import EncodedCache
from benchmarks.stages import feature_file, train
from benchmarks.stages.workbench import Workbench
from chanswap import CacheError

log = logging.getLogger("benchmarks")


def features(bench: Workbench) -> tuple[EncodedCache, Sequence]:
    """The encoder's features of the search images, computed once and kept, and the images."""
    p, job = bench.plan, bench.plan.jobs["embed"]
    samples = data.load(p.dataset, "train", p.search_ids)
    path = job.folder / "search.features"

    def work() -> dict:
        feature_file.written(bench, train.adapted(bench), samples, path, p.search_ids, job.key)
        return {"images": len(samples)}

    bench.stage("embed", job, work, (path.name,))
    try:
        return EncodedCache(path), samples
    except CacheError as error:  # checksums agree, so another version wrote it
        log.warning("%s; embedding again", error)
        store.discard(job)
        return EncodedCache(bench.stage("embed", job, work, (path.name,)).files[path.name]), samples
