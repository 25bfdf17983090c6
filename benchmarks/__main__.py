import signal
import sys

from benchmarks.cli import INTERRUPTED, main

if __name__ == "__main__":  # the processes of a sweep import this file too
    code = main()
    if code == INTERRUPTED:  # a second Ctrl-C ends the process at once, instead of a traceback from what others do at exit
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)
