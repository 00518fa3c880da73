"""The key or choice that somebody probably meant."""

import difflib
from collections.abc import Mapping, Sequence

ALSO_CALLED = {
    "n_cepstra": ("n_mfcc", "n_ceps", "num_ceps", "numcep"),
    "n_filters": ("n_mels", "n_mel_bins", "num_mel_bins", "nfilt"),
    "sample_rate": ("sr", "sample_frequency", "sampling_rate", "samplerate"),
    "frame_length": ("win_length", "winlen", "window_length"),
    "frame_shift": ("hop_length", "winstep", "hop"),
    "low_frequency": ("fmin", "f_min", "low_freq", "lowfreq"),
    "high_frequency": ("fmax", "f_max", "high_freq", "highfreq"),
    "lifter": ("cepstral_lifter", "ceplifter"),
    "normalisation": ("cmvn", "cmn"),
    "n_components": ("n_mixtures", "n_gaussians", "num_gauss", "mixtures"),
    "n_iterations": ("max_iter", "num_iters", "n_iter", "epochs"),
    "tolerance": ("tol",),
    "relevance_factor": ("relevance", "tau"),
    "top_components": ("top_c", "n_top", "num_gselect"),
    "top_n": ("cohort_size",),
    "corpus": ("data", "dataset"),
    "ubm": ("gmm", "background_model"),
    "speakers": ("adaptation", "enrolment"),
    "seed": ("random_state",),
}
"""Keys by the names that they have in other toolkits."""


def nearest(word: str, choices: Sequence[str], also: Mapping[str, str] | None = None) -> str:
    """Suggest the choice that was probably meant.

    Parameters
    ----------
    word : str
        What was given.
    choices : sequence of str
        What there is.
    also : mapping of str to str, optional
        Other names of choices.

    Returns
    -------
    str
        ``; did you mean WORD?``, or nothing where none is near.
    """
    words = {choice: choice for choice in (*(also or {}), *choices)} | dict(also or {})
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f"; did you mean {words[close[0]]}?" if close else ""


def nearest_key(word: str, known: Sequence[str], elsewhere: Sequence[str]) -> str:
    """Suggest the key that was probably meant, or list those that there are.

    Parameters
    ----------
    word : str
        The key that was given.
    known : sequence of str
        The keys that may stand there.
    elsewhere : sequence of str
        Dotted keys that stand in other places.

    Returns
    -------
    str
        To be put behind ``unknown key``.
    """
    also = {other: key for key, others in ALSO_CALLED.items() if key in known for other in others}
    if suggestion := nearest(word, known, also):
        return suggestion
    called = {other: key for key, others in ALSO_CALLED.items() for other in others}.get(word, word)
    places = [key for key in elsewhere if key.rpartition(".")[2] == called]
    return f"; did you mean {places[0]}?" if len(places) == 1 else f"; expected one of {', '.join(known)}"
