"""A first recipe for somebody's recordings: what they are decides what can be done with them."""

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median_low

from speechgmm.corpus.discovery import Found
from speechgmm.corpus.formats import read_corpus
from speechgmm.corpus.manifest import Role, Utterance, by_speaker
from speechgmm.corpus.synthetic import SyntheticConfig
from speechgmm.errors import CorpusError
from speechgmm.files import replacing
from speechgmm.parallel import Engine
from speechgmm.recipe.checking import Audio, Header, read_headers
from speechgmm.recipe.loader import load_recipe

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

Roles = dict[Role | None, list[Utterance]]


@dataclass(frozen=True)
class Survey:
    """What there is to make an experiment of.

    Parameters
    ----------
    found : Found
        How it is laid out.
    usable : dict of Role or None to list of Utterance
        The recordings whose headers can be read, by the roles that they have.
    headers : dict from Audio to Header
        Of all recordings.
    ignored : tuple of str
        What cannot be used, or is something else, a sentence each.
    """

    found: Found
    usable: Roles
    headers: dict[Audio, Header]
    ignored: tuple[str, ...]

    @property
    def utterances(self) -> list[Utterance]:
        """All that is usable."""
        return [each for own in self.usable.values() for each in own]

    @cached_property
    def of_speaker(self) -> dict[str, list[Utterance]]:
        """The same, by who speaks."""
        return by_speaker(self.utterances)

    @property
    def rates(self) -> Counter[int]:
        """How many recordings there are of each sample rate in Hz."""
        return Counter(rate for each in self.utterances if (rate := self.headers[each.audio].sample_rate))

    def seconds(self, utterances: Sequence[Utterance]) -> float:
        """Add up lengths.

        Parameters
        ----------
        utterances : sequence of Utterance
            Of those that are usable.

        Returns
        -------
        float, seconds
            As headers say.
        """
        return sum(self.headers[each.audio].seconds for each in utterances)


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


def survey(found: Found, engine: Engine | None = None) -> Survey:
    """Read the headers of recordings.

    Parameters
    ----------
    found : Found
        The recordings.
    engine : Engine, optional
        Where to read.

    Returns
    -------
    Survey
        What there is. Where files have several channels and a folder or layout names them, their mean is taken.
    """
    utterances = found.utterances
    headers = read_headers([each for own in utterances.values() for each in own], engine)
    lost = [each for own in utterances.values() for each in own if not headers[each.audio].sample_rate]
    if found.kind != "csv" and _can_be_mixed(lost, engine):
        utterances = {role: tuple(replace(each, channel="mean") for each in own) for role, own in utterances.items()}
        headers = read_headers([each for own in utterances.values() for each in own], engine)
    usable: Roles = {
        role: [each for each in own if headers[each.audio].sample_rate] for role, own in utterances.items()
    }
    errors = [each.error.replace(f"{found.root}/", "") for each in headers.values() if each.error]
    unusable = (f"recordings that cannot be used: {len(errors):,}; {errors[0]}",) if errors else ()
    return Survey(replace(found, utterances=utterances), usable, headers, (*unusable, *found.ignored))


def _can_be_mixed(lost: Sequence[Utterance], engine: Engine | None) -> bool:
    """Tell whether there are recordings that can be used if the mean of their channels is taken."""
    headers = read_headers([replace(each, channel="mean") for each in lost], engine)
    return any(header.sample_rate for header in headers.values())


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
        raise CorpusError(
            f"{recordings.found.root}: {len(recordings.of_speaker)} speakers, {len(evaluated)} of them with two "
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


def write_recipe(recordings: Survey, chosen: Plan, out: Path) -> None:
    """Write a recipe with comments.

    Parameters
    ----------
    recordings : Survey
        What there is.
    chosen : Plan
        What is done with it.
    out : Path
        Where to write.

    Raises
    ------
    CorpusError
        If there is a file already, or recordings share an id; then nothing is written.
    OSError
        If it cannot be written.
    """
    if out.exists():
        raise CorpusError(f"{out}: is there already; expected another name, as in --out other.yaml")
    text = recipe_text(recordings, chosen, out)
    with replacing(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
        recipe = load_recipe(temporary)
        if not isinstance(recipe.corpus, SyntheticConfig):
            read_corpus(recipe.corpus)


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
        f"# {n_speakers:,} speakers, {n_utterances:,} recordings, {told_length(recordings)}; {recordings.found.how}.",
        "# Look the data over with `speechgmm check`, run it all with `speechgmm run`. Other keys have their defaults.",
        f"name: {name} # of the folder of results",
        "seed: 0 # of what is drawn in training",
        *_corpus_lines(recordings.found, chosen, out),
        *_feature_lines(recordings),
        *(_background_lines(chosen) if chosen.has_background else _independent_lines(chosen)),
        "evaluation: {dcf: [sre08, voxceleb]} # detection costs that are reported",
    ]
    return "\n".join(lines) + "\n"


def told_length(recordings: Survey) -> str:
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


def _corpus_lines(found: Found, chosen: Plan, out: Path) -> list[str]:
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


def _feature_lines(recordings: Survey) -> list[str]:
    """Write the features section."""
    rates = recordings.rates
    rate = min(USUAL_RATE, *rates)
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
