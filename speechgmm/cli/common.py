"""Options, checks and error handling that the commands share."""

import io
import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgmm.errors import ResultsError, SpeechGMMError
from speechgmm.wording import names_by_reason

if TYPE_CHECKING:
    from rich.progress import Progress

JobsOption = Annotated[
    int | None, typer.Option("--jobs", min=1, max=4096, show_default="all cores", help="Number of parallel workers.")
]


def check_page(option: str, path: Path) -> None:
    """Raise `ResultsError` if a path is not an HTML page's name, so that a slip does not overwrite scores or metrics.

    `option` is the option that gave the path.
    """
    if path.is_dir():
        raise ResultsError(f"{option} {path}: a folder; expected the name of the page, as in {path / 'report.html'}")
    if path.suffix.lower() not in {".html", ".htm"}:
        raise ResultsError(f"{option} {path}: expected the name of the page, with .html or .htm at its end")


def recipe_path(typed: str) -> Path:
    """Return the path of a recipe as it was typed, so that ``./best`` is no shipped name."""
    from speechgmm.recipe.reading import names

    return names.recipe_path(typed)


RecipeArgument = Annotated[
    Path,
    typer.Argument(
        parser=recipe_path, help="The recipe: a YAML file, or the name of a shipped one.", show_default=False
    ),
]


def recipe_file(recipe: Path, overrides: Sequence[str]) -> Path:
    """Return the file that a recipe's name means here, or the name of a shipped one; print what hides shipped files.

    Raises RecipeError if the path is something else than a recipe.
    """
    from speechgmm.recipe.reading.loader import notes_on
    from speechgmm.recipe.reading.names import find_recipe
    from speechgmm.recipe.shipped import SHIPPED

    for note in notes_on(recipe, overrides):
        typer.echo(printable(shorten_paths(f"note: {note}")), err=True)
    found = find_recipe(recipe)
    return recipe if found.source.startswith(SHIPPED) else found.path


def printable(text: str) -> str:
    """Escape what is not printable: names in lists may hold control characters that a terminal would obey."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


DETOUR = re.compile(r"""[^\s"'(),;:=<>|]*[^\s"'(),;:=<>|./]/\.\.(?![^\s"'(),;:=<>|/])[^\s"'(),;:=<>|]*""")
"""A path that goes into a folder and out again, within a message."""

MAX_EXAMPLES = 3
"""Names that a line shows of those that share it."""


def shorten_paths(text: str) -> str:
    """Shorten the paths in a message: relative to the current folder if below it, and without detours (``a/..``).

    A detour through a link stays, because it leads elsewhere.
    """
    with suppress(OSError):  # the current folder may be gone
        if (here := os.path.join(os.getcwd(), "")) != os.sep:  # noqa: PTH109, PTH118  # ends with a separator
            text = re.sub(rf"(?<![\w./~-]){re.escape(here)}(?=[\w.])", "", text)
    return DETOUR.sub(lambda found: _without_detours(found[0]), text)


def _without_detours(path: str) -> str:
    """Remove ``a/..`` from a path if the rest is the same place."""
    shorter = os.path.normpath(path)
    return shorter if os.path.realpath(shorter) == os.path.realpath(path) else path


@contextmanager
def progress_bars() -> Iterator["Progress"]:
    """Show bars of progress on standard error, if it is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        yield bars


def results_folder(path: Path) -> Path:
    """Return the results folder that a path means: itself, or the one of this name in ``results``, where runs write."""
    by_name = Path("results") / path
    return by_name if len(path.parts) == 1 and not path.exists() and by_name.is_dir() else path


def group_reasons(reasons: Iterable[tuple[str, str]]) -> list[str]:
    """Format pairs of a name and a reason as a line for each reason, the most frequent first, with its first names."""
    lines = []
    for reason, sharing in sorted(names_by_reason(reasons).items(), key=lambda item: -len(item[1])):
        more = f" and {len(sharing) - MAX_EXAMPLES:,} more" if len(sharing) > MAX_EXAMPLES else ""
        lines.append(f"{', '.join(sharing[:MAX_EXAMPLES])}{more}: {reason}")
    return lines


@contextmanager
def exit_on_error(
    interrupted: str = "interrupted; finished work is kept, run the same command again to continue",
) -> Iterator[None]:
    """Turn errors that the user can fix into a message and exit status 2, and an interruption into status 130."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for names that it cannot show, like Python's own errors
    for name in ("SIGTERM", "SIGHUP"):  # requests to end, like Ctrl-C; not every system has both
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        yield
    except SpeechGMMError as error:
        message, status = str(error), 2
    except BrokenPipeError:
        raise  # the reader has closed the pipe: typer exits without a message
    except OSError as error:
        message, status = f"{error.filename or 'output'}: {error.strerror or error}", 2
    except KeyboardInterrupt:
        message, status = interrupted, 130
    else:
        return
    typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(printable(shorten_paths(message)), err=True)
    raise typer.Exit(status)
