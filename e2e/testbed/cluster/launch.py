"""Runs a command that dies with its parent: `launch.py PARENT_PID COMMAND [ARGUMENT…]`.

A program of its own, started by exec, because code between fork and exec in a threaded process is not safe.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>; survives execve


def main(parent: int, command: list[str]) -> None:
    """Ask the kernel for SIGKILL on the parent's death, then become `command`."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have died before the kernel was asked.
    if os.getppid() != parent:
        os._exit(137)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
