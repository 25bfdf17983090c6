"""What a check finds: faults and notes, as data."""

from __future__ import annotations

from dataclasses import dataclass

CHECKS = {
    "file": "it is a record: readable, every field there and of its kind",
    "record": "its parts go together: lengths, names, means, differences, hashes of specification and protocol",
    "digest": "nothing was changed after it was written, by the digest in the file",
    "status": "a finished run, not limited, not marked",
    "names": "task, dataset, backbone and method are known and fit each other",
    "protocol": "the rules are those of an installed version of the protocol, or of a known earlier one",
    "weights": "the checkpoint is the pinned one, by its sha256",
    "data": "the images are those that the dataset's manifest or files state",
    "test split": "every test image of the dataset, once, in its order",
    "code": "a clean tree of a known commit",
    "complete": "every evaluation, control, comparison, metric and stage that the method must have",
    "scores": "every score is one that its metric can take, with the digits that a run writes",
    "derived": "means, intervals, differences and p-values are made anew from the scores",
    "search": "the search set's size, ids and draw; pairs within the channels and made of the kept ones; counts of passes; gains",
    "trainable": "trained parameters against the method's own formula",
    "training": "epochs, losses, size of the trained weights",
    "times": "seconds, threads, memory and dates that can be",
    "command": "the command makes this record",
    "place": "the file lies and is named as a run would write it",
    "seeds": "every seed of the protocol, and no other",
    "agreement": "what several records evaluated alike is alike in all of them",
    "rerun": "the same run, done again, gives the same scores (--rerun)",
    "source": "the source of a method from outside is there, and is the one that ran (submit)",
    "name": "nothing that exists is overwritten (submit)",
}


@dataclass(frozen=True)
class Fault:
    """Something that keeps a record from being taken. `check` is a key of CHECKS, `cure` says what to do."""

    check: str
    what: str
    cure: str
    path: str = ""


@dataclass(frozen=True)
class Note:
    """Something that a reviewer should know and that is no fault."""

    check: str
    what: str
    path: str = ""


Found = Fault | Note
AGAIN = "run it again with the code of this checkout"
EDITED = "restore the file from where it was made, or run it again"
