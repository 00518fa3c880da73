"""The command line. Each command imports what it needs when it runs, so that --help is quick.

Exit status: `speechgmm.cli.help.EXIT_STATUS`.
"""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from speechgmm.cli import gallery_listen as gallery_listen  # adds its command
from speechgmm.cli import gallery_timeline as gallery_timeline  # adds its command
from speechgmm.cli.cache import cache
from speechgmm.cli.check import check
from speechgmm.cli.common import exit_on_error
from speechgmm.cli.compare import compare
from speechgmm.cli.diarise import diarise
from speechgmm.cli.evaluate import evaluate
from speechgmm.cli.features import features
from speechgmm.cli.gallery import gallery
from speechgmm.cli.help import EXIT_STATUS, SHORT_HELP, Command, Group, arrange_group, help_text
from speechgmm.cli.init import init
from speechgmm.cli.recipes import recipes
from speechgmm.cli.report import report
from speechgmm.cli.run import run
from speechgmm.cli.schema import schema
from speechgmm.cli.show import show
from speechgmm.cli.sweep import sweep
from speechgmm.cli.synthesise import synthesise
from speechgmm.cli.vectors import vectors
from speechgmm.version import __version__

GROUPS = EXPERIMENTS, GALLERIES, FEATURES, DATA = "Experiments", "Galleries", "Features", "Data and scores"
"""The groups of the commands, in the order of --help."""

GALLERY_EXAMPLES = {
    "create": "speechgmm gallery create --out people",
    "enrol": "speechgmm gallery enrol people ann ann-1.wav ann-2.wav",
    "extend": "speechgmm gallery extend people ann ann-3.wav",
    "list_": "speechgmm gallery list people",
    "identify": "speechgmm gallery identify people who.wav",
    "verify": "speechgmm gallery verify people ann who.wav",
    "timeline": "speechgmm gallery timeline people meeting.wav",
    "listen": "speechgmm gallery listen people",
    "forget": "speechgmm gallery forget people ann --recording ann-3.wav",
}
"""An example of each command of galleries, by the name of its function."""


class _Program(Group):
    """The program, whose help lists the commands group by group."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands; typer has those that hold others at the end."""
        commands: Any = self.commands
        return sorted(super().list_commands(ctx), key=lambda name: GROUPS.index(commands[name].rich_help_panel))


app = typer.Typer(
    name="speechgmm",
    cls=_Program,
    help="Speech features, Gaussian mixture models and scored speaker trials, from YAML recipes.\n\n"
    f"Start with: speechgmm init FOLDER, for a folder of recordings.\n\n{EXIT_STATUS}",
    no_args_is_help=True,
    context_settings=SHORT_HELP,
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


def _add(command: Callable[..., Any], group: str, example: str) -> None:
    """Add a command to a group of the program's help."""
    app.command(cls=Command, help=help_text(command, example), rich_help_panel=group)(command)


_add(init, EXPERIMENTS, "speechgmm init recordings")
_add(recipes, EXPERIMENTS, "speechgmm recipes quickstart > mine.yaml")
_add(check, EXPERIMENTS, "speechgmm check recordings.yaml")
_add(show, EXPERIMENTS, "speechgmm show recordings.yaml")
_add(run, EXPERIMENTS, "speechgmm run recordings.yaml --set seed=1 --name second")
_add(sweep, EXPERIMENTS, "speechgmm sweep recordings.yaml --set seed=0,1")
_add(report, EXPERIMENTS, "speechgmm report results/second")
_add(compare, EXPERIMENTS, "speechgmm compare results/recordings results/second")
_add(cache, EXPERIMENTS, "speechgmm cache --prune")
_add(schema, EXPERIMENTS, "speechgmm schema > recipe.schema.json")
arrange_group(gallery, GALLERY_EXAMPLES)
app.add_typer(gallery, name="gallery", cls=Group, rich_help_panel=GALLERIES)
_add(diarise, GALLERIES, "speechgmm diarise meeting.wav --out meeting.rttm")
_add(features, FEATURES, "speechgmm features recordings --out recordings.npz")
_add(vectors, FEATURES, "speechgmm vectors recordings.yaml --out vectors.npz")
_add(evaluate, DATA, "speechgmm evaluate scores.txt trials.txt")
_add(synthesise, DATA, "speechgmm synthesise --out voices")
