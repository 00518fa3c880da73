"""What the commands share."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from speechgmm.errors import SpeechGMMError

JobsOption = Annotated[int | None, typer.Option("--jobs", min=1, show_default="all cores", help="Workers.")]


@contextmanager
def told(
    interrupted: str = "interrupted; what is finished is kept, and the same command goes on from there",
) -> Iterator[None]:
    """Turn what the user can mend into a message and status 2, and an interruption into one and 130."""
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
    typer.echo(message, err=True)
    raise typer.Exit(status)
