"""The embedded voices as a corpus on disk: FLAC files to listen to, Kaldi lists, and a trial list."""

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
    """Write the recordings of the embedded voices, telling how far it is.

    Parameters
    ----------
    config : SyntheticConfig
        Who speaks, and how much.
    folder : Path
        Where to write ``SPEAKER/UTTERANCE.flac`` (16 bit), ``lists/ROLE/`` (Kaldi data directories) and
        ``trials.txt`` (every test against every enrolled speaker). Files of the same names are replaced.
    engine : Engine, optional
        Where to run.

    Yields
    ------
    int
        Recordings done so far. The lists are there when the iteration ends.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    folder = folder.resolve()  # workers may have been born in another folder
    recordings = plan(config)
    for number, _ in enumerate(map_in_order(partial(_write, config, folder), recordings, engine), 1):
        yield number
    roles: dict[str, list[Utterance]] = {"background": [], "enrol": [], "test": []}
    for each in recordings:
        roles[each.role].append(Utterance(each.id, each.speaker, str(_path(folder, each)), each.sex))
    enrolled = dict.fromkeys(utterance.speaker for utterance in roles["enrol"])
    trials = (Trial(model, test.id, model == test.speaker) for model in enrolled for test in roles["test"])
    background, enrol, test = (tuple(utterances) for utterances in roles.values())
    corpus = Corpus(background, enrol, test, {"trials": tuple(trials)})
    write_kaldi(corpus, folder)


def _path(folder: Path, recording: SyntheticUtterance) -> Path:
    """Name the file of a recording."""
    return folder / recording.speaker / f"{recording.id}.flac"


def _write(config: SyntheticConfig, folder: Path, recording: SyntheticUtterance) -> None:
    """Render one recording into its file."""
    stream = io.BytesIO()
    soundfile.write(stream, render(config, recording), config.sample_rate, subtype="PCM_16", format="FLAC")
    write_bytes(_path(folder, recording), stream.getbuffer())
