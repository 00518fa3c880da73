"""The files of ``speechgmm gallery timeline``: which are asked for, and writing them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechgmm.errors import GalleryError

if TYPE_CHECKING:
    from speechgmm.audio.reading import Channel
    from speechgmm.gallery.segments import Segment
    from speechgmm.gallery.timeline import Timeline


@dataclass(frozen=True)
class TimelineFiles:
    """The files to write, by what they hold."""

    segments: Sequence[Path]
    plots: Sequence[Path]
    pages: Sequence[Path]
    windows: Sequence[Path]

    @property
    def by_content(self) -> dict[str, Sequence[Path]]:
        """The files, by the words for what they hold."""
        return {"segments": self.segments, "plot": self.plots, "page": self.pages, "windows": self.windows}

    def check(self, recording: Path, names: Sequence[str]) -> None:
        """Refuse, before anything is read, what could not be written in the end."""
        from speechgmm.gallery.segment_files import rttm_names
        from speechgmm.gallery.timeline_page import link_to

        if any(path.suffix.lower() == ".rttm" for path in self.segments):
            rttm_names(names)
        for page in self.pages:
            link_to(recording, page)
        for path in self.all_paths:
            if path.absolute() == recording.absolute():
                raise GalleryError(f"{path}: the recording itself; expected another file to write")
            if self.all_paths.count(path) > 1:
                raise GalleryError(f"{path}: given twice; expected different files to write")

    def write(
        self,
        recording: Path,
        timeline: "Timeline",
        segments: Sequence["Segment"],
        facts: Mapping[str, Any],
        channel: "Channel",
    ) -> None:
        """Write all files; `facts` are for JSON, and the waveform is drawn of one channel."""
        from speechgmm.gallery.timeline import write_table

        for path in self.windows:
            write_table(path, timeline)
        meaning = f"mean {timeline.quantity} of the speaker ({timeline.unit})"
        self.write_segments(
            recording, segments, float(timeline.edges[-1]), timeline.names, facts, channel, score_meaning=meaning
        )

    def write_segments(
        self,
        recording: Path,
        segments: Sequence["Segment"],
        seconds: float,
        names: Sequence[str],
        facts: Mapping[str, Any],
        channel: "Channel",
        *,
        score_meaning: str = "",
    ) -> None:
        """Write what is made of segments alone: tables, plots and pages; `names` are the speakers'."""
        from speechgmm.gallery.segment_files import write_segments
        from speechgmm.gallery.timeline_page import write_timeline_page
        from speechgmm.gallery.timeline_plot import draw_timeline, read_envelope

        for path in self.segments:
            write_segments(path, segments, recording, facts)
        if self.plots:
            waveform = read_envelope(recording, seconds, channel=channel)
            for path in self.plots:
                draw_timeline(path, segments, names, waveform, recording.name)
        for path in self.pages:
            write_timeline_page(path, segments, recording, seconds, score_meaning=score_meaning)

    @property
    def all_paths(self) -> tuple[Path, ...]:
        """All files."""
        return tuple(path for paths in self.by_content.values() for path in paths)


def choose_files(recording: Path, out: Sequence[Path], html: Path | None, windows: Path | None) -> TimelineFiles:
    """Sort the files to write by what they hold; without any, choose a table and a plot."""
    from speechgmm.gallery.segment_files import SUFFIXES
    from speechgmm.gallery.timeline_plot import PLOT_SUFFIXES

    if not (out or html or windows):
        out = [Path(f"{recording.stem}.timeline{suffix}") for suffix in (".csv", ".png")]
    for path in out:
        if path.suffix.lower() not in SUFFIXES + PLOT_SUFFIXES:
            raise GalleryError(
                f"{path}: suffix {path.suffix!r}; expected {', '.join(SUFFIXES)} for segments or "
                f"{', '.join(PLOT_SUFFIXES)} for a plot (--html writes a page, --windows a table of windows)"
            )
    for other, suffix in ((html, ".html"), (windows, ".csv")):
        if other is not None and other.suffix.lower() != suffix:
            raise GalleryError(f"{other}: suffix {other.suffix!r}; expected {suffix}")
    return TimelineFiles(
        segments=[path for path in out if path.suffix.lower() in SUFFIXES],
        plots=[path for path in out if path.suffix.lower() in PLOT_SUFFIXES],
        pages=[] if html is None else [html],
        windows=[] if windows is None else [windows],
    )
