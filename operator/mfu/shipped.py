"""The tables that come with the product.

Read by libyaml, nine times as fast as the loader written in Python: each start of a command waits for them. What people
hand us is read by the Python loader, whose messages show the line.
"""

from __future__ import annotations

from importlib import resources
from typing import Any, Final

import yaml

LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Where PyYAML was built without libyaml, the same in Python."""


def table(package: str, name: str) -> Any:
    """`data/NAME` of the package."""
    text = (resources.files(package) / "data" / name).read_text(encoding="utf-8")
    return yaml.load(text, Loader=LOADER)
