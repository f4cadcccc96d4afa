"""`mfu completion bash|zsh|fish`: a script that completes commands, options and their values.

bash: source <(mfu completion bash)      zsh: source <(mfu completion zsh)      fish: mfu completion fish | source
For `kubectl mfu`: mfu completion kubectl > kubectl_complete-mfu, made executable on your path (kubectl 1.26 or newer).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any, Final

from mfu.cli.commands import COMMANDS, parser_of

WORDS: Final = "words"


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "completion",
        help="complete commands and options in a shell",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=(*SCRIPTS, WORDS), metavar="SHELL", help=", ".join(SCRIPTS))
    parser.add_argument("typed", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    if args.shell == WORDS:
        print("\n".join(candidates([each for each in args.typed if each != "--"] or [""])))
    else:
        print(SCRIPTS[args.shell], end="")
    return 0


def candidates(typed: Sequence[str]) -> list[str]:
    """What may stand in place of the last word: `candidates(["predict", "--pro"]) == ["--product"]`."""
    *before, last = typed
    command = next((word for word in before if not word.startswith("-")), None)
    if command is None:
        found: Iterator[str] = iter(name for name, _ in COMMANDS)
    elif command in dict(COMMANDS):
        found = _of_command(parser_of(command), before[-1] if before else "", last)
    else:
        found = iter(())
    return sorted(word for word in found if word.startswith(last))


def _of_command(parser: argparse.ArgumentParser, previous: str, last: str) -> Iterator[str]:
    """Values of the option before it, else positional values, and options where one is begun."""
    option = next((each for each in parser._actions if previous in each.option_strings and each.nargs != 0), None)
    if option is not None:
        yield from map(str, option.choices or ())
        return
    for each in parser._actions:
        if each.option_strings and last.startswith("-"):
            yield from (text for text in each.option_strings if text.startswith("--"))
        elif not each.option_strings:
            yield from map(str, each.choices or ())


_BASH: Final = """_mfu() {
  local typed=("${COMP_WORDS[@]:1:COMP_CWORD}")
  local IFS=$'\\n'
  COMPREPLY=($(mfu completion words -- "${typed[@]}" 2>/dev/null))
}
complete -o default -F _mfu mfu kubectl-mfu
"""
_ZSH: Final = """_mfu() {
  local -a found
  found=(${(f)"$(mfu completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
  (( $#found )) && compadd -a found || _files
}
compdef _mfu mfu kubectl-mfu
"""
_FISH: Final = """function __mfu_words
  set -l typed (commandline -opc)[2..-1] (commandline -ct)
  mfu completion words -- $typed 2>/dev/null
end
complete -c mfu -a '(__mfu_words)'
complete -c kubectl-mfu -a '(__mfu_words)'
"""
_KUBECTL: Final = """#!/bin/sh
mfu completion words -- "$@" 2>/dev/null
"""
SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH, "kubectl": _KUBECTL}
