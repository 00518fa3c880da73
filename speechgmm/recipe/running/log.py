"""The log of a run: messages of the package, in a file of its results."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from traceback import format_exception_only

logger = logging.getLogger(__name__)


class _LogFile(logging.FileHandler):
    """A log that cannot be written ends the run, as any other file of the results would."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002  # logging's own name
        """Raise the error that logging would print."""
        error = sys.exception()
        if isinstance(error, OSError):
            error.filename = self.baseFilename
        raise  # logging calls this where it has caught the error


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Write the package's log messages to a new file; a link in its place is not written through."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    handler = _LogFile(path, mode="w", encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    package = logging.getLogger("speechgmm")
    level = package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # whatever ends a run, its log says
        with suppress(OSError):  # a full disk may be what ended it
            logger.error("ended by %s", "".join(format_exception_only(error)).strip())
        raise
    finally:
        package.setLevel(level)
        package.removeHandler(handler)
        with suppress(OSError):  # every message was written when it came, or ended the run
            handler.close()
