"""`submit`: records of your own, examined and laid out for a pull request."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  python -m benchmarks submit --results results/community --name ssf-on-camo
  python -m benchmarks submit --results a.json b.json c.json --name ssf-on-camo --out /tmp/to-send --source ssf.py

The records are examined as `validate` does. With a fault nothing is written: all faults are printed, each with what to do. Otherwise the
folder holds the records where they belong below results/community, a page with their tables, and the source of a method from outside;
the commands that are left to you are printed. Nothing is sent, and no record that exists is overwritten.

exit code: 0 written, 1 faults"""


def register(commands) -> None:
    p = commands.add_parser(
        "submit",
        help="examine records of your own and lay them out for a pull request",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--results",
        required=True,
        nargs="+",
        type=Path,
        metavar="PATH",
        help="record files, or folders; of a results folder its community tier",
    )
    p.add_argument("--name", required=True, help="of the submission: small letters, digits, dashes")
    p.add_argument("--out", type=Path, metavar="FOLDER", help="where it is written (default: submission-NAME)")
    p.add_argument(
        "--source",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.py",
        help="of a method from outside, where it is not where it ran",
    )
    p.set_defaults(call=call)


def call(args) -> int:
    from benchmarks import submission
    from benchmarks.cli.common import near
    from benchmarks.environment import project_root
    from benchmarks.errors import count
    from benchmarks.validation.said import lines

    out = args.out or Path(f"submission-{args.name}")
    made = submission.prepare(args.results, args.name, [project_root() / "results", out / "results"], args.source)
    print("\n".join(lines(made.report)))
    if made.report.faults:
        print("Nothing was written. Mend what is said above, then submit again.")
        return 1
    new = submission.write(made, out)
    print(f"\n{count(len(new), 'new file')} in {near(out)}; in it:")
    print("\n".join(f"  {name}" for name in made.files))
    print("\nNext, in a checkout of the repository (a fork of your own, from which a pull request can be opened):\n")
    print("\n".join(f"  {step}" for step in submission.steps(made, out.resolve())))
    return 0
