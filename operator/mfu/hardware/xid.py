"""What an Xid number says of a GPU, by NVIDIA's catalog (docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html).

Its columns "immediate action" and, where that is a workflow, the text beside it decide. Three numbers on which others
differ: 69 (class error) and 137 (illegal peer access) are an application's own; 109 (context switch timeout), which
NVIDIA's device plugin counts among an application's, needs a reset. 61 and 138 are unused, and 154 only tells again, in
words, what another Xid asks for.
"""

from __future__ import annotations

from typing import Final

APPLICATION_XIDS: Final = frozenset({13, 31, 43, 45, 68, 69, 137})
"""Caused by the program that runs: nothing is wrong with the GPU."""
RESET_XIDS: Final = frozenset({46, 48, 62, 64, 74, 79, 95, 109, 110, 119, 120, 136, 140, 143, 156, 158})
"""The GPU needs a reset, a reboot of its node, or a replacement."""
WORN_XIDS: Final = frozenset({63, 92, 94})
"""Memory that is wearing out: rows were remapped, single-bit errors abound, an error was contained. It still works."""
INFORMATIONAL_XIDS: Final = frozenset({106, 107, 154})
"""Say nothing of their own."""
HARDWARE_XIDS: Final = RESET_XIDS | WORN_XIDS
"""The device itself is at fault, whatever runs on it."""
