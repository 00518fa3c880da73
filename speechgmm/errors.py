"""Errors caused by the data or the request, as opposed to bugs.

Every message states what was found, what was expected, and where: the file, line, utterance or key. On the command
line such an error becomes one readable message and exit status 2.
"""


class SpeechGMMError(ValueError):
    """The base class of the package's errors: something in the data or the request that the user can correct.

    Examples
    --------
    >>> import speechgmm
    >>> try:
    ...     speechgmm.read_audio("missing.wav")
    ... except speechgmm.SpeechGMMError as error:
    ...     print(error)
    missing.wav: no such audio file
    """


class AudioError(SpeechGMMError):
    """An audio file or array is unusable."""


class AudioWarning(UserWarning):
    """An audio file was read, but something about it is odd: its header was never finished, or more follows its end.

    Examples
    --------
    A recorder that crashed has left the length of 0 in the header of a WAV file:

    >>> import warnings
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import soundfile
    >>> from speechgmm import AudioWarning, read_audio
    >>> soundfile.write("crashed.wav", np.zeros(8000), 8000)
    >>> content = Path("crashed.wav").read_bytes()
    >>> n_written = Path("crashed.wav").write_bytes(content[:40] + bytes(4) + content[44:])
    >>> with warnings.catch_warnings(record=True, category=AudioWarning, action="always") as caught:
    ...     samples, sample_rate = read_audio("crashed.wav")
    >>> samples.shape
    (8000,)
    >>> print(caught[0].message)
    crashed.wav: the header was never finished (its length is 0); read to the end of the file
    """


class ChannelError(AudioError):
    """An audio file has several channels and none was chosen."""


class CorpusError(SpeechGMMError):
    """A list of utterances or trials, or a file of features, is missing, malformed or contradictory."""


class ModelError(SpeechGMMError):
    """A model cannot be trained from its data, read from its file, or applied to these features."""


class CheckpointError(ModelError):
    """Training cannot be resumed from a checkpoint: it is damaged, belongs to another training, or is not a file."""


class GalleryError(SpeechGMMError):
    """A gallery cannot be opened, or its contents do not allow the request."""


class RecipeError(SpeechGMMError):
    """A recipe cannot be read, or its values make no sense."""


class ResultsError(SpeechGMMError):
    """A folder is not a results folder, or another run is writing to it."""


class WorkerError(SpeechGMMError):
    """Workers died or a scheduler cannot be reached; the work itself is not the cause."""
