"""The sample rate that front ends take from the corpus, once that is known."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from speechgmm.audio.reading import audio_blocks
from speechgmm.corpus.manifest import ROLES, Corpus
from speechgmm.errors import AudioError, RecipeError
from speechgmm.features.extract import FeatureConfig
from speechgmm.recipe.schema.rates import at_rate, follows_corpus
from speechgmm.recipe.schema.recipe import Recipe

USUAL_RATES = (16000, 8000)
"""Hz: of recordings of several rates, the first of these that all of them reach; else their lowest rate."""


@dataclass(frozen=True)
class ResolvedRecipe:
    """A recipe whose front ends have rates in Hz, and which of these the corpus decided."""

    recipe: Recipe
    taken: str = ""  # the rate that was taken from the corpus, and why, in words; empty if the recipe states all rates
    mixed: bool = False  # whether that is one of several

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was taken, where recordings are resampled."""
        return (self.taken,) if self.mixed else ()


def resolve_rates(recipe: Recipe, corpus: Corpus) -> ResolvedRecipe:
    """Give the front ends that leave it to the corpus its sample rate; the headers are read if there are such."""
    if not any(follows_corpus(system.features) for system in recipe.systems_or_self):
        return ResolvedRecipe(recipe)
    return at_rates(recipe, Counter(_rates(corpus).values()))


def at_rates(recipe: Recipe, counts: Mapping[int, int]) -> ResolvedRecipe:
    """Give front ends the rate of recordings, which are counted by their sample rates in Hz.

    Raises RecipeError if keys of a front end do not fit the rate.
    """
    if not any(follows_corpus(system.features) for system in recipe.systems_or_self):
        return ResolvedRecipe(recipe)
    mixed, rate = len(counts) > 1, usual_rate(counts)
    why = "the rate of all recordings" if counts else "as no recording can be read"
    if mixed:
        listed = ", ".join(f"{counts[each]:,} at {each} Hz" for each in sorted(counts, reverse=True))
        why = f"with resampling, because the rates of the recordings differ: {listed}"
    taken = f"features.sample_rate auto: {rate} Hz, {why}"
    if not recipe.systems:
        return ResolvedRecipe(_at_rate(recipe, rate, resample=mixed), taken, mixed)
    systems = tuple(_at_rate(system, rate, resample=mixed) for system in recipe.systems)
    return ResolvedRecipe(recipe.model_copy(update={"systems": systems}), taken, mixed)


def at_rates_of(recipe: Recipe, stored: Recipe) -> Recipe:
    """Give front ends the rates that another recipe has in their place, where it has any."""
    if recipe.systems:
        others = {system.name: system for system in stored.systems}
        systems = tuple(at_rates_of(each, others.get(each.name, each)) for each in recipe.systems)
        return recipe.model_copy(update={"systems": systems})
    other = stored.features
    if stored.systems or not isinstance(other, FeatureConfig) or follows_corpus(other):
        return recipe
    try:
        return _at_rate(recipe, other.sample_rate, resample=other.resample)
    except RecipeError:
        return recipe


def usual_rate(rates: Collection[int]) -> int:
    """Return the rate at which recordings of these rates can be compared; the highest usual one without recordings."""
    if len(rates) == 1:
        return next(iter(rates))
    return next((usual for usual in USUAL_RATES if all(rate >= usual for rate in rates)), min(rates, default=0))


def _at_rate(system: Recipe, rate: int, *, resample: bool) -> Recipe:
    """Give the front end of a system a rate, if it leaves it to the corpus."""
    if not isinstance(system.features, FeatureConfig) or not follows_corpus(system.features):
        return system
    try:
        return system.model_copy(update={"features": at_rate(system.features, rate, resample=resample)})
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise RecipeError(
            f"{system.name}: features.sample_rate auto: at {rate} Hz, the rate of the corpus, {reason}; change that "
            "key, or set features.sample_rate and features.resample: true"
        ) from error


def _rates(corpus: Corpus) -> dict[str, int]:
    """Return the sample rate in Hz of each file of recordings that can be read."""
    channels = {each.path: each.channel for role in ROLES for each in corpus.role(role)}
    rates: dict[str, int] = {}
    for path, channel in channels.items():
        try:
            rates[path] = audio_blocks(path, channel=channel)[1]
        except AudioError:
            continue  # the features of it say why
    return rates
