"""Synthetic talkers: the constants of a speaker's voice, and the random utterances that a speaker says.

A talker is drawn once and holds everything that stays the same from one utterance to the next: vocal tract, larynx and
speaking habits. `random_utterance` draws what a talker says: a list of short segments with targets for the tract and
the sources, which `speechgmm.corpus.synthetic.synthesis` turns into sound.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from speechgmm.arrays import Float32Array, Float64Array

Sex = Literal["f", "m"]

# F1-F3 in Hz, men and women: averages of Peterson & Barney (1952), table II.
VOWELS = {
    "iy": ((270, 2290, 3010), (310, 2790, 3310)),
    "ih": ((390, 1990, 2550), (430, 2480, 3070)),
    "eh": ((530, 1840, 2480), (610, 2330, 2990)),
    "ae": ((660, 1720, 2410), (860, 2050, 2850)),
    "aa": ((730, 1090, 2440), (850, 1220, 2810)),
    "ao": ((570, 840, 2410), (590, 920, 2710)),
    "uh": ((440, 1020, 2240), (470, 1160, 2680)),
    "uw": ((300, 870, 2240), (370, 950, 2670)),
    "ah": ((640, 1190, 2390), (760, 1400, 2780)),
    "er": ((490, 1350, 1690), (500, 1640, 1960)),
}


class Consonant(NamedTuple):
    """How a consonant is made; formants and noise are a man's."""

    manner: Literal["nasal", "glide", "fricative", "stop", "breath"]
    formants: tuple[float, float, float]  # Hz
    seconds: float  # typical duration; of the closure, for a stop
    voicing: float  # dB re a vowel's glottal flow
    noise: float  # dB, level of frication or burst
    centre: float  # Hz, where the noise has its peak
    bandwidth: float  # Hz, of that peak
    aspiration: float = 0.0  # seconds from a stop's burst to the voice


SILENT = -np.inf  # dB

# F1-F3, and the place of the noise, after Klatt (1980), table III: /f v th dh p b/ have no peak to speak of (his
# bypass), /s z/ are in his sixth formant, /sh/ in the third, /t d/ in the fifth and sixth, /k g/ in the third.
# /ng/ takes the velar place of /g/. Durations and levels are round figures for fluent speech.
CONSONANTS = {
    "m": Consonant("nasal", (480, 1270, 2130), 0.065, -2, SILENT, 2000, 2000),
    "n": Consonant("nasal", (480, 1340, 2470), 0.065, -2, SILENT, 2000, 2000),
    "ng": Consonant("nasal", (480, 1990, 2850), 0.070, -2, SILENT, 2000, 2000),
    "l": Consonant("glide", (310, 1050, 2880), 0.065, -2, SILENT, 2000, 2000),
    "r": Consonant("glide", (310, 1060, 1380), 0.065, -2, SILENT, 2000, 2000),
    "w": Consonant("glide", (290, 610, 2150), 0.065, -2, SILENT, 2000, 2000),
    "y": Consonant("glide", (260, 2070, 3020), 0.060, -2, SILENT, 2000, 2000),
    "f": Consonant("fricative", (340, 1100, 2080), 0.095, SILENT, -22, 1500, 4000),
    "v": Consonant("fricative", (220, 1100, 2080), 0.060, -6, -30, 1500, 4000),
    "th": Consonant("fricative", (320, 1290, 2540), 0.090, SILENT, -24, 4500, 6000),
    "dh": Consonant("fricative", (270, 1290, 2540), 0.045, -6, -32, 4500, 6000),
    "s": Consonant("fricative", (320, 1390, 2530), 0.110, SILENT, -18, 4900, 1000),
    "z": Consonant("fricative", (240, 1390, 2530), 0.070, -6, -24, 4900, 1000),
    "sh": Consonant("fricative", (300, 1840, 2750), 0.110, SILENT, -18, 2750, 700),
    "p": Consonant("stop", (400, 1100, 2150), 0.070, SILENT, -18, 900, 2000, 0.040),
    "b": Consonant("stop", (200, 1100, 2150), 0.060, -8, -20, 900, 2000),
    "t": Consonant("stop", (400, 1600, 2600), 0.060, SILENT, -14, 4400, 1600, 0.050),
    "d": Consonant("stop", (200, 1600, 2600), 0.050, -8, -18, 4400, 1600),
    "k": Consonant("stop", (300, 1990, 2850), 0.065, SILENT, -16, 2850, 700, 0.060),
    "g": Consonant("stop", (200, 1990, 2850), 0.055, -8, -18, 2850, 700),
    "h": Consonant("breath", (500, 1500, 2500), 0.060, SILENT, SILENT, 2000, 2000),
}
PHONES = (*VOWELS, *CONSONANTS)

