"""The command line, `python -m benchmarks`: one file for each subcommand, heavy imports inside the call."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings

from benchmarks.cli import (  # fmt: skip
    bench,
    board,
    check,
    compare,
    cost,
    data,
    doctor,
    export,
    list_,
    report,
    run,
    show,
    study,
    submit,
    sweep,
    validate,
    weights,
)
from benchmarks.cli.parser import Parser
from benchmarks.errors import BenchmarkError
from benchmarks.plain import printable

INTERRUPTED = 130  # 128 + SIGINT, as shells count
EXAMPLES = """examples:
  python -m benchmarks run --task camo --method dora+swap     the main job: train, search, test, table
  python -m benchmarks sweep                                  every method on every task, with and without swap, all seeds
  python -m benchmarks compare dora+swap dora                 is one better than the other, image by image?
  python -m benchmarks check method my/file.py:MyMethod       does a method of your own keep the contract?
  python -m benchmarks list                                   every task, dataset, backbone, method and protocol
  python -m benchmarks doctor                                 what is installed and prepared here, and how to mend the rest

exit codes: 0 done, 1 a run failed and left its record or a check found faults, 2 usage, 3 data or weights missing, 4 invalid record, 130 interrupted"""


def parser() -> Parser:
    top = Parser(
        prog="python -m benchmarks",
        description="Parameter-free fine-tuning of vision models by channel replacement: run, compare, publish.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--quiet", action="store_true", help="warnings and results only")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (
        run,
        sweep,
        study,
        compare,
        validate,
        submit,
        list_,
        show,
        report,
        doctor,
        check,
        bench,
        cost,
        board,
        export,
        data,
        weights,
    ):
        module.register(commands)
    return top


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING if args.quiet else logging.INFO, stream=sys.stderr, force=True)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Line("%(message)s"))
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
    text = printable(text)
    print(f"error: {text}" if code != INTERRUPTED else text, file=sys.stderr)
    return code


class _Line(logging.Formatter):
    """A message that cannot repaint the terminal: names of files and words of servers stand in it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        return "\n".join(map(printable, super().formatMessage(record).split("\n")))
