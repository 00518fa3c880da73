"""The synthetic talkers as a corpus on disk: FLAC files, Kaldi lists, and a trial list."""

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import soundfile

from speechgmm.corpus.formats.kaldi import write_kaldi
from speechgmm.corpus.manifest import Corpus, Trial, Utterance
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig, SyntheticUtterance, plan, render
from speechgmm.files import write_bytes
from speechgmm.parallel.engine import Engine, map_in_order


def write_recordings(config: SyntheticConfig, folder: Path, engine: Engine | None = None) -> Iterator[int]:
    """Write the recordings of the synthetic talkers, and yield the number written so far.

    The folder gets ``SPEAKER/UTTERANCE.flac`` (16 bit), and at the end ``lists/ROLE/`` (Kaldi data directories) and
    ``trials.txt`` (every test with every enrolled speaker). Files of the same names are replaced.
    """
    folder = folder.resolve()  # workers may have started in another folder
    recordings = plan(config)
    for number, _ in enumerate(map_in_order(partial(_write, config, folder), recordings, engine), 1):
        yield number
    roles: dict[str, list[Utterance]] = {"background": [], "enrol": [], "test": []}
    for recording in recordings:
        path = str(_path(folder, recording))
        roles[recording.role].append(Utterance(recording.id, recording.speaker, path, recording.sex))
    enrolled = dict.fromkeys(utterance.speaker for utterance in roles["enrol"])
    trials = (Trial(model, test.id, model == test.speaker) for model in enrolled for test in roles["test"])
    background, enrol, test = (tuple(utterances) for utterances in roles.values())
    corpus = Corpus(background, enrol, test, {"trials": tuple(trials)})
    write_kaldi(corpus, folder)


def _path(folder: Path, recording: SyntheticUtterance) -> Path:
    """Return the file of a recording."""
    return folder / recording.speaker / f"{recording.id}.flac"


def _write(config: SyntheticConfig, folder: Path, recording: SyntheticUtterance) -> None:
    """Synthesise one recording and write its file."""
    stream = io.BytesIO()
    soundfile.write(stream, render(config, recording), config.sample_rate, subtype="PCM_16", format="FLAC")
    write_bytes(_path(folder, recording), stream.getbuffer())
