"""Lines of scores and trials that do not fit: counted by kind, and refused or left out."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Literal

from speechgmm.errors import CorpusError

Option = Literal["--allow-missing", "--allow-extra"]

MISSING = "trials without a score"
NOT_A_NUMBER = "scores that are not a number"
COMMAS = "scores with a decimal comma; expected a decimal point"
EXTRA = "scores of trials that are not in the list"
REPEATED = "lines that repeat an earlier one"
CONTRADICTING = "lines that contradict an earlier one"
OTHER_LABEL = "labels of scores that contradict the trial list"
ALLOWED_BY: dict[str, Option] = {
    MISSING: "--allow-missing",
    NOT_A_NUMBER: "--allow-missing",
    EXTRA: "--allow-extra",
    REPEATED: "--allow-extra",
}
"""Kinds of mismatch that an option allows, by leaving them out; the others are always errors."""

MAX_LISTED = 3
"""Lines that a message lists for each kind of mismatch."""


class Mismatches:
    """Lines that do not fit, counted by kind; the first of each kind are kept for the message."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, path: Path, number: int, what: str) -> None:
        """Count a line; keep it for the message if it is among the first of its kind."""
        self._counts[kind] += 1
        if self._counts[kind] <= MAX_LISTED:
            self._first[kind].append(f"{path}:{number}: {what}")

    def check(self, allowed: set[Option]) -> tuple[str, ...]:
        """Raise a `CorpusError` for the kinds that are not allowed; return a note on each kind that is left out."""
        if refused := [kind for kind in self._counts if ALLOWED_BY.get(kind) not in allowed]:
            raise CorpusError("\n".join(self._format(kind, "; {} leaves them out") for kind in refused))
        return tuple(self._format(kind, ", left out") for kind in self._counts)

    def _format(self, kind: str, consequence: str) -> str:
        """Format the count of a kind and its first lines."""
        option = ALLOWED_BY.get(kind)
        more = self._counts[kind] - len(self._first[kind])
        heading = f"{kind}: {self._counts[kind]:,}" + (consequence.format(option) if option else "")
        return "\n  ".join([heading, *self._first[kind], *([f"and {more:,} more"] if more else [])])
