"""The simulator plants truths without the operator's own formulas."""

import ast
from pathlib import Path

import mfu.sim

ROOM = Path(mfu.sim.__file__).parent
GRADED = ("mfu.predict", "mfu.observe", "mfu.workload", "mfu.decide", "mfu.engine", "mfu.account")


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def test_no_module_imports_what_it_helps_to_grade() -> None:
    modules = {path.name: imported(path) for path in ROOM.glob("*.py")}
    guilty = {name: bad for name, found in modules.items() if (bad := [m for m in found if m.startswith(GRADED)])}

    assert len(modules) > 15
    assert guilty == {}
