"""Who is enrolled with each recording of a gallery, whatever files it is in."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from speechgmm.gallery.gallery import Gallery, read_all
from speechgmm.gallery.layout import speaker_file
from speechgmm.gallery.speakers import Provenance, load_provenance


class EnrolledRecordings(NamedTuple):
    """Who is enrolled with each recording, whatever files it is in; speakers whose files are damaged are left out."""

    speakers: Mapping[str, tuple[str, ...]]  # by the digest of its first file
    first: Mapping[str, str]  # that digest, by the digests of other files with the same samples

    def speakers_of(self, digest: str) -> tuple[str, ...]:
        """Return who is enrolled with the recording in a file, by the file's digest."""
        return self.speakers.get(self.first.get(digest, digest), ())


def enrolled_recordings(gallery: Gallery) -> EnrolledRecordings:
    """Find who is enrolled with each recording."""
    provenance, _ = read_all(gallery, gallery.names, lambda name: load_provenance(speaker_file(gallery.folder, name)))
    first = _first_digests(gallery, provenance)
    names: dict[str, tuple[str, ...]] = {}
    for name, recordings in provenance.items():
        for digest in dict.fromkeys(first.get(each.digest, each.digest) for each in recordings):
            names[digest] = (*names.get(digest, ()), name)
    return EnrolledRecordings(names, first)


def _first_digests(gallery: Gallery, provenance: Mapping[str, Sequence[Provenance]]) -> dict[str, str]:
    """Find files with the same samples: the digest of the first of them, by the digests of the others.

    Statistics are read of those speakers alone who have a recording as long as another.
    """
    digests: dict[tuple[float, float], set[str]] = {}
    for each in (each for recordings in provenance.values() for each in recordings):
        digests.setdefault((each.seconds, each.speech_seconds), set()).add(each.digest)
    as_long = {digest for same in digests.values() if len(same) > 1 for digest in same}
    doubtful = [name for name, recordings in provenance.items() if any(each.digest in as_long for each in recordings)]
    speakers, _ = read_all(gallery, doubtful, gallery.speaker)
    first: dict[tuple[int, str], str] = {}
    recordings = [each for speaker in speakers.values() for each in speaker.recordings]
    of_content = {each.digest: first.setdefault(each.content, each.digest) for each in recordings}
    return {digest: same for digest, same in of_content.items() if same != digest}
