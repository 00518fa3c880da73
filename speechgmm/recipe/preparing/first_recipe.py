"""A first recipe for somebody's recordings: what they are decides what can be done with them."""

import json
import os
import re
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median_low

from speechgmm.corpus.formats.discovery import DiscoveredCorpus
from speechgmm.corpus.formats.tables import ColumnsConfig, read_utterances, write_utterances
from speechgmm.corpus.manifest import Utterance, by_speaker, first_few
from speechgmm.corpus.problems import Problems
from speechgmm.corpus.protocol import sorted_by_speaker
from speechgmm.corpus.reading import read_corpus
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import CorpusError
from speechgmm.files import replacing
from speechgmm.recipe.preparing.survey import Survey
from speechgmm.recipe.reading.loader import load_recipe

ENOUGH_SPEAKERS = 20
"""With fewer, there is no half of them to spare for a background."""

USUAL_RATE = 16000
"""Hz; recordings of higher rates are brought down to it."""

MOST_ENROL = 10
"""Utterances that a speaker is enrolled from, at most."""

MOST_MODELS = 500
"""With more, a test is compared with a sample of this many."""

FRAMES_PER_GAUSSIAN = 40
"""Frames of a speaker's enrolment for each Gaussian of a model of their own, about."""


@dataclass(frozen=True)
class Plan:
    """What is done with the recordings.

    Parameters
    ----------
    has_background : bool
        Whether there is a background model, or each speaker is modelled alone.
    n_components : int
        Gaussians of that model, or of each.
    n_enrol : int
        Utterances that a speaker is enrolled from, where that is not said.
    separate_sessions : bool
        Whether enrolment and tests are of different occasions.
    n_nontargets : int or None
        Models of others that a test is compared with; None for all.
    """

    has_background: bool
    n_components: int
    n_enrol: int = 1
    separate_sessions: bool = False
    n_nontargets: int | None = None


