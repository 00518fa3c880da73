"""The kinds of corpora that a recipe may name, and the one door to them."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field

from speechgmm.corpus.formats.folders import (
    AudioMnistConfig,
    FolderConfig,
    FsddConfig,
    LayoutConfig,
    LibriSpeechConfig,
    TimitConfig,
    VoxCelebConfig,
    VoxForgeConfig,
    read_folders,
)
from speechgmm.corpus.formats.kaldi import KaldiConfig, read_kaldi
from speechgmm.corpus.formats.tables import CsvConfig, read_table
from speechgmm.corpus.manifest import Corpus
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import CorpusError

Layouts = (
    FolderConfig | LibriSpeechConfig | VoxForgeConfig | AudioMnistConfig | FsddConfig | TimitConfig | VoxCelebConfig
)
CorpusConfig = Annotated[SyntheticConfig | CsvConfig | KaldiConfig | Layouts, Field(discriminator="kind")]


def read_corpus(config: CsvConfig | KaldiConfig | LayoutConfig) -> Corpus:
    """Read a corpus from its lists and the names of its files.

    Parameters
    ----------
    config : CsvConfig, KaldiConfig or LayoutConfig
        Where it is, and what kind.

    Returns
    -------
    Corpus
        The utterances, with absolute paths of audio files that are not opened here, and the trials.

    Raises
    ------
    CorpusError
        If something is missing, malformed or contradictory; the message names file and line, of up to 20 problems.
    """
    root = Path(config.root).absolute()
    if not os.path.isdir(root):  # noqa: PTH112  # which never fails, whatever the name
        raise CorpusError(f"{root}: no such folder; it is the root of the corpus")
    config = config.model_copy(update={"root": str(root)})
    match config:
        case CsvConfig():
            return read_table(config)
        case KaldiConfig():
            return read_kaldi(config)
        case LayoutConfig():
            return read_folders(config)
