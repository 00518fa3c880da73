"""The command that prints the JSON schema of recipes."""

import json

import typer


def schema() -> None:
    """Print the JSON schema of recipes, which editors use to complete and check them."""
    from speechgmm.recipe.reading.json_schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=1, ensure_ascii=False))