SPEED_OF_SOUND = 35_000.0  # cm/s, in the warm and moist air of a vocal tract (Fant 1960)
# cm: 17.5 puts the formants of a uniform tube at 500, 1500, 2500 Hz; women's vowels are about 1.17 times as high.
TRACT_LENGTH: dict[Sex, float] = {"m": 17.5, "f": 15.0}
N_FORMANTS = 26  # enough for 24 kHz in a long tract


@dataclass(frozen=True, eq=False)
class Talker:
    """A synthetic speaker: everything that stays the same from one utterance to the next."""

    sex: Sex  # whose formants and range of pitch the talker was drawn from
    tract_length: float  # cm, from glottis to lips; every resonance is inversely proportional to it
    formants: Float64Array  # (len(PHONES), 3), Hz: the targets of F1-F3 in each phone
    upper_formants: Float64Array  # (N_FORMANTS - 3,), Hz: F4 and above, constant because they move little in speech
    damping: float  # > 0, factor on the bandwidths of all formants
    nasal_pole: float  # Hz, resonance of the nasal tract, cancelled by a zero while the velum is shut
    sibilance: float  # > 0, factor on the frequencies of frication noise
    f0: float  # Hz, mean fundamental frequency
    f0_range: float  # semitones, rise of an accent and fall over a phrase
    open_quotient: float  # 0..1, part of the glottal cycle in which air flows
    rise: float  # 0..1, part of the open phase in which the flow grows
    tilt: float  # Hz, corner above which the voice falls off by a further 6 dB/octave
    jitter: float  # standard deviation of a cycle's length, fraction of 1
    shimmer: float  # standard deviation of a cycle's amplitude, fraction of 1
    breath: float  # turbulence at the open glottis, as a fraction of the flow
    pace: float  # > 0, factor on all durations; below 1 is a fast speaker
    pause: float  # seconds, mean pause between phrases


class Segment(NamedTuple):
    """Targets for a stretch of speech; the articulators glide from one segment's to the next one's."""

    seconds: float
    formants: Float64Array  # (3,), Hz
    damping: float = 1.0  # factor on the bandwidths
    nasal_zero: float = 0.0  # Hz above the nasal pole; 0 is a shut velum
    voicing: float = 0.0  # amplitude of the glottal flow
    aspiration: float = 0.0  # amplitude of noise at the glottis
    frication: float = 0.0  # amplitude of noise at a constriction of the mouth
    centre: float = 2000.0  # Hz, of that noise
    bandwidth: float = 2000.0  # Hz
    pitch: float = 0.0  # semitones above the talker's f0


def _formant_table(sex: Sex) -> Float64Array:
    """Return the average F1-F3 of every phone for one sex: (len(PHONES), 3), Hz."""
    men, women = (np.array([row[k] for row in VOWELS.values()], dtype=float) for k in (0, 1))
    consonants = np.array([consonant.formants for consonant in CONSONANTS.values()], dtype=float)
    if sex == "m":
        return np.concatenate([men, consonants])
    # A tract differs between the sexes in its proportions too, so the ratio of the vowels goes by formant.
    return np.concatenate([women, consonants * np.mean(women / men, axis=0)])


def draw_talker(rng: np.random.Generator, sex: Sex) -> Talker:
    """Draw a talker: tract length and f0 distributed as in adults of that sex, the rest over ranges of normal voices.

    References
    ----------
    Peterson & Barney (1952), JASA 24, table II (formants, f0); Fant (1960), Acoustic Theory of Speech Production;
    Klatt & Klatt (1990), JASA 87 (women: a longer open phase, more tilt and breath; the figures are round ones).
    """
    male = sex == "m"
    length = TRACT_LENGTH[sex] * float(np.exp(0.045 * rng.standard_normal()))
    table = _formant_table(sex) * (TRACT_LENGTH[sex] / length)
    deviation = np.exp(0.02 * rng.standard_normal(3) + 0.03 * rng.standard_normal(table.shape))
    n = np.arange(4.0, N_FORMANTS + 1)
    tube = (2 * n - 1) * SPEED_OF_SOUND / (4 * length)  # Fant (1960): a uniform tube, shut at the glottis
    return Talker(
        sex=sex,
        tract_length=length,
        formants=table * deviation,
        upper_formants=tube * np.exp(0.025 * rng.standard_normal(n.size)),
        damping=rng.uniform(0.9, 1.4),
        nasal_pole=rng.uniform(240, 300) * TRACT_LENGTH["m"] / length,
        sibilance=float(TRACT_LENGTH["m"] / length * np.exp(0.06 * rng.standard_normal())),
        f0=float((132 if male else 223) * np.exp(0.14 * rng.standard_normal())),
        f0_range=rng.uniform(2.0, 5.0),
        open_quotient=rng.uniform(0.45, 0.65) if male else rng.uniform(0.55, 0.75),
        rise=rng.uniform(0.62, 0.78),
        tilt=float(np.exp(rng.uniform(np.log(2500), np.log(8000)))) * (1.0 if male else 0.8),
        jitter=rng.uniform(0.003, 0.010),
        shimmer=rng.uniform(0.02, 0.07),
        breath=float(np.exp(rng.uniform(np.log(0.02), np.log(0.10)))) * (1.0 if male else 1.5),
        pace=rng.uniform(0.85, 1.2),
        pause=rng.uniform(0.15, 0.40),
    )


