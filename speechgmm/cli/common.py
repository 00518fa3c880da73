"""Options, checks and error handling that the commands share."""

import io
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from speechgmm.errors import ResultsError, SpeechGMMError

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


def printable(text: str) -> str:
    """Escape what is not printable: names in lists may hold control characters that a terminal would obey."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


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
    typer.echo(printable(message), err=True)
    raise typer.Exit(status)
