"""A first recipe for somebody's recordings."""

import re
import shutil

import pytest
import soundfile
from typer.testing import CliRunner

from helpers.paths import README
from speechgmm.cli import app
from speechgmm.corpus.formats.discovery import discover
from speechgmm.corpus.reading import read_corpus
from speechgmm.errors import CorpusError
from speechgmm.recipe.preparing.first_recipe import choose_settings
from speechgmm.recipe.preparing.survey import survey
from speechgmm.recipe.reading.loader import load_recipe


def record(path, rng, *, rate=8000, seconds=1.0, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (int(rate * seconds), channels) if channels > 1 else int(rate * seconds)
    soundfile.write(path, 0.1 * rng.normal(size=shape), rate)


def started(place, out):
    """Write a recipe, read it back, and read its corpus."""
    done = CliRunner().invoke(app, ["init", str(place), "--out", str(out), "--jobs", "1"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    recipe = load_recipe(out)
    return recipe, read_corpus(recipe.corpus), done.stdout


def test_a_folder_for_each_speaker_is_known(tmp_path, rng):
    for speaker in "abc":
        for number in range(5):
            record(tmp_path / "my voices" / "wav" / speaker / f"{number}.wav", rng, seconds=2.0)
    (tmp_path / "my voices" / "notes.txt").touch()
    recipe, corpus, said = started(tmp_path / "my voices", tmp_path / "r.yaml")
    assert (recipe.corpus.kind, recipe.corpus.root) == ("folder", str(tmp_path / "my voices" / "wav"))
    assert recipe.corpus.protocol.n_enrol == 2
    assert recipe.speakers.method == "independent"
    assert recipe.speakers.n_components == 8  # 2 of 5 recordings of 2 s are 400 frames
    assert recipe.features.sample_rate == 8000
    assert not recipe.features.resample
    assert (len(corpus.background), len(corpus.models)) == (0, 3)
    assert "3 speakers, 0.5 minutes in recordings: 15 at 8000 Hz" in said
    assert "ignored: files without an audio suffix: 1" in said
    done = CliRunner().invoke(app, ["init", str(tmp_path / "my voices"), "--out", str(tmp_path / "r.yaml")])
    assert done.exit_code == 2
    assert "is there already" in done.stderr


def test_what_cannot_be_used_is_not_drawn(tmp_path, rng):
    for speaker in "abc":
        for number in range(5):
            record(tmp_path / "v" / speaker / "monday" / f"{number}.flac", rng, channels=2)
        for number in range(3):
            (tmp_path / "v" / speaker / "monday" / f"{number}.flac").write_bytes(b"")
    record(tmp_path / "v" / "c" / "monday" / "short.wav", rng, seconds=0.0)
    recipe, corpus, said = started(tmp_path / "v", tmp_path / "r.yaml")
    heard = {each.id for each in (*corpus.enrol, *corpus.test)}
    assert heard == {f"{speaker}/monday/{number}" for speaker in "abc" for number in (3, 4)}
    assert len(corpus.enrol) == 3
    assert {(each.session, each.channel) for each in corpus.enrol} == {("monday", "mean")}
    assert (recipe.corpus.root, recipe.corpus.table) == (str(tmp_path / "v"), "../r-usable.csv")
    assert "ignored: recordings that cannot be used: 10; a/monday/0.flac: not readable as audio" in said
    assert f"wrote {tmp_path / 'r.yaml'} and {tmp_path / 'r-usable.csv'};" in said
    assert started(tmp_path / "v", tmp_path / "further" / "r.yaml")[1] == corpus
    (tmp_path / "r.yaml").unlink()
    done = CliRunner().invoke(app, ["init", str(tmp_path / "v"), "--out", str(tmp_path / "r.yaml")])
    assert (done.exit_code, (tmp_path / "r.yaml").exists()) == (2, False)
    assert "r-usable.csv: is there already" in done.stderr


def test_rows_of_a_table_that_cannot_be_used_are_not_drawn(tmp_path, rng):
    rows = ["speaker,file,begin,end,gender"]
    for speaker in "ab":
        record(tmp_path / "cv" / "clips" / f"{speaker}.wav", rng)
        rows += [f"{speaker},{speaker}.wav,{start},{start + 0.25},f" for start in (0.0, 0.25, 0.5, 1.0, 1.25)]
    text = "id," + "\n".join(f"{number},{row}" for number, row in enumerate(rows)).removeprefix("0,")
    (tmp_path / "cv" / "all.csv").write_text(text)
    (tmp_path / "linked").symlink_to(tmp_path / "cv")
    recipe, corpus, _ = started(tmp_path / "linked", tmp_path / "r.yaml")
    assert sorted(each.id for each in (*corpus.enrol, *corpus.test)) == ["1", "2", "3", "6", "7", "8"]
    assert {(each.sex, each.end - each.start) for each in corpus.test} == {("f", 0.25)}
    assert recipe.corpus.root == str(tmp_path / "linked" / "clips")


def test_nothing_is_left_where_a_table_cannot_list_what_can_be_used(tmp_path, rng):
    for name in ("a/1.wav", "a/1.flac", "b/1.wav", "b/2.wav"):
        record(tmp_path / "v" / name, rng)
        record(tmp_path / "w" / f" {name}".replace("flac", "ogg"), rng)
    (tmp_path / "v" / "a" / "3.wav").touch()
    (tmp_path / "w" / " a" / "3.wav").touch()
    (tmp_path / "w" / " a" / "1.ogg").rename(tmp_path / "w" / " a" / "2.ogg")
    for place, why in (("v", "would share the id a/1"), ("w", "a table cannot list that name")):
        done = CliRunner().invoke(app, ["init", str(tmp_path / place), "--out", str(tmp_path / "r.yaml")])
        assert done.exit_code == 2
        assert why in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v", "w"]


def test_recordings_that_are_left_out_do_not_decide_the_rate(tmp_path, rng):
    for speaker in "ab":
        for number in range(8):
            record(tmp_path / "v" / speaker / f"{number}.wav", rng, rate=16000)
    for number in range(3):
        record(tmp_path / "v" / "few" / f"{number}.wav", rng)
    recipe, corpus, said = started(tmp_path / "v", tmp_path / "r.yaml")
    assert corpus.models == ("a", "b")
    assert (recipe.features.sample_rate, recipe.features.resample) == (16000, False)
    assert "16 at 16000 Hz, 3 at 8000 Hz" in said
    assert "sample rate" not in said
    for number in range(3, 8):
        record(tmp_path / "v" / "few" / f"{number}.wav", rng)
    recipe, corpus, said = started(tmp_path / "v", tmp_path / "all.yaml")
    assert (recipe.features.sample_rate, recipe.features.resample) == (8000, True)
    assert "sample rate: 8000 Hz; resampled to it: 16 at 16000 Hz" in said


def test_many_speakers_make_a_background_and_other_rates_are_brought_to_one(tmp_path, rng):
    for speaker in range(20):
        record(tmp_path / "v" / f"s{speaker:02}" / "x.wav", rng, rate=44100, channels=2)
        record(tmp_path / "v" / f"s{speaker:02}" / "y.wav", rng, rate=16000)
    recipe, corpus, said = started(tmp_path / "v", tmp_path / "r.yaml")
    assert recipe.corpus.protocol.background == 0.5
    assert (recipe.features.sample_rate, recipe.features.resample) == (16000, True)
    assert recipe.corpus.channel == "mean"
    assert recipe.speakers.method == "map"
    assert recipe.ubm.n_components == 16
    assert (len({each.speaker for each in corpus.background}), len(corpus.models)) == (10, 10)
    assert "20 at 44100 Hz, 20 at 16000 Hz" in said


def test_digits_in_one_folder_are_known_by_their_names(tmp_path, rng):
    for speaker in ("george", "theo"):
        for take in range(4):
            record(tmp_path / "recordings" / f"7_{speaker}_{take}.wav", rng)
    recipe, corpus, said = started(tmp_path, tmp_path / "r.yaml")
    assert recipe.corpus.kind == "fsdd"
    assert corpus.models == ("george", "theo")
    assert "DIGIT_SPEAKER_TAKE.wav" in said


def test_sessions_are_kept_apart_where_all_have_some(tmp_path, rng):
    for speaker in "ab":
        for session in ("monday", "friday"):
            for number in range(2):
                record(tmp_path / "v" / speaker / session / f"{number}.wav", rng)
    recipe, corpus, _ = started(tmp_path / "v", tmp_path / "r.yaml")
    assert recipe.corpus.protocol.separate_sessions
    assert len(corpus.enrol) == len(corpus.test) == 4


def test_a_table_is_known_by_its_columns_and_its_files_are_found(tmp_path, rng):
    rows = ["client_id\tpath\tgender\tage"]
    for speaker in "ab":
        for number in range(3):
            record(tmp_path / "cv" / "clips" / f"{speaker}{number}.wav", rng)
            rows.append(f"{speaker}\t{speaker}{number}.wav\tf\t30")
    (tmp_path / "cv" / "few.tsv").write_text("\n".join(rows[:3]))
    (tmp_path / "cv" / "all.tsv").write_text("\n".join(rows))
    (tmp_path / "cv" / "other.csv").write_text("speaker,age\na,30\n")
    for place in (tmp_path / "cv", tmp_path / "cv" / "all.tsv"):
        recipe, corpus, said = started(place, tmp_path / f"{place.stem}-r.yaml")
        assert (recipe.corpus.kind, recipe.corpus.table) == ("csv", "../all.tsv")
        assert recipe.corpus.root == str(tmp_path / "cv" / "clips")
        assert (corpus.models, corpus.enrol[0].sex) == (("a", "b"), "f")
        assert "ignored: columns age" in said


def test_a_table_that_says_who_is_what_needs_no_protocol(tmp_path, rng):
    rows = ["path,speaker,role"]
    for speaker, role in [("x", "background"), *((name, role) for name in "ab" for role in ("enrol", "test"))]:
        record(tmp_path / f"{speaker}-{role}.wav", rng)
        rows.append(f"{speaker}-{role}.wav,{speaker},{role}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    recipe, corpus, _ = started(tmp_path, tmp_path / "r.yaml")
    assert recipe.corpus.protocol is None
    assert recipe.speakers.method == "map"
    assert len(corpus.background) == 1


def test_what_cannot_be_an_experiment_is_refused(tmp_path, rng):
    with pytest.raises(CorpusError, match="no such folder or table"):
        discover(tmp_path / "gone")
    with pytest.raises(CorpusError, match="no audio among 0 files"):
        discover(tmp_path)
    record(tmp_path / "a.wav", rng)
    with pytest.raises(CorpusError, match=r"a\.wav are in one folder, and nothing names the speakers"):
        discover(tmp_path)
    (tmp_path / "t.csv").write_text("file,age\na.wav,3\n")
    with pytest.raises(CorpusError, match=r"t\.csv: columns file, age; expected columns path and speaker"):
        discover(tmp_path / "t.csv")
    record(tmp_path / "v" / "a" / "1.wav", rng)
    with pytest.raises(CorpusError, match="1 speaker, 0 of them with two recordings or more"):
        choose_settings(survey(discover(tmp_path / "v")))
    record(tmp_path / "v" / "b" / "1.wav", rng)
    with pytest.raises(CorpusError, match="2 speakers, 0 of them with two recordings or more"):
        choose_settings(survey(discover(tmp_path / "v")))


def test_nothing_is_written_where_two_recordings_share_a_name(tmp_path, rng):
    for name in ("a/1.wav", "a/1.flac", "b/1.wav", "b/2.wav"):
        record(tmp_path / "v" / name, rng)
    done = CliRunner().invoke(app, ["init", str(tmp_path / "v"), "--out", str(tmp_path / "r.yaml")])
    assert done.exit_code == 2
    assert "would share the id a/1" in done.stderr
    assert not (tmp_path / "r.yaml").exists()


def test_the_story_in_the_readme_is_true(speech_data, tmp_path, monkeypatch):
    for path in (speech_data / "fsdd").iterdir():
        if path.is_dir() and path.name != "lists":
            shutil.copytree(path, tmp_path / "digits" / path.name)
    monkeypatch.chdir(tmp_path)
    (story,) = (block for block in re.findall(r"```text\n(.*?)```", README, re.DOTALL) if "speechgmm init" in block)
    for step in story.split("$ speechgmm ")[1:]:
        command, _, shown = step.partition("\n")
        done = CliRunner().invoke(app, [*command.split(), "--jobs", "1"])
        assert done.exit_code == 0, done.stderr
        assert "\n".join(line.rstrip() for line in done.stdout.splitlines()) == shown.rstrip()
    assert CliRunner().invoke(app, ["run", "digits.yaml"]).exit_code == 0
    assert (tmp_path / "results" / "digits" / "report.html").is_file()


def test_what_is_written_runs_with_no_editing(voices, tmp_path):
    folders = [path for path in sorted(voices.iterdir()) if path.is_dir() and path.name not in ("lists", "results")]
    for path in folders[-4:]:
        shutil.copytree(path, tmp_path / "mine" / path.name)
    _, corpus, _ = started(tmp_path / "mine", tmp_path / "mine.yaml")
    assert len(corpus.models) == 4
    for command in (["check", "--jobs", "1"], ["run", "--engine", "serial", "--results", str(tmp_path / "results")]):
        done = CliRunner().invoke(app, [command[0], str(tmp_path / "mine.yaml"), *command[1:]])
        assert done.exit_code == 0, done.output
    assert (tmp_path / "results" / "mine" / "report.html").is_file()
