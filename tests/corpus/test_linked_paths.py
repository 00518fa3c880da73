"""Lists and recordings behind linked folders."""

import pytest

from speechgmm.corpus.formats.kaldi import KaldiConfig
from speechgmm.corpus.formats.tables import CsvConfig
from speechgmm.corpus.linked_paths import audio_path, list_path
from speechgmm.corpus.reading import read_corpus
from speechgmm.errors import CorpusError


@pytest.fixture
def clips(tmp_path):
    """A folder of clips that is a link to another disk."""
    (tmp_path / "disk" / "deep" / "clips").mkdir(parents=True)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "clips").symlink_to("../disk/deep/clips")
    return tmp_path / "corpus" / "clips"


def test_a_table_and_a_trial_list_beside_a_linked_folder_are_read(clips):
    rows = "path,speaker,role\n1.wav,ann,enrol\n2.wav,ann,test\n../more/3.wav,bob,test\n"
    (clips.parent / "list.csv").write_text(rows)
    (clips.parent / "trials.txt").write_text("ann 2 target\n")
    corpus = read_corpus(CsvConfig(root=str(clips), table="../list.csv", trials=("../trials.txt",)))
    assert [each.path for each in corpus.test] == [str(clips / "2.wav"), str(clips.parent / "more" / "3.wav")]


def test_data_directories_beside_a_linked_folder_are_read(clips):
    for role in ("enrol", "test"):
        (clips.parent / role).mkdir()
        (clips.parent / role / "wav.scp").write_text(f"{role}-1 ../wav.ark:17\n")
        (clips.parent / role / "utt2spk").write_text(f"{role}-1 ann\n")
    (clips.parent / "trials").write_text("ann test-1 target\n")
    config = KaldiConfig(root=str(clips), background=None, enrol="../enrol", test="../test", trials=("../trials",))
    assert read_corpus(config).test[0].path == str(clips.parent / "wav.ark:17")


def test_what_is_there_behind_the_link_counts(clips):
    for folder in (clips.parent, clips.resolve().parent):
        (folder / "list.csv").touch()
        (folder / "x.ark").touch()
    assert list_path(clips, "../list.csv").samefile(clips.resolve().parent / "list.csv")
    assert audio_path(clips, "../x.ark:5") == f"{clips}/../x.ark:5"
    (clips.resolve().parent / "x.ark").unlink()
    assert audio_path(clips, "../x.ark:5") == f"{clips.parent}/x.ark:5"


def test_messages_name_a_list_by_its_plain_path(clips):
    (clips.parent / "list.csv").write_text("path\n")
    for root, table in [(clips, "../list.csv"), (clips.parent / ".." / "corpus", "list.csv")]:
        with pytest.raises(CorpusError, match=rf"^{clips.parent / 'list.csv'}:1: no column 'speaker' among path;"):
            read_corpus(CsvConfig(root=str(root), table=table))
    with pytest.raises(CorpusError, match=rf"^{clips.parent / 'gone.csv'}: not readable"):
        read_corpus(CsvConfig(root=str(clips), table="../gone.csv"))
