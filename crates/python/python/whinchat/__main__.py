"""The program: `python -m whinchat`, and the command `whinchat` that pip installs."""

import signal
import sys

from . import _native


def main() -> int:
    """Does what the command line says; gives the exit status."""
    # Python's own handlers only set a flag, which nobody looks at while the program runs.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.main(["whinchat", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
