"""What check finds to be doubtful: the same recording twice, speakers that are none, too little background."""

import numpy as np
import pytest
import soundfile

from helpers.cases import case
from helpers.commands import message_of, speechgmm
from speechgmm.corpus.manifest import Corpus, Trial, Utterance
from speechgmm.errors import CorpusError
from speechgmm.features.store.store import FeatureStore, StoredUtterance
from speechgmm.parallel.engine import Engine
from speechgmm.recipe.cache.outputs import StageCache
from speechgmm.recipe.preparing import duplicates
from speechgmm.recipe.preparing.checking import check_recipe
from speechgmm.recipe.preparing.duplicates import same_samples
from speechgmm.recipe.preparing.headers import AudioHeader, read_headers
from speechgmm.recipe.preparing.plausibility import implausible_speakers, small_backgrounds
from speechgmm.recipe.reading.loader import dump_recipe, load_recipe
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.context import StagePlanner
from speechgmm.recipe.stages.corpus import find_corpus
from speechgmm.recipe.stages.features import role_features
from speechgmm.recipe.stages.progress import ProgressBars
from speechgmm.recipe.stages.shared_frames import FEWEST_FRAMES, same_frames

HEAD = "id,path,speaker,role,channel"
ROWS = ["x,x.wav,x,background,", "a,a.wav,ann,enrol,", "b,b.wav,bob,enrol,", "c,c.wav,ann,test,", "d,d.wav,bob,test,"]


@pytest.fixture
def recipe(tmp_path, rng):
    """A recipe of five recordings of three seconds, all different."""
    for name in "xabcd":
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * rng.normal(size=48000), 16000)
    write_table(tmp_path)
    (tmp_path / "r.yaml").write_text(
        "{corpus: {kind: csv, root: .}, ubm: {n_components: 4}, calibration: {method: none}}"
    )
    return tmp_path / "r.yaml"


def write_table(folder, *more):
    (folder / "utterances.csv").write_text("\n".join([HEAD, *ROWS, *more]))


def found(recipe):
    return {each.what: each.items for each in check_recipe(load_recipe(recipe)).findings}


def planned(recipe):
    """The corpus as a run and a plan see it."""
    return find_corpus(load_recipe(recipe).corpus, StagePlanner(StageCache(recipe.parent / "cache")))


def write_same(path, samples):
    """Write samples to a file in its format; beside others in a file of two channels."""
    if path.stem == "two":
        samples = np.stack([samples[::-1], samples], axis=1)
    is_float = path.stem == "float"
    soundfile.write(path, samples / 2**15 if is_float else samples, 16000, subtype="FLOAT" if is_float else None)


@pytest.mark.parametrize("name", ["copy.wav", "same.flac", "same.w64", "same.aiff", "float.wav", "two.wav"])
def test_the_same_samples_are_found_in_any_file(recipe, name):
    samples, _ = soundfile.read(recipe.parent / "a.wav", dtype="int16")
    write_same(recipe.parent / name, samples)
    channel = "1" if name == "two.wav" else ""
    write_table(recipe.parent, f"n,{name},ann,test,{channel}", f"m,{name},x,background,{channel}")
    one, other = "enrol a (a.wav)", f"test n ({name})"
    assert found(recipe) == {
        "enrolled and tested on the same recording": (f"model ann: {one}, {other}",),
        "one recording of several speakers": (f"x and ann: background m ({name}), {one}, {other}",),
    }


def test_recordings_that_differ_in_a_sample_or_in_length_are_others(recipe):
    samples, rate = soundfile.read(recipe.parent / "a.wav", dtype="int16")
    last, first = samples.copy(), samples.copy()
    last[-1] += 1
    first[0] += 1
    for name, other in (
        ("last", last),
        ("first", first),
        ("longer", np.append(samples, samples[:1])),
        ("shorter", samples[:-1]),
    ):
        soundfile.write(recipe.parent / f"{name}.wav", other, rate, subtype="PCM_16")
    soundfile.write(recipe.parent / "slower.wav", samples, 8000)
    names = ("last", "first", "longer", "shorter", "slower")
    write_table(recipe.parent, *(f"{name},{name}.wav,ann,test," for name in names))
    assert not any("recording " in what for what in found(recipe))


