"""The points of a series of experiments: values for keys of a recipe, from a grid, from a list, or drawn at random."""

import itertools
import math
from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
from pydantic import Field, JsonValue, model_validator

from speechgmm.configuration import Configuration

Point = dict[str, JsonValue]
"""Values by dotted key, such as ``ubm.n_components``."""

DottedKey = Annotated[str, Field(pattern=r"^[^.]+(\.[^.]+)*$")]
Choices = Annotated[tuple[JsonValue, ...], Field(strict=False, min_length=1)]


class RandomValues(Configuration):
    """The values of a key that are drawn from: a list of choices, or a range of numbers.

    Parameters
    ----------
    choices : list
        Values that are equally likely; or else:
    low, high : int or float
        Ends of a range, both included; whole numbers are drawn if both ends are whole.
    log : bool
        Whether the logarithm of the number is uniform, instead of the number; `low` must then be above 0.
    """

    choices: Choices | None = None
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False

    @model_validator(mode="after")
    def _is_choices_or_range(self) -> Self:
        """Refuse choices together with a range, half a range, and an empty range."""
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("choices, or low and high; expected not both")
        elif self.low is None or self.high is None or self.low >= self.high:
            raise ValueError(f"low {self.low}, high {self.high}: expected choices, or low below high")
        elif self.log and self.low <= 0:
            raise ValueError(f"low {self.low}: expected more than 0, with log")
        return self


class RandomConfig(Configuration):
    """Points that are drawn at random.

    Parameters
    ----------
    n : int >= 1
        Number of points to draw; equal points are run once.
    seed : int >= 0
        Seed of the draws; it is independent of the recipe's own seed.
    keys : mapping of str to section
        The values that each dotted key is drawn from.
    """

    n: int = Field(ge=1)
    seed: int = Field(0, ge=0)
    keys: dict[DottedKey, RandomValues] = Field(min_length=1)


class SweepConfig(Configuration):
    """The points of a series: exactly one of a grid, a list and random draws.

    Parameters
    ----------
    grid : mapping of str to list
        Values by dotted key; the points are every combination of them.
    list : list of mappings
        The points one by one: values by dotted key.
    random : section
        Points that are drawn at random.
    """

    grid: Annotated[dict[DottedKey, Choices], Field(min_length=1)] | None = None
    list: Annotated[tuple[dict[DottedKey, JsonValue], ...], Field(strict=False, min_length=1)] | None = None
    random: RandomConfig | None = None

    @model_validator(mode="after")
    def _is_one_of_three(self) -> Self:
        """Refuse more than one of the three, and none."""
        given = [name for name in ("grid", "list", "random") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"{', '.join(given) or 'nothing given'}; expected one of grid, list and random")
        return self


def draw_points(config: SweepConfig) -> tuple[Point, ...]:
    """List the points of a series: values by dotted key. In a grid the last key varies fastest."""
    if config.grid is not None:
        return tuple(dict(zip(config.grid, values, strict=True)) for values in itertools.product(*config.grid.values()))
    if config.list is not None:
        return config.list
    assert config.random is not None  # one of the three is there
    return _draw(config.random.keys, config.random.n, np.random.default_rng(config.random.seed))


def _draw(keys: Mapping[str, RandomValues], n: int, rng: np.random.Generator) -> tuple[Point, ...]:
    """Draw points one after the other: the first points stay the same when `n` grows."""
    return tuple({key: _draw_value(values, rng) for key, values in keys.items()} for _ in range(n))


def _draw_value(values: RandomValues, rng: np.random.Generator) -> JsonValue:
    """Draw a value; a number that is not whole is rounded to four significant digits."""
    if values.choices is not None:
        return values.choices[rng.integers(len(values.choices))]
    assert values.low is not None  # checked by the schema
    assert values.high is not None
    low, high = values.low, values.high
    whole = isinstance(low, int) and isinstance(high, int)
    end = high + 1 if whole else high
    value = math.exp(rng.uniform(math.log(low), math.log(end))) if values.log else rng.uniform(low, end)
    return min(math.floor(value), high) if whole else min(max(float(f"{value:.4g}"), low), high)