def plan(recordings: Survey) -> Plan:
    """Decide what the recordings allow.

    Parameters
    ----------
    recordings : Survey
        What there is.

    Returns
    -------
    Plan
        With a background model where speakers are many, or a table says who is background.

    Raises
    ------
    CorpusError
        If there are not two speakers with two recordings each.
    """
    roles = recordings.usable
    evaluated = {name: own for name, own in recordings.of_speaker.items() if len(own) > 1}
    if None not in roles:
        background = roles.get("background", [])
        frames = 100 * min(map(recordings.seconds, by_speaker(roles.get("enrol", [])).values()), default=0.0)
        size = _ubm_size(recordings.seconds(background)) if background else _own_size(frames)
        return Plan(bool(background), size)
    if len(evaluated) < 2:
        n = len(recordings.of_speaker)
        raise CorpusError(
            f"{recordings.found.root}: {n} speaker{'s' * (n != 1)}, {len(evaluated)} of them with two "
            f"recordings or more ({recordings.found.how}); expected two or more"
        )
    many = len(recordings.of_speaker) >= ENOUGH_SPEAKERS
    separate = all(len({each.session for each in own}) > 1 for own in evaluated.values())
    usual = median_low([len(own) for own in evaluated.values()])
    n_enrol = 1 if separate else max(1, min(MOST_ENROL, usual // 2))
    frames = 100 * min(recordings.seconds(own) * n_enrol / len(own) for own in evaluated.values())
    size = _ubm_size(recordings.seconds(recordings.utterances) / 2) if many else _own_size(frames)
    n_models = min(len(evaluated), len(recordings.of_speaker) // 2) if many else len(evaluated)
    return Plan(many, size, n_enrol, separate, MOST_MODELS if n_models > MOST_MODELS else None)


def _ubm_size(seconds: float) -> int:
    """Choose the size of a background model by the seconds that train it."""
    return 256 if seconds >= 1200 else 64 if seconds >= 180 else 16


def _own_size(frames: float) -> int:
    """Choose the size of a speaker's own model by the frames that train it: a power of two, 1 to 32."""
    return min(32, 1 << max(0, int(frames / FRAMES_PER_GAUSSIAN).bit_length() - 1))


def usable_utterances(recordings: Survey, chosen: Plan) -> list[Utterance]:
    """Tell which recordings an experiment uses.

    Parameters
    ----------
    recordings : Survey
        What there is.
    chosen : Plan
        What is done with it.

    Returns
    -------
    list of Utterance
        All that is usable; without a background not those of speakers who have too few to be tested.
    """
    if chosen.has_background or None not in recordings.usable:
        return recordings.utterances
    return [each for own in recordings.of_speaker.values() if len(own) > chosen.n_enrol for each in own]


def rate_of(rates: Collection[int]) -> int:
    """Choose the sample rate of the features.

    Parameters
    ----------
    rates : collection of int, Hz
        Of the recordings that are used.

    Returns
    -------
    int, Hz
        The lowest of them, and at most `USUAL_RATE`.
    """
    return min(USUAL_RATE, *rates)


def write_recipe(recordings: Survey, chosen: Plan, out: Path) -> tuple[Path, ...]:
    """Write a recipe with comments.

    Parameters
    ----------
    recordings : Survey
        What there is.
    chosen : Plan
        What is done with it.
    out : Path
        Where to write.

    Returns
    -------
    tuple of Path
        What was written: the recipe; where some recordings cannot be used, also a table beside it of those that can,
        which the recipe then goes by, so that nothing else is drawn.

    Raises
    ------
    CorpusError
        If there is a file already, recordings share an id, or a table cannot hold their names; then nothing is written.
    OSError
        If it cannot be written.
    """
    table = None if recordings.is_whole else out.with_name(f"{out.stem}-usable.csv")
    written = (out,) if table is None else (out, table)
    for path in written:
        if path.exists():
            raise CorpusError(f"{path}: is there already; expected another name, as in --out other.yaml")
    with ExitStack() as undo:
        if table is not None:
            undo.callback(table.unlink, missing_ok=True)
            recordings = replace(recordings, found=_list_usable(recordings, table))
        with replacing(out) as temporary:
            temporary.write_text(recipe_text(recordings, chosen, out), encoding="utf-8")
            recipe = load_recipe(temporary)
            if not isinstance(recipe.corpus, SyntheticConfig):
                read_corpus(recipe.corpus)
        undo.pop_all()
    return written


def _list_usable(recordings: Survey, table: Path) -> DiscoveredCorpus:
    """Write a table of the recordings that can be used, and give the corpus that it makes."""
    root = recordings.found.root
    usable = {role: tuple(own) for role, own in recordings.usable.items() if own}
    sorted_by_speaker(usable.get(None, ()))
    write_utterances(
        table, {role: [replace(each, path=_below(root, each.path)) for each in own] for role, own in usable.items()}
    )
    problems = Problems()
    listed = {each for own in read_utterances(table, root, ColumnsConfig(), problems).values() for each in own}
    problems.check()
    if lost := [each.path for each in recordings.utterances if each not in listed]:
        raise CorpusError(
            f"{first_few(lost)}: a table cannot list that name; expected UTF-8 text without white space around it"
        )
    place = os.path.relpath(table.resolve(), root.resolve())
    how = f"{recordings.found.how}; those that can be used are in {table.name}"
    return DiscoveredCorpus("csv", root, usable, how, Path(place).as_posix())


def _below(root: Path, path: str) -> str:
    """Give a path from a folder on, if it lies below it."""
    return Path(path).relative_to(root).as_posix() if Path(path).is_relative_to(root) else path


def recipe_text(recordings: Survey, chosen: Plan, out: Path) -> str:
    """Write a recipe as text.

    Parameters
    ----------
    recordings : Survey
        What there is.
    chosen : Plan
        What is done with it.
    out : Path
        Where it will stand, which its root is relative to.

    Returns
    -------
    str
        YAML with a comment on every key.
    """
    n_speakers, n_utterances = len(recordings.of_speaker), len(recordings.utterances)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", out.stem).strip("-._") or "mine"
    lines = [
        f"# {n_speakers:,} speakers, {n_utterances:,} recordings, {format_duration(recordings)}; "
        f"{recordings.found.how}.",
        "# Look the data over with `speechgmm check`, run it all with `speechgmm run`. Other keys have their defaults.",
        f"name: {name} # of the folder of results",
        "seed: 0 # of what is drawn in training",
        *_corpus_lines(recordings.found, chosen, out),
        *_feature_lines(recordings.rates(usable_utterances(recordings, chosen))),
        *(_background_lines(chosen) if chosen.has_background else _independent_lines(chosen)),
        "evaluation: {dcf: [sre08, voxceleb]} # detection costs that are reported",
    ]
    return "\n".join(lines) + "\n"


def format_duration(recordings: Survey) -> str:
    """Tell how much audio there is.

    Parameters
    ----------
    recordings : Survey
        What there is.

    Returns
    -------
    str
        In hours, or in minutes where that is less than one.
    """
    hours = recordings.seconds(recordings.utterances) / 3600
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"


def _corpus_lines(found: DiscoveredCorpus, chosen: Plan, out: Path) -> list[str]:
    """Write the corpus section."""
    root = os.path.relpath(found.root, out.absolute().parent)
    lines = ["", "corpus:", f"  kind: {found.kind}", f"  root: {_quoted(Path(root).as_posix())}"]
    if found.table:
        lines.append(f"  table: {_quoted(found.table)}")
    if found.columns:
        names = ", ".join(f"{ours}: {_quoted(theirs)}" for ours, theirs in found.columns.items())
        lines.append(f"  columns: {{{names}}} # what the table calls them")
    if found.kind != "csv" and any(each.channel for own in found.utterances.values() for each in own):
        lines.append("  channel: mean # of recordings with several channels")
    if None not in found.utterances:
        return lines
    lines.append("  protocol: # who is what, drawn by rule: the same seed draws the same")
    if chosen.has_background:
        lines.append("    background: 0.5 # share of the speakers who train the background model and are not evaluated")
    else:
        lines.append(f"    background: 0 # nobody: with fewer than {ENOUGH_SPEAKERS} speakers all are evaluated")
    if chosen.separate_sessions:
        lines.append("    n_enrol: 1 # with separate sessions one whole session, which holds as many or more")
        lines.append("    separate_sessions: true # a speaker is tested on other sessions than enrolled from")
    else:
        lines.append(f"    n_enrol: {chosen.n_enrol} # recordings that a speaker is enrolled from; the rest are tests")
    if chosen.n_nontargets:
        lines.append(f"    n_nontargets: {chosen.n_nontargets} # models of others that a test is compared with")
    return [*lines, "    seed: 0"]


def _feature_lines(rates: Collection[int]) -> list[str]:
    """Write the features section for recordings of some rates."""
    rate = rate_of(rates)
    lines = ["", "features: # from audio to cepstra", f"  sample_rate: {rate} # Hz"]
    if others := [each for each in sorted(rates) if each != rate]:
        lines.append(f"  resample: true # the recordings of {', '.join(map(str, others))} Hz")
    return [
        *lines,
        "  kind: mfcc # mel-frequency cepstra",
        "  n_cepstra: 24 # c0 is the first of them",
        "  deltas: {order: 2, window: 3} # their slopes and the slopes of these, over 3 frames on either side",
        "  vad: {method: percentile} # which frames are speech: the loud ones of each recording",
        "  normalisation: {mean: 0.5} # half of a recording's mean is subtracted: it is channel and voice in one",
    ]


def _background_lines(chosen: Plan) -> list[str]:
    """Write the sections of a system with a background model."""
    return [
        "",
        f"ubm: {{n_components: {chosen.n_components}}} # Gaussians of the background model; more for more of it",
        "speakers: {method: map, relevance_factor: 10} # models adapted from it; frames that weigh as much as it does",
        "scoring: {method: llr, top_components: 10} # by the best Gaussians of each frame",
    ]


def _independent_lines(chosen: Plan) -> list[str]:
    """Write the sections of a system without one."""
    return [
        "",
        "# There are too few speakers for a background model: each has a model alone, and a score is the ratio to the",
        "# models of the others. It tells these speakers apart, and cannot know how somebody else would score.",
        f"speakers: {{method: independent, n_components: {chosen.n_components}}} # Gaussians of each speaker",
        "calibration: {method: none} # it would be learnt from a background",
    ]


def _quoted(text: str) -> str:
    """Write text as YAML that means nothing else."""
    return text if re.fullmatch(r"[\w./-]*[A-Za-z./][\w./-]*", text, re.ASCII) else json.dumps(text, ensure_ascii=False)
