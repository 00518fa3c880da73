"""Interrupts and faults of the disk while a library reads a file by calling Python: raised, not taken for its end."""

import io
import signal
import sys
import threading

import numpy as np
import pytest
import soundfile

from helpers.containers import encode
from speechgmm import read_audio
from speechgmm.audio import media
from speechgmm.audio.views import FileView, raising_lost_errors
from speechgmm.errors import AudioError

RNG = np.random.default_rng(1)
NOISE = RNG.normal(0, 0.1, 400_000).astype(np.float32)


def unfinished(folder):
    """Write a file of which the header gives no length, so that another one is shown to libsndfile."""
    path = folder / "a.wav"
    soundfile.write(path, NOISE, 16000)
    content = path.read_bytes()
    path.write_bytes(content[:40] + b"\xff" * 4 + content[44:])
    return path


def untagged(folder):
    """Write an MP3 file without a length tag."""
    path = folder / "a.mp3"
    soundfile.write(path, NOISE, 16000)
    content = path.read_bytes()
    path.write_bytes(content[content.index(content[:2], 2) :])
    return path


def raising_after(monkeypatch, owner, name, n_calls, raise_it):
    """Make a method call `raise_it` once, after some calls."""
    method, left = getattr(owner, name), [n_calls]

    def changed(self, *args):
        left[0] -= 1
        if left[0] == -1:
            raise_it()
        return method(self, *args)

    monkeypatch.setattr(owner, name, changed)
    return left


def fail():
    raise OSError(5, "Input/output error")


@pytest.mark.filterwarnings("ignore::speechgmm.errors.AudioWarning")
@pytest.mark.parametrize("make", [unfinished, untagged])
def test_what_is_raised_while_libsndfile_reads_is_raised(tmp_path, monkeypatch, make, capfd):
    path = make(tmp_path)
    read_audio(path)
    with monkeypatch.context() as patch:
        left = raising_after(patch, FileView, "readinto", 10**6, fail)
        read_audio(path)
    for n_calls in range(0, 10**6 - left[0], 5):
        with monkeypatch.context() as patch:
            raising_after(patch, FileView, "readinto", n_calls, lambda: signal.raise_signal(signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                read_audio(path)
        with monkeypatch.context() as patch:
            raising_after(patch, FileView, "readinto", n_calls, fail)
            with pytest.raises(AudioError, match=r"not readable.*Input/output error"):
                read_audio(path)
    assert capfd.readouterr().err == ""


class _Stream(io.BytesIO):
    """A file that can fail."""


@pytest.mark.parametrize("name", ["read", "seek"])
def test_what_is_raised_while_ffmpeg_reads_is_raised(tmp_path, monkeypatch, capfd, name):
    path = encode(tmp_path / "a.m4a", NOISE[:, None], 16000, "aac")
    content = path.read_bytes()
    monkeypatch.setattr(media, "_open_whole", lambda _: _Stream(content))
    with monkeypatch.context() as patch:
        left = raising_after(patch, _Stream, name, 10**6, fail)
        read_audio(path)
    for n_calls in range(10**6 - left[0]):
        with monkeypatch.context() as patch:
            raising_after(patch, _Stream, name, n_calls, lambda: signal.raise_signal(signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                read_audio(path)
        with monkeypatch.context() as patch:
            raising_after(patch, _Stream, name, n_calls, fail)
            with pytest.raises(AudioError, match=r"a\.m4a: not readable.*Input/output error"):
                read_audio(path)
    assert capfd.readouterr().err == ""


def lose(error):
    """Raise an error where none can be caught."""

    class Loser:
        def __del__(self):
            raise error

    Loser()


def test_lost_errors_of_other_threads_and_times_go_where_they_went(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: seen.append(str(unraisable.exc_value)))
    hook = sys.unraisablehook

    def ask():
        with raising_lost_errors():
            with pytest.raises(ValueError, match="inner"), raising_lost_errors():
                lose(ValueError("inner"))
            thread = threading.Thread(target=lose, args=(ValueError("elsewhere"),))
            thread.start()
            thread.join()
            lose(ValueError("first"))
            lose(ValueError("second"))

    with pytest.raises(ValueError, match="first"):
        ask()
    lose(ValueError("later"))
    assert seen == ["elsewhere", "later"]
    assert sys.unraisablehook is hook
