"""Outputs of stages on disk, each under the digest of what it depends on."""

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import JsonValue

from speechgmm.configuration import fingerprint
from speechgmm.files import WRITING, file_digest
from speechgmm.recipe.cache.memory import forget_peak, peak_memory
from speechgmm.version import versions

logger = logging.getLogger(__name__)

STAGE_FILE = "stage.json"
"""The metadata in a stage's folder: its inputs, what made it, how, and the digests of its files and of the metadata."""

RUNNING, UNFINISHED = ".running-", ".unfinished-"
"""What stands before a digest: the folder that a stage is writing, and the one that it may resume from."""

LOCKS = ".locks"
"""The folder of the outputs' locks."""


@dataclass(frozen=True)
class StageKey:
    """What the output of a stage depends on: another key is another output."""

    stage: str  # one of `speechgmm.recipe.stages.context.STAGES`
    version: int  # of the stage's code and files
    inputs: dict[str, JsonValue]  # by names that users read where `show` explains why a stage would run

    @cached_property
    def digest(self) -> str:
        """The digest under which the output is stored."""
        return fingerprint({"stage": self.stage, "version": self.version, "inputs": self.inputs})


@dataclass(frozen=True)
class StageOutput:
    """What a stage left behind."""

    title: str  # the stage, and which of its outputs in an experiment
    folder: Path
    digest: str  # of its key
    reused: bool  # whether it was stored already
    metadata: dict[str, Any]  # of its stage.json: made_at, seconds, peak_memory (bytes) and made_by (versions)
    damage: str = ""  # what was wrong with the stored output, where the stage ran because of that


