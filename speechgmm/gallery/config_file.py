"""The file of a gallery's settings, ``gallery.json``, in both versions of its format."""

import json
from pathlib import Path
from typing import Literal

from pydantic import ValidationError
from pydantic_core import to_json

from speechgmm.configuration import fingerprint
from speechgmm.errors import GalleryError
from speechgmm.gallery.config import DecisionConfig, GalleryConfig, RecogniserConfig, SystemConfig
from speechgmm.gallery.layout import CALIBRATION_FILE

FORMAT_VERSIONS = (1, 2)
"""Versions of ``gallery.json`` that are read; in the first, a gallery is one system, whose keys are its own."""

OPTIONAL_KEYS = ("channel", "resample", "adaptation", "speakers", "vectors", "scorer", "scoring", "synthetic")
"""Keys of format version 1 that are not written at their defaults: an earlier speechgmm does not know all of them."""


ORDER = (
    *("format_version", "front_end", "fingerprint", "channel", "resample", "adaptation", "speakers", "vectors"),
    *("scorer", "scoring", "normalisation", "decisions", "synthetic", "digests"),
)
"""Keys of format version 1 as they are written."""


class OneSystemConfig(SystemConfig):
    """The content of ``gallery.json`` in format version 1: a gallery of one system, whose keys are its own.

    Parameters
    ----------
    format_version : 1
        Version of the folder's format.
    channel, resample, decisions : "mean", "loudest" or None; bool; section
        As in `GalleryConfig`.
    synthetic : bool
        As in `RecogniserConfig`.
    """

    format_version: Literal[1] = 1
    channel: Literal["mean", "loudest"] | None = "mean"
    resample: bool = True
    decisions: DecisionConfig = DecisionConfig()
    synthetic: bool = False

    def as_gallery(self) -> GalleryConfig:
        """Return the same settings as those of a gallery with one recogniser of one system, both without names."""
        system = {key: getattr(self, key) for key in SystemConfig.model_fields}
        calibration = self.digests.get(CALIBRATION_FILE)
        system["digests"] = {name: digest for name, digest in self.digests.items() if name != CALIBRATION_FILE}
        recogniser = RecogniserConfig(
            systems={"": SystemConfig(**system)}, calibration=calibration, synthetic=self.synthetic
        )
        return GalleryConfig(
            channel=self.channel, resample=self.resample, decisions=self.decisions, recognisers={"": recogniser}
        )


def config_text(config: GalleryConfig) -> str:
    """Write the content of ``gallery.json``; that of one system without a name as earlier versions read it."""
    recogniser = config.first_recogniser
    is_plain = recogniser.enrolment_copies is None and recogniser.recorded is None and recogniser.trained is None
    if list(config.recognisers) != [""] or list(recogniser.systems) != [""] or not is_plain:
        return config.model_dump_json(indent=2) + "\n"
    system = recogniser.systems[""]
    digests = dict(system.digests)
    if recogniser.calibration is not None:
        digests[CALIBRATION_FILE] = recogniser.calibration
    one = OneSystemConfig(
        **{key: getattr(system, key) for key in SystemConfig.model_fields if key != "digests"},
        **{key: getattr(config, key) for key in ("channel", "resample", "decisions")},
        synthetic=recogniser.synthetic,
        digests=digests,
    )
    fields = OneSystemConfig.model_fields
    unset = {key for key in OPTIONAL_KEYS if getattr(one, key) == fields[key].default}
    data = one.model_dump(mode="json", exclude=unset)
    return to_json({key: data[key] for key in ORDER if key in data}, indent=2).decode() + "\n"


def read_config(path: Path) -> GalleryConfig:
    """Read ``gallery.json``.

    A file that is missing, damaged or in a newer format raises a GalleryError that names the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise GalleryError(f"{path.parent}: not a gallery: no {path.name} in it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise GalleryError(f"{path}: not readable ({error})") from error
    try:
        version = json.loads(text).get("format_version")
    except (ValueError, AttributeError, RecursionError) as error:
        raise GalleryError(f"{path}: damaged ({error})") from error
    if version not in FORMAT_VERSIONS:
        known = " and ".join(map(str, FORMAT_VERSIONS))
        raise GalleryError(f"{path}: gallery of format version {version!r}; this speechgmm reads {known}")
    try:
        if version == 1:
            config = OneSystemConfig.model_validate_json(text).as_gallery()
        else:
            config = GalleryConfig.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise GalleryError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    for recogniser in config.recognisers.values():
        if any(map(_has_other_fingerprint, recogniser.systems.values())):
            raise GalleryError(f"{path}: front_end does not match fingerprint; a gallery's front end cannot be changed")
    if config.contradiction:
        raise GalleryError(f"{path}: {config.contradiction}")
    return config


def _has_other_fingerprint(config: SystemConfig) -> bool:
    """Check whether a front end was changed; infinity and NaN, which have no fingerprint, were never in one."""
    try:
        return fingerprint(config.front_end) != config.fingerprint
    except ValueError:
        return True
