"""The tables of faults and attacks: each row is held by a test, and each test is in a row."""

import ast
import re

from helpers.paths import ROOT

FAULTS = ROOT / "tests" / "faults"
HELD = tuple(FAULTS / name for name in ("test_stages_and_faults.py", "test_surroundings.py", "test_security.py"))
ELSEWHERE = ("features/test_feature_formats.py", "gmm/test_bad_input.py", "recipe/test_earlier_results.py")


def names_in(path):
    """Name the tests of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_each_row_has_its_test():
    rows = [line for line in (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    titles = ("| fault |", "| attack |", "| ---")
    named = [re.findall(r"`(test_\w+)` \|$", row) for row in rows if not row.startswith(titles)]
    assert all(len(each) == 1 for each in named)
    ours = set().union(*map(names_in, HELD))
    known = ours.union(*(names_in(ROOT / "tests" / name) for name in ELSEWHERE))
    assert {each[0] for each in named} <= known
    assert ours <= {each[0] for each in named}
