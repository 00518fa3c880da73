"""Folders that are sets of recordings rather than speakers: train and test, male and female, wav and audio."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from speechgmm.corpus.manifest import Utterance
from speechgmm.wording import join_names

SetKind = Literal["train", "background", "dev", "test", "enrol", "sex", "plain", "noise"]
"""What the name of a folder says about the recordings in it."""

ROLE_WORDS: Mapping[str, SetKind] = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("background", "ubm", "world"), "background"),
    **dict.fromkeys(("dev", "devel", "development", "val", "valid", "validation"), "dev"),
    **dict.fromkeys(("test", "tst", "testing", "eval", "evaluation", "trial", "trials", "verification"), "test"),
    **dict.fromkeys(("enrol", "enroll", "enrolment", "enrollment", "enrolled"), "enrol"),
}
SEX_WORDS = {
    **dict.fromkeys(("female", "females", "f", "woman", "women", "girl", "girls"), "f"),
    **dict.fromkeys(("male", "males", "m", "man", "men", "boy", "boys"), "m"),
}
NOISE_WORDS = frozenset(("noise", "noises", "music", "musan", "rir", "rirs", "babble", "silence", "impulse"))
PLAIN_WORDS = frozenset(
    (
        *("set", "sets", "subset", "split", "part", "parts", "partition", "disc", "disk", "cd", "dvd", "volume", "vol"),
        *("batch", "fold", "group", "chunk", "shard", "archive", "data", "dataset", "corpus", "wav", "wavs", "flac"),
        *("ogg", "opus", "aac", "webm", "sph", "audio", "audios", "speech", "recording", "recordings", "sounds"),
        *("voices", "utterances", "speakers", "files", "clips", "raw", "original", "clean", "other", "noisy", "dr"),
        *("region", "dialect", "accent"),
    )
)
ENDINGS = re.compile(r"(?:sets?|data|wavs?|audio|speech|speakers|clean|other|part)$")
"""Words that are written together with others, as in ``trainset``."""

SESSION_WORDS = (
    *("session", "sess", "ses", "day", "week", "visit", "take", "part", "recording", "chapter", "video", "call"),
    *("home", "office", "street", "kitchen", "room", "car", "phone", "mic", "headset", "near", "far"),
)
DAYS_AND_MONTHS = (
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|mon|tue|wed|thu|fri|sat|sun"
    r"|jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|(?:sept?|oct|nov|dec)(?:(?:em|o)?ber)?"
)
SESSION_NAME = re.compile(
    rf"(?i:(?:{'|'.join(SESSION_WORDS)}|{DAYS_AND_MONTHS}|wavs?|flac|audio)[\W_]*[a-z]?\d*)|[\d\W_]+"
    r"|.*\d{4}[-_]?\d\d[-_]?\d\d.*|(?=.*\d)(?=.*[A-Z])(?=.*[a-z])(?!(?:[A-Z]?[a-z]+[\W_]*)+\d+$)[\w-]{8,}"
)
"""Names of sessions, dates, numbers and random letters rather than of speakers; ``Speaker01`` is none."""

SPEAKER_NAME = re.compile(
    r"(?i:(?:speaker|spkr?|talker|actor|subject|subj|participant|person|user|client|voice|id|[fm])[\W_]*\d+)"
)
"""Names of speakers that say so: words for speakers, or letters for their sex, with a number."""

MAX_UNKNOWN_SETS = 8
"""Folders of unknown names are sets only if there are no more than this."""

SPEAKERS_PER_SET = 3
"""Different names of folders in unknown sets, for each of them at least."""


def kind_of_set(name: str) -> SetKind | None:
    """Return what the name of a folder says about the recordings in it, or None if it may be a speaker's."""
    words = _words(name)
    roles = [ROLE_WORDS[word] for word in words if word in ROLE_WORDS]
    if NOISE_WORDS.intersection(words) and set(roles) <= {"background"}:
        return "noise"
    if roles:
        return "enrol" if "enrol" in roles else roles[0]
    if sex_of_set(name):
        return "sex"
    return "plain" if words and PLAIN_WORDS.issuperset(words) else None


