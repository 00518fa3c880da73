"""The command line, run in this process."""

from typer.testing import CliRunner, Result

from speechgmm.cli import app
from speechgmm.cli.gallery_output import SYNTHETIC


def speechgmm(*arguments: object) -> Result:
    """Run a command; an error that no command should raise ends the test."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def remarks_of(done: Result) -> str:
    """Return what a command printed on the stream for errors, without the warning of synthetic voices."""
    return done.stderr.replace(f"warning: {SYNTHETIC}\n", "")


def message_of(done: Result) -> str:
    """Return what a command printed on the stream for errors, in one line and without the frame around it."""
    return " ".join(done.stderr.replace("│", " ").split())
