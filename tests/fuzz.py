"""A million damaged files: each is read to a sound value or refused by the documented error, whatever was done to it.

    python -m tests.fuzz --cases 1000000                      all readers, seed 0; prints counts, saves what fails
    python -m tests.fuzz --cases 1000000 --state fuzz.json    the same, to go on with after Ctrl-C by the same command
    python -m tests.fuzz --readers swap,record --seed 7       some of them, other inputs
    python -m tests.fuzz --readers swap --case 1234           one case again, with its traceback
    python -m tests.fuzz --readers swap --input FILE          a saved input again

Case number k of a reader under a seed is always the same input. `tests.fuzz_readers` says what is read and what is sound.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz_mutate import mutated
from tests.fuzz_readers import READERS, Reader

SLOWEST = 10.0  # seconds; a small file that takes longer is a bomb
MEMORY = 6 << 30  # bytes of address space beyond what is mapped at the start: what asks for more is a bomb too


@dataclass
class Tally:
    cases: int = 0
    read: int = 0
    refused: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


def made(reader: Reader, seed: int, case: int) -> bytes:
    """The input of a case."""
    rng = random.Random(f"{seed} {reader.name} {case}")
    of = rng.randrange(len(reader.seeds))
    change = reader.mutate or mutated
    return change(rng, reader.seeds[of], reader.seeds)


def attempt(reader: Reader, data: bytes, raising: bool = False) -> tuple[str, str]:
    """ "read", "refused" or "failed", and why. With `raising` the exception of a failure comes through."""
    begun = time.perf_counter()
    try:
        value = reader.read(data)
    except reader.refuses as error:
        text = str(error)
        if "\n" in text or not text or len(text) > 1500:
            return "failed", f"its error is no line of text: {text[:200]!r}"
        outcome = "refused", text
    except Exception as error:
        if raising:
            raise
        return "failed", f"{type(error).__name__}: {error}"[:300]
    else:
        wrong = reader.unsound(value, data)
        outcome = ("failed", f"unsound: {wrong}") if wrong else ("read", "")
    if (took := time.perf_counter() - begun) > SLOWEST:
        return "failed", f"took {took:.1f} s"
    return outcome


def run(reader: Reader, seed: int, first: int, count: int, tally: Tally, save: Path | None = None) -> None:
    """Do so many cases from number `first` on, and count them."""
    begun = time.perf_counter()
    for case in range(first, first + count):
        data = made(reader, seed, case)
        outcome, why = attempt(reader, data)
        tally.cases += 1
        tally.read += outcome == "read"
        tally.refused += outcome == "refused"
        if outcome == "failed":
            tally.failures.append(f"case {case}: {why}")
            print(f"FAILED {reader.name} {tally.failures[-1]}", file=sys.stderr, flush=True)  # a long run may be stopped
            if save:
                save.mkdir(parents=True, exist_ok=True)
                (save / f"{reader.name}-seed{seed}-case{case}.bin").write_bytes(data)
    tally.seconds += time.perf_counter() - begun


def shares(readers: list[Reader], cases: int) -> dict[str, int]:
    """Cases a reader by its weight: the quick ones get more."""
    whole = sum(r.weight for r in readers)
    found = {r.name: cases * r.weight // whole for r in readers}
    found[readers[0].name] += cases - sum(found.values())
    return found


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--cases", type=int, default=10_000)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--readers", default="all", help=f"comma-separated, of: {', '.join(READERS)}")
    p.add_argument("--minutes", type=float, help="stop after so long")
    p.add_argument("--state", type=Path, help="file that keeps how far a seed has come")
    p.add_argument("--save", type=Path, default=Path(tempfile.gettempdir()) / "chanswap-fuzz", help="folder for inputs that fail")
    p.add_argument("--case", type=int, help="this one alone, its traceback shown")
    p.add_argument("--input", type=Path, help="a saved input, its traceback shown")
    args = p.parse_args(argv)
    names = list(READERS) if args.readers == "all" else args.readers.split(",")
    if unknown := [n for n in names if n not in READERS]:
        p.error(f"unknown reader {unknown[0]}; known: {', '.join(READERS)}")
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        os.environ["CHANSWAP_HOME"] = folder
        readers = [READERS[n](Path(folder)) for n in names]
        if args.case is not None or args.input:
            data = args.input.read_bytes() if args.input else made(readers[0], args.seed, args.case)
            print(*attempt(readers[0], data, raising=True))
            return 0
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, resource.RLIM_INFINITY))
        return _all(readers, args)


def _all(readers: list[Reader], args) -> int:
    key = f"seed {args.seed}"
    known = json.loads(args.state.read_text()) if args.state and args.state.exists() else {}
    done = Counter(known.get(key, {}))
    wanted, tallies = shares(readers, args.cases), {r.name: Tally() for r in readers}
    begun, said = time.monotonic(), time.monotonic()
    try:
        for part in range(1, 101):  # a hundredth of each in turn, so that a part of a run has seen them all
            for reader in readers:
                upto = wanted[reader.name] * part // 100
                if upto > done[reader.name]:
                    run(reader, args.seed, done[reader.name], upto - done[reader.name], tallies[reader.name], args.save)
                    done[reader.name] = upto
                if args.minutes and time.monotonic() - begun > 60 * args.minutes:
                    raise KeyboardInterrupt
            if time.monotonic() - said > 30:
                said = time.monotonic()
                failed = sum(len(t.failures) for t in tallies.values())
                print(f"{sum(done.values()):,} of {args.cases:,} cases, {failed} failures", file=sys.stderr, flush=True)
                _keep(args.state, known | {key: done})
    except KeyboardInterrupt:
        print("stopped; with --state the same command goes on from here", file=sys.stderr)
    _keep(args.state, known | {key: done})
    print(report(tallies, time.monotonic() - begun))
    for name, tally in tallies.items():
        for line in tally.failures[:10]:
            print(f"FAILED {name} {line}")
    if any(t.failures for t in tallies.values()):
        print(f"inputs: {args.save}; again: python -m tests.fuzz --readers NAME --seed {args.seed} --case NUMBER")
        return 1
    return 0


def _keep(path: Path | None, state: dict) -> None:
    if path:
        path.write_text(json.dumps(state, indent=1) + "\n")


def report(tallies: dict[str, Tally], seconds: float) -> str:
    lines = [f"{'reader':<18}{'cases':>10}{'read':>10}{'refused':>10}{'failures':>10}{'cases/s':>10}"]
    for name, t in [*tallies.items(), ("all", None)]:
        if t is None:
            t = Tally(
                sum(x.cases for x in tallies.values()),
                sum(x.read for x in tallies.values()),
                sum(x.refused for x in tallies.values()),
                seconds,
                [f for x in tallies.values() for f in x.failures],
            )
        rate = t.cases / t.seconds if t.seconds else 0
        lines.append(f"{name:<18}{t.cases:>10,}{t.read:>10,}{t.refused:>10,}{len(t.failures):>10,}{rate:>10,.0f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
