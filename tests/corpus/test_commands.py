"""Commands in wav.scp: refused unless allowed, and run without a shell."""

import sys

import numpy as np
import pytest
import soundfile

from speechgmm.corpus.formats.commands import files_among, run_command, split_command
from speechgmm.corpus.formats.kaldi import KaldiConfig
from speechgmm.corpus.reading import read_corpus
from speechgmm.errors import CorpusError
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache.outputs import StageCache
from speechgmm.recipe.stages.context import StageRunner
from speechgmm.recipe.stages.corpus import find_corpus
from speechgmm.recipe.stages.progress import ProgressBars

COPY = f"{sys.executable} -c 'import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])'"


def test_a_command_is_programs_and_pipes():
    assert split_command("sph2pipe -f wav 'a b.sph' | sox - -t wav - |") == [
        ["sph2pipe", "-f", "wav", "a b.sph"],
        ["sox", "-", "-t", "wav", "-"],
    ]


@pytest.mark.parametrize(
    "command",
    ["cat a; rm b |", "cat a && rm b |", "cat < a |", "cat a > b |", "cat $HOME/a |", "cat `ls` |", "cat $(ls) |",
     "(cat a) |", "cat a | |", "| cat a |", "cat 'a |", "cat a&|", "|"],
)  # fmt: skip
def test_what_only_a_shell_can_do_is_refused(command):
    with pytest.raises(CorpusError, match=r"no shell runs it|expected a program|No closing quotation"):
        split_command(command)


def test_a_chain_is_run_and_its_failures_are_listed(tmp_path):
    (tmp_path / "in.txt").write_text("abc")
    assert run_command(f"cat in.txt | {COPY} |", tmp_path) == b"cba"
    assert files_among(f"cat in.txt | {COPY} |", tmp_path) == [tmp_path / "in.txt", tmp_path / sys.executable]
    for command, message in [
        ("cat gone.txt |", "cat failed with status 1: .*gone.txt"),
        ("no-such-program-at-all x |", "no-such-program-at-all: No such file"),
        ("true |", "no output"),
    ]:
        with pytest.raises(CorpusError, match=message):
            run_command(command, tmp_path)


def test_lists_with_commands_are_read_if_that_is_allowed(tmp_path, rng):
    soundfile.write(tmp_path / "a.flac", 0.1 * rng.normal(size=16000), 16000)
    for role in ("enrol", "test"):
        folder = tmp_path / "lists" / role
        folder.mkdir(parents=True)
        (folder / "utt2spk").write_text(f"a-{role} a\nb-{role} b\n")
        (folder / "wav.scp").write_text(f"a-{role} cat a.flac |\nb-{role} a.flac\n")
    (tmp_path / "trials.txt").write_text("a a-test target\na b-test nontarget\n")
    config = KaldiConfig(root=str(tmp_path), background=None)
    with pytest.raises(CorpusError, match=r"wav\.scp:1: a-enrol is the output of a command; corpus\.allow_commands"):
        read_corpus(config)
    allowed = config.model_copy(update={"allow_commands": True, "allow_shared_recordings": True})

    def found():
        """The corpus, and whether its recordings were there already."""
        runner = StageRunner(StageCache(tmp_path / "cache"), Engine(), ProgressBars(None))
        return find_corpus(allowed, runner), [stage.reused for stage in runner.outputs]

    corpus, reused = found()
    assert reused == [False]
    assert corpus.test[0].path == corpus.enrol[0].path != corpus.test[1].path == str(tmp_path / "a.flac")
    np.testing.assert_array_equal(*(soundfile.read(each.path)[0] for each in corpus.test))
    assert found() == (corpus, [True])
    soundfile.write(tmp_path / "a.flac", 0.1 * rng.normal(size=16000), 16000)
    assert found()[1] == [False]
    (tmp_path / "lists" / "test" / "wav.scp").write_text("a-test cat a.flac; id |\nb-test a.flac\n")
    with pytest.raises(CorpusError, match=r"wav\.scp:1: a-test: 'cat a\.flac; id \|': ';'; expected only programs"):
        read_corpus(allowed)