def test_few_recordings_are_decoded_to_find_the_same(tmp_path, rng, monkeypatch):
    """Of 40 of one length and 40 others, the first second of the 40, and three to their end."""
    lengths = [*range(8000, 8040), *[20000] * 40]
    for number, length in enumerate(lengths):
        soundfile.write(tmp_path / f"{number}.wav", 0.1 * rng.normal(size=length), 8000)
    samples, rate = soundfile.read(tmp_path / "50.wav", dtype="int16")
    soundfile.write(tmp_path / "51.flac", samples, rate)
    samples[-1] ^= 1
    soundfile.write(tmp_path / "52.wav", samples, rate)
    names = [f"{number}.{'flac' if number == 51 else 'wav'}" for number in range(80)]
    headers = read_headers([Utterance(name, "s", str(tmp_path / name)) for name in names])
    decoded = {True: set(), False: set()}
    digest = duplicates._digest

    def counting(audio, first_only):
        """Note what is decoded."""
        decoded[first_only].add(audio[0].rpartition("/")[2])
        return digest(audio, first_only)

    monkeypatch.setattr(duplicates, "_digest", counting)
    same = same_samples(headers, None, ProgressBars(None))
    assert decoded == {True: {*names[40:]}, False: {"50.wav", "51.flac", "52.wav"}}
    assert {audio[0].rpartition("/")[2] for audio in same} == {"50.wav", "51.flac"}
    assert same == same_samples(headers, Engine("processes", 2), ProgressBars(None))


def test_a_run_refuses_to_test_a_model_on_its_own_enrolment(recipe):
    (recipe.parent / "copy.wav").write_bytes((recipe.parent / "a.wav").read_bytes())
    write_table(recipe.parent, "n,copy.wav,ann,test,", "m,a.wav,bob,test,")
    done = speechgmm("run", recipe, "--results", recipe.parent / "results")
    assert done.exit_code == 2
    assert "2 trials compare models with recordings that they were enrolled from: enrol a (" in message_of(done)
    assert "set corpus.allow_shared_recordings: true" in message_of(done)
    done = speechgmm(
        "run", recipe, "--results", recipe.parent / "results", "--set", "corpus.allow_shared_recordings=true",
        "--until", "features",
    )  # fmt: skip
    assert done.exit_code == 0
    shown = done.stdout.replace(f"{recipe.parent}/", "")
    assert "a.wav in both enrolment and test: the model is enrolled from the test recording" in shown
    assert "warning: enrol a (a.wav), test n (copy.wav): the model is enrolled from the test recording\n" in shown
    assert "enrol a (a.wav), test n (copy.wav), test m (a.wav): the same recording of different speakers" in shown


@pytest.mark.parametrize("name", ["same.flac", "same.w64", "float.wav", "two.wav"])
def test_a_run_knows_the_same_samples_in_other_files_by_their_frames(recipe, name):
    samples, _ = soundfile.read(recipe.parent / "a.wav", dtype="int16")
    write_same(recipe.parent / name, samples)
    channel = "1" if name == "two.wav" else ""
    write_table(recipe.parent, f"n,{name},ann,test,{channel}", f"m,{name},x,background,{channel}")
    command = (
        "run",
        recipe,
        "--results",
        recipe.parent / "results",
        "--until",
        "features",
        "--set",
        "features.vad.method=none",
    )
    done = speechgmm(*command)
    shown = message_of(done).replace(f"{recipe.parent}/", "")
    assert done.exit_code == 2
    pair = f"enrol a (a.wav), test n ({name})"
    assert f"a trial compares a model with a recording that it was enrolled from: {pair};" in shown
    done = speechgmm(*command, "--set", "corpus.allow_shared_recordings=true")
    shown = done.stdout.replace(f"{recipe.parent}/", "")
    assert done.exit_code == 0
    assert f"warning: {pair}: the model is enrolled from the test recording\n" in shown
    assert f"warning: background m ({name}), {pair}: the same recording of different speakers" in shown


def test_files_without_sound_are_no_recordings_that_are_there_twice(recipe):
    """Recorders that fail leave many files of the same bytes; such files are listed as unusable."""
    for number in range(2):
        soundfile.write(recipe.parent / f"empty{number}.wav", np.zeros(0), 16000)
        soundfile.write(recipe.parent / f"silent{number}.wav", np.zeros(16000), 16000)
        (recipe.parent / f"page{number}.wav").write_text("<html>not found</html>")
    names = ("empty", "silent", "page")
    write_table(
        recipe.parent,
        *(f"{name}0,{name}0.wav,ann,enrol," for name in names),
        *(f"{name}1,{name}1.wav,ann,test," for name in names),
        *(f"{name}2,{name}1.wav,bob,test," for name in names),
    )
    assert not any("recording " in what for what in found(recipe))
    assert planned(recipe).notes == ()
    options = "--until", "features", "--set", "features.vad.method=none"
    done = speechgmm("run", recipe, "--results", recipe.parent / "results", *options)
    assert done.exit_code == 0
    assert "9 utterances could not be used" in done.stdout


