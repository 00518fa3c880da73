"""A survey of recordings by their headers: which can be used, how long they are, and their sample rates."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from speechgmm.audio.reading import duration
from speechgmm.corpus.formats.discovery import DiscoveredCorpus
from speechgmm.corpus.manifest import Role, Utterance, by_speaker
from speechgmm.features.spectral.config import CepstraConfig
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.preparing.headers import AudioHeader, AudioSegment, read_headers

FRAME: float = CepstraConfig.model_fields["frame_length"].default
"""Length of a frame in seconds."""

Roles = dict[Role | None, list[Utterance]]


@dataclass(frozen=True)
class Survey:
    """The recordings that an experiment can use."""

    corpus: DiscoveredCorpus  # all recordings that were found, and their layout
    usable: Roles  # the recordings with a readable header and the length of a frame at least, by role
    headers: dict[AudioSegment, AudioHeader]  # of all recordings
    ignored: tuple[str, ...]  # what cannot be used, or is no recording: one sentence each

    @property
    def utterances(self) -> list[Utterance]:
        """The usable recordings."""
        return [each for utterances in self.usable.values() for each in utterances]

    @cached_property
    def of_speaker(self) -> dict[str, list[Utterance]]:
        """The usable recordings, by speaker."""
        return by_speaker(self.utterances)

    @property
    def is_whole(self) -> bool:
        """Whether all recordings that were found are usable."""
        return len(self.utterances) == sum(map(len, self.corpus.utterances.values()))

    def rates(self, utterances: Sequence[Utterance]) -> Counter[int]:
        """Count how many usable recordings have each sample rate, in Hz."""
        return Counter(rate for each in utterances if (rate := self.headers[each.audio].sample_rate))

    def seconds(self, utterances: Sequence[Utterance]) -> float:
        """Return the total length of usable recordings in seconds, according to their headers."""
        return sum(self.headers[each.audio].seconds for each in utterances)


def survey(corpus: DiscoveredCorpus, engine: Engine | None = None) -> Survey:
    """Read the headers of recordings; files with several channels are averaged, unless a table names the recordings."""
    by_role = corpus.utterances
    headers = read_headers([each for utterances in by_role.values() for each in utterances], engine)
    unread = [each for utterances in by_role.values() for each in utterances if not headers[each.audio].sample_rate]
    if corpus.kind != "csv" and _can_be_mixed(unread, engine):
        by_role = {
            role: tuple(replace(each, channel="mean") for each in utterances) for role, utterances in by_role.items()
        }
        headers = read_headers([each for utterances in by_role.values() for each in utterances], engine)
    headers = {audio: _without_frameless(audio, header) for audio, header in headers.items()}
    usable: Roles = {
        role: [each for each in utterances if headers[each.audio].sample_rate] for role, utterances in by_role.items()
    }
    errors = [header.error.replace(f"{corpus.root}/", "") for header in headers.values() if header.error]
    unusable = (f"recordings that cannot be used: {len(errors):,}; {errors[0]}",) if errors else ()
    return Survey(replace(corpus, utterances=by_role), usable, headers, (*unusable, *corpus.ignored))


def _can_be_mixed(unread: Sequence[Utterance], engine: Engine | None) -> bool:
    """Whether some of the recordings can be used if their channels are averaged."""
    headers = read_headers([replace(each, channel="mean") for each in unread], engine)
    return any(header.sample_rate for header in headers.values())


def _without_frameless(audio: AudioSegment, header: AudioHeader) -> AudioHeader:
    """Return the header, marked as unusable if the recording is known to be shorter than a frame."""
    if header.sample_rate is None or header.seconds >= FRAME or duration(audio[0]) is None:
        return header
    why = f"{audio[0]}: {header.seconds:.3f} s; shorter than a frame of {FRAME:g} s"
    return header._replace(sample_rate=None, error=why)
