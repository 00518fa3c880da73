"""What ``speechgmm gallery`` prints for programs: one JSON document."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from speechgmm.gallery.gallery import Gallery, Roster
    from speechgmm.gallery.recognition import Answers, Decision, Decisions
    from speechgmm.gallery.segments import Segment
    from speechgmm.gallery.timeline import Timeline
    from speechgmm.scoring.identification import IdentificationConfig


def print_json(data: Mapping[str, Any]) -> None:
    """Print one JSON document; a NaN in it would be a bug."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


def roster_data(gallery: "Gallery", roster: "Roster") -> dict[str, Any]:
    """Convert the enrolled speakers to plain data."""
    speakers = [
        {
            "name": speaker.name,
            "speech_seconds": speaker.speech_seconds,
            "short": gallery.config.decisions.is_short(speaker.speech_seconds),
            "recordings": [
                {key: getattr(recording, key) for key in ("file", "digest", "seconds", "speech_seconds")}
                for recording in speaker.recordings
            ],
        }
        for speaker in roster.speakers
    ]
    return _document(gallery) | {"speakers": speakers, "damaged": _reasons(roster.damaged)}


def answers_data(
    gallery: "Gallery", config: "IdentificationConfig", identified: "Answers", top: int, damaged: Mapping[str, str]
) -> dict[str, Any]:
    """Convert answers, each with its best candidates, to plain data."""
    calibrated = gallery.config.calibrated
    recordings = [
        {
            "file": answer.file,
            "seconds": answer.seconds,
            "speech_seconds": answer.speech_seconds,
            "short": answer.short,
            "decided": answer.decided,
            "answer": answer.name,
            "p_unknown": answer.p_unknown,
            **_if_any(tied=answer.tied, warnings=answer.warnings),
            "candidates": [
                {
                    "name": candidate.name,
                    "score": candidate.llr,
                    "posterior": candidate.posterior if calibrated else None,
                }
                for candidate in answer.candidates[:top]
            ],
        }
        for answer in identified.answers
    ]
    return _document(gallery) | {
        "threshold": config.threshold,
        "prior_unknown": config.p_unknown,
        "recordings": recordings,
        "unusable": _reasons(identified.unusable),
        "damaged": _reasons(damaged),
    }


def decisions_data(gallery: "Gallery", name: str, verified: "Decisions") -> dict[str, Any]:
    """Convert decisions on several recordings to plain data."""
    recordings = [_decision_data(decision) for decision in verified.decisions]
    return _document(gallery) | {
        "speaker": name,
        "recordings": recordings,
        "unusable": _reasons(verified.unusable),
    }


def decision_document(gallery: "Gallery", name: str, decision: "Decision") -> dict[str, Any]:
    """Convert one decision to plain data."""
    return _document(gallery) | {"speaker": name} | _decision_data(decision)


def _decision_data(decision: "Decision") -> dict[str, Any]:
    """Convert a decision to plain data."""
    return {
        "file": decision.file,
        "seconds": decision.seconds,
        "speech_seconds": decision.speech_seconds,
        "short": decision.short,
        "score": decision.verification.score,
        "threshold": decision.verification.threshold,
        "accepted": decision.verification.accepted,
        **_if_any(warnings=decision.warnings),
    }


def segment_facts(
    gallery: "Gallery",
    config: "IdentificationConfig",
    *,
    seconds: float,
    window: float,
    hop: float,
    warnings: Sequence[str],
) -> dict[str, Any]:
    """Collect what the segments of a recording depend on, as plain data."""
    return {
        "duration": seconds,
        **_document(gallery),
        "threshold": config.threshold,
        "prior_unknown": config.p_unknown,
        "window": window,
        "hop": hop,
        **_if_any(warnings=warnings),
    }


def timeline_facts(gallery: "Gallery", timeline: "Timeline", warnings: Sequence[str]) -> dict[str, Any]:
    """Collect what the segments of a timeline depend on, as plain data."""
    return segment_facts(
        gallery,
        timeline.config,
        seconds=float(timeline.edges[-1]),
        window=timeline.window,
        hop=timeline.hop,
        warnings=warnings,
    )


def timeline_data(
    facts: Mapping[str, Any], file: Path, timeline: "Timeline", segments: Sequence["Segment"]
) -> dict[str, Any]:
    """Convert a timeline to plain data, beside its facts."""
    from speechgmm.gallery.segment_files import segment_data
    from speechgmm.gallery.segments import seconds_by_speaker

    spans = timeline.starts.tolist(), timeline.stops.tolist()
    rows = zip(*spans, timeline.answers, timeline.scores.tolist(), timeline.tied, strict=True)
    return {
        **facts,
        "file": str(file),
        "seconds": seconds_by_speaker(segments),
        "segments": [segment_data(segment) for segment in segments],
        "windows": [
            {
                "start": start,
                "end": stop,
                "best": answer,
                "scores": None if answer is None else dict(zip(timeline.names, scores, strict=True)),
                **_if_any(tied=tied),
            }
            for start, stop, answer, scores, tied in rows
        ],
        "damaged": _reasons(timeline.damaged),
    }


def _document(gallery: "Gallery") -> dict[str, Any]:
    """Begin a document with the gallery's folder and the unit of its scores."""
    config = gallery.config
    return {"gallery": str(gallery.folder), "calibrated": config.calibrated, "score_unit": config.score_unit}


def _reasons(reasons: Mapping[str, str]) -> list[dict[str, str]]:
    """Convert the reasons of unusable files to plain data."""
    return [{"file": path, "reason": reason} for path, reason in reasons.items()]


def _if_any(**lists: Sequence[str]) -> dict[str, list[str]]:
    """Convert lists that are not empty to plain data."""
    return {key: list(values) for key, values in lists.items() if values}
