"""Errors of who speaks when in made meetings, by the pretrained models trained on other speakers than theirs.

Usage: python benchmarks/diarisation.py DATA --models HALF-0 HALF-1 --work FOLDER [--meetings 20] [--seeds 0]

DATA holds the corpora libri and so762. HALF-0 and HALF-1 are folders that ``pretrained.py build speech16k --half 0|1
--out FOLDER`` wrote; in meetings of one half of the speakers, the models of the other answer: a gallery in which
speakers are enrolled, ``diarise``, and ``diarise`` that knows how many they are. The answers are RTTM files in FOLDER,
and pyannote.metrics judges them. What is in FOLDER already is used again.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from meetings import Meeting, Segment, make_meetings, print_table, read_meetings, score_folder, write_rttm

from speechgmm import diarise, enrol
from speechgmm.gallery.building import build_gallery
from speechgmm.gallery.lengths import HOP, WINDOW
from speechgmm.gallery.pretrained import pretrained_source
from speechgmm.gallery.segments import find_segments
from speechgmm.gallery.timeline import make_timeline
from speechgmm.recipe.results.diarisation import diarisation_models_in

Answer = Callable[[Path, Meeting], Iterable[tuple[float, float, str]]]


def enrolled(folder: Path) -> Answer:
    """Return how a gallery of the models in a folder answers, in which a meeting's speakers are enrolled."""

    def answer(meetings: Path, meeting: Meeting) -> list[Segment]:
        """Enrol the speakers, and find their segments; those of unknown speakers are one speaker's."""
        with tempfile.TemporaryDirectory() as temporary:
            gallery = build_gallery(Path(temporary) / "team", {"speech16k": pretrained_source("speech16k", folder)})
            for path in sorted((meetings / meeting.name).glob("*.wav")):
                enrol(gallery, path.stem, [gallery.record(path)])
            timeline = make_timeline(gallery, gallery.read(meetings / f"{meeting.name}.wav"), WINDOW, hop=HOP)
            return [Segment(each.start, each.stop, each.speaker) for each in find_segments(timeline)]

    return answer


def unknown(folder: Path, *, known_number: bool) -> Answer:
    """Return how ``diarise`` answers by the models in a folder."""
    models = diarisation_models_in(folder)

    def answer(meetings: Path, meeting: Meeting) -> Iterable[tuple[float, float, str]]:
        """Find who speaks when."""
        n_speakers = len(meeting.speakers) if known_number else None
        return diarise(meetings / f"{meeting.name}.wav", models, n_speakers=n_speakers).segments

    return answer


def main() -> None:
    """Make meetings, and print a table for each way of answering."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", type=Path, nargs=2, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--meetings", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    chosen = parser.parse_args()
    scored: dict[str, dict] = {"enrolled": {}, "auto": {}, "number known": {}}
    for half in (0, 1):
        models = chosen.models[1 - half]
        ways = enrolled(models), unknown(models, known_number=False), unknown(models, known_number=True)
        for seed in chosen.seeds:
            folder = chosen.work / f"meetings-{seed}-{half}"
            if not (folder / "meetings.json").exists():
                folder.mkdir(parents=True, exist_ok=True)
                make_meetings(chosen.data, folder, chosen.meetings // 2, seed, half)
            for (way, table), answer in zip(scored.items(), ways, strict=True):
                answers = folder / way.replace(" ", "-")
                for meeting in read_meetings(folder):
                    path = answers / f"{meeting.name}.rttm"
                    if not path.exists():
                        write_rttm(path, meeting.name, answer(folder, meeting))
                table |= {f"{name}-{half}": errors for name, errors in score_folder(folder, answers).items()}
    for way, table in scored.items():
        print(f"\n{way}: collar 0.25 s")
        print_table(table)


if __name__ == "__main__":
    main()
