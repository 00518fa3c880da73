"""Outputs of stages on disk, each under the digest of what it depends on."""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import JsonValue

from speechgmm.configuration import fingerprint
from speechgmm.files import WRITING
from speechgmm.recipe.cache.memory import forget_peak, peak_memory
from speechgmm.version import versions

logger = logging.getLogger(__name__)

STAGE_FILE = "stage.json"
"""What a stage's folder says of itself: its inputs, what made it, how, and the digests of its files and of itself."""

RUNNING, UNFINISHED = ".running-", ".unfinished-"
"""What stands before a digest: the folder that a stage is writing, and the one that it may go on from."""

LOCKS = ".locks"
"""The folder of the outputs' locks."""


@dataclass(frozen=True)
class StageOutput:
    """What a stage left behind.

    Parameters
    ----------
    title : str
        The stage, as people call it.
    folder : Path
        Where its files are.
    digest : str
        Of all that they depend on.
    reused : bool
        Whether they were there already.
    metadata : dict
        What its ``stage.json`` says: ``made_at``, ``seconds`` and ``peak_memory`` (bytes) of the making, and
        ``made_by``, the versions that made it, which may be older than those in use.
    damage : str
        What was wrong with what was there before, where that was why it was made.
    """

    title: str
    folder: Path
    digest: str
    reused: bool
    metadata: dict[str, Any]
    damage: str = ""


