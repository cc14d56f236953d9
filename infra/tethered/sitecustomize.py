"""Ties a Python process to its parent as it starts: for programs that start processes of their own, such as SGLang.

SGLang's own processes tie themselves, but only after half a minute of imports; a supervisor that is killed within that
time would leave them behind. Python imports this module by its name when this folder is on PYTHONPATH. Only for
programs whose spawning threads stay: the kernel takes the end of such a thread for the end of the parent.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h

_parent_pid = os.getppid()
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() != _parent_pid:  # it died before the request was in place
    sys.exit(1)
