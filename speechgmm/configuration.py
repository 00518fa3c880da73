"""The base class of every configuration, and the fingerprint that identifies a configuration."""

import hashlib
import json

from pydantic import BaseModel, ConfigDict, JsonValue


class Configuration(BaseModel):
    """A frozen set of named values; unknown keys and values of another type are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def fingerprint(value: Configuration | JsonValue) -> str:
    """Return the SHA-256 of a configuration's or JSON value's canonical text, as 64 hexadecimal digits.

    The order of the keys makes no difference.
    """
    data = value.model_dump(mode="json") if isinstance(value, Configuration) else value
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
