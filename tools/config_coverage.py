"""Which config.json files of a folder are read, and how far their parameters are from the published count.

`python -m tools.config_coverage FOLDER` takes a folder of files named OWNER--NAME_config.json, as the model_configs of
github.com/ai-dynamo/aiconfigurator are, and writes tests/workload/aiconfigurator_coverage.csv: names and counts alone.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from mfu.workload.errors import WorkloadError
from mfu.workload.huggingface import understand
from mfu.workload.parameters import count

HERE = Path(__file__).resolve().parent.parent / "tests" / "workload"
TABLE = HERE / "aiconfigurator_coverage.csv"
COLUMNS = ("model", "kind", "parameters_billion", "active_billion", "published_billion", "off_by", "refused")
WITHIN = 0.005
ENDING = "_config.json"


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """One row a model; `off_by` is relative to the count that published_configs.yaml cites for its shape."""
    shapes = yaml.safe_load((HERE / "aiconfigurator_models.yaml").read_text(encoding="utf-8"))
    published = yaml.safe_load((HERE / "published_configs.yaml").read_text(encoding="utf-8"))
    for path in sorted(folder.glob(f"*{ENDING}")):
        if path.name.endswith("hf_quant_config.json"):
            continue
        name = path.name.removesuffix(ENDING).replace("--", "/")
        cited = published.get(shapes.get(name) or "", {}).get("published_billion")
        yield {"model": name, **_row(json.loads(path.read_text(encoding="utf-8")), cited)}


def _row(config: dict[str, Any], cited: str | None) -> dict[str, Any]:
    try:
        read = understand(config)
    except WorkloadError as refused:
        return {"refused": f"{refused.why.field}: {refused.why.problem}"}
    counted = count(read.architecture)
    row = {
        "kind": read.kind,
        "parameters_billion": f"{counted.total / 1e9:.3f}",
        "active_billion": f"{counted.active / 1e9:.3f}",
    }
    if cited is None:
        return row
    return row | {"published_billion": cited, "off_by": f"{counted.total / 1e9 / float(cited) - 1:+.4f}"}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("usage: python -m tools.config_coverage FOLDER", file=sys.stderr)
        return 2
    found = list(rows(Path(arguments[0])))
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(found)
    read = [each for each in found if "refused" not in each]
    near = [each for each in read if abs(float(each.get("off_by", "inf"))) <= WITHIN]
    rounded = [each for each in read if each not in near and within_rounding(each)]
    print(f"{len(read)} of {len(found)} read")
    print(f"{len(near)} within {WITHIN:.1%} of the published count, {len(rounded)} more within its last digit:")
    print("\n".join(f"  {each['model']} {each['off_by']} of {each['published_billion']}" for each in rounded))
    return 0


def within_rounding(row: dict[str, Any]) -> bool:
    """Is the count the published one to the digits that were published? 1.721 is 1.7, and 1573 is 1600."""
    cited = str(row.get("published_billion") or "")
    if not cited:
        return False
    digits = len(cited.partition(".")[2])
    last = 10.0**-digits if digits else 10.0 ** (len(cited) - len(cited.rstrip("0")))
    return abs(float(row["parameters_billion"]) - float(cited)) <= last / 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
