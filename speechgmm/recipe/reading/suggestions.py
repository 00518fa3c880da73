"""Suggestions for misspelt keys and choices: what the user probably meant."""

import difflib
from collections.abc import Mapping, Sequence

from speechgmm.wording import join_names

OTHER_NAMES = {
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
"""The names that each key has in other toolkits."""

MOST_NEAR = 3
"""Names that are suggested where several are like a word, or contain it."""

MOST_PLACES = 3
"""Keys of one name, in different sections, that are all suggested."""


def suggest(word: str, choices: Sequence[str], synonyms: Mapping[str, str] | None = None) -> str:
    """Return ``; did you mean CHOICE?`` for the choice most similar to a word, or an empty string if none is similar.

    `synonyms` maps other names to the choices that they stand for.
    """
    words = {choice: choice for choice in (*(synonyms or {}), *choices)} | dict(synonyms or {})
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f"; did you mean {words[close[0]]}?" if close else ""


def near_names(word: str, names: Sequence[str]) -> list[str]:
    """Return the names that are most similar to a word, and others that contain it; a few of them."""
    close = difflib.get_close_matches(word, names, n=MOST_NEAR, cutoff=0.6)
    return list(dict.fromkeys([*close, *(name for name in names if word in name)]))[:MOST_NEAR]


def suggest_key(word: str, allowed: Sequence[str], all_keys: Sequence[str]) -> str:
    """Return what follows ``unknown key`` in a message: the key that was probably meant, or all that are allowed.

    Of `all_keys`, dotted keys of the whole recipe, those that end with this word are suggested if they are few.
    """
    synonyms = {other: key for key, others in OTHER_NAMES.items() if key in allowed for other in others}
    if suggestion := suggest(word, allowed, synonyms):
        return suggestion
    own_name = {other: key for key, others in OTHER_NAMES.items() for other in others}.get(word, word)
    places = [key for key in all_keys if key.rpartition(".")[2] == own_name]
    if 0 < len(places) <= MOST_PLACES:
        return f"; did you mean {join_names(places, 'or')}?"
    return f"; expected one of {', '.join(allowed)}"
