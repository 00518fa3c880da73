"""The command line. What is heavy is imported by the command that needs it, so that --help is quick.

Exit status: 0 for success, 2 for what the user can mend (one message, no traceback), 130 when interrupted, 1 for a
bug.
"""

from pathlib import Path
from typing import Annotated

import typer

from speechgmm.cli.caching import cache
from speechgmm.cli.checking import check
from speechgmm.cli.common import JobsOption, exit_on_error
from speechgmm.cli.evaluating import evaluate
from speechgmm.cli.extraction import features
from speechgmm.cli.gallery import gallery
from speechgmm.cli.reporting import report
from speechgmm.cli.running import run
from speechgmm.cli.series import compare, sweep
from speechgmm.cli.showing import schema, show
from speechgmm.cli.starting import init
from speechgmm.version import __version__

app = typer.Typer(
    name="speechgmm",
    help="Speech features, Gaussian mixture models and scored speaker trials, from YAML recipes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    """Print the version and leave."""
    if asked:
        with exit_on_error():
            typer.echo(f"speechgmm {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options that belong to no command."""


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
app.add_typer(gallery, name="gallery")


@app.command()
def synthesise(
    out: Annotated[Path, typer.Option(help="Folder to write to.", show_default=False)],
    n_speakers: Annotated[int, typer.Option(min=2, help="Enrolled speakers.")] = 20,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Other seeds give other voices.")] = 0,
    jobs: JobsOption = None,
) -> None:
    """Write the recordings of the embedded voices as FLAC files, with Kaldi lists and trials."""
    from rich.console import Console
    from rich.progress import track

    from speechgmm.corpus.synthetic.recordings import write_recordings
    from speechgmm.corpus.synthetic.synthesis import SyntheticConfig, plan
    from speechgmm.parallel.engine import Engine, available_cores

    config = SyntheticConfig(n_speakers=n_speakers, seed=seed)
    total = len(plan(config))
    console = Console(stderr=True)
    recordings = write_recordings(config, out, Engine("processes", jobs or available_cores()))
    shown = track(recordings, "recording", total, console=console, transient=True, disable=not console.is_terminal)
    with exit_on_error():
        for _ in shown:
            pass
    typer.echo(f"{total} recordings in {out}")
