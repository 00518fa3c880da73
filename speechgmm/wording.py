"""Lists of names in messages."""

from collections.abc import Iterable, Sequence


def first_few(names: Sequence[str]) -> str:
    """Format the first three names of a list, and the number of the others."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def join_names(names: Sequence[str], word: str = "and") -> str:
    """Join names, two or more with a last "and", or another word."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def names_by_reason(reasons: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Group pairs of a name and a reason by reason; reasons and names keep their order."""
    groups: dict[str, list[str]] = {}
    for name, reason in reasons:
        groups.setdefault(reason, []).append(name)
    return groups
