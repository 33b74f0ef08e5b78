"""The site of the documentation: what can be said without building it (`make site`, in .ci/run)."""

import ast
import importlib
import inspect
import re
import sys
from types import ModuleType

import pytest

from tests.support.places import ROOT
from tests.test_import_rule import DOORS, MODULES

CONFIG = (ROOT / "mkdocs.yml").read_text()
ARRAY = re.compile(r"\bndarray\b|\bTensor\b")
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "REPRODUCE.md", ROOT / "CHANGELOG.md"]
PAGES += [ROOT / ".github" / "CONTRIBUTING.md"]


@pytest.fixture
def pages(monkeypatch):
    """docs/site/pages.py, which runs in an environment of its own: of MkDocs it takes one class."""
    files = ModuleType("mkdocs.structure.files")
    files.File = None
    for name in ("mkdocs", "mkdocs.structure"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, files.__name__, files)
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "site"))
    monkeypatch.delitem(sys.modules, "pages", raising=False)
    return importlib.import_module("pages")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_for_whom_it_is_and_is_in_the_menu(page):
    title, _, first, *_ = page.read_text().splitlines()
    assert title.startswith("# ") and first.startswith("For "), f"{page.name}: for whom is it?"
    assert f"- {page.name}\n" in CONFIG


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_pictures_say_what_is_on_them(page):
    for words in re.findall(r"!\[(.*?)\]\(", page.read_text()):
        assert len(words.split()) >= 4, words
    assert "<img" not in page.read_text()


@pytest.mark.parametrize(
    ("link", "folder", "expected"),
    [
        ("docs/data.md", "", "data.md"),
        ("data.md", "docs", "data.md"),
        ("../README.md", "docs", "index.md"),
        ("../docs/design.md", ".github", "design.md"),
        ("../.github/curves.png", "docs", "pictures/curves.png"),
        (".github/CONTRIBUTING.md", "", "CONTRIBUTING.md"),
    ],
)
def test_links_of_the_repository_lead_to_pages_of_the_site(pages, link, folder, expected):
    assert pages.target(link, folder) == expected


def test_the_reference_names_what_there_is(pages):
    for module, names in pages.REFERENCE.values():
        found = importlib.import_module(module)
        for name in names:
            assert inspect.getdoc(getattr(found, name)), f"{module}.{name}"


def test_the_reference_explains_arguments_results_and_errors(pages):
    """Of all functions and classes on the page: each that docs/python.md names is there, too."""
    missing = []
    for module, names in pages.REFERENCE.values():
        for name in names:
            found = getattr(importlib.import_module(module), name)
            text, source = inspect.getdoc(found), inspect.getsource(found)
            arguments = inspect.signature(found).parameters.values()
            wanted = {one.name for one in arguments if one.kind is not one.VAR_POSITIONAL}
            told = named(section(text, "Args") + section(text, "Attributes"))
            missing += [f"{module}.{name}: {one}" for one in sorted(wanted - told)]
            if inspect.isfunction(found):
                gives = inspect.signature(found).return_annotation not in (None, "None")
                if gives and not section(text, "Returns"):
                    missing.append(f"{module}.{name}: Returns")
                if "raise InputError" in source and "InputError" not in section(text, "Raises"):
                    missing.append(f"{module}.{name}: Raises")
    assert not missing


def section(text, title):
    """The lines of a section of a docstring in Google's style; "" where it has none."""
    found = re.search(rf"^{title}:\n((?: +.*\n?|\n)+)", text, re.MULTILINE)
    return found[1] if found else ""


def named(lines):
    """What the lines of a section explain: `mean, std: of RGB` explains both."""
    names = re.findall(r"^  ([\w*, ]+):", lines, re.MULTILINE)
    return {name.strip(" *") for several in names for name in several.split(",")}


def public(body):
    """Functions and classes of these lines whose names do not begin with `_`, methods too."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def gaps(node):
    """What a docstring does not say of a function or class: shapes of arrays, and `InputError`."""
    text = ast.get_docstring(node) or ""
    lines = text.splitlines()
    if isinstance(node, ast.ClassDef):
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
        typed = [(one.target.id, ast.unparse(one.annotation)) for one in fields]
    else:
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        typed = [(one.arg, ast.unparse(one.annotation)) for one in given if one.annotation]
        if node.returns and ARRAY.search(ast.unparse(node.returns)) and "[" not in text:
            yield f"{node.name}: shape of what it returns"
        is_command = node.name == "main"  # whose errors `cli.run` says
        if "raise InputError" in ast.unparse(node) and "InputError" not in text and not is_command:
            yield f"{node.name}: InputError"
    for name, kind in typed:
        if ARRAY.search(kind) and not any("[" in line for line in lines if name in line):
            yield f"{node.name}: shape of {name}"


@pytest.mark.parametrize("door", [f"{top}.{name}" for top in DOORS for name in sorted(DOORS[top])])
def test_arrays_have_shapes_and_errors_are_said(door):
    """Of public functions, methods and classes of the doors."""
    nodes = public(ast.parse(MODULES[door].read_text()).body)
    found = [gap for node in nodes for gap in gaps(node)]
    assert not found, door


def test_what_is_missing_is_found():
    source = """
class Pair:
    '''Two.

    Attributes:
      first: [n], numbers.
      second: more of them.
    '''
    first: np.ndarray
    second: np.ndarray

    def both(self, rows: tf.Tensor) -> np.ndarray | None:
        '''Some rows.'''
        raise InputError("no")
"""
    found = [gap for node in public(ast.parse(source).body) for gap in gaps(node)]
    assert found == [
        *("Pair: shape of second", "both: shape of what it returns", "both: InputError"),
        "both: shape of rows",
    ]


def test_files_and_names_in_contributing_are_there():
    """`NAME` stands for what a reader adds; what commands write is in `runs/`."""
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text().replace("\n", " ")
    text = re.sub(r" +", " ", text)
    named = re.findall(r"`([\w./-]+/[\w./-]*)`", text)
    paths = [path for path in named if "NAME" not in path and not path.startswith("runs/")]
    assert len(paths) > 20
    for path in paths:
        places = (ROOT / path, ROOT / "down_stream" / path)
        assert any(place.exists() for place in places), path
    named = re.findall(r"`(\w+)` (?:of|in|there|to) `([\w./]+\.py)`", text)
    assert len(named) >= 4
    for name, path in named:
        # The folder of `labels.py` was named before.
        rooms = [ROOT / room for room in ("data", "down_stream", "msn")]
        files = [ROOT / path] if "/" in path else [f for room in rooms for f in room.rglob(path)]
        texts = [file.read_text() for file in files]
        is_there = any(re.search(rf"\b{name}\b", text) for text in texts)
        assert is_there or "NAME" in name, (name, path)


@pytest.mark.parametrize("door", [f"{top}.{name}" for top in DOORS for name in sorted(DOORS[top])])
def test_public_names_of_doors_are_explained(door):
    tree = ast.parse(MODULES[door].read_text())
    bare = [node.name for node in public(tree.body) if not ast.get_docstring(node)]
    assert ast.get_docstring(tree) and not bare, f"{door}: no docstring of {bare}"
