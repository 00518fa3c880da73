"""What commands print: paths as the user knows them, and lines that share a reason as one."""

import pytest

from speechgmm.cli.common import group_reasons, shorten_paths


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a folder and a link to one that is elsewhere."""
    place = tmp_path / "here"
    (place / "lists").mkdir(parents=True)
    (tmp_path / "elsewhere" / "clips").mkdir(parents=True)
    (place / "linked").symlink_to(tmp_path / "elsewhere" / "clips")
    monkeypatch.chdir(place)
    return place


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("./lists/../a.wav: no such audio file", "a.wav: no such audio file"),
        ("lists/../wav/a.wav:3: expected 2 columns", "wav/a.wav:3: expected 2 columns"),
        ("in 'lists/..' and (lists/../b)", "in '.' and (b)"),
        ("linked/../a.wav: no such audio file", "linked/../a.wav: no such audio file"),
        ("../a.wav and ../../b.wav stay", "../a.wav and ../../b.wav stay"),
        ("a..b, a/..b, 1 / 2, and so on... stay", "a..b, a/..b, 1 / 2, and so on... stay"),
        ("./htk for a file of that name", "./htk for a file of that name"),
    ],
)
def test_a_detour_is_left_out_unless_it_goes_through_a_link(here, text, shown):
    assert shorten_paths(text) == shown


def test_paths_below_the_current_folder_are_relative(here):
    assert shorten_paths(f"{here}/results/x: in use; see {here}/lists/../log.txt") == ("results/x: in use; see log.txt")
    for other in (f"{here}", f"{here}s/x", f"/mnt{here}/x", f"file://{here}/x"):
        assert shorten_paths(other) == other


def test_names_that_share_a_reason_are_one_line():
    reasons = [("x", "no such audio file"), *((f"u{number}", "2 channels") for number in range(266))]
    assert group_reasons(reasons) == ["u0, u1, u2 and 263 more: 2 channels", "x: no such audio file"]
    assert group_reasons([]) == []
