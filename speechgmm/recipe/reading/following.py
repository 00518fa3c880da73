"""Keys of shipped files that follow what the user states beside them."""

from typing import TypeGuard

from pydantic import JsonValue

from speechgmm.recipe.reading.yaml import Document, Key, Values
from speechgmm.recipe.schema.rates import BELOW_HALF
from speechgmm.recipe.shipped import SHIPPED
from speechgmm.scoring.normalisation import SHRINKING_METHODS


def follow_stated(document: Document) -> None:
    """Let keys of shipped files follow those that the user states: in a recipe, or in one of its systems."""
    lower_top_frequency(document, ("features",))
    _drop_shrinkage(document)


def lower_top_frequency(document: Document, section: Key = ()) -> None:
    """Lower the upper edge of a shipped file's filters to a rate that the user states, as `auto` lowers it.

    `section` is where the front end stands in the document.
    """
    features = _values_at(document, section)
    rate, top = features.get("sample_rate"), features.get("high_frequency")
    if _is_number(rate) and _is_number(top) and top > rate / 2:
        at = (*document.at, *section)
        if _is_stated_beside(document, (*at, "sample_rate"), (*at, "high_frequency")):
            features["high_frequency"] = rate / 2 - BELOW_HALF
            document.places[(*at, "high_frequency")] = document.place_of((*at, "sample_rate"))


def _drop_shrinkage(document: Document) -> None:
    """Drop the shrinkage of a shipped normalisation where the user states a method that has none."""
    normalisation, at = _values_at(document, ("normalisation",)), (*document.at, "normalisation")
    if "shrinkage" not in normalisation or normalisation.get("method") in SHRINKING_METHODS:
        return
    if _is_stated_beside(document, (*at, "method"), (*at, "shrinkage")):
        del normalisation["shrinkage"]
        document.places.pop((*at, "shrinkage"), None)


def _values_at(document: Document, section: Key) -> Values:
    """Return the values of a section of a document; none if it has no keys."""
    values: JsonValue = document.values
    for name in section:
        values = values.get(str(name)) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}


def _is_stated_beside(document: Document, stated: Key, shipped: Key) -> bool:
    """Whether the user states one key, and another is of a shipped file."""
    of_user = not document.place_of(stated).source.startswith(SHIPPED)
    return of_user and document.place_of(shipped).source.startswith(SHIPPED)


def _is_number(value: JsonValue) -> TypeGuard[int | float]:
    """Whether a value is a number; validation refuses what is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
