"""Write the files that are made from docstrings: the JSON schema of recipes, and the keys in docs/recipes.md."""

import json
from pathlib import Path

from speechgmm.recipe.reading.json_schema import json_schema, key_pages

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "recipes.md"
SCHEMA = ROOT / "recipes" / "recipe.schema.json"
HEADING = "\n## Every key\n"


def schema_text() -> str:
    """Return the schema as `speechgmm schema` prints it."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def page_text() -> str:
    """Return the page with its last part made from the docstrings."""
    head = PAGE.read_text(encoding="utf-8").partition(HEADING)[0]
    return (
        f"{head}{HEADING}\n<!-- `make schema` writes what follows; change the docstrings instead. -->\n\n{key_pages()}"
    )


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    PAGE.write_text(page_text(), encoding="utf-8")
