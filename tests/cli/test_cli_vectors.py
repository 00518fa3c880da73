"""``speechgmm vectors``: vectors of the recordings of a corpus, and of any others, with their names."""

import json
import shutil

import kaldiio
import numpy as np
import pytest
import soundfile

from helpers.commands import message_of, speechgmm
from helpers.recipes import synthetic_corpus
from speechgmm import accumulate, extract, load_gmm
from speechgmm.corpus.manifest import ROLES
from speechgmm.corpus.reading import KaldiConfig, read_kaldi
from speechgmm.features.formats.vectors import VECTOR_SUFFIXES, read_vectors
from speechgmm.recipe.layout import SUBSPACE_FILE, UBM_FILE
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.subspace.supervectors import supervectors
from speechgmm.subspace.total_variability.posterior import ivectors
from speechgmm.subspace.total_variability.storage import load_total_variability

CORPUS = synthetic_corpus(n_background=10, n_background_utterances=3)
SYSTEM = "ubm: {n_components: 4, n_iterations: 3}\ncalibration: {method: none}\n"
IVECTORS = "vectors: {kind: ivector, rank: 4, n_iterations: 3}\nbackend: [center, length, plda]\n"
SUPERVECTORS = "vectors: {kind: supervector}\nbackend: [center, cosine]\n"


def vectors(*arguments):
    """Run the command in this process, on no workers unless `--engine` is set."""
    engine = () if "--engine" in arguments else ("--engine", "serial")
    return speechgmm("vectors", *arguments, *engine)


