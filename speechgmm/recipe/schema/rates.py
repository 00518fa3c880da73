"""The sample rate of a front end, where a recipe leaves it to the corpus: `auto`, the default of recipes."""

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from speechgmm.features.extract import FeatureConfig
from speechgmm.features.store.imported import ImportedConfig

AUTO = "auto"
"""The word for it in a recipe's file. In Python, `sample_rate` and `resample` are not set."""

TOP_FREQUENCY = 7600.0
"""Hz: the upper edge of the filters where the rate allows it and none is set, as the default at 16 kHz."""

BELOW_HALF = 300.0
"""Hz: how far the upper edge of the filters is below half the rate where that is too low."""


def without_auto(section: Any) -> Any:
    """Return a section of a front end for audio without the word `auto`, and without `resample`, which follows."""
    if not isinstance(section, Mapping) or section.get("sample_rate") != AUTO or section.get("kind") == "given":
        return section
    return {key: value for key, value in section.items() if key not in ("sample_rate", "resample")}


def follows_corpus(front_end: FeatureConfig | ImportedConfig) -> bool:
    """Whether a front end has the rate of the corpus; one that sets `resample` alone keeps its default rate."""
    return isinstance(front_end, FeatureConfig) and not {"sample_rate", "resample"} & front_end.model_fields_set


def at_rate(front_end: FeatureConfig, rate: int, *, resample: bool) -> FeatureConfig:
    """Return a front end at a rate in Hz, which its `high_frequency` follows.

    Not set, it is 7600 Hz, or 300 Hz below half the rate where that is lower; so is one above half the rate. Raises
    ValueError if other keys do not fit the rate.
    """
    keys = {name: getattr(front_end, name) for name in front_end.model_fields_set}
    keys |= {"sample_rate": rate, "resample": resample}
    own, highest = front_end.high_frequency, rate / 2 - BELOW_HALF
    top = min(TOP_FREQUENCY, highest) if own is None else highest if own > rate / 2 else own
    is_default = own is None and top == FeatureConfig.model_construct(sample_rate=rate).top_frequency
    return FeatureConfig.model_validate(keys | {"high_frequency": None if is_default else top})


def as_written(front_end: FeatureConfig | ImportedConfig, data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the JSON data of a front end with the word `auto` where it has the rate of the corpus."""
    return {**data, "sample_rate": AUTO} if follows_corpus(front_end) else data
