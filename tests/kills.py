"""Runs killed at random moments, the long part of `tests/test_faults.py`.

    python -m tests.kills --kills 100        about two seconds a kill on a quiet core; counts, and what went wrong, if anything

Each round begins a small run in an empty home, ends it by SIGKILL at a random moment, up to three times in a row, and calls it again.
It must then end with the record of an undisturbed run, times apart, with pages that are what the records give, and with no file
that is not whole, neither after a kill nor at the end. Exit code 1 where it does not.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")  # before torch is imported
ALL = ("--strategy", "exhaustive")  # so that a search has blocks to go on from
METHODS = ("lora+swap", "decoder+swap", "base+swap")  # with an encoder that is trained, with its features kept, with neither


def stage_of(place) -> str:
    """What a killed run was at, by what it left."""
    from tests.undisturbed import Home

    assert isinstance(place, Home)
    has = {name: bool(list(place.home.rglob(name))) for name in ("weights.safetensors", "search.features", "journal*")}
    if any(place.results.rglob("*.json")):
        return "pages"
    stages = [p.parent.parent.name for p in place.home.rglob("stage.json")]
    if "search" in stages:
        return "evaluation or record"
    if has["journal*"]:
        return "search"
    if has["search.features"]:
        return "features"
    return "training or before"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the moments; how far a run is by then is the machine's business")
    args = parser.parse_args()
    import torch

    from tests.undisturbed import KILLED, begin, end, faults, halves, prepared, timeless

    torch.set_num_threads(1)
    draw, counts, kills, rounds, wrong = random.Random(args.seed), Counter(), 0, 0, []
    folder = Path(tempfile.mkdtemp(prefix="chanswap-kills-"))
    (folder / "images").mkdir()
    wanted, spans = {}, {}
    end(begin(prepared(folder / "drawing", folder / "images"), "base", "--limit", "1"))  # draws the images
    for method in METHODS:
        place, begun = prepared(folder / f"whole-{method}", folder / "images"), time.monotonic()
        if code := end(begin(place, method, *ALL)):
            print((place.folder / "said").read_text(), file=sys.stderr)
            return code
        spans[method] = time.monotonic() - begun
        wanted[method] = timeless(place.record())
    print("undisturbed: " + ", ".join(f"{method} {span:.1f} s" for method, span in spans.items()), flush=True)
    while kills < args.kills:
        method, rounds = METHODS[rounds % len(METHODS)], rounds + 1
        place, said = prepared(folder / f"round-{rounds}", folder / "images"), []
        for _ in range(draw.randint(1, 3)):
            if end(begin(place, method, *ALL), draw.uniform(0, 1.1 * spans[method])) != KILLED:
                break
            kills += 1
            counts[stage_of(place)] += 1
            said += [f"after a kill: {fault}" for fault in halves(place)]
        if code := end(begin(place, method, *ALL)):
            said.append(f"the next call ended with {code}: {(place.folder / 'said').read_text()[-2000:]}")
        said += faults(place, wanted[method])
        if said:
            wrong.append(f"round {rounds}, {method}, {place.folder}: " + "; ".join(said))
            print(wrong[-1], flush=True)
        else:
            shutil.rmtree(place.folder)
        if rounds % 10 == 0:
            print(f"{kills} kills, {rounds} rounds, {len(wrong)} wrong", flush=True)
    print(f"{kills} kills in {rounds} rounds: {', '.join(f'{n} in {stage}' for stage, n in counts.most_common())}")
    print(f"{rounds - len(wrong)} rounds ended as an undisturbed run, {len(wrong)} did not")
    if not wrong:
        shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
