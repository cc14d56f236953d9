"""Runs a command that dies with its parent: `tether.py PARENT_PID COMMAND ...`.

The kernel sends SIGKILL to the command when the parent's spawning thread ends, however it ends, so that nothing
outlives a killed supervisor. A script of its own instead of `preexec_fn`, which is unsafe beside threads; it is
started by path with `-S -E` and imports next to nothing, so it costs about 10 ms.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h; kept across exec


def main(arguments: list[str]) -> None:
    """Ties this process to its parent and becomes the command."""
    parent_pid, command = int(arguments[0]), arguments[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the request was in place
        sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
