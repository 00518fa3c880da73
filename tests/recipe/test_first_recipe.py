"""A first recipe for recordings that are new to the user."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from ruamel.yaml import YAML
from typer.testing import CliRunner

from helpers.paths import README
from speechgmm import load_gmm, open_results
from speechgmm.cli import app
from speechgmm.corpus.formats.discovery import discover
from speechgmm.corpus.reading import read_corpus
from speechgmm.corpus.synthetic.recordings import write_recordings
from speechgmm.corpus.synthetic.synthesis import SyntheticConfig
from speechgmm.errors import CorpusError
from speechgmm.gallery.pretrained import about_pretrained, pretrained_folder
from speechgmm.recipe.preparing.first_recipe import choose_settings, to_yaml
from speechgmm.recipe.preparing.headers import read_headers
from speechgmm.recipe.preparing.survey import survey
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.schema.rates import follows_corpus
from speechgmm.recipe.stages.rates import resolve_rates


def record(path, rng, *, rate=8000, seconds=1.0, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (int(rate * seconds), channels) if channels > 1 else int(rate * seconds)
    soundfile.write(path, 0.1 * rng.normal(size=shape), rate)


def started(place, out, status=0):
    """Write a recipe, read it back, and read its corpus; the status is 3 if some recordings cannot be used."""
    done = CliRunner().invoke(app, ["init", str(place), "--out", str(out), "--jobs", "1"], catch_exceptions=False)
    assert done.exit_code == status, done.stderr
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
    assert follows_corpus(recipe.features)
    assert not recipe.features.resample
    assert (len(corpus.background), len(corpus.models)) == (0, 3)
    assert "3 speakers, 0.5 minutes in recordings: 15 at 8000 Hz" in said
    assert "speakers: a, b, c\n" in said
    assert "ignored: 1 other file: 1 .txt (notes.txt)" in said
    done = CliRunner().invoke(app, ["init", str(tmp_path / "my voices"), "--out", str(tmp_path / "r.yaml")])
    assert done.exit_code == 2
    assert "exists; expected another name" in done.stderr


def test_what_cannot_be_used_is_not_drawn(tmp_path, rng):
    for speaker in "abc":
        for number in range(5):
            record(tmp_path / "v" / speaker / "monday" / f"{number}.flac", rng, channels=2)
        for number in range(3):
            (tmp_path / "v" / speaker / "monday" / f"{number}.flac").write_bytes(b"")
    record(tmp_path / "v" / "c" / "monday" / "short.wav", rng, seconds=0.0)
    recipe, corpus, said = started(tmp_path / "v", tmp_path / "r.yaml", status=3)
    heard = {each.id for each in (*corpus.enrol, *corpus.test)}
    assert heard == {f"{speaker}/monday/{number}" for speaker in "abc" for number in (3, 4)}
    assert len(corpus.enrol) == 3
    assert {(each.session, each.channel) for each in corpus.enrol} == {("monday", "mean")}
    assert (recipe.corpus.root, recipe.corpus.table) == (str(tmp_path / "v"), "../r-usable.csv")
    assert (
        "recordings that cannot be used: 10\n  a/monday/0.flac, a/monday/1.flac, a/monday/2.flac and 6 more: empty"
        in said
    )
    assert "\n  c/monday/short.wav: " in said
    assert "found: a folder for each speaker: SPEAKER/SESSION/NAME.flac\n" in said
    assert f"wrote {tmp_path / 'r.yaml'} and {tmp_path / 'r-usable.csv'};" in said
    assert started(tmp_path / "v", tmp_path / "further" / "r.yaml", status=3)[1] == corpus
    (tmp_path / "r.yaml").unlink()
    done = CliRunner().invoke(app, ["init", str(tmp_path / "v"), "--out", str(tmp_path / "r.yaml")])
    assert (done.exit_code, (tmp_path / "r.yaml").exists()) == (2, False)
    assert "r-usable.csv: exists; expected another name" in done.stderr


def test_the_table_of_an_earlier_recipe_is_not_taken_for_the_corpus(tmp_path, rng):
    for speaker in "abc":
        for number in range(3):
            record(tmp_path / speaker / f"{number}.wav", rng)
    (tmp_path / "a" / "0.wav").write_bytes(b"")
    started(tmp_path, tmp_path / "mine.yaml", status=3)
    record(tmp_path / "a" / "0.wav", rng)
    record(tmp_path / "d" / "0.wav", rng)
    record(tmp_path / "d" / "1.wav", rng)
    recipe, corpus, said = started(tmp_path, tmp_path / "again.yaml")
    assert (recipe.corpus.kind, corpus.models) == ("folder", ("a", "b", "c", "d"))
    assert "ignored: the table mine-usable.csv, because init wrote it for mine.yaml\n" in said
    (tmp_path / "mine.yaml").unlink()
    assert discover(tmp_path).how == "the table mine-usable.csv"


def test_rows_of_a_table_that_cannot_be_used_are_not_drawn(tmp_path, rng):
    rows = ["speaker,file,begin,end,gender"]
    for speaker in "ab":
        record(tmp_path / "cv" / "clips" / f"{speaker}.wav", rng)
        rows += [f"{speaker},{speaker}.wav,{start},{start + 0.25},f" for start in (0.0, 0.25, 0.5, 1.0, 1.25)]
    text = "id," + "\n".join(f"{number},{row}" for number, row in enumerate(rows)).removeprefix("0,")
    (tmp_path / "cv" / "all.csv").write_text(text)
    (tmp_path / "linked").symlink_to(tmp_path / "cv")
    recipe, corpus, _ = started(tmp_path / "linked", tmp_path / "r.yaml", status=3)
    assert sorted(each.id for each in (*corpus.enrol, *corpus.test)) == ["1", "2", "3", "6", "7", "8"]
    assert {(each.sex, each.end - each.start) for each in corpus.test} == {("f", 0.25)}
    assert recipe.corpus.root == str(tmp_path / "linked" / "clips")


def test_nothing_is_left_where_a_table_cannot_list_what_can_be_used(tmp_path, rng):
    for name in (" a/1.wav", " a/2.ogg", " b/1.wav", " b/2.wav"):
        record(tmp_path / "w" / name, rng)
    (tmp_path / "w" / " a" / "3.wav").touch()
    done = CliRunner().invoke(app, ["init", str(tmp_path / "w"), "--out", str(tmp_path / "r.yaml")])
    assert done.exit_code == 2
    assert "a table cannot list that name" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w"]


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
    assert resolve_rates(recipe, read_corpus(recipe.corpus)).recipe.features.sample_rate == 8000
    assert "sample rate: 8000 Hz; resampled to it: 16 at 16000 Hz" in said


def test_many_speakers_make_a_background_and_other_rates_are_brought_to_one(tmp_path, rng):
    for speaker in range(20):
        record(tmp_path / "v" / f"s{speaker:02}" / "x.wav", rng, rate=44100, channels=2)
        record(tmp_path / "v" / f"s{speaker:02}" / "y.wav", rng, rate=16000)
    recipe, corpus, said = started(tmp_path / "v", tmp_path / "r.yaml")
    assert recipe.corpus.protocol.background == 0.5
    front_end = resolve_rates(recipe, read_corpus(recipe.corpus)).recipe.features
    assert (front_end.sample_rate, front_end.resample) == (16000, True)
    assert recipe.corpus.channel == "mean"
    assert recipe.speakers.method == "map"
    assert (recipe.ubm.pretrained, recipe.ubm.adapt) == ("speech16k", None)  # 10 speakers, but 20 seconds
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
    with pytest.raises(CorpusError, match="no files; expected recordings"):
        discover(tmp_path)
    record(tmp_path / "a.wav", rng)
    with pytest.raises(CorpusError, match=r"a\.wav are in one folder, and nothing names the speakers"):
        discover(tmp_path)
    (tmp_path / "t.csv").write_text("file,age\na.wav,3\n")
    with pytest.raises(CorpusError, match=r"t\.csv: columns file, age; expected columns path and speaker"):
        discover(tmp_path / "t.csv")
    record(tmp_path / "v" / "a" / "1.wav", rng)
    with pytest.raises(CorpusError, match=r"/v/a: 1\.wav are in one folder, and nothing names the speakers"):
        discover(tmp_path / "v")
    record(tmp_path / "v" / "b" / "1.wav", rng)
    with pytest.raises(CorpusError, match=r"0 of them with two recordings or more .*; expected two speakers with two"):
        choose_settings(survey(discover(tmp_path / "v")))


def test_copies_in_other_formats_are_left_out(tmp_path, rng):
    for name in ("a/memo1", "a/memo2", "b/memo1", "b/memo2"):
        record(tmp_path / f"{name}.wav", rng)
        (tmp_path / f"{name}.m4a").touch()  # as `ffmpeg -i memo1.m4a memo1.wav` leaves it
    record(tmp_path / "b" / "memo3.wav", rng)
    record(tmp_path / "b" / "memo3.flac", rng)
    _, corpus, said = started(tmp_path, tmp_path / "mine.yaml")
    names = {Path(each.path).relative_to(tmp_path).as_posix() for each in (*corpus.enrol, *corpus.test)}
    assert names == {"a/memo1.wav", "a/memo2.wav", "b/memo1.wav", "b/memo2.wav", "b/memo3.flac"}
    left_out = "a/memo1.m4a, a/memo2.m4a, b/memo1.m4a and 2 more"
    assert f"ignored: 5 audio files beside recordings of the same name: {left_out}\n" in said
    assert f"{left_out}: beside a recording of the same name; left out" in corpus.notes


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


def runs(recipe, results):
    """Check a recipe and run it; return where its results are."""
    for command in (["check", "--jobs", "1"], ["run", "--engine", "serial", "--results", str(results)]):
        done = CliRunner().invoke(app, [command[0], str(recipe), *command[1:]])
        assert done.exit_code == 0, done.output
    assert (results / recipe.stem / "report.html").is_file()
    return open_results(results / recipe.stem)


def of_package(system):
    """Return the background model of a pretrained system."""
    return load_gmm(pretrained_folder() / "speech16k" / system / "ubm.safetensors")


def test_what_is_written_runs_with_no_editing(voices, tmp_path):
    folders = [path for path in sorted(voices.iterdir()) if path.is_dir() and path.name not in ("lists", "results")]
    for path in folders[-4:]:
        shutil.copytree(path, tmp_path / "mine" / path.name)
    _, corpus, _ = started(tmp_path / "mine", tmp_path / "mine.yaml")
    assert len(corpus.models) == 4
    done = runs(tmp_path / "mine.yaml", tmp_path / "results")
    np.testing.assert_array_equal(load_gmm(done.folder / "ubm.safetensors").means, of_package("mfcc_full").means)
    assert done.provenance["pretrained"] == {"speech16k": about_pretrained("speech16k").version}
    assert done.metrics["trials"]["trials"]["cllr"] < 1  # the ratios are calibrated


@pytest.mark.slow
@pytest.mark.parametrize("systems", ["default", "best"])
def test_a_recipe_for_a_small_background_runs_with_no_editing(tmp_path, systems):
    voices = SyntheticConfig(n_speakers=4, n_background=10, n_background_utterances=5, n_enrol=3, n_test=2, seconds=4.0)
    for _ in write_recordings(voices, tmp_path / "voices"):
        pass
    for path in (tmp_path / "voices").iterdir():
        if path.is_dir() and path.name != "lists":
            shutil.copytree(path, tmp_path / "v" / ("train" if path.name.startswith("bg") else "test") / path.name)
    done = CliRunner().invoke(
        app, ["init", str(tmp_path / "v"), "--out", str(tmp_path / "r.yaml"), "--systems", systems]
    )
    assert done.exit_code == 0, done.stderr
    assert "adapted to the background" in done.stdout
    results = runs(tmp_path / "r.yaml", tmp_path / "results")
    assert results.metrics["calibration"]["folds"] == 2
    assert len(results.sizes) == (3 if systems == "best" else 1)
    folder = results.folder / "systems" / "pretrained_mfcc_full" if systems == "best" else results.folder
    assert not np.array_equal(load_gmm(folder / "ubm.safetensors").means, of_package("mfcc_full").means)


def test_sets_are_roles_in_the_recipe(tmp_path, rng):
    for part, n in (("train", 3), ("test", 2)):
        for speaker in ("alice", "bob", "carol"):
            for number in range(n):
                record(tmp_path / "v" / part / speaker / f"{number}.flac", rng)
    recipe, corpus, said = started(tmp_path / "v", tmp_path / "r.yaml")
    assert (recipe.corpus.sets, recipe.corpus.enrol, recipe.corpus.test) == (("test", "train"), ("train",), ("test",))
    assert (len(corpus.background), len(corpus.enrol), len(corpus.test)) == (0, 9, 6)
    assert recipe.corpus.protocol is None
    assert "the same speakers are in train and test: enrolled from train, tested on test" in said
    assert "speakers: alice, bob, carol\n3 speakers" in said
    assert "no other speech for a background model" in said


def test_a_training_set_of_other_speakers_is_background(tmp_path, rng):
    for part, speakers in (("Train", "xyz"), ("Test", "ab")):
        for speaker in speakers:
            for number in range(4):
                record(tmp_path / "v" / part / speaker / f"{number}.wav", rng)
    (tmp_path / "v" / "Test" / "a" / "3.wav").write_bytes(b"")
    recipe, corpus, said = started(tmp_path / "v", tmp_path / "r.yaml", status=3)
    assert recipe.speakers.method == "map"
    assert {each.speaker for each in corpus.background} == {*"xyz"}
    assert corpus.models == ("a", "b")
    assert len(corpus.enrol) + len(corpus.test) == 7
    assert recipe.corpus.protocol.background is None
    assert "speakers of Test are enrolled and tested; background: Train" in said


def test_stereo_recordings_of_lists_are_read_as_those_in_folders(tmp_path, rng):
    names = [f"{speaker}-{number}" for speaker in ("ann", "bob") for number in range(3)]
    for name in names:
        record(tmp_path / "v" / "audio" / f"{name}.wav", rng, rate=44100, channels=2)
    (tmp_path / "v" / "df.csv").write_text(
        "\n".join(["id,file,spk", *(f"{name},audio/{name}.wav,{name[:3]}" for name in names)])
    )
    (tmp_path / "v" / "data").mkdir()
    (tmp_path / "v" / "data" / "wav.scp").write_text("".join(f"{name} audio/{name}.wav\n" for name in names))
    (tmp_path / "v" / "data" / "utt2spk").write_text("".join(f"{name} {name[:3]}\n" for name in names))
    for number, place in enumerate(("df.csv", "data")):
        recipe, corpus, said = started(tmp_path / "v" / place, tmp_path / f"r{number}.yaml")
        assert (recipe.corpus.kind, recipe.corpus.table) == ("csv", f"../r{number}-usable.csv")
        assert {each.channel for each in (*corpus.enrol, *corpus.test)} == {"mean"}
        assert {each.id for each in (*corpus.enrol, *corpus.test)} == {*names}
        assert "resampled to it: 6 at 44100 Hz" in said


def test_lists_whose_paths_start_from_several_folders_become_a_table(tmp_path, rng):
    for folder, number in (("enrol", 1), ("test", 0)):
        for name in ("ann", "bob"):
            record(tmp_path / "v" / folder / f"{name}.wav", rng)
        (tmp_path / "v" / folder / "wav.scp").write_text(f"ann-{number} ann.wav\nbob-{number} bob.wav\n")
        (tmp_path / "v" / folder / "utt2spk").write_text(f"ann-{number} ann\nbob-{number} bob\n")
    (tmp_path / "v" / "trials").write_text("ann ann-0 target\nbob ann-0 nontarget\nbob bob-0 target\n")
    recipe, corpus, said = started(tmp_path / "v", tmp_path / "r.yaml")
    assert (recipe.corpus.kind, recipe.corpus.table, recipe.corpus.trials) == ("csv", "../r-usable.csv", ("trials",))
    assert {each.path for each in corpus.enrol} == {f"{tmp_path}/v/enrol/{name}.wav" for name in ("ann", "bob")}
    assert len(corpus.trials["trials"]) == 3
    assert f"paths in wav.scp start at {tmp_path / 'v' / 'enrol'}, {tmp_path / 'v' / 'test'}; trials of trials" in said


def test_headers_are_read_once_and_those_of_stereo_recordings_twice(tmp_path, rng, monkeypatch):
    for name, channels in (("a/1", 1), ("a/2", 2), ("b/1", 1), ("b/2", 1)):
        record(tmp_path / f"{name}.wav", rng, channels=channels)
    read = []

    def counted(utterances, *others):
        utterances = list(utterances)
        read.extend(each.id for each in utterances)
        return read_headers(utterances, *others)

    monkeypatch.setattr("speechgmm.recipe.preparing.survey.read_headers", counted)
    shown = []
    found = survey(discover(tmp_path), progress=lambda *numbers: shown.append(numbers))
    assert read == ["a/1", "a/2", "b/1", "b/2", "a/2"]
    assert shown == [(4, 4), (1, 1)]
    assert {each.channel for each in found.utterances} == {"mean"}
    assert found.headers == read_headers(found.utterances)


def test_trials_of_kaldi_lists_stay_those_of_the_recipe(tmp_path, rng):
    names = [f"{speaker}-{number}" for speaker in ("ann", "bob", "cid") for number in range(2)]
    for name in names:
        record(tmp_path / "v" / f"{name}.wav", rng, channels=1 + (name == "ann-0"))
    (tmp_path / "v" / "wav.scp").write_text("".join(f"{name} {name}.wav\n" for name in names))
    (tmp_path / "v" / "utt2spk").write_text("".join(f"{name} {name[:3]}\n" for name in names))
    (tmp_path / "v" / "trials").write_text("ann-0 ann-1 target\nbob-0 ann-1 nontarget\n")
    for stereo in (True, False):
        recipe, corpus, _ = started(tmp_path / "v", tmp_path / f"{stereo}.yaml")
        assert recipe.corpus.kind == ("csv" if stereo else "kaldi")
        assert [(trial.model, trial.test) for trial in corpus.trials["trials"]] == [
            ("ann-0", "ann-1"),
            ("bob-0", "ann-1"),
        ]
        assert [each.speaker for each in corpus.background] == ["cid", "cid"]
        record(tmp_path / "v" / "ann-0.wav", rng)


@pytest.mark.parametrize("name", ["2024", "null", "1e5", "y", "True", "0x1f", "a: b", "#x", "~"])
def test_any_name_of_a_folder_or_column_is_text_in_the_recipe(tmp_path, rng, monkeypatch, name):
    rows = [f"{name},path"]
    for speaker in "ab":
        for number in range(2):
            record(tmp_path / name / f"{speaker}{number}.wav", rng)
            rows.append(f"{speaker},{speaker}{number}.wav")
    (tmp_path / name / "list.csv").write_text("\n".join([rows[0].replace(name, "speaker"), *rows[1:]]))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["init", name, "--jobs", "1"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    (written,) = tmp_path.glob("*.yaml")
    recipe = load_recipe(written)
    assert recipe.name == written.stem
    assert recipe.corpus.root == str(tmp_path / name)
    text = recipe_keys({"columns": {"speaker": name}, "sets": (name, "x"), "table": name})
    assert YAML(typ="safe").load(text) == {"columns": {"speaker": name}, "sets": [name, "x"], "table": name}


def recipe_keys(keys):
    """Format keys as a first recipe has them."""
    return "".join(f"{key}: {to_yaml(value)}\n" for key, value in keys.items())


def test_reasons_that_are_alike_are_one_line(tmp_path, rng):
    for speaker in "ab":
        for number in range(3):
            record(tmp_path / "v" / speaker / f"{number}.wav", rng)
            (tmp_path / "v" / speaker / f"m{number}.m4a").write_bytes(b"no sound")
        record(tmp_path / "v" / speaker / "short.wav", rng, seconds=0.01 if speaker == "a" else 0.02)
    done = CliRunner().invoke(app, ["init", str(tmp_path / "v"), "--out", str(tmp_path / "r.yaml"), "--jobs", "1"])
    assert done.exit_code == 3
    lines = done.stdout.splitlines()
    place = lines.index("recordings that cannot be used: 8")
    assert lines[place + 1].startswith("  a/m0.m4a, a/m1.m4a, a/m2.m4a and 3 more: ")
    assert lines[place + 2] == "  a/short.wav, b/short.wav: 0.010 s; shorter than a frame of 0.025 s"
    for path in (tmp_path / "v").rglob("*.wav"):
        path.unlink()
    done = CliRunner().invoke(app, ["init", str(tmp_path / "v"), "--out", str(tmp_path / "none.yaml"), "--jobs", "1"])
    assert done.exit_code == 3
    assert "a/m0.m4a, a/m1.m4a, a/m2.m4a and 3 more: " in done.stderr
    assert "none of the recordings can be used; nothing is written" in done.stderr
    assert not (tmp_path / "none.yaml").exists()


def test_what_is_odd_about_a_recording_is_printed_once(tmp_path, rng, monkeypatch):
    for name in ("a/1.wav", "a/2.wav", "b/1.wav", "b/2.wav"):
        record(tmp_path / "v" / name, rng)

    def with_warnings(*arguments):
        headers = read_headers(*arguments)
        return {
            audio: header._replace(warnings=("its header was never finished",)) for audio, header in headers.items()
        }

    monkeypatch.setattr("speechgmm.recipe.preparing.survey.read_headers", with_warnings)
    _, _, said = started(tmp_path / "v", tmp_path / "r.yaml")
    expected = (
        "odd recordings, which are used:\n  a/1.wav, a/2.wav, b/1.wav and 1 more: its header was never finished\n"
    )
    assert expected in said


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("one.wav", "one recording; expected a folder of recordings, .* speechgmm features one.wav --out one.npy"),
        ("one.m4a", "one recording; expected"),
        ("r.yaml", "a YAML file; .* speechgmm run r.yaml"),
        ("voices.zip", "an archive; .* Unpack it"),
        ("voices.tar.gz", "an archive; .* Unpack it"),
        ("table.xlsx", r"a \.xlsx file; .* Save a table as \.csv"),
        ("results/recipe.yaml results/metrics.json", "a results folder; .* speechgmm report results; "),
        ("gallery/gallery.json", "a gallery; .* speechgmm gallery identify gallery FILE"),
        ("wav.scp", r"a list of a Kaldi data directory; .* Give its folder: \."),
        ("a/feats.scp", r"a list of a Kaldi data directory; .* Give its folder: a"),
        ("empty/", "no files; expected recordings"),
        ("text/a.txt text/b.txt", r"2 files, none of them audio \(2 \.txt\)"),
        ("", "nowhere: no such folder or table"),
    ],
)
def test_what_is_no_folder_of_recordings_has_a_command_of_its_own(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    for path in map(Path, name.split()):
        path.parent.mkdir(exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.touch()
    given = (name.split()[0] if "scp" in name else name.split()[0].partition("/")[0]) if name else "nowhere"
    done = CliRunner().invoke(app, ["init", given])
    assert done.exit_code == 2
    assert re.search(message, done.stderr), done.stderr
