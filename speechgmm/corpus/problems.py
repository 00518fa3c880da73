"""What is wrong with lists, gathered so that it is told at once."""

from dataclasses import dataclass, field

from speechgmm.errors import CorpusError

MOST_TOLD = 20
"""Problems that are told one by one."""


@dataclass
class Problems:
    """What is wrong with the lists of a corpus.

    Parameters
    ----------
    lines : list of str
        One sentence each, with the file and the line.
    """

    lines: list[str] = field(default_factory=list)

    def add(self, problem: str) -> None:
        """Note a problem.

        Parameters
        ----------
        problem : str
            Where, what, and what was expected.
        """
        self.lines.append(problem)

    def check(self) -> None:
        """Raise an error if there are problems.

        Raises
        ------
        CorpusError
            With the first `MOST_TOLD` of them, one on a line, and the number of the others.
        """
        if self.lines:
            told = self.lines[:MOST_TOLD]
            if len(self.lines) > MOST_TOLD:
                told = [*told, f"and {len(self.lines) - MOST_TOLD:,} more problems"]
            raise CorpusError("\n".join(told))
