"""The kinds of corpora that a recipe may name, and the function that reads any of them."""

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
    r"""Read a corpus from its lists and file names.

    Parameters
    ----------
    config : CsvConfig, KaldiConfig or LayoutConfig
        The kind of corpus, and where it is.

    Returns
    -------
    Corpus
        The utterances, with absolute paths, and the trials. No audio file is opened.

    Raises
    ------
    CorpusError
        If something is missing, malformed or contradictory; the message lists up to 20 problems with file and line.

    Examples
    --------
    >>> from pathlib import Path
    >>> from speechgmm import read_corpus
    >>> from speechgmm.corpus.formats.tables import CsvConfig
    >>> rows = ["path,speaker,role", "ann/1.wav,ann,enrol", "bob/1.wav,bob,enrol", "ann/2.wav,ann,test"]
    >>> n_written = Path("utterances.csv").write_text("\n".join(rows))
    >>> corpus = read_corpus(CsvConfig(root=".", table="utterances.csv"))
    >>> corpus.models
    ('ann', 'bob')
    >>> for trial in corpus.trials["trials"]:
    ...     print(trial)
    Trial(model='ann', test='ann/2', target=True)
    Trial(model='bob', test='ann/2', target=False)
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
