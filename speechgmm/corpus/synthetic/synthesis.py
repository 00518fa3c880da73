"""Speech of the synthetic talkers: seeded source-filter synthesis, so that everything runs without a download.

`draw_talker` draws a speaker, `random_utterance` what the speaker says, `articulate` turns that into sound,
`draw_session` draws a microphone in a room, and `record` applies the session to the sound. To a front end and a model
the result is speech, with harmonics, formants, frication, bursts, pauses and noise; to a listener it is nonsense. How
hard the speakers are to distinguish depends on the spread of talkers and sessions.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.fft
from pydantic import Field
from scipy.ndimage import convolve1d
from scipy.signal import firwin2, lfilter, oaconvolve

from speechgmm.arrays import Float32Array, Float64Array
from speechgmm.configuration import Configuration
from speechgmm.corpus.synthetic.talkers import (
    Segment,
    Sex,
    Talker,
    bandwidths,
    draw_talker,
    glottal_flow,
    random_utterance,
)

Role = Literal["background", "enrol", "test"]
ROLES: tuple[Role, ...] = ("background", "enrol", "test")

HOP = 0.010  # seconds from one setting of the tract to the next; neighbours are cross-faded
RINGING = 6  # hops that a block lasts with what rings on: after its 2, the 4 that damp 50 Hz of bandwidth by 54 dB
GLIDES = {"formants": 0.10, "damping": 0.04, "nasal_zero": 0.05, "pitch": 0.18}  # seconds from target to target
N_TAPS = 255  # of a microphone's filter: its response is that fine, sample_rate / N_TAPS Hz
RESPONSE_BAND = (100.0, 8000.0)  # Hz, in which microphones differ


class SyntheticConfig(Configuration):
    """The synthetic talkers: how much synthetic speech, by how many speakers, from which seed.

    More speakers or utterances do not change the samples of the others. A speaker enrols in one session and is tested
    in others, each with its own microphone, level and noise.

    Parameters
    ----------
    kind : "synthetic"
        The kind of corpus.
    seed : int, 0 to 2**32 - 1
        Seed of the speakers and of everything that they say.
    sample_rate : int, 8000 to 48000, Hz
        Sample rate of all utterances.
    n_speakers : int >= 2
        Enrolled speakers, women and men in turn, a woman first.
    n_background : int >= 1
        Other speakers for the background model, also women and men in turn.
    n_background_utterances, n_enrol, n_test : int >= 1
        Utterances of each background speaker, and of each enrolled speaker for enrolment and for test.
    seconds : float >= 1, seconds
        Mean length of an utterance; lengths are uniform from 0.7 to 1.3 times that.
    """

    kind: Literal["synthetic"] = "synthetic"
    seed: int = Field(0, ge=0, lt=2**32)
    sample_rate: int = Field(16000, ge=8000, le=48000)
    n_speakers: int = Field(20, ge=2)
    n_background: int = Field(20, ge=1)
    n_background_utterances: int = Field(8, ge=1)
    n_enrol: int = Field(4, ge=1)
    n_test: int = Field(6, ge=1)
    seconds: float = Field(5.0, ge=1)


@dataclass(frozen=True)
class SyntheticUtterance:
    """One utterance to be rendered."""

    id: str  # unique, and safe as a file name
    speaker: str  # background speakers are never enrolled
    sex: Sex
    role: Role
    speaker_number: int  # from 0, among the enrolled or the background speakers
    number: int  # from 0, among the speaker's utterances in this role


@dataclass(frozen=True)
class Session:
    """A recording session: microphone, level and noise."""

    response: tuple[float, ...]  # dB, amplitudes of cosines of 1, 2, ... half periods over log RESPONSE_BAND
    low_cut: float  # > 0, Hz: corner below which the microphone falls off by 12 dB/octave
    level: float  # <= 0, dB re full scale: rms of unit-level speech before the microphone's response
    noise: float  # <= 0, dB re full scale: rms of the noise floor
    noise_slope: float  # dB/octave, slope of the noise floor's spectrum


def plan(config: SyntheticConfig) -> tuple[SyntheticUtterance, ...]:
    """List all utterances of the corpus: background, enrolment, test, each by speaker and number."""
    counts = {
        "background": (config.n_background, config.n_background_utterances),
        "enrol": (config.n_speakers, config.n_enrol),
        "test": (config.n_speakers, config.n_test),
    }
    return tuple(
        _utterance(role, speaker_number, number)
        for role in ROLES
        for speaker_number in range(counts[role][0])
        for number in range(counts[role][1])
    )


def _utterance(role: Role, speaker_number: int, number: int) -> SyntheticUtterance:
    """Return an utterance with its name: f001-enrol-02, or bg-f001-02 for the background."""
    sex: Sex = "m" if speaker_number % 2 else "f"
    speaker = f"{'bg-' if role == 'background' else ''}{sex}{speaker_number + 1:03d}"
    part = "" if role == "background" else f"{role}-"
    return SyntheticUtterance(f"{speaker}-{part}{number + 1:02d}", speaker, sex, role, speaker_number, number)


def render(config: SyntheticConfig, utterance: SyntheticUtterance) -> Float32Array:
    """Synthesise one utterance of `plan`; it depends on no other, and on the config's seed, rate and length only.

    Returns mono samples (n,) within -1..1, never clipped; n / sample_rate is 0.7 to 1.3 times ``config.seconds``.
    """
    role, speaker = ROLES.index(utterance.role), utterance.speaker_number
    session_number = 0 if utterance.role == "enrol" else utterance.number
    talker = draw_talker(_generator(config.seed, 0, min(role, 1), speaker, 0), utterance.sex)  # enrol and test share it
    session = draw_session(_generator(config.seed, 1, role, speaker, session_number))
    rng = _generator(config.seed, 2, role, speaker, utterance.number)
    speech = utter(talker, config.seconds * rng.uniform(0.7, 1.3), config.sample_rate, rng)
    return record(session, speech, config.sample_rate, rng)


def _generator(*key: int) -> np.random.Generator:
    """Return the generator of a key, always of five numbers: a seed sequence reads missing numbers as zeros."""
    return np.random.default_rng(np.random.SeedSequence(key))


def draw_session(rng: np.random.Generator) -> Session:
    """Draw a session: a response of a few dB, speech at -34 to -22 dB re full scale, 26 to 42 dB above the noise."""
    level = rng.uniform(-34.0, -22.0)
    response = 2.8 * rng.standard_normal(6) / np.sqrt(np.arange(1, 7))
    return Session(
        response=tuple(response.tolist()),
        low_cut=rng.uniform(50.0, 150.0),
        level=level,
        noise=level - rng.uniform(26.0, 42.0),
        noise_slope=rng.uniform(-8.0, -4.0),
    )


def record(session: Session, speech: Float32Array, sample_rate: int, rng: np.random.Generator) -> Float32Array:
    """Apply a session to unit-level speech (n,): microphone, level and noise.

    Returns samples (n,) within -1..1; if a peak would exceed that, speech and noise are attenuated together.
    """
    frequencies = np.linspace(0, sample_rate / 2, N_TAPS)
    low, high = np.log(RESPONSE_BAND)
    position = (np.log(np.clip(frequencies, *RESPONSE_BAND)) - low) / (high - low)
    half_periods = np.arange(1, len(session.response) + 1)[:, None]
    decibels = np.sum(np.array(session.response)[:, None] * np.cos(np.pi * half_periods * position), axis=0)
    cut = frequencies**2 / (frequencies**2 + session.low_cut**2)
    recorded = _filter(speech, 10 ** ((session.level + decibels) / 20) * cut)
    colour = 10 ** (session.noise_slope * np.log2(np.maximum(frequencies, 50.0)) / 20)
    noise = _filter(rng.standard_normal(len(speech), dtype=np.float32), colour)
    recorded += noise * np.float32(10 ** (session.noise / 20) / np.sqrt(np.mean(noise**2)))
    recorded /= np.float32(max(1.0, np.max(np.abs(recorded)) / 0.99))
    return recorded


def _filter(samples: Float32Array, gains: Float64Array) -> Float32Array:
    """Filter with the gains at evenly spaced frequencies from 0 to half the rate, without delay."""
    taps = firwin2(N_TAPS, np.linspace(0, 1, len(gains)), gains).astype(np.float32)
    filtered: Float32Array = oaconvolve(samples, taps, mode="same")
    return filtered


def utter(talker: Talker, seconds: float, sample_rate: int, rng: np.random.Generator) -> Float32Array:
    """Synthesise a random utterance of a talker: unit-level speech (round(seconds * sample_rate),) with pauses."""
    return articulate(talker, random_utterance(talker, seconds, rng), sample_rate, rng)


def articulate(talker: Talker, segments: list[Segment], sample_rate: int, rng: np.random.Generator) -> Float32Array:
    """Turn segments into sound: sources, and a tract that glides from target to target.

    There are at least two segments, and one that is not silent. Returns samples (n,) as long as the segments together,
    with a root mean square of 1 where there is a source.
    """
    # As in Klatt (1980), JASA 67: a cascade of formants for voicing and aspiration, with frication in parallel.
    column = {name: np.array(values) for name, values in zip(Segment._fields, zip(*segments, strict=True), strict=True)}
    ends = np.cumsum(column["seconds"])
    n, hop = round(ends[-1] * sample_rate), round(HOP * sample_rate)
    # Block k is centred on sample k * hop, and has the targets of the segment there.
    times, block_times = np.arange(n) / sample_rate, np.arange(n // hop + 2) * hop / sample_rate
    segment_of = np.minimum(np.searchsorted(ends, block_times), len(segments) - 1)
    formants, damping, nasal_zero, pitch = (
        _glide(column[name][segment_of], seconds) for name, seconds in GLIDES.items()
    )
    voicing, aspiration, frication = (
        _ramp(column[name], column["seconds"], times) for name in ("voicing", "aspiration", "frication")
    )
    per_hertz = np.float32(np.sqrt(sample_rate / 16000))  # the same noise in a band, whatever the rate
    f0 = np.interp(times, block_times, talker.f0 * 2 ** (pitch / 12))
    flow = voicing * glottal_flow(talker, np.cumsum(f0) / sample_rate, rng)
    turbulence = per_hertz * rng.standard_normal(n, dtype=np.float32) * (aspiration + np.float32(talker.breath) * flow)
    source = _radiated(flow, talker.tilt, sample_rate) + turbulence
    speech = _through_tract(talker, source, formants, damping, nasal_zero, sample_rate)
    hiss = _hiss(column["centre"][segment_of], column["bandwidth"][segment_of], sample_rate, rng)
    speech += per_hertz * frication * hiss[:n]
    sounding = voicing + aspiration + frication > 0
    speech /= np.sqrt(np.mean(speech[sounding] ** 2))
    return speech


def _glide(targets: Float64Array, seconds: float) -> Float64Array:
    """Smooth targets, one value or row for each block, over a time."""
    window = np.hanning(round(seconds / HOP) + 2)[1:-1]
    glided: Float64Array = convolve1d(targets, window / window.sum(), axis=0, mode="nearest")
    return glided


def _ramp(amplitudes: Float64Array, seconds: Float64Array, times: Float64Array) -> Float32Array:
    """Hold each segment's amplitude, with a ramp of up to 24 ms, for a burst of 5 ms, across each border."""
    borders = np.cumsum(seconds)[:-1]
    half = np.minimum(0.012, 0.25 * np.minimum(seconds[:-1], seconds[1:]))
    knots = np.stack([borders - half, borders + half], axis=1).reshape(-1)
    return np.interp(times, knots, np.repeat(amplitudes, 2)[1:-1]).astype(np.float32)


