"""Commands in Kaldi's wav.scp, whose output is the audio: run without a shell, and only where that is allowed.

A command may do whatever its user may. Nothing here makes a list safe that is not trusted; what is done is that a
command does no more than it shows: programs with their arguments, and pipes between them. A shell's variables,
substitutions, redirections and sequences are refused, so that no file name turns into a command.
"""

import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from speechgmm.corpus.manifest import Utterance
from speechgmm.errors import CorpusError
from speechgmm.files import write_bytes
from speechgmm.parallel.engine import Engine, map_in_order

Program = list[str]
"""A program and its arguments."""

OF_SHELL = "|&;<>()"
"""What words of a shell are made of, unless they are quoted."""


def is_command(path: str) -> bool:
    """Tell a command from a path, by its end.

    Parameters
    ----------
    path : str
        As in ``wav.scp``.

    Returns
    -------
    bool
        Whether it ends in ``|``.
    """
    return path.endswith("|")


def commands_of(utterances: Sequence[Utterance]) -> tuple[str, ...]:
    """List the commands among the paths of utterances.

    Parameters
    ----------
    utterances : sequence of Utterance
        Any.

    Returns
    -------
    tuple of str
        Each once, in their order.
    """
    return tuple(dict.fromkeys(each.path for each in utterances if is_command(each.path)))


def programs(command: str) -> list[Program]:
    """Take a command apart.

    Parameters
    ----------
    command : str
        With its ``|`` at the end.

    Returns
    -------
    list of Program
        Each reads what the one before it writes.

    Raises
    ------
    CorpusError
        If it asks for more than programs with arguments and pipes between them.
    """
    lexer = shlex.shlex(command.removesuffix("|"), posix=True, punctuation_chars=OF_SHELL)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError as error:
        raise CorpusError(f"{command!r}: {error}") from error
    found: list[Program] = [[]]
    for word in words:
        if word == "|":
            found.append([])
        elif set(word) <= set(OF_SHELL) or set(word) & set("$`"):
            raise CorpusError(f"{command!r}: {word!r}; expected programs, arguments and pipes alone: no shell runs it")
        else:
            found[-1].append(word)
    if not all(found):
        raise CorpusError(f"{command!r}: nothing beside a pipe; expected a program")
    return found


def files_among(command: str, root: Path) -> list[Path]:
    """List the files that a command names, on whose content its output may depend.

    Parameters
    ----------
    command : str
        Any.
    root : Path
        Where it runs.

    Returns
    -------
    list of Path
        Those of its words that are names of files.
    """
    words = [word for program in programs(command) for word in program]
    return [root / word for word in words if (root / word).is_file()]


def output_of(command: str, root: Path) -> bytes:
    """Run a command.

    Parameters
    ----------
    command : str
        From a list that is trusted.
    root : Path
        Where it runs.

    Returns
    -------
    bytes
        What its last program writes.

    Raises
    ------
    CorpusError
        If a program is missing or fails, or nothing is written.
    """
    data = b""
    for program in programs(command):
        try:
            done = subprocess.run(program, input=data, cwd=root, capture_output=True, check=False)
        except OSError as error:
            raise CorpusError(f"{command!r}: {program[0]}: {error.strerror}") from error
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise CorpusError(f"{command!r}: {program[0]} failed with status {done.returncode}: {''.join(said)}")
        data = done.stdout
    if not data:
        raise CorpusError(f"{command!r}: no output")
    return data


def write_outputs(folder: Path, commands: Sequence[str], root: Path, engine: Engine | None = None) -> Iterator[int]:
    """Run commands and keep what they write, telling how far it is.

    Parameters
    ----------
    folder : Path
        Where to write.
    commands : sequence of str
        From lists that are trusted.
    root : Path
        Where they run.
    engine : Engine, optional
        Where to run them.

    Yields
    ------
    int
        Commands done so far.

    Raises
    ------
    CorpusError
        If one fails.
    """
    folder = folder.resolve()  # workers may have been born in another folder
    tasks = list(output_paths(folder, commands).items())
    for number, _ in enumerate(map_in_order(partial(_write, root), tasks, engine), 1):
        yield number


def output_paths(folder: Path, commands: Sequence[str]) -> Mapping[str, Path]:
    """Say where `write_outputs` writes.

    Parameters
    ----------
    folder : Path
        As given to it.
    commands : sequence of str
        As given to it.

    Returns
    -------
    mapping of str to Path
        The file of each command.
    """
    return {command: folder / f"{number:08d}.wav" for number, command in enumerate(commands)}


def _write(root: Path, task: tuple[str, Path]) -> None:
    """Keep the output of one command."""
    command, path = task
    write_bytes(path, output_of(command, root))
