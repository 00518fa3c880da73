"""The package as a whole: what it exports and documents, that the examples run, and what importing it costs."""

import doctest
import inspect
import re
from collections.abc import Iterator

import pytest

import speechgmm
import speechgmm.sklearn
from helpers.paths import ROOT
from helpers.processes import modules_after

HEAVY = ("librosa", "sklearn", "matplotlib", "dask", "scipy", "pydantic", "joblib", "soundfile", "numpy", "rich")
PUBLIC = (
    *(name for name in speechgmm.__all__ if name != "__version__"),
    *(f"sklearn.{name}" for name in speechgmm.sklearn.__all__),
)


def public(name: str) -> object:
    """Return what a name of `PUBLIC` stands for."""
    home = speechgmm.sklearn if name.startswith("sklearn.") else speechgmm
    return getattr(home, name.removeprefix("sklearn."))


def sections(documented: object) -> dict[str, str]:
    """Split a numpydoc docstring into its sections; what comes before the first title is under the empty one."""
    parts = re.split(r"^([A-Z][A-Za-z ]+)\n-{3,}\n", inspect.getdoc(documented) or "", flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def arguments(called: object) -> list[str]:
    """Name the arguments that a caller may give."""
    return [
        name
        for name, parameter in inspect.signature(called).parameters.items()
        if name not in ("self", "cls") and name[0] != "_" and parameter.kind is not parameter.VAR_KEYWORD
    ]


def described(documented: object) -> list[str]:
    """Name the parameters that a docstring describes; a configuration's are those of its base classes, too."""
    homes = documented.__mro__ if isinstance(documented, type) else (documented,)
    text = "\n".join(sections(home).get("Parameters", "") for home in homes)
    lines = re.findall(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: :.*)?$", text, re.MULTILINE)
    return [name.strip("*") for line in lines for name in line.split(", ")]


def methods(class_: type) -> Iterator[tuple[str, object]]:
    """List the public methods that a class has from this package, as they are called on an instance."""
    for name, _ in inspect.getmembers_static(class_):
        home = next(base for base in class_.__mro__ if name in vars(base))
        value = getattr(class_, name)
        if name[0] != "_" and home.__module__.startswith("speechgmm") and inspect.isroutine(value) and callable(value):
            yield name, value


def gaps(name: str) -> Iterator[str]:
    """List what the docstrings of a public name and of its methods lack."""
    value = public(name)
    own = sections(value)
    if "Examples" not in own:
        yield f"{name}: no Examples"
    parts = [(name, value)]
    if isinstance(value, type):
        parts += [(f"{name}.{method}", called) for method, called in methods(value)]
    for label, called in parts:
        titles = sections(called)
        if not titles[""].strip():
            yield f"{label}: no summary"
        if isinstance(called, type) and issubclass(called, Exception):
            continue
        if missing := set(arguments(called)) - set(described(called)):
            yield f"{label}: no description of {', '.join(sorted(missing))} in Parameters"
        if isinstance(called, type):
            continue
        returned = inspect.signature(called).return_annotation
        if returned not in (None, "None", "Never", "NoReturn") and not {"Returns", "Yields"} & titles.keys():
            yield f"{label}: neither Returns nor Yields"


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


def test_the_page_on_the_api_lists_every_public_name_once():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE)) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_the_docstring_of_a_public_name_is_complete(name):
    assert not list(gaps(name))


@pytest.mark.parametrize("name", PUBLIC)
def test_the_examples_of_a_public_name_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tests = doctest.DocTestFinder(exclude_empty=True).find(public(name), name, globs={})
    assert name in {test.name for test in tests if test.examples}, f"no example in the docstring of {name}"
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    report = []
    for test in tests:
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)
