"""Which systems suit a corpus: trained or pretrained, of how many Gaussians, normalised or not; by its background."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from speechgmm.wording import join_names

SystemsName = Literal["best", "default", "fast"]
"""What a user asks for: the best error rates, one system, or a quick look."""

BEST = {
    "mfcc_raw": "mel cepstra, mean kept",
    "mfcc_full": "mel cepstra, mean subtracted",
    "lfcc_raw": "linear cepstra, mean kept",
    "lfcc": "linear cepstra, half of the mean subtracted",
}
"""The shipped systems whose scores are fused, with their front ends in words."""

PRETRAINED = {16000: "speech16k"}
"""The pretrained background models by the sample rate in Hz of the features that they know."""

BEST_PRETRAINED = {
    "pretrained_mfcc_raw": "mel cepstra, mean kept",
    "pretrained_mfcc_full": "mel cepstra, mean subtracted",
    "pretrained_lfcc_full": "linear cepstra, mean subtracted",
}
"""The shipped systems on pretrained background models whose scores are fused, with their front ends in words."""

LEAST_TO_ADAPT, LEAST_TO_TRAIN = 10, 20
"""Background speakers from which on pretrained models are adapted to them, and from which on they train their own."""

LEAST_MINUTES = 3.0
"""Minutes of background speech that either takes."""

ADAPTATION = "{method: map, relevance_factor: 16, adapt: [means, weights, variances]}"
"""How a pretrained background model is adapted to a background that is too small for one of its own."""

SHIPPED_COMPONENTS = 256
"""Gaussians of the background models of shipped systems."""

COMPONENTS = ((20.0, 256), (3.0, 64), (0.0, 16))
"""Minutes of background speech, and the Gaussians of its model from so many minutes on; the fewest are a maximum."""

NORMALISATION, SHRINKAGE = "zt", 30
"""How the scores of shipped systems are normalised by the background's speakers."""

FAST_COMPONENTS = 64
"""Gaussians of a background model for a quick look, at most."""

ENOUGH_COHORT = 10
"""With fewer background speakers, scores are not normalised by them."""

FRAMES_PER_GAUSSIAN = 40
"""Frames of training for each Gaussian, about, where they decide."""

MAX_INDEPENDENT = 32
"""Gaussians of a speaker's independent model, at most."""


class Speech(NamedTuple):
    """How much speech there is in a role."""

    n_speakers: int = 0
    seconds: float = 0.0  # of all speakers together
    least: float = 0.0  # of the speaker with least


@dataclass(frozen=True)
class SystemsChoice:
    """The system or systems that suit a corpus."""

    n_components: int  # Gaussians of each background model, or of each speaker's independent model
    why: str  # what is chosen and for how much speech, in one line
    members: tuple[str, ...] = ()  # shipped systems that are fused; none for one system that is written out
    is_independent: bool = False  # whether each speaker has an independent model
    pretrained: str | None = None  # name of the background models that come with the package; None for others
    is_adapted: bool = False  # whether these are adapted to the background
    is_normalised: bool = False  # whether scores are normalised, as those of shipped systems are
    is_linear: bool = False  # whether scoring is the quick linear one


