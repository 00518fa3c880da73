"""Python processes of their own: what is imported in one, and workers that die."""

import json
import os
import signal
import subprocess
import sys


def modules_after(code: str) -> set[str]:
    """List the top-level modules that a new process has imported after some code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def die(_: object) -> None:
    """End the process that runs this, as the system does when memory is short: a function for workers."""
    os.kill(os.getpid(), signal.SIGKILL)
