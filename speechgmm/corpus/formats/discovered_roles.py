"""Which Kaldi data directories are background, enrolment and tests: by their names, speakers and trial lists."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import takewhile
from typing import NamedTuple

from speechgmm.corpus.formats.sets import SetContents, roles_of_sets

MAX_TRIED = 10
"""Data directories of unknown roles that are compared with the trial lists, at most."""

Contents = Mapping[str, SetContents]
"""What the name of each data directory says, and who speaks in it."""


class ListRoles(NamedTuple):
    """The data directory of each key of a recipe's corpus section."""

    folders: Mapping[str, str | None]
    words: str
    needs_trials: bool = False  # whether these are the roles only if a trial list says so


def likely_roles(contents: Contents) -> Iterator[ListRoles]:
    """Yield the likely roles of data directories, the most likely first.

    Names that say enrolment and test decide; then names that say training and test; then the trial lists; and without
    any of these, the largest directory is used alone.
    """
    contents = _with_background(contents)
    by_size = sorted(contents, key=lambda name: -contents[name].speakers.total())
    if pair := _best_pair(contents):
        yield _of_pair(contents, *pair)
    yield from _of_evaluation(contents, [name for name in by_size if contents[name].kind == "test"])
    roles = roles_of_sets(contents)
    if roles:
        chosen = {key: _largest(names, contents) for key, names in roles.folders.items()}
        data = chosen.pop("evaluation", None)
        yield ListRoles({**chosen, "data": data} if data else {"background": None, **chosen}, roles.words)
    else:
        yield from _of_evaluation(contents, by_size)
    yield ListRoles({"data": by_size[0]}, by_size[0])


def _with_background(contents: Contents) -> Contents:
    """Take directories of unknown roles for background, if no name says so and others are enrolled or tested."""
    kinds = {each.kind for each in contents.values()}
    if kinds & {"train", "background"} or not kinds & {"enrol", "test"}:
        return contents
    evaluated = [name for name, each in contents.items() if each.kind in ("enrol", "test")]
    apart = _apart_from(evaluated, contents)
    return {
        name: replace(each, kind="background") if name in apart and each.kind in (None, "plain") else each
        for name, each in contents.items()
    }


def _apart_from(names: Iterable[str], contents: Contents) -> list[str]:
    """List the directories that share no speakers with others."""
    speakers = {speaker for name in names for speaker in contents[name].speakers}
    return [name for name, each in contents.items() if not speakers & each.speakers.keys()]


def _best_pair(contents: Contents) -> tuple[str, str] | None:
    """Return the directories of enrolment and tests that belong together by their names, the largest of several."""
    enrol, test = ([name for name, each in contents.items() if each.kind == kind] for kind in ("enrol", "test"))
    pairs = [(one, other) for one in enrol for other in test]

    def match(pair: tuple[str, str]) -> tuple[int, bool, int]:
        """Return the length of what their names have in common, and what decides where it is the same."""
        is_development = "dev" in pair[0].rpartition("/")[2]
        size = sum(contents[name].speakers.total() for name in pair)
        common = takewhile(lambda letters: letters[0] == letters[1], zip(*pair, strict=False))
        return len([*common]), not is_development, size

    return max(pairs, key=match) if pairs else None


def _of_pair(contents: Contents, enrol: str, test: str) -> ListRoles:
    """Return the roles where names say enrolment and tests."""
    background = _background_beside((enrol, test), contents)
    words = f"speakers are enrolled from {enrol} and tested on {test}"
    words += f"; background: {background}" if background else ""
    has_targets = bool(contents[enrol].speakers.keys() & contents[test].speakers.keys())
    return ListRoles({"background": background, "enrol": enrol, "test": test}, words, needs_trials=not has_targets)


def _of_evaluation(contents: Contents, names: Iterable[str]) -> Iterator[ListRoles]:
    """Yield the roles where a trial list says which directory has both models and tests."""
    for name in [*names][:MAX_TRIED]:
        background = _background_beside((name,), contents)
        words = f"speakers of {name} are enrolled and tested; background: {background}" if background else name
        folders = {"background": background, "data": name} if background else {"data": name}
        yield ListRoles(folders, words, needs_trials=True)


def _background_beside(evaluated: tuple[str, ...], contents: Contents) -> str | None:
    """Return the largest directory of background beside those that are evaluated, or of other speakers' training."""
    kinds = ("train", "background")
    named = [name for name, each in contents.items() if each.kind in kinds and name not in evaluated]
    unknown = [name for name in _apart_from(evaluated, contents) if contents[name].kind in (None, "plain")]
    candidates = named or unknown
    return _largest(candidates, contents) if candidates else None


def _largest(names: Iterable[str], contents: Contents) -> str:
    """Return the data directory with the most utterances."""
    return max(names, key=lambda name: contents[name].speakers.total())
