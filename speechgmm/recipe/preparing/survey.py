"""What somebody's recordings are, by their headers: which can be used, how long they are, and of what rates."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from speechgmm.audio.reading import duration
from speechgmm.corpus.formats.discovery import DiscoveredCorpus
from speechgmm.corpus.manifest import Role, Utterance, by_speaker
from speechgmm.features.spectral.config import CepstraConfig
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.preparing.headers import Audio, AudioHeader, read_headers

FRAME: float = CepstraConfig.model_fields["frame_length"].default
"""Seconds."""

Roles = dict[Role | None, list[Utterance]]


@dataclass(frozen=True)
class Survey:
    """What there is to make an experiment of.

    Parameters
    ----------
    found : DiscoveredCorpus
        How it is laid out.
    usable : dict of Role or None to list of Utterance
        The recordings whose headers can be read and tell of a frame at least, by the roles that they have.
    headers : dict from Audio to AudioHeader
        Of all recordings.
    ignored : tuple of str
        What cannot be used, or is something else, a sentence each.
    """

    found: DiscoveredCorpus
    usable: Roles
    headers: dict[Audio, AudioHeader]
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
    def is_whole(self) -> bool:
        """Whether all that was found is usable."""
        return len(self.utterances) == sum(map(len, self.found.utterances.values()))

    def rates(self, utterances: Sequence[Utterance]) -> Counter[int]:
        """Count sample rates.

        Parameters
        ----------
        utterances : sequence of Utterance
            Of those that are usable.

        Returns
        -------
        Counter of int, Hz
            How many of them there are of each rate.
        """
        return Counter(rate for each in utterances if (rate := self.headers[each.audio].sample_rate))

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


def survey(found: DiscoveredCorpus, engine: Engine | None = None) -> Survey:
    """Read the headers of recordings.

    Parameters
    ----------
    found : DiscoveredCorpus
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
    headers = {audio: _held_to_a_frame(audio, header) for audio, header in headers.items()}
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


def _held_to_a_frame(audio: Audio, header: AudioHeader) -> AudioHeader:
    """Call a recording unusable that is shorter than a frame, if its length is known."""
    if header.sample_rate is None or header.seconds >= FRAME or duration(audio[0]) is None:
        return header
    why = f"{audio[0]}: {header.seconds:.3f} s; shorter than a frame of {FRAME:g} s"
    return header._replace(sample_rate=None, error=why)
