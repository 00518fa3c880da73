"""What can go wrong through the data or the request, as opposed to a bug.

Every message says what the value was, what was expected, and where: the file, line, utterance or key. On the
command line these become one readable message and exit status 2.
"""


class SpeechGMMError(ValueError):
    """Something the user can mend: the root of the package's own errors."""


class AudioError(SpeechGMMError):
    """An audio file or array that cannot be used."""


class ChannelError(AudioError):
    """An audio file of several channels, of which none was chosen."""


class CorpusError(SpeechGMMError):
    """A list of utterances or trials that is missing, malformed or contradictory."""


class ModelError(SpeechGMMError):
    """A model that cannot be trained from its data, read from its file, or applied to these features."""


class CheckpointError(ModelError):
    """The state of a training that cannot be gone on from: damaged, of another training, or no file."""


class GalleryError(SpeechGMMError):
    """A gallery that cannot be opened, or a request that what it holds does not allow."""


class RecipeError(SpeechGMMError):
    """A recipe that cannot be read, or says something that has no meaning."""


class ResultsError(SpeechGMMError):
    """A folder of results that is none, or that another run is writing."""


class WorkerError(SpeechGMMError):
    """Workers that died, or a scheduler that cannot be reached, which is not the work's own fault."""
