"""What the commands share."""

import io
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from speechgmm.errors import ResultsError, SpeechGMMError

JobsOption = Annotated[int | None, typer.Option("--jobs", min=1, max=4096, show_default="all cores", help="Workers.")]


def check_page(option: str, path: Path) -> None:
    """Refuse what is no name of a page: a slip of the keyboard must not write HTML over scores or metrics.

    Parameters
    ----------
    option : str
        That gives the name.
    path : Path
        Where the page is to be written.

    Raises
    ------
    ResultsError
        If it is a folder, or the name ends in neither .html nor .htm.
    """
    if path.is_dir():
        raise ResultsError(f"{option} {path}: a folder; expected the name of the page, as in {path / 'report.html'}")
    if path.suffix.lower() not in {".html", ".htm"}:
        raise ResultsError(f"{option} {path}: expected the name of the page, with .html or .htm at its end")


def printable(text: str) -> str:
    """Give text that a terminal shows and does not obey: names that come from lists may hold anything.

    Parameters
    ----------
    text : str
        Any, of one line or more.

    Returns
    -------
    str
        With escapes for what is not printable.
    """
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


@contextmanager
def exit_on_error(
    interrupted: str = "interrupted; what is finished is kept, and the same command goes on from there",
) -> Iterator[None]:
    """Turn what the user can mend into a message and status 2, and an interruption into one and 130."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # where it cannot show a name, as Python's own errors do
    for name in ("SIGTERM", "SIGHUP"):  # requests to end, as Ctrl-C is; not every system has both
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        yield
    except SpeechGMMError as error:
        message, status = str(error), 2
    except BrokenPipeError:
        raise  # nobody reads on: typer leaves without a word
    except OSError as error:
        message, status = f"{error.filename or 'output'}: {error.strerror or error}", 2
    except KeyboardInterrupt:
        message, status = interrupted, 130
    else:
        return
    typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(printable(message), err=True)
    raise typer.Exit(status)