def _radiated(flow: Float32Array, tilt: float, sample_rate: int) -> Float32Array:
    """Differentiate the flow, as the lips do (Klatt 1980, radiation), with the softer closure of a real glottis."""
    # The return phase of the LF model is a first-order low-pass (Fant, Liljencrants & Lin 1985).
    pole = np.exp(-2 * np.pi * tilt / sample_rate)
    numerator = np.array([1, -1], np.float32) * np.float32((1 - pole) * sample_rate / 1000)  # per millisecond
    radiated: Float32Array = lfilter(numerator, np.array([1, -pole], np.float32), flow)
    return radiated


def _resonators(frequencies: Float64Array, widths: Float64Array, sample_rate: int) -> Float64Array:
    """Compute the denominators (..., 3) of resonators with unit gain at 0 Hz (Klatt 1980, eq. 2)."""
    c = -np.exp(-2 * np.pi * widths / sample_rate)
    b = 2 * np.exp(-np.pi * widths / sample_rate) * np.cos(2 * np.pi * frequencies / sample_rate)
    denominators: Float64Array = np.stack([np.ones_like(b), -b, -c], axis=-1) / (1 - b - c)[..., None]
    return denominators


def _product(p: Float64Array, q: Float64Array) -> Float64Array:
    """Multiply polynomials (B, N) and (B, M), row by row."""
    product = np.zeros((len(p), p.shape[1] + q.shape[1] - 1))
    for k in range(q.shape[1]):
        product[:, k : k + p.shape[1]] += p * q[:, k : k + 1]
    return product