@dataclass(frozen=True)
class StageCache:
    """A folder of outputs of stages. A stage's folder is complete, or does not exist; a damaged one is made again.

    What is there is read and compared with its digests before it is used, once by each cache. A lock for each output
    keeps two runs from making it at once: the second waits, and finds it.
    """

    root: Path  # made when something is put into it
    rerun: frozenset[str] = frozenset()  # stages that run again, once, though their outputs are stored
    _known: dict[str, dict[str, Any]] = field(default_factory=dict)  # metadata by digest

    def get_or_run(self, key: StageKey, run: Callable[[Path], None], *, title: str = "") -> StageOutput:
        """Return the output of a stage, running it if it is not stored.

        `run` writes the output into the folder it is given. That folder becomes the stage's in one step when it
        returns; if it raises or the process dies, the stage has not run.
        """
        folder, title = self.locate(key), title or key.stage
        rerun = key.stage in self.rerun
        metadata, damage = self._known.get(key.digest), ""  # a stage that has run again is known
        if metadata is None and not rerun:
            metadata = _read_whole(folder)[0]
        reused = metadata is not None
        if metadata is None:
            with self._only_maker(folder, title):
                metadata, damage = (None, "") if rerun else _read_whole(folder)  # another run may have ended
                reused = metadata is not None
                if damage:
                    logger.warning("%s: %s is damaged: %s; it is made again", title, folder, damage)
                if metadata is None:
                    metadata = self._make(key, run, folder, rerun)
        self._known[key.digest] = metadata
        state = "reused" if reused else f"done in {metadata['seconds']:.1f} s"
        logger.info("%s: %s (%s)", title, state, key.digest[:12])
        return StageOutput(title, folder, key.digest, reused, metadata, damage)

    def lookup(self, key: StageKey, *, title: str = "") -> StageOutput | None:
        """Return the output of a stage if it is stored and would not run again."""
        folder = self.locate(key)
        metadata = None if key.stage in self.rerun else _read_whole(folder)[0]
        return None if metadata is None else StageOutput(title or key.stage, folder, key.digest, True, metadata)

    def explain_miss(self, key: StageKey) -> str:
        """Say why an output is not stored, by what differs in the most similar output of the same stage."""
        if key.stage in self.rerun:
            return "it is to be rerun"
        if damage := _read_whole(self.locate(key))[1]:
            return f"its output is damaged: {damage}"
        wanted = _leaves(key.inputs)
        differences = []
        for other in sorted((self.root / key.stage).glob("[0-9a-f]*")):
            with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):  # a damaged one explains nothing
                stored = _leaves(json.loads((other / STAGE_FILE).read_text(encoding="utf-8"))["inputs"])
                names = [name for name in {**wanted, **stored} if wanted.get(name) != stored.get(name)]
                differences.append([_change(name, stored.get(name), wanted.get(name)) for name in names])
        if not differences:
            return "nothing is stored for this stage"
        least = min(differences, key=len)
        if not least:
            return "another version of speechgmm made what is stored"
        shown = list(dict.fromkeys(least))
        more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
        return f"stored with other {', '.join(shown[:3])}{more}"

    def locate(self, key: StageKey) -> Path:
        """Return the folder in which the output of a stage is, or would be."""
        return self.root / key.stage / key.digest[:32]

    def unfinished(self, key: StageKey) -> Path:
        """Return the folder, for the stage to make, that keeps what it resumes from; gone when it is complete."""
        return _beside(self.locate(key), UNFINISHED)

    def _make(self, key: StageKey, run: Callable[[Path], None], folder: Path, rerun: bool) -> dict[str, Any]:
        """Run a stage beside its place, then move its folder there; return its metadata."""
        running, unfinished = _beside(folder, RUNNING), _beside(folder, UNFINISHED)
        shutil.rmtree(running, ignore_errors=True)  # of a run that was killed: there is no other
        if rerun:
            shutil.rmtree(unfinished, ignore_errors=True)
        running.mkdir()
        forget_peak()
        started = time.perf_counter()
        try:
            run(running)
            for left in running.rglob(f"{WRITING}*"):  # by a worker that was killed; another did its work
                left.unlink()
            metadata: dict[str, Any] = {
                "stage": key.stage,
                "inputs": key.inputs,
                "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(time.perf_counter() - started, 3),
                "peak_memory": peak_memory(),
                "made_by": versions(),
                "digests": _digests(running),
            }
            document = json.dumps({**metadata, "digest": fingerprint(metadata)})
            (running / STAGE_FILE).write_text(document, encoding="utf-8")
            shutil.rmtree(unfinished, ignore_errors=True)  # before, as nothing removes it once the output is there
            if folder.is_dir():
                shutil.rmtree(folder)
            running.rename(folder)
        finally:
            shutil.rmtree(running, ignore_errors=True)
        return metadata

    @contextmanager
    def _only_maker(self, folder: Path, title: str) -> Iterator[None]:
        """Be the only run that makes an output."""
        (self.root / LOCKS).mkdir(parents=True, exist_ok=True)
        folder.parent.mkdir(exist_ok=True)
        lock = FileLock(self.root / LOCKS / folder.name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.info("%s: another run is making it; waiting", title)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _beside(folder: Path, prefix: str) -> Path:
    """Name what stands beside an output."""
    return folder.with_name(prefix + folder.name)


def _leaves(inputs: JsonValue, key: str = "") -> dict[str, JsonValue]:
    """List the values of inputs by their dotted keys; a list is one value."""
    if not isinstance(inputs, dict):
        return {key: inputs}
    leaves: dict[str, JsonValue] = {}
    for name, value in inputs.items():
        leaves |= _leaves(value, f"{key}.{name}" if key else name)
    return leaves


def _change(key: str, there: JsonValue, here: JsonValue) -> str:
    """Format a difference: a key of a configuration with its values, or the kind of input."""
    if key == "utterances":
        return "recordings"
    name = key.removeprefix("config.")
    if name == key and key != "seed":
        return key
    return f"{name} ({there} there, {here} here)"


def _digests(folder: Path) -> dict[str, str]:
    """Digest each file of a stage but its metadata."""
    digests = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digests[path.relative_to(folder).as_posix()] = file_digest(path)
    digests.pop(STAGE_FILE, None)
    return digests


def _read_whole(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """Read a stage's metadata if all its files are as they were written; or say what is damaged, if anything is."""
    if not folder.is_dir():
        return None, ""
    try:
        metadata: dict[str, Any] = json.loads((folder / STAGE_FILE).read_text(encoding="utf-8"))
        if metadata.pop("digest") != fingerprint(metadata):
            return None, f"{STAGE_FILE} is not as it was written"
        found = _digests(folder)
    except OSError as error:
        return None, f"{error.filename}: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, f"{STAGE_FILE} is not readable, or of a version that kept no digests"
    written = metadata["digests"]
    for name in sorted(found.keys() | written.keys()):
        if name not in found:
            return None, f"{name} is missing"
        if found[name] != written.get(name):
            return None, f"{name} is not as it was written"
    return metadata, ""