def sex_of_set(name: str) -> str | None:
    """Return the sex that the name of a folder states, f or m, or None; ``F01`` is a speaker's name."""
    words = _words(name)
    if any(char.isdigit() for char in name) or not {*SEX_WORDS, *PLAIN_WORDS}.issuperset(words):
        return None
    sexes = {SEX_WORDS[word] for word in words if word in SEX_WORDS and (len(word) > 1 or len(words) == 1)}
    return sexes.pop() if len(sexes) == 1 else None


def _words(name: str) -> list[str]:
    """Split a name into words in small letters, without numbers: ``train-clean-100`` and ``TrainSet`` into two."""
    name = re.sub(r"\d+ *k(?:hz)?(?![a-z])|mp[34]|m4a", " audio ", name, flags=re.IGNORECASE)
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    return [word for part in map(str.lower, parts) for word in _split_ending(part)]


def _split_ending(word: str) -> list[str]:
    """Split the ending off a word that means a set."""
    stem = ENDINGS.sub("", word)
    return [stem, word[len(stem) :]] if stem != word and (stem in ROLE_WORDS or stem in SEX_WORDS) else [word]


def _is_plainly_set(name: str) -> bool:
    """Whether all words of a name are those of sets: ``dev_set``, but not ``dev_patel``."""
    return {*ROLE_WORDS, *SEX_WORDS, *PLAIN_WORDS}.issuperset(_words(name))


Folders = Mapping[tuple[str, ...], Sequence[str]]
"""The names of the folders in each folder that has some, by its path."""


class FoundSets(NamedTuple):
    """The folders that hold the folders of speakers, and what is not certain about them."""

    sets: tuple[str, ...] = ()  # their paths; none if the folders of speakers are at the top
    is_guess: bool = False  # whether neither names nor the files in them say which folders are speakers
    doubtful: tuple[str, ...] = ()  # folders that are taken as speakers, though they are named as sets
    flat: tuple[str, ...] = ()  # folders named as sets for roles that hold recordings, but no folders


def find_sets(names: Sequence[str]) -> FoundSets:
    """Find the sets above the folders of speakers, from the names of folders and from how they repeat.

    `names` are the paths of audio files, relative to the folder that holds the sets or speakers.
    """
    paths = [name.split("/") for name in names]
    inside = _folders_inside(paths)
    tops = inside.get((), [])
    kinds = {top: kind for top in tops if (kind := kind_of_set(top))}
    named = [top for top, kind in kinds.items() if kind != "noise"]
    others = [top for top in tops if top not in kinds]
    if not kinds:
        return _sets_of_unknown_names(paths, inside, tops)
    n_roles = len({kinds[top] for top in named} - {"sex", "plain"})
    if n_roles < 2 and not any(map(_is_plainly_set, named)):
        return FoundSets(doubtful=tuple(kinds))
    if n_roles < 2 and others and not _is_beside(inside, others, named):
        known = {*named, *others}
        by_structure = _sets_of_unknown_names([path for path in paths if path[0] in known], inside, sorted(known))
        return by_structure if by_structure.sets else FoundSets(doubtful=tuple(kinds))
    sets = tuple(each for top in named if (top,) in inside for each in _inner_sets(inside, (top,)))
    if not sets:
        is_flat = n_roles > 1 or any((top,) in inside for top in named)
        return FoundSets(flat=tuple(named)) if is_flat else FoundSets(doubtful=tuple(kinds))
    return FoundSets(sets)


def _is_beside(inside: Folders, others: Sequence[str], sets: Sequence[str]) -> bool:
    """Whether folders hold files alone, and are fewer than the folders of speakers in the sets beside them."""
    speakers = {name for top in sets for name in inside.get((top,), ())}
    return len(others) < len(speakers) and not any((top,) in inside for top in others)


def _folders_inside(paths: Iterable[Sequence[str]]) -> Folders:
    """List the folders in each folder that has some, in order."""
    inside: dict[tuple[str, ...], set[str]] = {}
    for folder in {tuple(path[:-1]) for path in paths}:
        for depth, name in enumerate(folder):
            inside.setdefault(folder[:depth], set()).add(name)
    return {above: sorted(names) for above, names in inside.items()}


def _inner_sets(inside: Folders, above: tuple[str, ...]) -> list[str]:
    """List the sets within a set, or the set itself if it holds speakers; none if nothing in it names speakers."""
    inner = inside.get(above, ())
    if not inner or not all(kind_of_set(name) and _is_plainly_set(name) for name in inner):
        return ["/".join(above)]
    deeper = [(*above, name) for name in inner if (*above, name) in inside]
    return [each for name in deeper for each in _inner_sets(inside, name)]