def test_a_few_frames_may_be_equal_by_chance():
    def stored(name, n_frames, value, seconds=3.0):
        return StoredUtterance(name, "shard", value, value + n_frames, seconds, seconds, 0.0)

    utterances = {
        "background": [stored("x", FEWEST_FRAMES - 1, 1), stored("y", 20, 2), stored("z", 20, 4, seconds=4.0)],
        "enrol": [stored("a", FEWEST_FRAMES - 1, 1), stored("b", 20, 2)],
        "test": [stored("t", 20, 3), stored("u", 21, 2)],
    }
    roles = {
        role: tuple(Utterance(each.utterance, each.utterance, f"{each.utterance}.wav") for each in stored)
        for role, stored in utterances.items()
    }

    class Store(FeatureStore):
        """All frames of an utterance are its first row's number."""

        def frames(self, utterance):
            row = next(each for each in self.utterances if each.utterance == utterance)
            return np.full((row.stop - row.start, 2), row.start, np.float32)

        def blocks(self, utterance):
            yield self.frames(utterance)

    stores = {role: Store(None, 2, {}, tuple(each), ()) for role, each in utterances.items()}
    same = same_frames(Corpus(*roles.values(), {"t": (Trial("a", "t", target=False),)}), stores)
    assert {audio[0] for audio in same} == {"y.wav", "b.wav"}
    assert len(set(same.values())) == 1


def test_a_run_names_what_else_is_there_twice(recipe):
    (recipe.parent / "copy.wav").write_bytes((recipe.parent / "x.wav").read_bytes())
    write_table(recipe.parent, "n,copy.wav,y,background,", "m,x.wav,x,background,")
    notes = [note.replace(f"{recipe.parent}/", "") for note in planned(recipe).notes]
    assert notes == [
        "background x (x.wav), background n (copy.wav), background m (x.wav): the same recording of different "
        "speakers; one of the labels may be wrong",
        "background x (x.wav), background m (x.wav): the same recording several times",
    ]


def test_the_key_is_written_only_where_it_is_set(recipe):
    assert "allow_shared" not in dump_recipe(load_recipe(recipe))
    allowed = load_recipe(recipe, ["corpus.allow_shared_recordings=true"])
    (recipe.parent / "again.yaml").write_text(dump_recipe(allowed))
    assert load_recipe(recipe.parent / "again.yaml").corpus == allowed.corpus


def test_segments_of_one_file_are_compared_by_their_times(recipe):
    (recipe.parent / "utterances.csv").write_text(
        "id,path,speaker,role,start,end\nx,x.wav,x,background,,\na,a.wav,ann,enrol,0,1.5\nb,a.wav,ann,test,1.5,3\n"
        "c,a.wav,ann,test,1,2\nd,a.wav,ann,test,0,1.5"
    )
    with pytest.raises(CorpusError, match=r"a trial compares a model .* enrol a \(.*a\.wav\), test d \("):
        planned(recipe)
    overlap = "enrolled and tested on overlapping segments"
    assert found(recipe)["enrolled and tested on the same recording"] == ("model ann: enrol a (a.wav), test d (a.wav)",)
    assert found(recipe)[overlap] == ("enrol a (a.wav), test c (a.wav)",)


def test_an_archive_of_recordings_is_known_by_its_content_and_the_place_in_it(tmp_path):
    for name, content in (("a.ark", b"one"), ("copy.ark", b"one"), ("b.ark", b"two")):
        (tmp_path / name).write_bytes(content)
    context = StagePlanner(StageCache(tmp_path / "cache"))
    config = Recipe(name="x", corpus={"kind": "synthetic"}).features

    def digest(place, **segment):
        utterance = Utterance("a", "ann", str(tmp_path / place), **segment)
        return role_features("features", [utterance], config, context).features.digest

    assert digest("a.ark:5") == digest("copy.ark:5")
    places = ("a.ark:5", "a.ark:7", "a.ark", "b.ark:5", "none.ark:5")
    assert len({*map(digest, places), digest("a.ark:5", start=0.5)}) == len(places) + 1


def corpus_with(speakers, n=1, background=()):
    """A corpus of n enrolments and a test of each speaker, and of a background."""
    enrol = [Utterance(f"{name}-{number}", name, f"{name}-{number}.wav") for name in speakers for number in range(n)]
    test = tuple(Utterance(f"{name}-t", name, f"{name}-t.wav") for name in speakers)
    trials = {"t": tuple(Trial(each.speaker, each.id, target=True) for each in test)}
    return Corpus(tuple(background), tuple(enrol), test, trials)


@pytest.mark.parametrize(
    "names",
    [["train", "test"], ["TRAIN", "TEST"], ["male", "female"], ["wav", "ann", "bob"], ["dev-clean", "test-other"],
     ["Test1", "Test2"], ["enrol", "eval"], ["disk1", "disk2"], ["audio"], ["train_wav", "speech"]],
)  # fmt: skip
def test_names_of_sets_are_doubtful_names_of_speakers(names):
    (doubt,) = implausible_speakers(corpus_with(names))
    named = [name for name in names if name not in {"ann", "bob"}]
    assert f"{len(named)} of {len(names)} speakers have names of sets or folders: {', '.join(named)};" in doubt


