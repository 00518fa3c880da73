"""What augmentation may do to a recording: the effects, each with the range that its values are drawn from."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from speechgmm.configuration import Configuration

Codec = Literal["mp3", "opus", "vorbis", "gsm", "mulaw"]


def _in_order(value: tuple[float, float], info: ValidationInfo) -> tuple[float, float]:
    """Refuse a range that ends before it begins."""
    if value[0] > value[1]:
        raise ValueError(f"{info.field_name} {list(value)}: expected the lower end first")
    return value


def _changed(section: Configuration, *names: str) -> list[str]:
    """List which of some keys are not their defaults."""
    return [name for name in names if getattr(section, name) != type(section).model_fields[name].default]


_FromList = Field(strict=False)  # lists, as YAML and JSON have them
_SNR = Annotated[float, Field(ge=-10, le=60)]
_Exponent = Annotated[float, Field(ge=0, le=2)]
_RT60 = Annotated[float, Field(ge=0.05, le=5)]
_DRR = Annotated[float, Field(ge=-20, le=40)]
_Level = Annotated[float, Field(ge=-60, le=40)]
_Frequency = Annotated[float, Field(ge=0, le=100_000)]
_Band = Annotated[tuple[_Frequency, _Frequency], _FromList]


class NoiseConfig(Configuration):
    """Noise that is added to a recording.

    Parameters
    ----------
    snr_db : [lowest, highest], dB, -10 to 60
        Range of the signal-to-noise ratio: the mean power of the recording over that of the noise.
    colour : [lowest, highest], 0 to 2
        Range of the exponent of noise whose power density falls as 1 / frequency ** exponent above 100 Hz: 0 is white,
        1 is pink, 2 is brown. Has no effect with `folder`.
    folder : str, optional
        A folder of recordings, at any depth, of which pieces are added in place of generated noise. A recording that is
        too short is repeated.
    """

    snr_db: Annotated[tuple[_SNR, _SNR], _FromList, AfterValidator(_in_order)] = (5.0, 30.0)
    colour: Annotated[tuple[_Exponent, _Exponent], _FromList, AfterValidator(_in_order)] = (0.0, 2.0)
    folder: str | None = None

    @model_validator(mode="after")
    def _keys_have_an_effect(self) -> Self:
        """Refuse a colour of noise that is taken from recordings."""
        if self.folder is not None and _changed(self, "colour"):
            raise ValueError("colour is for generated noise, and folder names recordings; expected one of them")
        return self


class ReverbConfig(Configuration):
    """The room that a recording is moved to.

    Parameters
    ----------
    rt60 : [lowest, highest], seconds, 0.05 to 5
        Range of the reverberation time, in which the response decays by 60 dB. Has no effect with `folder`.
    drr_db : [lowest, highest], dB, -20 to 40
        Range of the direct-to-reverberant ratio: the energy of the direct sound over that of all reflections. Has no
        effect with `folder`.
    folder : str, optional
        A folder of measured impulse responses, at any depth, in place of generated ones.
    """

    rt60: Annotated[tuple[_RT60, _RT60], _FromList, AfterValidator(_in_order)] = (0.2, 0.8)
    drr_db: Annotated[tuple[_DRR, _DRR], _FromList, AfterValidator(_in_order)] = (0.0, 10.0)
    folder: str | None = None

    @model_validator(mode="after")
    def _keys_have_an_effect(self) -> Self:
        """Refuse properties of a room whose response is measured."""
        if self.folder is not None and (idle := _changed(self, "rt60", "drr_db")):
            raise ValueError(f"{', '.join(idle)}: folder names impulse responses; expected one or the other")
        return self


class AugmentConfig(Configuration):
    """How copies of recordings are made that sound as if recorded elsewhere.

    An effect that is not given is not applied. The level, if given, changes in every copy. Of the other effects a copy
    has one, and with probability 0.4 one more, and so on. The copies of a recording have the effects in turn: each is
    once among as many copies as there are effects, at least.
    The order is that of a recording: room, noise, level and clipping, band, codec.

    Parameters
    ----------
    copies : int, 1 to 20
        Copies of each recording.
    band : list of [low, high], Hz, 0 to 100000, optional
        Pass bands, of which a copy draws one, such as [300, 3400] for a telephone; 0 leaves out the lower edge. Of
        copies whose band ends below 4 kHz, half pass through a telephone's sample rate, 8 kHz.
    codec : list of "mp3", "opus", "vorbis", "gsm", "mulaw", optional
        Codecs, of which a copy draws one: MP3 at 24 kb/s, Opus at 16 kb/s, Vorbis at about 25 kb/s, GSM full rate at
        8 kHz, and mu-law companding at the recording's own rate.
    noise : section, optional
        Noise: its signal-to-noise ratio, and its colour or recordings of it. ``noise: {}`` takes the defaults.
    reverb : section, optional
        Room: its reverberation time, or measured responses. ``reverb: {}`` takes the defaults.
    level_db : [lowest, highest], dB, -60 to 40, optional
        Range of the gain. Samples beyond full scale are clipped, as a recorder does.
    seed : int >= 0
        Seed of all draws. Those of a copy depend on the seed, the recording's name and the copy's number alone.

    Examples
    --------
    >>> from speechgmm import AugmentConfig
    >>> config = AugmentConfig(band=[[300, 3400]], noise={"snr_db": [5, 30]}, seed=1)
    >>> config.effects
    ('noise', 'band')
    """

    copies: int = Field(2, ge=1, le=20)
    band: Annotated[tuple[_Band, ...], _FromList, Field(min_length=1)] | None = None
    codec: Annotated[tuple[Codec, ...], _FromList, Field(min_length=1)] | None = None
    noise: NoiseConfig | None = None
    reverb: ReverbConfig | None = None
    level_db: Annotated[tuple[_Level, _Level], _FromList, AfterValidator(_in_order)] | None = None
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        """Refuse a section without effects, and bands that pass nothing."""
        if not self.effects:
            raise ValueError("no effect is given; expected one or more of band, codec, noise, reverb, level_db")
        for low, high in self.band or ():
            if low >= high or 0 < low < MIN_LOW_EDGE:
                raise ValueError(
                    f"band [{low:g}, {high:g}]: expected the lower edge first, 0 or at least {MIN_LOW_EDGE:g} Hz"
                )
        return self

    @property
    def effects(self) -> tuple[str, ...]:
        """Names of the effects that are given, in the order in which they are applied."""
        values: dict[str, Any] = {name: getattr(self, name) for name in EFFECTS}
        return tuple(name for name, value in values.items() if value is not None)


EFFECTS = ("reverb", "noise", "level_db", "band", "codec")
"""The effects, in the order in which they are applied: that of a recording."""

MIN_LOW_EDGE = 20.0
"""Lowest lower edge of a band in Hz: filters with lower ones are long."""