def _sets_of_unknown_names(paths: Sequence[Sequence[str]], inside: Folders, tops: Sequence[str]) -> FoundSets:
    """Decide from the structure whether folders of unknown names are sets: few of them, with many folders in each."""
    deep = [path for path in paths if len(path) > 2]
    inner = {path[1] for path in deep}
    if not 1 < len(tops) <= MAX_UNKNOWN_SETS or not all((top,) in inside for top in tops):
        return FoundSets()
    if _hold_sets(deep, inner):
        return FoundSets(tuple(each for top in tops for each in _inner_sets(inside, (top,))), is_guess=True)
    if _most_match(SPEAKER_NAME, inner) and not _most_match(SPEAKER_NAME, tops):
        return FoundSets(tuple(tops))
    tops_are_sessions, inner_are_sessions = (
        sum(1 for name in names if SESSION_NAME.fullmatch(name) or kind_of_set(name)) > len(names) / 2
        for names in (tops, inner)
    )
    files_name_tops = _share_named(deep, 0) > 0.5
    if inner_are_sessions or files_name_tops:
        all_numbers = all(map(str.isdigit, (*tops, *inner)))
        return FoundSets(is_guess=not inner_are_sessions or (all_numbers and not files_name_tops))
    if (tops_are_sessions and not any(top.isdigit() for top in tops)) or (
        _share_named(deep, 1) > 0.5 and len(inner) > len(tops)
    ):
        return FoundSets(tuple(tops))
    are_many = len(inner) >= SPEAKERS_PER_SET * len(tops) or (len(tops) == 2 and _repeats(inside, tops, inner))
    return FoundSets(tuple(tops) if are_many else (), is_guess=True)


def _hold_sets(paths: Sequence[Sequence[str]], inner: Collection[str]) -> bool:
    """Whether the folders within the top ones are sets for roles or sexes, which hold the folders of speakers."""
    if not all(_is_plainly_set(name) and (kind_of_set(name) == "sex" or is_role(name)) for name in inner):
        return False
    deeper = {path[2] for path in paths if len(path) > 3}
    are_sexes = any(kind_of_set(name) == "sex" for name in inner)
    return bool(deeper) and (are_sexes or not _most_match(SESSION_NAME, deeper))


def _most_match(pattern: re.Pattern[str], names: Collection[str]) -> bool:
    """Whether more than half of the names match a pattern."""
    return sum(1 for name in names if pattern.fullmatch(name)) > len(names) / 2


def _share_named(paths: Sequence[Sequence[str]], depth: int) -> float:
    """Return the share of the files whose names hold that of their folder at a depth."""
    named = 0
    for path in paths:
        folder, name = path[depth].lower(), path[-1].lower()
        named += folder in re.split(r"[^a-z0-9]+", name) or (len(folder) > 1 and name.startswith(folder))
    return named / len(paths)


def _repeats(inside: Folders, tops: Sequence[str], inner: Collection[str]) -> bool:
    """Whether each top folder holds nearly all of the inner names, which are more than the top folders."""
    held = [len(inside[(top,)]) for top in tops]
    return len(inner) > len(tops) and min(held) >= 0.8 * len(inner)


def sets_of_same_names(utterances: Iterable[Utterance], sets: Sequence[str]) -> list[str]:
    """List the sets without a role or sex whose recordings mostly have the names of those in another of them."""
    within: dict[str, set[tuple[str, str]]] = {}
    for utterance in utterances:
        inside = max((each for each in sets if utterance.id.startswith(f"{each}/")), key=len, default="")
        above, _, name = inside.rpartition("/")
        if kind_of_set(name) == "plain":
            within.setdefault(inside, set()).add((above, utterance.id.removeprefix(f"{inside}/")))
    shared = [(name, others) for name in within for others in within if name != others]
    return sorted({name for name, other in shared if 2 * len(within[name] & within[other]) > len(within[name])})


