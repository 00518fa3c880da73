"""Pages in a headless Chromium, as a screen and a phone show them. CI installs it; elsewhere it may be missing."""

import pytest

from helpers.browser import Browser, find_browser
from helpers.pages import comparison, content, numbers
from speechgmm.evaluation.report.page import render_comparison, render_report, write_page

LONG = "a_name_without_any_place_to_break_it_" * 4


@pytest.fixture(scope="module")
def browser():
    command = find_browser()
    if command is None:
        pytest.skip("no Chromium is installed: the report was not seen")
    with Browser(command) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Pages in files: a usual report, one with long names, one with many trial lists, and a comparison."""
    folder = tmp_path_factory.mktemp("pages")
    lists = {f"list {number}": numbers(trains_calibration=not number) for number in range(9)}
    texts = {
        "usual": render_report(content()),
        "long": render_report(content(title=LONG, summary=LONG, warnings=(LONG,), trial_lists={LONG: numbers()})),
        "many": render_report(content(trial_lists=lists)),
        "comparison": render_comparison(comparison()),
    }
    for name, text in texts.items():
        write_page(folder / f"{name}.html", text)
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("name", ["usual", "long", "many", "comparison"])
def test_a_page_fits_its_window_says_nothing_and_asks_for_nothing(browser, pages, name, width, scheme):
    url = (pages / f"{name}.html").as_uri()
    browser.open(url, width, scheme=scheme)
    for opened in ("false", "true"):  # what is folded away must fit too
        browser.evaluate(f"document.querySelectorAll('details').forEach(each => each.open = {opened})")
        assert browser.evaluate("innerWidth") == width
        assert browser.evaluate("document.scrollingElement.scrollWidth") == width
    assert browser.evaluate("[...document.images].every(each => each.complete)")
    assert browser.complaints() == []
    assert browser.requested() == [url]
    # the ink of plots is that of the text, and text contrasts with the ground
    ink, ground = (
        browser.evaluate(f"getComputedStyle(document.body).{name}").removeprefix("rgb").strip("()").split(", ")
        for name in ("color", "backgroundColor")
    )
    brightness = [sum(map(int, colour)) / 3 for colour in (ink, ground)]
    assert (brightness[0] < brightness[1]) == (scheme == "light")
    assert abs(brightness[0] - brightness[1]) > 180


def test_on_paper_nothing_stays_folded(browser, pages):
    url = (pages / "usual.html").as_uri()
    browser.open(url, 800, scheme="dark", media="print")
    folded = "[...document.querySelectorAll('details table, details pre')]"
    shown = f"{folded}.every(each => each.getBoundingClientRect().height > 0)"
    assert browser.evaluate(shown)
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_the_browser_would_tell(browser, tmp_path):
    (tmp_path / "bad.html").write_text(
        "<script>console.error('said')</script><img src=other.png><p style='width: 2000px'>wide</p>"
    )
    browser.open((tmp_path / "bad.html").as_uri(), 400)
    assert browser.evaluate("document.scrollingElement.scrollWidth") > 2000
    assert browser.complaints()
    assert [url.rpartition("/")[2] for url in browser.requested()] == ["bad.html", "other.png"]
