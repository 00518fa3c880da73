"""The points of a series of experiments: values for keys of a recipe, from a grid, a list, or drawn at random."""

import itertools
import math
from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
from pydantic import Field, JsonValue, model_validator

from speechgmm.configuration import Configuration

Point = dict[str, JsonValue]
"""Values by dotted key, as in ``ubm.n_components``."""

DottedKey = Annotated[str, Field(pattern=r"^[^.]+(\.[^.]+)*$")]
Choices = Annotated[tuple[JsonValue, ...], Field(strict=False, min_length=1)]


class RandomValues(Configuration):
    """What values of a key are drawn from.

    Parameters
    ----------
    choices : list
        Any of these, each as likely; or else:
    low, high : int or float
        A number between them, both included; a whole number if both are.
    log : bool
        Whether the number's logarithm is what is uniform; then `low` is above 0.
    """

    choices: Choices | None = None
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        """Refuse choices with a range, half a range, and one that is empty."""
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("choices, or low and high; expected not both")
        elif self.low is None or self.high is None or self.low >= self.high:
            raise ValueError(f"low {self.low}, high {self.high}: expected choices, or low below high")
        elif self.log and self.low <= 0:
            raise ValueError(f"low {self.low}: expected more than 0, with log")
        return self


class RandomConfig(Configuration):
    """Points at random.

    Parameters
    ----------
    n : int >= 1
        How many to draw; of equal ones, one is run.
    seed : int >= 0
        Of the draws; the recipe's own seed is another thing.
    keys : mapping of str to section
        What the values of each dotted key are drawn from.
    """

    n: int = Field(ge=1)
    seed: int = Field(0, ge=0)
    keys: dict[DottedKey, RandomValues] = Field(min_length=1)


class SweepConfig(Configuration):
    """The points of a series; one of the three.

    Parameters
    ----------
    grid : mapping of str to list
        Values of dotted keys, each with each.
    list : list of mappings
        The points one by one: values by dotted key.
    random : section
        Points at random.
    """

    grid: Annotated[dict[DottedKey, Choices], Field(min_length=1)] | None = None
    list: Annotated[tuple[dict[DottedKey, JsonValue], ...], Field(strict=False, min_length=1)] | None = None
    random: RandomConfig | None = None

    @model_validator(mode="after")
    def _is_one_of_three(self) -> Self:
        """Refuse several ways at once, or none."""
        given = [name for name in ("grid", "list", "random") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"{', '.join(given) or 'nothing given'}; expected one of grid, list and random")
        return self


def draw_points(config: SweepConfig) -> tuple[Point, ...]:
    """Give the points of a series.

    Parameters
    ----------
    config : SweepConfig
        Where they come from.

    Returns
    -------
    tuple of dict of str to JSON data
        Values by dotted key. Of a grid the last key varies fastest.
    """
    if config.grid is not None:
        return tuple(dict(zip(config.grid, values, strict=True)) for values in itertools.product(*config.grid.values()))
    if config.list is not None:
        return config.list
    assert config.random is not None  # the third of three
    return _draw(config.random.keys, config.random.n, np.random.default_rng(config.random.seed))


def _draw(keys: Mapping[str, RandomValues], n: int, rng: np.random.Generator) -> tuple[Point, ...]:
    """Draw points one after the other, so that more of them begin with the same."""
    return tuple({key: _value(drawn, rng) for key, drawn in keys.items()} for _ in range(n))


def _value(drawn: RandomValues, rng: np.random.Generator) -> JsonValue:
    """Draw a value; of one that is not whole, four digits."""
    if drawn.choices is not None:
        return drawn.choices[rng.integers(len(drawn.choices))]
    assert drawn.low is not None  # as the schema says
    assert drawn.high is not None
    low, high = drawn.low, drawn.high
    whole = isinstance(low, int) and isinstance(high, int)
    end = high + 1 if whole else high
    value = math.exp(rng.uniform(math.log(low), math.log(end))) if drawn.log else rng.uniform(low, end)
    return min(math.floor(value), high) if whole else min(max(float(f"{value:.4g}"), low), high)
