"""Errors in the lists of a corpus, collected so that all of them are reported together."""

from dataclasses import dataclass, field

from speechgmm.errors import CorpusError

MAX_LISTED = 20
"""Problems that a message lists one by one."""


@dataclass
class Problems:
    """Collected errors in the lists of a corpus."""

    lines: list[str] = field(default_factory=list)  # one sentence each, with file and line

    def add(self, problem: str) -> None:
        """Add a problem: where it is, what is wrong, and what was expected."""
        self.lines.append(problem)

    def check(self) -> None:
        """Raise a `CorpusError` if there are problems, with the first `MAX_LISTED` and the number of the others."""
        if self.lines:
            listed = self.lines[:MAX_LISTED]
            if len(self.lines) > MAX_LISTED:
                listed = [*listed, f"and {len(self.lines) - MAX_LISTED:,} more problems"]
            raise CorpusError("\n".join(listed))
