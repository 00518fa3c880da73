"""A page of who speaks when, with a player: one file that refers to the recording by a relative path."""

import os
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from speechgmm.audio.reading import audio_file
from speechgmm.errors import GalleryError
from speechgmm.evaluation.plots.style import COLOURS
from speechgmm.evaluation.report.page import write_page
from speechgmm.gallery.segments import Segment, clock, seconds_by_speaker
from speechgmm.gallery.speakers import UNKNOWN

GREY: Final = "#808a91"
"""Colour of an unknown speaker's segments."""


def write_timeline_page(
    page: Path,
    segments: Sequence[Segment],
    recording: Path,
    seconds: float,
    *,
    score_meaning: str = "",
) -> None:
    """Write the page of a recording of this length; `score_meaning` says what scores are, where segments have them.

    The page plays the recording where it lies relative to the page. A recording in an archive, or on another drive,
    raises a GalleryError.
    """
    write_page(page, render_timeline_page(segments, link_to(recording, page), recording.name, seconds, score_meaning))


def link_to(recording: Path, page: Path) -> str:
    """Return the relative address of a recording for a page."""
    if audio_file(str(recording)) != recording:
        raise GalleryError(f"{recording}: in an archive, which a page cannot play; expected an audio file")
    try:
        path = os.path.relpath(recording, page.parent)
    except ValueError as error:
        raise GalleryError(f"{page}: on another drive than {recording}; expected a page on the same one") from error
    return quote(os.fsencode(path.replace(os.sep, "/")))


def render_timeline_page(
    segments: Sequence[Segment], source: str, title: str, seconds: float, score_meaning: str = ""
) -> str:
    """Render the page as an HTML document, in which everything is escaped; `source` is the recording's address."""
    script = (files("speechgmm.gallery") / "templates" / "timeline.js").read_text(encoding="utf-8")
    totals = seconds_by_speaker(segments)
    speakers = sorted(totals, key=lambda name: name == UNKNOWN)  # the longest first, unknown last
    colours = {name: GREY if name == UNKNOWN else COLOURS[row % len(COLOURS)] for row, name in enumerate(speakers)}
    shown = [_shown(number, segment, colours, seconds) for number, segment in enumerate(segments)]
    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader("speechgmm", "gallery/templates"), PackageLoader("speechgmm", "evaluation/report/templates")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("timeline.html.j2").render(
        title=title,
        length=clock(seconds),
        seconds=seconds,
        source=source,
        who=_who(speakers),
        rows=[
            {
                "name": name,
                "colour": colours[name],
                "total": clock(totals[name]),
                "share": f"{totals[name] / seconds:.0%}",
                "bars": [each for each in shown if each["name"] == name],
            }
            for name in speakers
        ],
        segments=shown,
        has_scores=any(segment.score is not None for segment in segments),
        has_posteriors=any(segment.posterior is not None for segment in segments),
        score_meaning=score_meaning,
        script=Markup(script),  # of this package: only its digest may run
        script_digest=b64encode(sha256(script.encode()).digest()).decode(),
    )


def _who(speakers: Sequence[str]) -> str:
    """Say who speaks."""
    n = len(speakers) - (UNKNOWN in speakers)
    known = [f"{n} speaker{'s' * (n > 1)}"] * (n > 0)
    return " and ".join([*known, *(["unknown ones" if n else "unknown speakers"] * (UNKNOWN in speakers))])


def _shown(number: int, segment: Segment, colours: dict[str, str], seconds: float) -> dict[str, Any]:
    """Format a segment for the page."""
    start, stop, speaker, score, posterior = segment
    return {
        "number": number,
        "name": speaker,
        "colour": colours[speaker],
        "start": clock(start, 1),
        "stop": clock(stop, 1),
        "seconds": (f"{start:.3f}", f"{stop:.3f}"),
        "length": f"{stop - start:.1f}",
        "left": f"{100 * start / seconds:.4f}",
        "width": f"{100 * (stop - start) / seconds:.4f}",
        "score": "" if score is None else f"{score:+.2f}",
        "posterior": "" if posterior is None else f"{posterior:.0%}",
    }
