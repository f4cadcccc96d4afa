"""The image without Docker: the steps of our Dockerfile, done in an empty folder that a process then calls its root.

    python -m tools.image_root FOLDER      # leaves FOLDER/image, runs `mfu --version` in it, and prints what it weighs

It is a Dockerfile's reader for the words that ours uses, and raises for any other. What stands for `python:3.11-slim`
is the Python that runs this, with the C libraries it needs, a shell and the few programs that the steps call; so the
base image itself, its other programs and the registry are left out. What is installed comes from requirements.lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PROGRAMS: Final = ("sh", "chmod", "ln", "mkdir")
NOT_OF_THE_IMAGE: Final = ("LABEL", "EXPOSE")
"""Said of an image, and nothing in its files."""
LEFT_OUT: Final = shutil.ignore_patterns("test", "tests", "__pycache__", "idlelib", "config-3.*", "site-packages")
LIBRARY: Final = re.compile(r"(/\S+) \(0x")
ALSO: Final = ("libstdc++.so.6", "libgcc_s.so.1", "librt.so.1", "libdl.so.2", "libpthread.so.0", "libutil.so.1")
"""Debian's slim images have them; wheels count on it."""


class BuildFailed(Exception):
    """A step ended with an error; the message has its last words."""


@dataclass(slots=True)
class Image:
    """One stage: its files and what it says of how it is run."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin"})
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def run(self, arguments: Sequence[str], *, seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
        """As the kubelet would with `readOnlyRootFilesystem`: this user, this environment, nothing writable."""
        inner = [
            _host("chroot"),
            f"--userspec={self.user}",
            str(self.root),
            *self.entrypoint,
            *(arguments or self.command),
        ]
        here = shlex.quote(str(self.root))
        mount = _host("mount")
        script = f"{mount} --bind {here} {here} && {mount} -o remount,bind,ro {here} && exec {shlex.join(inner)}"
        command = [_host("unshare"), *_as_root(), "--mount", _host("sh"), "-c", script]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False
        )

    def packed_bytes(self, *, quickly: bool = False) -> int:
        """As a registry keeps it and a node pulls it, in one layer; quickly packed it is larger."""
        pack = f"tar -C {shlex.quote(str(self.root))} -c . | gzip -{1 if quickly else 6} | wc -c"
        return int(subprocess.run(pack, shell=True, capture_output=True, text=True, check=True).stdout)


def build(folder: Path, wheels: Path) -> Image:
    """All stages below `folder`; the last one is the image. Raises BuildFailed, and ValueError for a word unknown."""
    stages: dict[str, Image] = {}
    image = Image(folder)
    for word, rest in steps((ROOT / "Dockerfile").read_text()):
        if word == "FROM":
            name = rest.split(" AS ")[1] if " AS " in rest else "image"
            image = stages[name] = Image(base(folder / name))
        else:
            _take(word, rest, image, stages, wheels)
    return image


def steps(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Words and what follows, continued lines joined: `steps("USER 1\\nRUN a \\\\\\n b")` → USER 1, RUN a  b."""
    lines = "\n".join(line for line in dockerfile.splitlines() if not line.startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word and word not in NOT_OF_THE_IMAGE:
            yield word, rest.strip()


def _take(word: str, rest: str, image: Image, stages: dict[str, Image], wheels: Path) -> None:
    if word == "RUN":
        _step(image, rest, wheels)
    elif word == "COPY":
        _copy(image, rest, stages)
    elif word in ("ENV", "ARG"):
        for each in shlex.split(rest):
            name, _, value = each.partition("=")
            image.environment[name] = value.replace("$PATH", image.environment["PATH"])
    elif word == "USER":
        image.user = rest
    elif word == "ENTRYPOINT":
        image.entrypoint = json.loads(rest)
    elif word == "CMD":
        image.command = json.loads(rest)
    else:
        raise ValueError(f"Dockerfile: {word} is not a word that this reads")


def _step(image: Image, line: str, wheels: Path) -> None:
    """In the stage's root, as root, with what pip needs already there: nothing is fetched."""
    inside = image.root / "wheels"
    shutil.copytree(wheels, inside)
    environment = {**image.environment, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels", "HOME": "/"}
    command = [_host("unshare"), *_as_root(), _host("chroot"), str(image.root), "/bin/sh", "-c", line]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    shutil.rmtree(inside)
    if done.returncode != 0:
        raise BuildFailed(f"RUN {line[:80]}: {(done.stderr or done.stdout)[-800:]}")


def _copy(image: Image, rest: str, stages: dict[str, Image]) -> None:
    words = rest.split()
    source = stages[words.pop(0).partition("=")[2]].root if words[0].startswith("--from=") else ROOT
    what, into = source / words[0].lstrip("/"), image.root / words[1].lstrip("/")
    into.parent.mkdir(parents=True, exist_ok=True)
    if what.is_dir():
        shutil.copytree(what, into, symlinks=True, ignore=None if source != ROOT else LEFT_OUT)
    else:
        shutil.copy2(what, into)


def base(root: Path) -> Path:
    """What the steps find: this Python in /usr/local as in Debian's image, a shell, and C libraries where they are."""
    prefix, version = Path(sys.base_prefix), f"python{sysconfig.get_python_version()}"
    for each in ("tmp", "dev", "bin", "usr/local/bin"):
        (root / each).mkdir(parents=True)
    (root / "dev" / "null").touch()
    program = root / "usr" / "local" / "bin" / version
    shutil.copy2(prefix / "bin" / version, program)
    for name in ("python3", "python"):
        program.with_name(name).symlink_to(version)
    modules = root / "usr" / "local" / "lib" / version
    shutil.copytree(prefix / "lib" / version, modules, ignore=LEFT_OUT, symlinks=True)
    shutil.copytree(prefix / "lib" / version / "site-packages" / "pip", modules / "site-packages" / "pip")
    _script(program.with_name("pip"), "#!/usr/local/bin/python", "from pip._internal.cli.main import main", "main()")
    for name in PROGRAMS:
        shutil.copy2(Path(_host(name)).resolve(), root / "bin" / name)
    _libraries(root, prefix, [program, *modules.glob("lib-dynload/*.so"), *(root / "bin").iterdir()])
    return root


def _script(file: Path, *lines: str) -> None:
    file.write_text("\n".join((*lines, "")))
    file.chmod(0o755)


def _libraries(root: Path, prefix: Path, programs: Sequence[Path]) -> None:
    """Each to where it lies here, but for Python's own, which goes where its prefix is there."""
    linked = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    known = subprocess.run([_host("ldconfig"), "-p"], capture_output=True, text=True, check=True).stdout
    also = [line.split(" => ")[1] for line in known.splitlines() if line.strip().startswith(ALSO)]
    interpreter = re.findall(r"^\s*(/\S+) \(0x", linked, re.MULTILINE)
    for found in {*LIBRARY.findall(linked), *interpreter, *also}:
        own = Path(found).is_relative_to(prefix)
        into = root / "usr" / "local" / "lib" / Path(found).name if own else root / found.lstrip("/")
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(Path(found).resolve(), into)
    (root / "etc").mkdir()
    (root / "etc" / "ld.so.conf").write_text("/usr/local/lib\n")
    subprocess.run([_host("ldconfig"), "-r", str(root)], check=True)


def _host(program: str) -> str:
    """Where this machine has it, which the image's PATH does not say. Raises BuildFailed."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/bin")
    if found is None:
        raise BuildFailed(f"this machine has no {program}")
    return found


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["--map-root-user"]


def download(into: Path) -> Path:
    """What requirements.lock names, as wheels for this machine. Raises CalledProcessError."""
    pip = [
        f"{sys.base_prefix}/bin/python3",
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ]
    only = ["--only-binary", ":all:", "--require-hashes", "-r", str(ROOT / "requirements.lock"), "--dest", str(into)]
    subprocess.run([*pip, *only], check=True)
    return into


def wheels() -> Path:
    """Those of `download`, kept in the user's cache for this lock and this Python. pip holds them to their hashes."""
    lock = hashlib.sha256((ROOT / "requirements.lock").read_bytes() + sys.version.encode()).hexdigest()[:16]
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mfu-e2e" / f"wheels-{lock}"
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as partial, contextlib.suppress(OSError):
            # Whoever is first: a folder that is not empty is not replaced.
            download(Path(partial) / "wheels").replace(kept)
    return kept


def main(folder: Path) -> int:
    image = build(folder, wheels())
    done = image.run(["--version"])
    print(done.stdout or done.stderr, end="")
    print(f"{image.packed_bytes() / 1e6:.0f} MB packed; user {image.user}, root read-only")
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
