"""Readers of the tables that commands write."""

import csv
from pathlib import Path


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file, by the names of their columns."""
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))