@pytest.mark.parametrize(
    "names",
    [["ann", "bob"], ["f001", "m002", "F", "M"], ["S0001", "id10270"], ["testa", "evan", "devi"], ["Manfred", "Audi"],
     ["speaker1", "speaker2"], ["male1", "female1"], ["Validus"], ["1", "2"]],
)  # fmt: skip
def test_names_of_people_are_not_doubtful(names):
    assert implausible_speakers(corpus_with(names)) == ()


def test_the_number_of_speakers_is_doubtful_beside_that_of_recordings():
    assert implausible_speakers(corpus_with(["p", "q"], n=48)) == ()
    assert implausible_speakers(corpus_with(["p", "q"], n=49)) == (
        "enrolment and test: 100 recordings of 2 speakers (p, q); expected names of speakers, not of sets or folders",
    )
    assert implausible_speakers(corpus_with(["p", "q", "r"], n=49)) == ()


def test_one_recording_each_is_doubtful_where_it_gives_the_speaker_its_name():
    by_id = [Utterance(f"s{number}", f"s{number}", f"{number}.wav") for number in range(20)]
    by_file = [Utterance(f"u{number}", f"s{number}", f"audio/s{number}.wav") for number in range(20)]
    people = [Utterance(f"u{number}", f"s{number}", f"{number}.wav") for number in range(20)]
    expected = (
        "background: 20 recordings of 20 speakers (s0, s1, s2 and 17 more), one each; expected names of speakers, not "
        "of recordings",
    )
    for background, doubts in ((by_id, expected), (by_file, expected), (people, ()), (by_id[:19], ())):
        assert implausible_speakers(corpus_with(["p", "q"], background=background)) == doubts
    enrol, test = tuple(people[:10]), tuple(people[10:])
    unknown = Corpus((), enrol, test, {"t": (Trial("s0", "u10", target=False),)})
    assert "enrolment and test: 20 recordings of 20 speakers" in implausible_speakers(unknown)[0]


@pytest.mark.parametrize(("n_components", "fits"), [(16, True), (17, False), ("auto", True)])
def test_a_background_needs_50_frames_for_each_gaussian(n_components, fits):
    """8 s at a shift of 10 ms are 800 frames: 50 for each of 16 Gaussians."""
    background = [Utterance(f"x{number}", "x", f"x{number}.wav") for number in range(4)]
    corpus = corpus_with(["p"], background=background)
    headers = {each.audio: AudioHeader(2.0, 16000) for each in background}
    recipe = Recipe(name="r", corpus={"kind": "csv", "root": "."}, ubm={"n_components": n_components})
    expected = (
        "r: background: 8.0 s at a frame shift of 10 ms are at most 800 frames of speech, 47.1 for each of 17 "
        "Gaussians; expected 50 or more: set ubm.n_components to 16 or less, or add recordings",
    )
    assert small_backgrounds(recipe, corpus, headers) == (() if fits else expected)
    del headers[background[0].audio]  # how much there is, is not known
    assert small_backgrounds(recipe, corpus, headers) == ()


def test_each_background_of_each_system_is_counted():
    background = [Utterance(f"x{n}", f"x{n}", f"x{n}.wav", "fm"[n > 0]) for n in range(4)]
    corpus = corpus_with(["p"], background=background)
    headers = {each.audio: AudioHeader(2.0, 16000) for each in background}
    base = {"corpus": {"kind": "csv", "root": "."}}
    systems = [
        Recipe(name="large", ubm={"n_components": 32}, features={"frame_shift": 0.02}, **base),
        Recipe(name="small", ubm={"n_components": 4, "per_sex": True}, **base),
        Recipe(name="sexes", ubm={"n_components": 8, "per_sex": True}, **base),
        Recipe(name="own", speakers={"method": "independent"}, **base),
    ]
    found = small_backgrounds(Recipe(name="all", systems=systems, **base), corpus, headers)
    assert [each.partition(" at")[0] for each in found] == [
        "large: background: 8.0 s",
        "sexes: background of sex f: 2.0 s",
    ]
    assert "at most 400 frames of speech, 12.5 for each of 32 Gaussians" in found[0]
    assert (
        "200 frames of speech, 25.0 for each of 8 Gaussians; expected 50 or more: set ubm.n_components to 4" in found[1]
    )


def test_folders_of_sets_are_doubtful_in_check(tmp_path):
    (tmp_path / "r.yaml").write_text(
        f"corpus: {{kind: folder, root: {case('04_sets_of_speakers')}, protocol: {{background: 0, n_enrol: 1}}}}\n"
        "speakers: {method: independent, n_components: 1}\ncalibration: {method: none}\n"
    )
    assert any("test, train" in item for item in found(tmp_path / "r.yaml")["speakers"])
