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
    """An audio file was read, but something about it is odd: its header was never finished, or more follows its end."""


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
