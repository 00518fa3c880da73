"""The small inputs as people really have them, which are beside the checkout where they are at hand."""

import os
from pathlib import Path

import pytest

from helpers.paths import ROOT

CASES = Path(os.environ.get("SPEECHGMM_CASES", ROOT.parent / "shared" / "cases"))


def case(name: str) -> Path:
    """Return the path of a case, or skip the test if the cases are not at hand."""
    if not CASES.is_dir():
        pytest.skip(f"no cases in {CASES}; $SPEECHGMM_CASES names their folder")
    return CASES / name