def bandwidths(frequencies: Float64Array) -> Float64Array:
    """Compute the bandwidths of formants with a shut glottis: full width at half power, Hz."""
    relative = frequencies / 500
    # Fant (1972), STL-QPSR 2-3, eq. 56, of which the last term, radiation, would flatten the highest formants.
    widths: Float64Array = np.minimum(15 / relative**2 + 20 * np.sqrt(relative) + 5 * relative**2, 300.0)
    return widths


def glottal_flow(talker: Talker, phase: Float64Array, rng: np.random.Generator) -> Float32Array:
    """Compute the air flow through a talker's glottis: 0 while it is shut, with a peak of about 1 in each cycle.

    `phase` (n,) is in cycles and rises from 0 or more: the integral of the fundamental frequency.
    """
    n_cycles = int(phase[-1]) + 2
    starts = np.arange(n_cycles) + talker.jitter * rng.standard_normal(n_cycles)
    position = np.interp(phase, starts, np.arange(n_cycles, dtype=np.float64))
    cycle = position.astype(np.intp)
    opened = ((position - cycle) / talker.open_quotient).astype(np.float32)  # 0 to 1 while the glottis is open
    rising = opened / np.float32(talker.rise)
    falling = (opened - np.float32(talker.rise)) / np.float32(1 - talker.rise)
    # Rosenberg (1971), JASA 49, pulse B: 3 t^2 - 2 t^3 on the way up, 1 - t^2 on the way down.
    flow = np.where(rising < 1, rising**2 * (3 - 2 * rising), np.maximum(1 - falling**2, 0))
    amplitudes = 1 + np.float32(talker.shimmer) * rng.standard_normal(n_cycles, dtype=np.float32)
    flow *= amplitudes[cycle]
    return flow


def _amplitude(decibels: float) -> float:
    """Convert dB to an amplitude factor."""
    return float(10 ** (decibels / 20))


def _consonant(
    talker: Talker, name: str, vowel: Float64Array, pitch: float, level: float, stretch: float
) -> Iterator[Segment]:
    """Yield the segments of one consonant next to a vowel (F1-F3 in Hz); level in dB, stretch a factor on durations."""
    phone, formants = CONSONANTS[name], talker.formants[PHONES.index(name)]
    # The tongue is already on its way to the vowel: locus equations (Lindblom 1963), here all with a slope of 0.3.
    target = formants**0.7 * vowel**0.3
    target[0] = formants[0]
    seconds, noise = phone.seconds * stretch, _amplitude(phone.noise + level)
    segment = Segment(
        seconds,
        target,
        voicing=_amplitude(phone.voicing + level),
        centre=phone.centre * talker.sibilance,
        bandwidth=phone.bandwidth * talker.sibilance,
        pitch=pitch,
    )
    match phone.manner:
        case "glide":
            yield segment
        case "nasal":
            yield segment._replace(damping=2.0, nasal_zero=talker.nasal_pole)
        case "fricative":
            yield segment._replace(damping=1.5, frication=noise)
        case "breath":
            yield segment._replace(formants=vowel, damping=2.5, aspiration=_amplitude(level - 24))
        case "stop":
            yield segment._replace(damping=2.0)
            yield segment._replace(seconds=0.010, damping=2.0, voicing=0.0, frication=noise)
            if phone.aspiration:
                yield segment._replace(
                    seconds=phone.aspiration * stretch,
                    formants=vowel**0.7 * target**0.3,
                    damping=2.5,  # the open glottis damps the first formant above all
                    aspiration=_amplitude(level - 26),
                    frication=0.12 * noise,
                )


