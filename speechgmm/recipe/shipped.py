"""The recipes, systems and sections that come with the package, by name."""

import re
from pathlib import Path

from speechgmm.files import is_file

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE / "shipped" if (PACKAGE / "shipped").is_dir() else PACKAGE.parent
"""The folder of ``recipes/`` and ``configs/``: in an installed package its own, in a checkout the top."""

SHIPPED = "shipped "
"""What the name of a shipped file starts with in messages."""

RECIPES, SYSTEMS = "recipes", "systems"


def folder_of(kind: str) -> Path:
    """Return the folder of the shipped files of a kind: ``recipes``, ``systems``, or the name of a section."""
    return ROOT / RECIPES if kind == RECIPES else ROOT / "configs" / kind


def kinds() -> list[str]:
    """List the kinds of which there are shipped files: recipes, systems, then sections."""
    sections = sorted(folder.name for folder in (ROOT / "configs").glob("*/"))
    return [RECIPES, SYSTEMS, *(name for name in sections if name != SYSTEMS)]


def shipped_names(kind: str) -> list[str]:
    """List the names of the shipped files of a kind; numbers in their order, before words."""
    names = [path.stem for path in folder_of(kind).glob("*.yaml")]
    return sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


def shipped_file(kind: str, name: str) -> Path | None:
    """Return the shipped file of a kind by its name; None if there is none."""
    path = folder_of(kind) / f"{name}.yaml"
    return path if name == Path(name).name and is_file(path) else None


def summary_of(path: Path) -> str:
    """Return the first sentence of the comment at the top of a shipped file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = " ".join(
        line.removeprefix("#").strip() for line in lines if re.match(r"#(?! yaml-language-server)", line)
    )
    return re.split(r"(?<=\.)\s", comment, maxsplit=1)[0]
