"""The command line. Each command imports what it needs when it runs, so that --help is quick.

Exit status: 0 for success, 2 for an error that the user can fix (one message, no traceback), 130 for an interruption,
1 for a bug.
"""

from typing import Annotated

import typer

from speechgmm.cli.cache import cache
from speechgmm.cli.check import check
from speechgmm.cli.common import exit_on_error
from speechgmm.cli.compare import compare
from speechgmm.cli.evaluate import evaluate
from speechgmm.cli.features import features
from speechgmm.cli.gallery import gallery
from speechgmm.cli.init import init
from speechgmm.cli.report import report
from speechgmm.cli.run import run
from speechgmm.cli.schema import schema
from speechgmm.cli.show import show
from speechgmm.cli.sweep import sweep
from speechgmm.cli.synthesise import synthesise
from speechgmm.version import __version__

app = typer.Typer(
    name="speechgmm",
    help="Speech features, Gaussian mixture models and scored speaker trials, from YAML recipes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(requested: bool) -> None:
    """Print the version and exit."""
    if requested:
        with exit_on_error():
            typer.echo(f"speechgmm {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Parse the options that belong to no command."""


app.command()(features)
app.command()(cache)
app.command()(init)
app.command()(check)
app.command()(run)
app.command()(report)
app.command()(show)
app.command()(schema)
app.command()(sweep)
app.command()(compare)
app.command()(evaluate)
app.command()(synthesise)
app.add_typer(gallery, name="gallery")
