"""What the columns of score files and trial lists hold: the formats of toolkits, and columns that are named."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from speechgmm.corpus.vocabulary import DECIMAL_COMMA, NAMES, bare_name, column_roles, is_label
from speechgmm.files import NUMBER


def may_be_score(text: str) -> bool:
    """Check whether a field is a number, even one that a decimal comma spoils."""
    return bool(NUMBER.fullmatch(text) or DECIMAL_COMMA.fullmatch(text))


CONTENT: dict[str, Callable[[str], bool]] = {
    **dict.fromkeys(("score", "begin", "end"), may_be_score),
    "label": is_label,
    "gender": {"m", "f", "M", "F", "male", "female"}.__contains__,
    "decision": {"0", "1", "t", "f", "T", "F", "true", "false", "-1"}.__contains__,
    "side": {"a", "b", "A", "B"}.__contains__,
}
"""What the fields of some columns look like."""


@dataclass(frozen=True)
class Columns:
    """Which columns of a file hold what."""

    source: str  # whose format it is, or empty
    names: tuple[str, ...]  # of all columns
    roles: Mapping[str, int]  # numbers of the columns model, test, score, label, claimed and real, those that exist
    header: Literal["words", "table"] | None = None  # how the first line names the columns, if it does
    separator: str | None = None  # of the fields of lines; None for white space

    @property
    def has_trials(self) -> bool:
        """Whether models and tests are named; otherwise the lines follow those of the trial list."""
        return {"model", "test"} <= self.roles.keys()

    @property
    def has_labels(self) -> bool:
        """Whether target trials are marked, by labels or by the claimed and the real speaker."""
        return "label" in self.roles or {"claimed", "real"} <= self.roles.keys()

    @property
    def are_plain(self) -> bool:
        """Whether the columns of models and tests have these names."""
        return {"model", "test"} <= set(self.names)

    @property
    def specificity(self) -> int:
        """Number of columns that not just any word fits."""
        return sum(name in CONTENT for name in self.names)

    def split(self, line: str) -> list[str]:
        """Split a line into its fields."""
        return [field.strip() for field in line.split(self.separator)]

    def fit(self, fields: Sequence[str]) -> bool:
        """Check whether the fields of a line look like these columns."""
        return len(fields) == len(self.names) and all(
            CONTENT[name](field) for name, field in zip(self.names, fields, strict=True) if name in CONTENT
        )

    def __str__(self) -> str:
        used = [self.names[n] for n in sorted(set(self.roles.values()))] if self.header else self.names
        return f"{self.source or 'a table'}'s columns: {', '.join(used)}"


def _lines(source: str, names: str, **roles: int) -> Columns:
    """Build the columns of a format whose first line does not name them."""
    columns = tuple(names.split())
    return Columns(source, columns, {name: number for number, name in enumerate(columns) if name in NAMES} | roles)


KALDI = _lines("Kaldi", "model test score")
SCORE_FIRST = _lines("VoxCeleb trainer", "score model test")
VOXCELEB_LIST = _lines("VoxCeleb", "label model test")

LINE_FORMATS = (
    _lines("", "score"),
    KALDI,
    SCORE_FIRST,
    _lines("SpeechBrain", "model test label score"),
    _lines("wespeaker", "model test score label"),
    _lines("VoxCeleb", "label model test score"),
    _lines("VoxCeleb trainer", "score label model test"),
    _lines("NIST", "model test side score"),
    _lines("Bob", "claimed real test score", model=0),
    _lines("Bob", "claimed model real test score"),
    _lines("Bob", "claimed model real test score", model=0),
    _lines("LIA_RAL", "gender model decision test score"),
    _lines("LIA_RAL", "gender model decision test begin end score"),
    _lines("NIST", "training adaptation type gender model test decision score"),
    _lines("NIST", "training adaptation type gender model test side decision score"),
    _lines("Kaldi", "model test label"),
    VOXCELEB_LIST,
    _lines("NIST", "model test side label"),
)
"""Formats whose first line does not name the columns, of scores and of trials; the decisions in them are no labels."""


def named_columns(names: Sequence[str], header: Literal["words", "table"]) -> Columns | None:
    """Find what columns hold by their names; None if they name neither models and tests nor scores."""
    bare, roles = [bare_name(name) for name in names], column_roles(names)
    if {"claimed", "real"} <= roles.keys():
        roles = {"model": roles["claimed"]} | roles
    if not {"model", "test"} <= roles.keys():
        roles = {role: number for role, number in roles.items() if role in ("score", "label")}
    source = "Bob" if {"claimedid", "biorefsubjectid"} & set(bare) else ""
    if "modelid" in bare and {"segmentid", "segment"} & set(bare):
        source = "NIST"
    columns = Columns(source, tuple(names), roles, header)
    return columns if columns.has_trials or "score" in roles else None