# Consonants before and after a vowel, and how often each is drawn.
ONSETS = ("", "t", "d", "n", "s", "k", "m", "l", "r", "w", "b", "p", "g", "f", "v", "dh", "h", "sh", "z", "th", "y")
ONSET_WEIGHTS = (10, 9, 7, 7, 7, 6, 6, 6, 6, 5, 5, 5, 4, 4, 3, 6, 5, 2, 2, 1, 3)
CLUSTERS = ("st", "sp", "sk", "pl", "br", "tr", "kr", "fl", "sl", "sn")
CODAS = ("n", "t", "s", "d", "l", "z", "m", "k", "ng", "v", "f", "p", "sh", "th")
CODA_WEIGHTS = (14, 11, 9, 8, 8, 7, 6, 5, 4, 3, 2, 3, 1, 1)


def _choose(rng: np.random.Generator, names: tuple[str, ...], weights: tuple[int, ...]) -> str:
    """Draw one of the names with probabilities in proportion to the weights."""
    edges = np.cumsum(weights)
    return names[int(np.searchsorted(edges, rng.uniform(0, edges[-1]), side="right"))]


def _syllable(
    talker: Talker, rng: np.random.Generator, pitch: float, level: float, stretch: float
) -> Iterator[Segment]:
    """Yield the segments of one syllable: onset, vowel and sometimes a coda."""
    name = tuple(VOWELS)[rng.integers(len(VOWELS))]
    vowel = talker.formants[PHONES.index(name)] * np.exp(0.04 * rng.standard_normal(3))  # no two vowels are the same
    cluster = rng.random() < 0.1
    onset = tuple(CLUSTERS[rng.integers(len(CLUSTERS))]) if cluster else (_choose(rng, ONSETS, ONSET_WEIGHTS),)
    coda = _choose(rng, CODAS, CODA_WEIGHTS) if rng.random() < 0.4 else ""
    for consonant in onset:
        if consonant:
            yield from _consonant(talker, consonant, vowel, pitch, level, stretch * rng.uniform(0.8, 1.2))
    yield Segment(
        0.100 * stretch * rng.uniform(0.8, 1.3),
        vowel,
        nasal_zero=0.25 * talker.nasal_pole * (coda in ("m", "n", "ng")),  # the velum opens early
        voicing=_amplitude(level),
        pitch=pitch,
    )
    if coda:
        yield from _consonant(talker, coda, vowel, pitch, level - 3, stretch * rng.uniform(0.8, 1.2))


def _pause(talker: Talker, seconds: float) -> Segment:
    """Return a silent segment, with the tract as a uniform tube."""
    return Segment(seconds, np.array([1.0, 3.0, 5.0]) * SPEED_OF_SOUND / (4 * talker.tract_length))


def random_utterance(talker: Talker, seconds: float, rng: np.random.Generator) -> list[Segment]:
    """Draw an utterance: phrases of random syllables with a melody, and pauses between them.

    The durations add up to `seconds`, at least 0.7; the first and the last segment are pauses.
    """
    segments = [_pause(talker, rng.uniform(0.15, 0.30))]
    total, last = segments[0].seconds, rng.uniform(0.15, 0.30)
    mood = 0.8 * rng.standard_normal()  # semitones: a speaker's mean pitch varies from one utterance to the next
    while total + last < seconds:
        n_syllables = int(rng.integers(4, 11))
        for k in range(n_syllables):
            stressed, position = rng.random() < 0.4, k / n_syllables
            accent = stressed * rng.uniform(0.5, 1.2) + 0.5 - position + 0.15 * rng.standard_normal()
            level = (0.0 if stressed else -3.0) - 4.0 * position + rng.standard_normal()
            stretch = talker.pace * (1.15 if stressed else 0.8) * (1.35 if k == n_syllables - 1 else 1.0)
            syllable = list(_syllable(talker, rng, mood + talker.f0_range * accent, level, stretch))
            segments += syllable
            total += sum(segment.seconds for segment in syllable)
            if total + last >= seconds:
                break
        else:
            segments.append(_pause(talker, talker.pause * rng.uniform(0.5, 1.8)))
            total += segments[-1].seconds
    segments.append(_pause(talker, last))
    squeeze = seconds / (total + last)  # at most one syllable, or pause, too many
    return [segment._replace(seconds=segment.seconds * squeeze) for segment in segments]
