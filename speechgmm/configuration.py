"""The base of every configuration, and the fingerprint that tells two of them apart."""

import hashlib
import json

from pydantic import BaseModel, ConfigDict, JsonValue


class Configuration(BaseModel):
    """A frozen set of named values: unknown keys and values of another type are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def fingerprint(value: Configuration | JsonValue) -> str:
    """Digest a configuration, or plain JSON data, independently of the order of its keys.

    Parameters
    ----------
    value : Configuration or JSON data
        What to tell apart from others.

    Returns
    -------
    str
        64 hexadecimal digits: SHA-256 of the canonical JSON text.
    """
    data = value.model_dump(mode="json") if isinstance(value, Configuration) else value
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
