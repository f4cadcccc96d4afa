"""What a command raises when its input can not be used; printed on one line, exit code 2."""

from __future__ import annotations


class UsageError(Exception):
    """The message names the argument, file or field, what is wrong, and what to write instead."""