def role_sets(root: Path, utterances: Iterable[Utterance], sets: Sequence[str] | None) -> dict[str, "SetContents"]:
    """Find the folders that are named as sets for roles, and who speaks in them.

    `sets` are the folders that hold the speakers' folders; None for all folders above one that names a speaker.
    """
    speakers: dict[str, Counter[str]] = {}
    for utterance in utterances:
        above = _folders_above(PurePosixPath(utterance.path).relative_to(root), utterance.speaker, sets)
        depth = next((number for number, name in enumerate(above, 1) if is_role(name)), 0)
        speakers.setdefault("/".join(above[:depth]), Counter())[utterance.speaker] += 1
    speakers.pop("", None)
    return {name: SetContents(kind_of_set(name.rpartition("/")[2]), counts) for name, counts in speakers.items()}


def _folders_above(path: PurePosixPath, speaker: str, sets: Sequence[str] | None) -> Sequence[str]:
    """List the folders above a speaker's."""
    folders = path.parts[:-1]
    if sets is None:
        return list(takewhile(lambda name: speaker not in name, folders))
    within = [each.split("/") for each in sets if path.is_relative_to(each)]
    return max(within, key=len, default=[])


def is_role(name: str) -> bool:
    """Whether the name of a folder states a role."""
    return kind_of_set(name) in ROLE_WORDS.values()


@dataclass(frozen=True)
class SetContents:
    """A set, and the number of recordings of each speaker in it."""

    kind: SetKind | None
    speakers: Counter[str]


@dataclass(frozen=True)
class RolesOfSets:
    """Which sets have which role in an experiment: the keys of a recipe's corpus section, and the same in words."""

    folders: Mapping[str, tuple[str, ...]]  # by key: background, enrol, test or evaluation
    left_out: tuple[str, ...]  # sets without a role
    words: str


def roles_of_sets(sets: Mapping[str, SetContents]) -> RolesOfSets | None:
    """Decide which sets are background, enrolment and tests, from their names and speakers; None if names say nothing.

    Speakers in both training and test are enrolled from the training set. Otherwise the training set is background,
    and the test set is evaluated by a protocol. A development set stands in for what is missing, or is left out.
    """
    by_kind: dict[str, list[str]] = {}
    for name, each in sets.items():
        by_kind.setdefault(each.kind or "plain", []).append(name)
    enrol, test, dev = (by_kind.get(kind, []) for kind in ("enrol", "test", "dev"))
    train, background = by_kind.get("train", []), by_kind.get("background", [])
    if not test:
        test, dev = dev, []
    elif not (train or enrol or background):
        train, dev = dev, []
    if not (test and (train or enrol or background)) and not (enrol and (train or background)):
        return None
    folders: dict[str, tuple[str, ...]]
    if enrol and test and _share(test, enrol, sets):
        folders = {"background": (*train, *background), "enrol": tuple(enrol), "test": tuple(test)}
        words = f"speakers are enrolled from {join_names(enrol)} and tested on {join_names(test)}"
    elif train and test and _share((*test, *enrol), train, sets) >= 0.5:
        folders = {"background": tuple(background), "enrol": (*train, *enrol), "test": tuple(test)}
        both = join_names((*train, *test))
        words = f"the same speakers are in {both}: enrolled from {join_names(train)}, tested on {join_names(test)}"
    else:
        folders = {"background": (*train, *background), "evaluation": (*test, *enrol)}
        words = f"speakers of {join_names((*test, *enrol))} are enrolled and tested"
        if _n_testable(folders["evaluation"], sets) < 2:
            return None
    if folders["background"]:
        words += f"; background: {join_names(folders['background'])}"
    folders = {key: names for key, names in folders.items() if names}
    used = {name for names in folders.values() for name in names}
    return RolesOfSets(folders, tuple(name for name in sets if name not in used), words)


def _share(names: Sequence[str], others: Sequence[str], sets: Mapping[str, SetContents]) -> float:
    """Return the share of the speakers of some sets who are also in others."""
    speakers = {speaker for name in names for speaker in sets[name].speakers}
    known = {speaker for name in others for speaker in sets[name].speakers}
    return len(speakers & known) / max(1, len(speakers))


def _n_testable(names: Iterable[str], sets: Mapping[str, SetContents]) -> int:
    """Count the speakers with two recordings or more in some sets."""
    counts = sum((sets[name].speakers for name in names), Counter[str]())
    return sum(1 for count in counts.values() if count > 1)