def write_recipe(path, sections, corpus=CORPUS):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{corpus}\n{SYSTEM}{sections}")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of results whose stages are stored, the recipe, and the folder of the recordings."""
    folder = tmp_path_factory.mktemp("vectors")
    recipe = write_recipe(folder / "small.yaml", IVECTORS)
    done = speechgmm("run", recipe, "--results", folder / "results", "--engine", "serial", "--until", "evaluation")
    assert done.exit_code == 0, done.output
    (recorded,) = (folder / "results" / ".cache" / "corpus").iterdir()
    return folder / "results", recipe, recorded


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of its own for the output."""
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    return tmp_path / "out"


def stored(results):
    """The outputs of stages that are stored, with the times when they were made."""
    return {path: json.loads(path.read_text())["made_at"] for path in results.glob(".cache/*/*/stage.json")}


def same(found, expected):
    return found.keys() == expected.keys() and all(found[name].tobytes() == expected[name].tobytes() for name in found)


def check_refused(done, message, folder):
    assert done.exit_code == 2
    assert message in message_of(done)
    assert not list(folder.iterdir())


@pytest.fixture(scope="module")
def of_corpus(trained, tmp_path_factory):
    """The vectors of all recordings of the corpus, as the command writes them."""
    results, recipe, _ = trained
    out = tmp_path_factory.mktemp("all") / "all.npz"
    done = vectors(recipe, "--results", results, "--out", out)
    assert done.exit_code == 0, done.output
    assert done.output == f"{out}: 46 i-vectors of 4 numbers\n"
    return read_vectors(out)


def test_the_vectors_of_a_corpus_are_those_of_the_functions(trained, of_corpus):
    results, recipe, recorded = trained
    corpus, front_end = read_kaldi(KaldiConfig(root=str(recorded))), load_recipe(recipe).features
    ubm = load_gmm(results / "small" / UBM_FILE)
    model = load_total_variability(results / "small" / SUBSPACE_FILE)
    ids = [each.id for role in ROLES for each in corpus.role(role)]
    assert list(of_corpus) == list(dict.fromkeys(ids))
    for each in (*corpus.background[:3], *corpus.enrol[:3], *corpus.test):
        expected = ivectors(model, [accumulate(ubm, extract(each.path, front_end))]).values[0]
        np.testing.assert_array_equal(of_corpus[each.id], expected)


def test_supervectors(trained, here):
    results, _, recorded = trained
    recipe = write_recipe(here.parent / "super.yaml", SUPERVECTORS)
    done = vectors(recipe, "--results", results, "--out", "a.csv", "--role", "enrol", "--role", "test")
    assert done.exit_code == 0, done.output
    n_features = load_recipe(recipe).features.n_features
    assert done.output == f"a.csv: 16 supervectors of {4 * n_features:,} numbers\n"
    found, corpus = read_vectors("a.csv"), read_kaldi(KaldiConfig(root=str(recorded)))
    assert list(found) == [each.id for role in ("enrol", "test") for each in corpus.role(role)]
    ubm, each = load_gmm(results / "small" / UBM_FILE), corpus.test[-1]
    expected = supervectors(ubm, [accumulate(ubm, extract(each.path, load_recipe(recipe).features))])[0]
    np.testing.assert_array_equal(found[each.id], expected)


@pytest.mark.parametrize("suffix", VECTOR_SUFFIXES)
def test_every_format_is_read_back_by_name(trained, of_corpus, here, suffix):
    results, recipe, recorded = trained
    done = vectors(recipe, "--results", results, "--out", f"t{suffix}", "--role", "test")
    assert done.exit_code == 0, done.output
    names = [each.id for each in read_kaldi(KaldiConfig(root=str(recorded))).test]
    expected = {name: of_corpus[name] for name in names}
    if suffix == ".ark":
        expected = {name: vector.astype(np.float32).astype(np.float64) for name, vector in expected.items()}
        assert done.output == "t.ark, t.scp: 8 i-vectors of 4 numbers, in single precision\n"
        assert {name: vector.tolist() for name, vector in kaldiio.load_scp("t.scp").items()} == {
            name: vector.tolist() for name, vector in expected.items()
        }
    assert same(read_vectors(f"t{suffix}"), expected)
    assert not [path.name for path in here.iterdir() if path.stem != "t"]


def test_a_recording_has_the_same_vector_beside_its_corpus(trained, of_corpus, here):
    results, recipe, recorded = trained
    corpus = read_kaldi(KaldiConfig(root=str(recorded)))
    path_of = {each.id: each.path for role in ROLES for each in corpus.role(role)}
    before = stored(results)
    (here.parent / "in").mkdir()
    for name, path in path_of.items():
        shutil.copyfile(path, here.parent / "in" / f"{name}.flac")
    done = vectors(recipe, here.parent / "in", "--results", results, "--out", "a.h5")
    assert done.exit_code == 0, done.output
    assert same(read_vectors("a.h5"), of_corpus)
    one, other = (here.parent / "in" / f"{name}.flac" for name in (corpus.test[1].id, corpus.background[0].id))
    assert vectors(recipe, one, other, "--results", results, "--out", "b.npz").exit_code == 0
    assert same(read_vectors("b.npz"), {path.stem: of_corpus[path.stem] for path in (one, other)})
    assert stored(results) == before
    assert {path.name for path in here.iterdir()} == {"a.h5", "b.npz"}


def test_kaldi_directories(trained, of_corpus, here):
    results, recipe, recorded = trained
    folder = next(path.parent for path in recorded.rglob("wav.scp") if "test" in str(path.parent))
    done = vectors(recipe, folder, "--results", results, "--out", "a.npz")
    assert done.exit_code == 0, done.output
    names = [each.id for each in read_kaldi(KaldiConfig(root=str(recorded))).test]
    assert same(read_vectors("a.npz"), {name: of_corpus[name] for name in names})


def test_what_is_not_stored_is_trained_and_of_the_same_bytes(trained, here):
    results, recipe, _ = trained
    for out, folder, engine in (("a.npz", results, "serial"), ("b.npz", here.parent / "new", "processes")):
        done = vectors(recipe, "--results", folder, "--out", out, "--engine", engine, "--jobs", "2")
        assert done.exit_code == 0, done.output
    assert (here / "a.npz").read_bytes() == (here / "b.npz").read_bytes()
    assert {path.parent.parent.name for path in stored(here.parent / "new")} == {
        *("corpus", "features", "ubm", "statistics", "subspace")
    }
    assert [path.name for path in (here.parent / "new").iterdir()] == [".cache"]


@pytest.mark.parametrize("by_name", [True, False])
def test_the_results_of_a_run_are_a_recipe_and_train_nothing(trained, of_corpus, tmp_path, monkeypatch, by_name):
    results, _, _ = trained
    before = stored(results)
    files = {path: path.stat().st_mtime_ns for path in (results / "small").rglob("*")}
    monkeypatch.chdir(results.parent if by_name else tmp_path)
    done = vectors("small" if by_name else results / "small", "--out", tmp_path / "a.npz")
    assert done.exit_code == 0, done.output
    assert same(read_vectors(tmp_path / "a.npz"), of_corpus)
    assert stored(results) == before
    assert {path: path.stat().st_mtime_ns for path in (results / "small").rglob("*")} == files


def test_the_results_of_a_point_of_a_series(trained, here):
    results, recipe, _ = trained
    done = speechgmm(
        "sweep", recipe, "--results", results, "--set", "vectors.rank=2,4", "--set", "name=both", "--engine", "serial"
    )
    assert done.exit_code == 0, done.output
    before = stored(results)
    (point,) = (path for path in (results / "both").iterdir() if path.is_dir() and path.name.endswith("2"))
    done = vectors(point, "--out", "a.npz", "--role", "test")
    assert done.exit_code == 0, done.output
    assert "8 i-vectors of 2 numbers" in done.output
    assert stored(results) == before


def test_recordings_that_cannot_be_used_are_listed_and_the_others_written(trained, here):
    results, recipe, recorded = trained
    audio = here.parent / "in"
    audio.mkdir()
    shutil.copyfile(next(recorded.rglob("*.flac")), audio / "good.flac")
    soundfile.write(audio / "silence.wav", np.zeros(16000), 16000)
    (audio / "text.wav").write_text("no audio")
    done = vectors(recipe, audio, "--results", results, "--out", "a.npz")
    assert done.exit_code == 3
    assert list(read_vectors("a.npz")) == ["good"]
    assert "a.npz: 1 i-vector of 4 numbers" in done.stdout
    assert "error: 2 of 3 recordings could not be used:" in message_of(done)
    assert f"{audio / 'text.wav'}: not readable as audio" in message_of(done)
    done = vectors(recipe, audio / "text.wav", audio / "silence.wav", "--results", results, "--out", "b.npz")
    assert done.exit_code == 3
    assert "none of 2 recordings could be used; nothing is written:" in message_of(done)
    assert done.stdout == ""
    assert [path.name for path in here.iterdir()] == ["a.npz"]


def kaldi_corpus(trained, folder):
    """A copy of the corpus whose lists can be changed, and its line for a recipe."""
    shutil.copytree(trained[2], folder)
    (folder / "stage.json").unlink()
    return f"corpus: {{kind: kaldi, root: {folder}}}"


def list_of(folder, role):
    """The list of the recordings of a role."""
    return next(path for path in folder.rglob("wav.scp") if role in str(path.parent.relative_to(folder)))


def test_unusable_recordings_of_a_corpus(trained, here):
    corpus = kaldi_corpus(trained, here.parent / "copy")
    scp = list_of(here.parent / "copy", "test")
    name, path = scp.read_text().splitlines()[0].split()
    (scp.parent / path if (scp.parent / path).exists() else here.parent / "copy" / path).write_text("no audio")
    recipe = write_recipe(here.parent / "copy.yaml", IVECTORS, corpus)
    done = vectors(recipe, "--results", here.parent / "results", "--out", "a.npz", "--role", "test")
    assert done.exit_code == 3, done.output
    assert "1 of 8 recordings could not be used" in message_of(done)
    assert f"{name}: not readable as audio" in message_of(done)
    assert len(read_vectors("a.npz")) == 7


def test_a_recording_in_two_roles_is_written_once_and_two_of_one_name_are_refused(trained, here):
    corpus = kaldi_corpus(trained, here.parent / "copy")
    copy, results = here.parent / "copy", here.parent / "results"
    enrol, test = list_of(copy, "enrol"), list_of(copy, "test")
    name, path = enrol.read_text().splitlines()[0].split()
    speaker = dict(line.split() for line in (enrol.parent / "utt2spk").read_text().splitlines())[name]
    test.write_text(test.read_text() + f"{name} {path}\n")
    with (test.parent / "utt2spk").open("a") as stream:
        stream.write(f"{name} {speaker}\n")
    recipe = write_recipe(here.parent / "copy.yaml", IVECTORS, corpus)
    done = vectors(recipe, "--results", results, "--out", "a.npz")
    assert done.exit_code == 0, done.output
    assert len(read_vectors("a.npz")) == 46
    test.write_text(test.read_text().replace(f"{name} {path}", f"{name} {test.read_text().split()[1]}"))
    done = vectors(recipe, "--results", results, "--out", "b.npz")
    assert done.exit_code == 2
    assert f"{name}: another recording in test than in enrol" in message_of(done)
    assert "expected --role enrol or --role test" in message_of(done)
    assert not (here / "b.npz").exists()
    assert vectors(recipe, "--results", results, "--out", "b.npz", "--role", "test").exit_code == 0


def test_channels_raw_files_and_white_space(trained, here):
    results, recipe, recorded = trained
    samples, rate = soundfile.read(next(recorded.rglob("*.flac")), dtype="int16")
    soundfile.write(here.parent / "a b.wav", np.stack([samples, samples[::-1]], axis=1), rate)
    (here.parent / "c.raw").write_bytes(samples.tobytes())
    done = vectors(recipe, here.parent / "a b.wav", "--results", results, "--out", "a.ark")
    assert done.exit_code == 3
    assert "2 channels; expected a mono file, or a channel" in message_of(done)
    done = vectors(recipe, here.parent / "a b.wav", "--channel", "0", "--results", results, "--out", "a.ark")
    assert done.exit_code == 0, done.output
    assert "white space in names is written as _" in done.output
    done = vectors(recipe, here.parent / "c.raw", "--raw", f"{rate}", "--results", results, "--out", "b.ark")
    assert done.exit_code == 0, done.output
    assert read_vectors("a.ark")["a_b"].tobytes() == read_vectors("b.ark")["c"].tobytes()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ("", "small: speakers.method map makes models of speakers, and no vectors"),
        ("speakers: {method: isv, rank: 2}\n", "small: speakers.method isv makes models of speakers, and no vectors"),
        (IVECTORS + "sweep: {grid: {seed: [0, 1]}}\n", "small: sweep: a series of experiments, and vectors are of one"),
    ],
)
def test_recipes_without_vectors_are_refused(here, sections, message):
    recipe = write_recipe(here.parent / "small.yaml", sections)
    done = vectors(recipe, "--results", here.parent / "results", "--out", "a.npz")
    check_refused(done, message, here)
    assert not (here.parent / "results").exists()


def test_a_fusion_is_refused_with_its_systems_that_have_vectors(here):
    systems = {"llr": "normalisation: {method: s}", "iv": IVECTORS.replace("\n", "\n    ")}
    text = "".join(f"  - name: {name}\n    {section}\n" for name, section in systems.items())
    (here.parent / "both.yaml").write_text(f"{CORPUS}\nsystems:\n{text}")
    done = vectors(here.parent / "both.yaml", "--out", "a.npz")
    check_refused(done, "both: a fusion of llr, iv, and vectors are of one system; expected the recipe of iv", here)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "a.txt"], "a.txt: suffix '.txt'; vectors are written to .npz"),
        (["in.wav", "--out", "a.txt"], "in.wav: no such file or folder"),
        (["--out", "a.npz", "--role", "dev"], "'dev' is not one of 'background', 'enrol', 'test'"),
        (["in.wav", "--out", "a.npz", "--role", "test"], "it is of the corpus; expected no AUDIO beside it"),
        (["--out", "a.npz", "--channel", "0"], "it is of AUDIO; the corpus says it of its recordings"),
        (["--out", "a.npz", "--raw", "8000"], "it is of AUDIO; the corpus says it of its recordings"),
        ([], "Missing option '--out'"),
        (["--out", "a.npz", "--set", "vectors.rnk=3"], "unknown key; did you mean rank?"),
    ],
)
def test_options_that_cannot_be_met_are_refused(trained, here, options, message):
    results, recipe, _ = trained
    check_refused(vectors(recipe, *options, "--results", results), message, here)


def test_what_the_file_cannot_hold_is_refused_before_anything_is_trained(trained, here):
    corpus, results = kaldi_corpus(trained, here.parent / "copy"), here.parent / "results"
    scp = list_of(here.parent / "copy", "background")
    name = scp.read_text().split()[0]
    for path in (scp, scp.parent / "utt2spk"):
        path.write_text(path.read_text().replace(f"{name} ", f"{name}\\a "))
    recipe = write_recipe(here.parent / "copy.yaml", IVECTORS, corpus)
    check_refused(
        vectors(recipe, "--results", results, "--out", "a.npz"), "expected a name without \\, and between", here
    )
    check_refused(vectors(recipe, "--results", results, "--out", here), "suffix ''; vectors are written to", here)
    assert not list(results.glob(".cache/*/*"))


def test_a_folder_without_a_recipe_is_refused(here):
    (here.parent / "empty").mkdir()
    done = vectors(here.parent / "empty", "--out", "a.npz")
    check_refused(done, "empty: no results folder (it is empty)", here)


def test_models_of_imported_features_take_no_audio(here):
    recipe = here.parent / "given.yaml"
    recipe.write_text(
        f"corpus: {{kind: kaldi, root: {here}, input: features}}\nfeatures: {{kind: given, n_static: 13}}\n"
        + SYSTEM
        + IVECTORS
    )
    soundfile.write(here.parent / "a.wav", np.zeros(16000), 16000)
    done = vectors(recipe, here.parent / "a.wav", "--out", "a.npz")
    check_refused(done, "given: features.kind given: its models are of imported features", here)


def test_what_is_odd_about_models_and_recordings_is_said(trained, here):
    results, recipe, recorded = trained
    samples, rate = soundfile.read(next(recorded.rglob("*.flac")))
    soundfile.write(here.parent / "loud.wav", np.clip(samples * 50, -1, 1), rate)
    done = vectors(recipe, here.parent / "loud.wav", "--set", "vectors.rank=60", "--results", results, "--out", "a.npz")
    assert done.exit_code == 0, done.output
    assert "a.npz: 1 i-vector of 60 numbers" in done.output
    assert "warning: rank 60, but the number of recordings with frames is 30" in done.output
    assert "of the samples of loud" in done.output
    assert done.output.count("warning: ") == 2


def test_an_output_that_cannot_be_written(trained, here):
    results, recipe, _ = trained
    (here / "a").write_text("a file in the place of a folder")
    done = vectors(recipe, "--results", results, "--out", "a/b.npz")
    assert done.exit_code == 2
    assert message_of(done) == "error: a: File exists"
