"""The conditions that models have seen, and in what a recording is unlike all of them."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from speechgmm.audio.condition import USUAL_SHARE, Condition, Usual, compared_values, margin_of, usual_condition


class _Words(NamedTuple):
    """How sentences call a measure."""

    aspect: str
    found: str  # what a recording has
    form: Callable[[float], str]
    unit: str
    advice: str


BETTER_CHANNEL: Final = "compare it with recordings of the same channel, or record with the whole band"

NOISY: Final = 16.0
"""Ratio in dB below which noise hides fades."""

WORDS: Final[Mapping[str, _Words]] = {
    "low": _Words("band", "sound begins at", "{:,.0f}".format, " Hz", BETTER_CHANNEL),
    "high": _Words("band", "sound ends at", "{:,.0f}".format, " Hz", BETTER_CHANNEL),
    "level": _Words("level", "speech at", "{:.0f}".format, " dB of full scale", "adjust the recording level"),
    "snr": _Words("noise", "SNR", "{:.0f}".format, " dB", "record closer to the microphone, or in a quieter place"),
    "clipped": _Words(
        "clipping", "clipped samples", lambda share: f"{100 * share:.1f}", " %", "record at a lower level"
    ),
    "decay": _Words(
        "reverberation", "sound fades in", "{:.2f}".format, " s", "record closer to the microphone, or in a damped room"
    ),
    "holes": _Words(
        "codec", "silent bands", lambda share: f"{100 * share:.1f}", " %", "use the recording before compression"
    ),
}


@dataclass(frozen=True)
class SeenConditions:
    """A summary of the recordings that models were made from: each measure's median and range of nine in ten."""

    sample_rate: int  # at which they were measured, in Hz
    n_recordings: int
    measures: Mapping[str, Usual]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data, which `from_json` reads."""
        ranges = {
            name: {"median": usual.median, "least": usual.least, "most": usual.most}
            for name, usual in self.measures.items()
        }
        return {"sample_rate": self.sample_rate, "n_recordings": self.n_recordings, "measures": ranges}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "SeenConditions":
        """Read what `to_json` returned; measures that this version does not know are left out.

        Raises KeyError, TypeError or ValueError for other data.
        """
        measures = {}
        for name in WORDS.keys() & data["measures"].keys():
            median, least, most = (float(data["measures"][name][key]) for key in ("median", "least", "most"))
            if not least <= median <= most:
                raise ValueError(f"{name}: median {median:g} outside {least:g} to {most:g}")
            measures[name] = Usual(median, least, most, margin_of(name, median))
        return cls(
            int(data["sample_rate"]), int(data["n_recordings"]), {name: measures[name] for name in sorted(measures)}
        )


def summarise(conditions: Collection[Condition], sample_rate: int, beyond: float = USUAL_SHARE) -> SeenConditions:
    """Summarise the conditions of recordings, one or more, that were measured at a sample rate in Hz.

    At either end, the share `beyond` of the recordings is outside the range of a measure.
    """
    measures = usual_condition(conditions, beyond)
    return SeenConditions(sample_rate, len(conditions), {name: measures[name] for name in sorted(measures)})


def distances(condition: Condition, seen: SeenConditions) -> dict[str, float]:
    """Compute how far each measure is outside the range that was seen, in differences that matter; 0 inside it.

    A measure with more than 1 is far from what was seen. Measures that either side lacks are left out.
    """
    values, known = compared_values(condition), seen.measures
    far = {name: known[name].excess(values[name]) for name in WORDS if name in values and name in known}
    if far.get("snr", 0) > 1 and condition.snr < NOISY:
        far.pop("decay", None)  # noise hides the fast fades
    return far


def distance(condition: Condition, seen: SeenConditions) -> float:
    """Return the greatest of the `distances`; with more than 1, the recording is far from anything seen."""
    return max(distances(condition, seen).values(), default=0.0)


def unlike(condition: Condition, seen: SeenConditions) -> tuple[str, ...]:
    """List in what a recording is far from what was seen: what was found, what was seen, and what to do."""
    return tuple(unlike_by_aspect(condition, seen).values())


def unlike_by_aspect(condition: Condition, seen: SeenConditions) -> dict[str, str]:
    """Return the sentences of `unlike` by their aspects, such as "noise"."""
    values = compared_values(condition)
    sentences: dict[str, str] = {}
    for name, far in distances(condition, seen).items():
        words, usual = WORDS[name], seen.measures[name]
        if far > 1:
            found = f"{words.aspect}: {words.found} {words.form(values[name])}{words.unit}"
            known = f"the models know {_range(words, usual)}{words.unit}"
            sentences[words.aspect] = f"{found}; {known}; {words.advice}"
    return sentences


def _range(words: _Words, usual: Usual) -> str:
    """Format the range that was seen."""
    least, most = words.form(usual.least), words.form(usual.most)
    return least if least == most else f"{least} to {most}"
