import sys

from benchmarks.cli import main

if __name__ == "__main__":  # the processes of a sweep import this file too
    sys.exit(main())