def _through_tract(
    talker: Talker,
    source: Float32Array,
    formants: Float64Array,
    damping: Float64Array,
    nasal_zero: Float64Array,
    sample_rate: int,
) -> Float32Array:
    """Filter with a moving tract: F1-F3 (B, 3), damping (B,) and nasal zero (B,) at block centres.

    Each block is filtered on its own, in the frequency domain, and the results overlap and add: the tract is
    cross-faded from block to block, all blocks are done at once, and no filter state meets new coefficients.
    """
    hop, top = round(HOP * sample_rate), 0.475 * sample_rate  # formants above the band are left out
    n_fft, moving = RINGING * hop, np.minimum(formants, top)
    resonators = _resonators(moving, bandwidths(moving) * (talker.damping * damping)[:, None], sample_rate)
    poles = _product(_product(resonators[:, 0], resonators[:, 1]), resonators[:, 2])
    still = np.append(talker.upper_formants[talker.upper_formants < top], talker.nasal_pole)
    widths = bandwidths(still) * talker.damping
    zeros = _resonators(talker.nasal_pole + nasal_zero, np.full_like(nasal_zero, widths[-1]), sample_rate)
    window = np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop)).astype(np.float32) ** 2
    padded = np.zeros((len(formants) + 1) * hop, np.float32)
    padded[hop : hop + len(source)] = source
    blocks = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[::hop] * window
    spectra = scipy.fft.rfft(blocks, n_fft)
    spectra *= scipy.fft.rfft(zeros.astype(np.float32), n_fft)
    spectra /= scipy.fft.rfft(poles, n_fft).astype(np.complex64)  # in double precision: the terms all but cancel
    spectra /= np.prod(scipy.fft.rfft(_resonators(still, widths, sample_rate), n_fft), axis=0).astype(np.complex64)
    ringing = scipy.fft.irfft(spectra, n_fft).reshape(-1, RINGING, hop)
    out = np.zeros((len(ringing) + RINGING - 1, hop), np.float32)
    for k in range(RINGING):
        out[k : k + len(ringing)] += ringing[:, k]
    return out.reshape(-1)[hop : hop + len(source)]


def _hiss(centres: Float64Array, widths: Float64Array, sample_rate: int, rng: np.random.Generator) -> Float32Array:
    """Compute the noise of a constriction from its peak (B,) and the peak's width (B,) at block centres, in Hz.

    The cavity before the constriction resonates, and little is radiated below: a second-order high-pass.
    """
    hop = round(HOP * sample_rate)
    ratio = np.linspace(0, sample_rate / 2, hop + 1) / centres[:, None]
    shape = ratio**2 / np.hypot(1 - ratio**2, ratio * (widths / centres)[:, None])
    spectra = rng.standard_normal((len(centres), 2 * (hop + 1)), dtype=np.float32).view(np.complex64)
    # Sine windows: the blocks are independent, so it is their powers that must add up to 1.
    window = np.sqrt(hop) * np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop))
    blocks = scipy.fft.irfft(spectra * shape.astype(np.float32)) * window.astype(np.float32)
    noise: Float32Array = (blocks[1:, :hop] + blocks[:-1, hop:]).reshape(-1)
    return noise
