"""The look of --help for all commands: paragraphs without the docstring's line ends, examples, flags without a type."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

EXIT_STATUS = (
    "Exit status: 0 for success; 2 for an error that the user can correct; 3 if some recordings, files or experiments "
    "could not be used (listed) and the others were; 130 if interrupted; 1 for a bug."
)
"""The last paragraph of the program's own help."""

SHORT_HELP = {"help_option_names": ["-h", "--help"]}
"""Context settings of the program; its commands inherit them."""


class Command(TyperCommand):
    """A command whose flags are listed without a type."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options and arguments."""
        return _without_flag_types(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands whose flags are listed without a type."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options and arguments."""
        return _without_flag_types(super().get_params(ctx))


def help_text(function: Callable[..., Any], example: str) -> str:
    """Return a function's docstring as paragraphs of one line each, and the example as the last."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in (inspect.getdoc(function) or "").split("\n\n")]
    return "\n\n".join([*paragraphs, f"Example: {example}"])


def arrange_group(group: typer.Typer, examples: Mapping[str, str]) -> None:
    """Give the commands of a group this look; `examples` go by the names of their functions."""
    for command in group.registered_commands:
        if command.callback is not None:
            command.cls = Command
            command.help = help_text(command.callback, examples[command.callback.__name__])


def _without_flag_types(parameters: list[Any]) -> list[Any]:
    """Remove the type of flags, which is always that of yes and no."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
    return parameters
