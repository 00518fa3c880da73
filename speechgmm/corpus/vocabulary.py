"""The words of lists and tables: labels of trials, names of columns, and numbers with a decimal comma."""

import re
from collections.abc import Mapping, Sequence

from speechgmm.files import NUMBER

LABEL_PAIRS = (
    *(("target", "nontarget"), ("target", "non-target"), ("tgt", "imp"), ("tar", "non"), ("1", "0"), ("1.0", "0.0")),
    *(("1", "-1"), ("+1", "-1"), ("same", "different"), ("same", "diff"), ("true", "false"), ("yes", "no")),
    *(("positive", "negative"), ("genuine", "impostor"), ("genuine", "imposter"), ("client", "impostor")),
)
"""Words for target and nontarget trials, in capitals or not."""

LABELS: Mapping[str, bool] = {
    word: target for pair in LABEL_PAIRS for word, target in zip(pair, (True, False), strict=True)
}

DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?")
"""A number with a decimal comma."""

EXPECTED_LABELS = "target, nontarget, tgt, imp, 1, 0"
"""The usual labels, for messages."""

FORMS = (
    *("", "id", "name", "label", "utt", "uttid", "utterance", "utteranceid", "recording", "file", "fileid", "filename"),
    *("path", "wav", "audio", "segment", "segmentid", "seg"),
)
SPEAKERS = ("speaker", "speakerid", "spk", "spkid")
COUNTED = ("utt", "uttid", "utterance", "utteranceid", *FORMS[8:], "id", "name", "sample")

NAMES: dict[str, tuple[str, ...]] = {
    "model": (
        *("model", "modelid", "enroll", "enrol", "enrollment", "enrolment", "enrollid", "enrolid"),
        *(who + form for form in FORMS for who in ("model", "enrol", "enroll", "enrolment", "enrollment")),
        *(who + form for form in FORMS for who in ("reference", "ref", "template")),
        *("biorefreferenceid", "bioreftemplateid", "biorefid"),
        *(form + "1" for form in COUNTED),
        *(who + form for form in SPEAKERS for who in ("model", "enrol", "enroll", "enrolment", "enrollment")),
    ),
    "test": (
        *("test", "testid", "segmentid", "segment"),
        *(who + form for form in FORMS for who in ("test", "probe", "query", "segment", "seg", "utterance", "utt")),
        *("probereferenceid", "probetemplateid"),
        *(form + "2" for form in COUNTED),
    ),
    "score": (
        *("llr", "loglikelihoodratio", "score", "scores", "similarity", "similarityscore", "sim"),
        *("cosine", "cosinesimilarity", "cosinescore", "cosscore", "cossim", "plda", "pldascore", "logit"),
        *("probability", "prob", "yscore", "prediction", "pred"),
        *("distance", "dist", "cosinedistance", "euclideandistance"),
    ),
    "label": (
        *("label", "targettype", "target", "istarget", "labels", "trialtype", "tgtimp", "targetnontarget"),
        *("samedifferent", "samespeaker", "issamespeaker", "same", "issame", "groundtruth", "truth", "gt", "ytrue"),
        "key",
    ),
    "claimed": ("claimedid", "claimed", "claimedidentity", "biorefsubjectid"),
    "real": ("realid", "real", "realidentity", "probesubjectid"),
}
"""Names of columns, the preferred ones first; without capitals, spaces and marks."""


def is_label(word: str) -> bool:
    """Check whether a word labels a trial."""
    return word.lower() in LABELS


def is_target(label: str) -> bool | None:
    """Return whether a label means target; None for a word that is no label."""
    return LABELS.get(label.lower())


def bare_name(name: str) -> str:
    """Return the name of a column without capitals, spaces and marks."""
    return re.sub(r"[^0-9a-z]", "", name.lower())


def column_roles(names: Sequence[str]) -> dict[str, int]:
    """Find which columns hold what: numbers of columns by the keys of `NAMES`."""
    bare = [bare_name(name) for name in names]
    return {role: bare.index(name) for role, known in NAMES.items() for name in reversed(known) if name in bare}


def may_be_data(names: Sequence[str], roles: Mapping[str, int], next_fields: Sequence[str]) -> bool:
    """Check whether a line that could name columns may be data, as ``utt1 utt2 target`` is in a trial list.

    `next_fields` are those of the line after it.
    """
    if {"model", "test"} <= set(names):
        return False
    if any(NUMBER.fullmatch(name) for name in names) or not roles.keys() & {"score", "label"}:
        return True
    label = roles.get("label", len(names))
    if "score" in roles or label >= len(next_fields) or not is_label(names[label]):
        return False
    counted = all(names[roles[role]][-1].isdigit() for role in ("model", "test"))
    words = {names[label].lower(), next_fields[label].lower()}
    return counted and any(words <= set(pair) for pair in LABEL_PAIRS)
