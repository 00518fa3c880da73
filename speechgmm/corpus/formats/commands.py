"""Commands in Kaldi's wav.scp, whose output is the audio: run without a shell, and only if the recipe allows it.

A command can do whatever its user can, so a list with commands must be trusted like a program. This module makes sure
that a command does no more than it shows: programs with their arguments, and pipes between them. Variables,
substitutions, redirections and sequences of a shell are refused, so that no file name turns into a command.
"""

import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from speechgmm.audio.headers import finished
from speechgmm.corpus.manifest import Utterance
from speechgmm.errors import CorpusError
from speechgmm.files import write_bytes
from speechgmm.parallel.engine import Engine, map_in_order

Program = list[str]
"""A program and its arguments."""

SHELL_PUNCTUATION = "|&;<>()"
"""Characters that end a word and mean something to a shell, unless they are quoted."""


def is_command(path: str) -> bool:
    """Check whether a path in ``wav.scp`` is a command: it ends in ``|``."""
    return path.endswith("|")


def commands_of(utterances: Sequence[Utterance]) -> tuple[str, ...]:
    """List the distinct commands among the paths of utterances."""
    return tuple(dict.fromkeys(utterance.path for utterance in utterances if is_command(utterance.path)))


def split_command(command: str) -> list[Program]:
    """Split a command, with its ``|`` at the end, into the programs of its pipe.

    Raises `CorpusError` if it asks for more than programs with arguments and pipes between them.
    """
    lexer = shlex.shlex(command.removesuffix("|"), posix=True, punctuation_chars=SHELL_PUNCTUATION)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise CorpusError(f"{command!r}: {error}") from error
    programs: list[Program] = [[]]
    for word in words:
        if word == "|":
            programs.append([])
        elif set(word) <= set(SHELL_PUNCTUATION) or set(word) & set("$`"):
            raise CorpusError(f"{command!r}: {word!r}; expected only programs, arguments and pipes: no shell runs it")
        else:
            programs[-1].append(word)
    if not all(programs):
        raise CorpusError(f"{command!r}: nothing on one side of a pipe; expected a program")
    return programs


def files_among(command: str, root: Path) -> list[Path]:
    """List the files that a command names, on whose content its output may depend; `root` is where it runs."""
    words = [word for program in split_command(command) for word in program]
    return [root / word for word in words if (root / word).is_file()]


def run_command(command: str, root: Path) -> bytes:
    """Run a command of a trusted list in the folder `root`, and return what its last program writes.

    Raises `CorpusError` if a program is missing or fails, or nothing is written.
    """
    data = b""
    for program in split_command(command):
        try:
            process = subprocess.run(program, input=data, cwd=root, capture_output=True, check=False)
        except OSError as error:
            raise CorpusError(f"{command!r}: {program[0]}: {error.strerror}") from error
        if process.returncode != 0:
            message = process.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise CorpusError(f"{command!r}: {program[0]} failed with status {process.returncode}: {''.join(message)}")
        data = process.stdout
    if not data:
        raise CorpusError(f"{command!r}: no output")
    return data


def write_outputs(folder: Path, commands: Sequence[str], root: Path, engine: Engine | None = None) -> Iterator[int]:
    """Run commands of trusted lists in the folder `root`, write their outputs, and yield the number done so far.

    Raises `CorpusError` if a command fails.
    """
    folder = folder.resolve()  # workers may have started in another folder
    tasks = list(output_paths(folder, commands).items())
    for number, _ in enumerate(map_in_order(partial(_write, root), tasks, engine), 1):
        yield number


def output_paths(folder: Path, commands: Sequence[str]) -> Mapping[str, Path]:
    """Return the file in which `write_outputs` writes the output of each command."""
    return {command: folder / f"{number:08d}.wav" for number, command in enumerate(commands)}


def _write(root: Path, task: tuple[str, Path]) -> None:
    """Write the output of one command to a file, with its length, which programs that write to a pipe leave out."""
    command, path = task
    write_bytes(path, finished(run_command(command, root)))