@dataclass(frozen=True)
class StageCache:
    """A folder of outputs of stages. A stage's folder is complete, or does not exist; a damaged one is made again.

    What is there is read and compared with its digests before it is used, once by each cache. A lock for each output
    keeps two runs from making it at once: the second waits, and finds it.

    Parameters
    ----------
    root : Path
        The folder; made when something is put into it.
    again : frozenset of str
        Stages that are made anew, once, though their outputs are there.
    """

    root: Path
    rerun: frozenset[str] = frozenset()
    _obtained: dict[str, dict[str, Any]] = field(default_factory=dict)

    def get_or_run(
        self,
        name: str,
        version: int,
        inputs: dict[str, JsonValue],
        run: Callable[[Path], None],
        *,
        title: str | None = None,
    ) -> StageOutput:
        """Give the output of a stage, running it if it is not there.

        Parameters
        ----------
        name : str
            The stage.
        version : int
            Of the stage's code and files: another number makes another output.
        inputs : dict of JSON data
            All that the output depends on.
        run : callable
            Writes the output into the folder it is given. That folder becomes the stage's in one step when it
            returns; if it raises or the process dies, the stage has not run.
        title : str, optional
            What people call it, where several outputs are of one stage.

        Returns
        -------
        StageOutput
            Where the output is, and whether it was there already.
        """
        digest, folder = self.locate(name, version, inputs)
        title = title or name
        anew = name in self.rerun
        made, damage = self._obtained.get(digest), ""  # what has been made anew is here
        if made is None and not anew:
            made = _read_whole(folder)[0]
        reused = made is not None
        if made is None:
            with self._only_maker(folder, title):
                made, damage = (None, "") if anew else _read_whole(folder)  # another run may have made it meanwhile
                reused = made is not None
                if damage:
                    logger.warning("%s: %s is damaged: %s; it is made again", title, folder, damage)
                if made is None:
                    made = self._make(name, inputs, run, folder, anew)
        self._obtained[digest] = made
        logger.info("%s: %s (%s)", title, "reused" if reused else f"done in {made['seconds']:.1f} s", digest[:12])
        return StageOutput(title, folder, digest, reused, made, damage)

    def lookup(
        self, name: str, version: int, inputs: dict[str, JsonValue], *, title: str | None = None
    ) -> StageOutput | None:
        """Give the output of a stage if it is there and would not be made anew.

        Parameters
        ----------
        name, version, inputs, title
            As for `get_or_run`.

        Returns
        -------
        StageOutput or None
            Where it is.
        """
        digest, folder = self.locate(name, version, inputs)
        made = None if name in self.rerun else _read_whole(folder)[0]
        return None if made is None else StageOutput(title or name, folder, digest, True, made)

    def explain_miss(self, name: str, version: int, inputs: dict[str, JsonValue]) -> str:
        """Say why an output is not there, by what is different in the most similar one of the same stage.

        Parameters
        ----------
        name, version, inputs
            As for `get_or_run`.

        Returns
        -------
        str
            For people.
        """
        if name in self.rerun:
            return "it is to be made anew"
        _, folder = self.locate(name, version, inputs)
        if damage := _read_whole(folder)[1]:
            return f"its output is damaged: {damage}"
        wanted = _leaves(inputs)
        differences = []
        for other in sorted((self.root / name).glob("[0-9a-f]*")):
            with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):  # a damaged one tells nothing
                found = _leaves(json.loads((other / STAGE_FILE).read_text(encoding="utf-8"))["inputs"])
                keys = [key for key in {**wanted, **found} if wanted.get(key) != found.get(key)]
                differences.append([_change(key, found.get(key), wanted.get(key)) for key in keys])
        if not differences:
            return "nothing is stored of this stage"
        least = min(differences, key=len)
        if not least:
            return "another version of speechgmm made what is stored"
        shown = list(dict.fromkeys(least))
        more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
        return f"stored with other {', '.join(shown[:3])}{more}"

    def locate(self, name: str, version: int, inputs: dict[str, JsonValue]) -> tuple[str, Path]:
        """Say where a stage's output is, or would be.

        Parameters
        ----------
        name, version, inputs
            As for `get_or_run`.

        Returns
        -------
        digest : str
            Of all that it depends on.
        folder : Path
            Named by the digest.
        """
        digest = fingerprint({"stage": name, "version": version, "inputs": inputs})
        return digest, self.root / name / digest[:32]

    def unfinished(self, name: str, version: int, inputs: dict[str, JsonValue]) -> Path:
        """Say where a stage may keep what it goes on from when it was stopped.

        Parameters
        ----------
        name, version, inputs
            As for `get_or_run`, which removes the folder when the stage is complete.

        Returns
        -------
        Path
            A folder, which the stage makes when it needs it.
        """
        return _beside(self.locate(name, version, inputs)[1], UNFINISHED)

    def _make(
        self,
        name: str,
        inputs: dict[str, JsonValue],
        run: Callable[[Path], None],
        folder: Path,
        anew: bool,
    ) -> dict[str, Any]:
        """Run a stage beside its place, then move its folder there; give what it says of itself."""
        running, unfinished = _beside(folder, RUNNING), _beside(folder, UNFINISHED)
        shutil.rmtree(running, ignore_errors=True)  # of a run that was killed: there is no other
        if anew:
            shutil.rmtree(unfinished, ignore_errors=True)
        running.mkdir()
        forget_peak()
        started = time.perf_counter()
        try:
            run(running)
            for left in running.rglob(f"{WRITING}*"):  # by a worker that was killed; another did its work
                left.unlink()
            made: dict[str, Any] = {
                "stage": name,
                "inputs": inputs,
                "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(time.perf_counter() - started, 3),
                "peak_memory": peak_memory(),
                "made_by": versions(),
                "digests": _digests(running),
            }
            said = json.dumps({**made, "digest": fingerprint(made)})
            (running / STAGE_FILE).write_text(said, encoding="utf-8")
            if folder.is_dir():
                shutil.rmtree(folder)
            running.rename(folder)
            shutil.rmtree(unfinished, ignore_errors=True)
        finally:
            shutil.rmtree(running, ignore_errors=True)
        return made

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
    """Give the values of inputs by their dotted keys; lists count as one value each."""
    if not isinstance(inputs, dict):
        return {key: inputs}
    leaves: dict[str, JsonValue] = {}
    for name, value in inputs.items():
        leaves |= _leaves(value, f"{key}.{name}" if key else name)
    return leaves


def _change(key: str, there: JsonValue, here: JsonValue) -> str:
    """Say what is different: a key of a configuration with its values, or what kind of input."""
    if key == "utterances":
        return "recordings"
    name = key.removeprefix("config.")
    if name == key and key != "seed":
        return key
    return f"{name} ({there} there, {here} here)"


def _digests(folder: Path) -> dict[str, str]:
    """Digest each file of a stage, but for what it says of itself."""
    digests = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as stream:
            digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    digests.pop(STAGE_FILE, None)
    return digests


def _read_whole(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """Read what a stage says of itself, if all its files are as they were written; or say what is damaged, if any."""
    if not folder.is_dir():
        return None, ""
    try:
        made: dict[str, Any] = json.loads((folder / STAGE_FILE).read_text(encoding="utf-8"))
        if made.pop("digest") != fingerprint(made):
            return None, f"{STAGE_FILE} is not as it was written"
        found = _digests(folder)
    except OSError as error:
        return None, f"{error.filename}: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, f"{STAGE_FILE} is not readable, or of a version that kept no digests"
    written = made["digests"]
    for name in sorted(found.keys() | written.keys()):
        if name not in found:
            return None, f"{name} is missing"
        if found[name] != written.get(name):
            return None, f"{name} is not as it was written"
    return made, ""
