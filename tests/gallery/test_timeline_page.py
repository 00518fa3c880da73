"""The page of who speaks when: its markup, and in a headless Chromium what it does."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.browser import Browser, find_browser
from helpers.pages import Page
from speechgmm.errors import GalleryError
from speechgmm.gallery.segments import Segment
from speechgmm.gallery.timeline_page import link_to, render_timeline_page, write_timeline_page

EVIL = '<b>"Bo"</b></script><script>alert(1)</script>'
SEGMENTS = (
    Segment(0.25, 2.0, "Ann", 3.25, 0.96),
    Segment(2.0, 3.0, EVIL, 1.5, 0.71),
    Segment(4.0, 5.5, "unknown", None, 0.8),
)


def test_a_page_has_a_player_bars_and_a_table():
    page = Page(render_timeline_page(SEGMENTS, "a.wav", "meeting", 6.0, "mean ratio"))
    assert ("src", "a.wav") in page.attributes
    assert "0:00:06; 2 speakers and unknown ones in 3 segments." in page.text
    assert "Ann 0:00:02, 29%" in page.text
    assert "0:00:02.0 0:00:03.0" in page.text
    assert "1.0 +1.50 71%" in page.text
    styles = [value for name, value in page.attributes if name == "style"]
    assert {"left:4.1667%;width:29.1667%", "left:66.6667%;width:25.0000%"} <= set(styles)
    assert "Score: mean ratio. Posterior: mean probability" in page.text


def test_names_are_escaped_and_only_the_package_s_script_may_run():
    text = render_timeline_page(SEGMENTS, "a.wav", EVIL, 6.0)
    assert "<b>" not in text
    assert text.count("<script>") == text.count("</script>") == 1
    assert re.search(r"default-src 'none'; .*script-src 'sha256-[A-Za-z0-9+/=]{44}'; media-src", text)
    assert not re.search(r"https?://", text)
    assert f"play {EVIL} from 0:00:02.0" in dict.fromkeys(value for _, value in Page(text).attributes)


def test_without_scores_there_are_no_columns_of_them():
    text = Page(render_timeline_page([Segment(0, 1, "A")], "a.wav", "m", 6.0)).text
    assert "score" not in text.lower()
    assert "posterior" not in text.lower()
    assert "0:00:06. Choose" in Page(render_timeline_page([], "a.wav", "m", 6.0)).text


@pytest.mark.parametrize(
    ("recording", "page", "link"),
    [
        ("a.wav", "a.html", "a.wav"),
        ("audio/a b#1?.wav", "pages/x.html", "../audio/a%20b%231%3F.wav"),
        ("/data/a.wav", "/data/pages/x.html", "../a.wav"),
        ("d/ä%.wav", "d/x.html", "%C3%A4%25.wav"),
    ],
)
def test_a_link_is_relative_to_the_page(recording, page, link):
    assert link_to(Path(recording), Path(page)) == link


def test_a_recording_in_an_archive_has_no_page():
    with pytest.raises(GalleryError, match=r"a.ark:12: in an archive, which a page cannot play"):
        link_to(Path("a.ark:12"), Path("a.html"))


@pytest.fixture(scope="module")
def browser():
    command = find_browser()
    if command is None:
        pytest.skip("no Chromium is installed: the page was not seen")
    with Browser(command) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    rng = np.random.default_rng(0)
    soundfile.write(folder / "a meeting.wav", 0.1 * rng.normal(size=48000), 8000)
    write_timeline_page(folder / "new/page.html", SEGMENTS, folder / "a meeting.wav", 6.0, score_meaning="mean ratio")
    return folder / "new/page.html"


def wait_for(browser, condition):
    """Let the browser work until an expression is true."""
    script = f"new Promise(done => {{ (function look() {{ ({condition}) ? done(true) : setTimeout(look, 20) }})() }})"
    found = browser.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, timeout=10000)
    assert found["result"].get("value") is True


@pytest.mark.parametrize("width", [1280, 400])
def test_a_click_plays_from_there_and_marks_what_plays(browser, page, width):
    browser.open(page.as_uri(), width)
    assert browser.evaluate("document.scrollingElement.scrollWidth") == width
    tables = "[...document.querySelectorAll('.table')]"
    assert browser.evaluate(f"{tables}.every(each => each.scrollWidth <= each.clientWidth)")
    wait_for(browser, "audio.readyState >= 1")
    assert browser.evaluate("audio.duration") == 6
    assert browser.evaluate("document.getElementById('fault').hidden") is True
    browser.evaluate("audio.muted = true")
    for number, (start, name) in enumerate([(0.25, "Ann"), (2.0, EVIL), (4.0, "unknown")]):
        for place in (".bars", "td"):
            browser.evaluate("audio.pause(); audio.currentTime = 3.5; show()")
            assert browser.evaluate("document.querySelectorAll('.playing').length") == 0
            browser.evaluate(f'document.querySelector(`{place} button[data-number="{number}"]`).click()')
            assert start <= browser.evaluate("audio.currentTime") < start + 0.9
            marked = browser.evaluate("[...document.querySelectorAll('.playing')].map(each => each.dataset.number)")
            assert marked == [str(number)] * 2
            assert browser.evaluate("document.getElementById('who').textContent") == name
    assert browser.complaints() == []
    asked = {url.rsplit("/", 1)[1] for url in browser.requested()}
    assert asked == {"page.html", "a%20meeting.wav"}


def test_times_below_the_bars_fit_the_width(browser, page):
    marks = "[...document.querySelectorAll('.marks span')].map(each => each.textContent)"
    browser.open(page.as_uri(), 1280)
    assert browser.evaluate(marks) == [f"0:00:0{second}" for second in range(6)]
    browser.open(page.as_uri(), 400)
    assert browser.evaluate(marks) == ["0:00:00", "0:00:02", "0:00:04"]
    assert browser.evaluate("lanes.scrollWidth <= lanes.clientWidth") is True


def test_less_of_a_recording_is_shown_in_more_detail(browser, page):
    browser.open(page.as_uri(), 1280)
    whole = browser.evaluate("track.clientWidth")
    browser.evaluate("document.getElementById('in').click()")
    assert browser.evaluate("track.clientWidth") == pytest.approx(2 * whole, abs=1)
    assert browser.evaluate("document.scrollingElement.scrollWidth") == 1280
    browser.evaluate("document.getElementById('out').click(); document.getElementById('out').click()")
    assert browser.evaluate("track.clientWidth") == whole


def test_a_recording_that_is_not_there_is_said_so(browser, tmp_path):
    write_timeline_page(tmp_path / "page.html", SEGMENTS, tmp_path / "gone.wav", 6.0)
    browser.open((tmp_path / "page.html").as_uri(), 1280)
    wait_for(browser, "!document.getElementById('fault').hidden")
    assert browser.evaluate("document.getElementById('fault').hidden") is False
