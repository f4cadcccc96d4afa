"""Fuzz every telemetry parser for some minutes: `python tools/fuzz_parsers.py --minutes 10 [--seed 1] [--check NAME]`.

With atheris installed it is coverage-guided; without, bodies are mutated at random from real ones (bytes flipped, cut,
spliced, lines moved or repeated, numbers and tokens exchanged for nasty ones). Each finding is saved beside its check's
name under --findings and ends with exit status 1.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.telemetry.parser_checks import CHECKS, DATA, SEEDS, check  # noqa: E402

NASTY = [
    b"NaN", b"+Inf", b"-Inf", b"1_0", b"0x1p3", b"1e999", b"1e308", b"-1", b"9223372036854775794", b"140737488355328",
    b"2147483632", b"{", b"}", b'"', b"\\", b"\n", b"\r", b"\x00", b"\xff", b",", b"=", b' # {a="b"} 1', b"} ", b'"}',
    b'\\"}', b"GPU_I_ID", b'UUID="', b"DCGM_FI_DEV_SM_CLOCK", b"_HERTZ", b'{"metric":', b',"value":[', b"null", b"[",
    b"\xc2\xb2", b"  ",
]  # fmt: skip
LARGEST = 20_000


def corpus() -> list[bytes]:
    """Real bodies: the seeds of the small tests and the committed exposition texts."""
    return [*SEEDS, *(path.read_bytes()[:LARGEST] for path in sorted(DATA.glob("*.txt")))]


def mutate(body: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """One to six random edits of a body."""
    data = bytearray(body)
    for _ in range(rng.randint(1, 6)):
        data = rng.choice(EDITS)(data, others, rng)[:LARGEST]
    return bytes(data)


def _span(data: bytearray, rng: random.Random) -> tuple[int, int]:
    start = rng.randint(0, len(data))
    return start, min(len(data), start + rng.choice((0, 1, 1, 2, 4, 8, 32, 200)))


def _flip(data: bytearray, others: list[bytes], rng: random.Random) -> bytearray:
    if data:
        data[rng.randrange(len(data))] = rng.randrange(256)
    return data


def _nasty(data: bytearray, others: list[bytes], rng: random.Random) -> bytearray:
    start, end = _span(data, rng)
    return data[:start] + rng.choice(NASTY) + data[end:]


def _cut(data: bytearray, others: list[bytes], rng: random.Random) -> bytearray:
    start, end = _span(data, rng)
    return data[:start] + data[end:] if rng.random() < 0.8 else data[:start]


def _splice(data: bytearray, others: list[bytes], rng: random.Random) -> bytearray:
    other = bytearray(rng.choice(others))
    start, end = _span(other, rng)
    place = rng.randint(0, len(data))
    return data[:place] + other[start:end] + data[place:]


def _lines(data: bytearray, others: list[bytes], rng: random.Random) -> bytearray:
    lines = data.split(b"\n")
    if rng.random() < 0.5:
        rng.shuffle(lines)
    else:
        lines.insert(rng.randint(0, len(lines)), rng.choice(lines))
    return bytearray(b"\n").join(lines)


def _digits(data: bytearray, others: list[bytes], rng: random.Random) -> bytearray:
    places = [place for place, byte in enumerate(data) if 48 <= byte <= 57]
    if places:
        data[rng.choice(places)] = rng.choice(b"0123456789.eE+-_")
    return data


EDITS = (_flip, _nasty, _cut, _splice, _lines, _digits)


def run_random(minutes: float, seed: int, names: list[str], findings: Path) -> int:
    """Random mutation until the time is up; returns the number of distinct findings."""
    rng, bodies, runs, found = random.Random(seed), corpus(), Counter[str](), set[str]()
    deadline = time.monotonic() + 60 * minutes
    while time.monotonic() < deadline:
        body = mutate(rng.choice(bodies), bodies, rng)
        for name in names:
            runs[name] += 1
            if not _survives(name, body, findings, found):
                print(f"FINDING in {name} after {runs[name]} runs", flush=True)
    for name in names:
        print(f"{name}: {runs[name]} bodies")
    print(f"{sum(runs.values())} runs, {len(found)} findings, seed {seed}")
    return len(found)


def _survives(name: str, body: bytes, findings: Path, found: set[str]) -> bool:
    try:
        check(name, body)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{name}: {type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
        if kind in found:
            return True
        found.add(kind)
        findings.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(body).hexdigest()[:12]
        (findings / f"{name.replace(' ', '-')}-{digest}.bin").write_bytes(body)
        traceback.print_exc()
        return False
    return True


def run_guided(minutes: float, names: list[str]) -> int:
    """Coverage-guided by atheris; it ends the process itself when something is found."""
    import atheris

    def one(data: bytes) -> None:
        for name in names:
            check(name, data)

    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={int(60 * minutes)}", f"-max_len={LARGEST}"], one)
    atheris.Fuzz()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--check", choices=sorted(CHECKS), action="append")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    args = parser.parse_args()
    names = args.check or sorted(CHECKS)
    try:
        import atheris  # noqa: F401
    except ImportError:
        return 1 if run_random(args.minutes, args.seed, names, args.findings) else 0
    return run_guided(args.minutes, names)


if __name__ == "__main__":
    sys.exit(main())
