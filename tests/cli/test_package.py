"""The package as a whole: what it exports, and what importing it costs."""

import pytest

import speechgmm
from helpers.processes import modules_after

HEAVY = ("librosa", "sklearn", "matplotlib", "dask", "scipy", "pydantic", "joblib", "soundfile", "numpy", "rich")


def test_importing_the_package_imports_nothing_heavy():
    assert not modules_after("import speechgmm") & set(HEAVY)


def test_importing_the_command_line_imports_nothing_heavy():
    assert not modules_after("import speechgmm.cli") & (set(HEAVY) - {"rich"})


def test_using_every_public_name_imports_neither_librosa_nor_sklearn_nor_matplotlib_for_features():
    found = modules_after("import speechgmm\nspeechgmm.extract, speechgmm.train, speechgmm.llr, speechgmm.map_adapt")
    assert not found & {"librosa", "sklearn", "matplotlib", "dask"}


@pytest.mark.parametrize("name", speechgmm.__all__)
def test_every_public_name_exists_and_is_documented(name):
    value = getattr(speechgmm, name)
    assert name == "__version__" or value.__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        speechgmm.fit  # noqa: B018 - the access is the test
    assert set(speechgmm.__all__) <= set(dir(speechgmm))