def choose_systems(
    wanted: SystemsName, background: Speech, enrolment: Speech, *, pretrained: str | None = None
) -> SystemsChoice:
    """Choose by what is wanted and by how much speech there is: of the background, or of the enrolment without one.

    `pretrained` names the pretrained models that the recordings fit, if any. These take the place of background models
    where the background has fewer than `LEAST_TO_TRAIN` speakers or `LEAST_MINUTES`; from `LEAST_TO_ADAPT` speakers
    with `LEAST_MINUTES` on, they are adapted to it. Otherwise:

    | wanted        | background                      | systems            | Gaussians                 | scores      |
    |---------------|---------------------------------|--------------------|---------------------------|-------------|
    | best          | `ENOUGH_COHORT` speakers        | `BEST`, fused      | `COMPONENTS`              | normalised  |
    | best          | fewer; if none, the enrolled    | `BEST`, fused      | `COMPONENTS`              | as they are |
    | default       | `ENOUGH_COHORT` speakers        | one                | `COMPONENTS`              | normalised  |
    | default       | fewer speakers                  | one                | `COMPONENTS`              | as they are |
    | fast          | as for default                  | one, linear        | `FAST_COMPONENTS` at most | as there    |
    | default, fast | none                            | independent models | by the shortest enrolment | as they are |
    """
    if pretrained and not has_enough(background, LEAST_TO_TRAIN):
        return _pretrained_systems(wanted, background, enrolment, pretrained)
    if wanted == "best":
        speech, whose = (background, "background") if background.n_speakers else (enrolment, "enrolled")
        size = background_components(speech.seconds)
        is_normalised = speech.n_speakers >= ENOUGH_COHORT
        why = f"systems {join_names([*BEST])}, fused, of {size} Gaussians each"
        why += ("" if is_normalised else ", without normalisation") + f"; {_reason(speech, whose)}"
        why += ", enough for models of their own" if has_enough(background, LEAST_TO_TRAIN) else ""
        return SystemsChoice(size, why, tuple(BEST), is_normalised=is_normalised)
    if not background.n_speakers:
        size = independent_components(100 * enrolment.least)
        why = f"{size} Gaussians for each speaker" + (", as with systems default" if wanted == "fast" else "")
        return SystemsChoice(size, why, is_independent=True)
    is_fast, is_normalised = wanted == "fast", background.n_speakers >= ENOUGH_COHORT
    size = background_components(background.seconds)
    size = min(size, FAST_COMPONENTS) if is_fast else size
    why = f"a background model of {size} Gaussians, speaker models adapted from it"
    why += (", linear scoring" if is_fast else "") + (f", {NORMALISATION.upper()}-norm" if is_normalised else "")
    why += f"; {_reason(background, 'background')}"
    why += ", enough for a model of their own" if has_enough(background, LEAST_TO_TRAIN) else ""
    return SystemsChoice(size, why, is_normalised=is_normalised, is_linear=is_fast)


def has_enough(background: Speech, n_speakers: int) -> bool:
    """Whether a background has so many speakers, with `LEAST_MINUTES`."""
    return background.n_speakers >= n_speakers and background.seconds >= 60 * LEAST_MINUTES


def _pretrained_systems(wanted: SystemsName, background: Speech, enrolment: Speech, pretrained: str) -> SystemsChoice:
    """Choose pretrained models in place of those that the background is too small for."""
    is_adapted = has_enough(background, LEAST_TO_ADAPT)
    is_normalised = background.n_speakers >= ENOUGH_COHORT
    members = tuple(BEST_PRETRAINED) if wanted == "best" else ()
    model, as_shipped = ("models", "as they come") if members else ("model", "as it comes")
    model = f"the pretrained background {model} {pretrained}"
    model += ", adapted to the background" if is_adapted else f" {as_shipped}"
    why = f"systems {join_names(members)}, fused, of {model}" if members else f"{model}, speaker models adapted from it"
    why += f", {NORMALISATION.upper()}-norm" if is_normalised else ""
    why += ", as with systems default" if wanted == "fast" else ""
    if is_adapted:
        own = "models of their own take" if members else "a model of their own takes"
        why += f"; {_reason(background, 'background')}, where {own} {LEAST_TO_TRAIN} speakers"
    elif background.n_speakers:
        least = f"{LEAST_TO_ADAPT} speakers and {LEAST_MINUTES:g} minutes"
        why += f"; {_reason(background, 'background')}, where adapting to them takes {least}"
    else:
        why += f"; {_reason(enrolment, 'enrolled')}"
    return SystemsChoice(
        SHIPPED_COMPONENTS, why, members, pretrained=pretrained, is_adapted=is_adapted, is_normalised=is_normalised
    )


def _reason(speech: Speech, whose: str) -> str:
    """Say how much speech there is, as the reason of a choice."""
    speakers = f"{speech.n_speakers:,} {whose} speaker{'s' * (speech.n_speakers != 1)}"
    return f"chosen for {speakers} with {speech.seconds / 60:.1f} minutes"


def background_components(seconds: float) -> int:
    """Return the number of Gaussians of a background model that so many seconds train: a power of two."""
    size = next(size for minutes, size in COMPONENTS if seconds >= 60 * minutes)
    least_size = COMPONENTS[-1][1]
    return min(size, independent_components(80 * seconds)) if size == least_size else size  # a fifth is no speech


def independent_components(frames: float) -> int:
    """Return the number of Gaussians of a speaker's independent model: a power of two, 1 to `MAX_INDEPENDENT`."""
    return min(MAX_INDEPENDENT, 1 << max(0, int(frames / FRAMES_PER_GAUSSIAN).bit_length() - 1))
