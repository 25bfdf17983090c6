"""The command line, `python -m benchmarks`: one file for each subcommand, heavy imports inside the call."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings

from benchmarks.cli import bench, board, check, cost, data, doctor, list_, run, show, sweep, weights
from benchmarks.errors import BenchmarkError

INTERRUPTED = 130  # 128 + SIGINT, as shells count
EXAMPLES = """examples:
  python -m benchmarks run --task camo --method dora+swap     the main job: train, search, test, table
  python -m benchmarks sweep                                  every method on every task, with and without swap, all seeds
  python -m benchmarks check method my/file.py:MyMethod       does a method of your own keep the contract?
  python -m benchmarks list                                   every task, dataset, backbone, method and protocol
  python -m benchmarks doctor                                 what is installed and prepared here, and how to mend the rest

exit codes: 0 done, 1 a run failed and left its record, 2 usage, 3 data or weights missing, 4 invalid record, 130 interrupted"""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Parameter-free fine-tuning of vision models by channel replacement: run, compare, publish.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--quiet", action="store_true", help="warnings and results only")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (run, sweep, list_, show, doctor, check, bench, cost, board, data, weights):
        module.register(commands)
    return top


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    logging.basicConfig(
        level=logging.WARNING if args.quiet else logging.INFO, format="%(message)s", stream=sys.stderr, force=True
    )
    for noisy in ("torch", "httpx", "urllib3", "datasets", "filelock", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # sam2's own call, which its users cannot mend
    warnings.filterwarnings("ignore", message=".torch.jit.script. is deprecated", category=FutureWarning)
    try:
        return args.call(args)
    except BenchmarkError as error:
        return _say(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _say("stopped. What was finished is kept: the same command goes on from here.", INTERRUPTED)
    except BrokenPipeError:  # `list | head` closed the pipe
        sys.stderr.close()
        return 0
    except OSError as error:
        from benchmarks.files import said

        return _say(said(error), 1)


def _say(text: str, code: int) -> int:
    print(f"error: {text}" if code != INTERRUPTED else text, file=sys.stderr)
    return code
