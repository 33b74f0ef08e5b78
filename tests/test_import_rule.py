"""The order of the folders: imports run downwards only, in no circle, and every file has a place.

Read from the syntax trees. `docs/design.md` says what each folder is for.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# From the ground up: a module may import of its own place and of those before it.
ORDER = (
    *("data.common", "data.storage", "data.images", "data.video.files", "data.video"),
    *("data.dataset", "data.splits", "data.archives"),
    *("data.tfrecords", "data.annotation_formats", "data.annotation_writers"),
    *("data.annotations", "data.extraction", "data.indexing"),
    "data.preparation",
    "data.public_datasets",
    *("data.frames", "data.batches", "data.image_classes", "data.views", "data.synthetic"),
    *("data.kinds", "data.overview", "data"),
    *("msn.networks", "msn.method", "msn.formats.files", "msn.formats.families", "msn.formats"),
    "msn.encoders",
    *("msn.sweep", "msn.workdir", "msn.tracking", "msn.distribution"),
    *("msn.teachers", "msn.training"),
    "msn",
    *("down_stream.choices", "down_stream.metrics", "down_stream.tasks", "down_stream.features"),
    "down_stream.checks",
    *("down_stream.classifiers", "down_stream.temporal", "down_stream.report"),
    *("down_stream.cells", "down_stream.low_shot", "down_stream.comparison"),
    *("down_stream.inference.parts", "down_stream.inference"),
    *("down_stream.lookup", "down_stream.search_index"),
    *("down_stream.selection", "down_stream.suspicious", "down_stream"),
    *("prepare", "inference"),
)
# What users import or run, beside the folders.
DOORS = {
    "data": {
        *("cholec80_images", "cholec80_tfrecords", "finetuning", "pretraining", "preparing"),
        "tfds_builder",
    },
    "msn": {
        *("train", "pretrain", "encoders", "checkpoint", "convert", "curves", "method_figure"),
        *("doctor", "sweep", "track"),
    },
    "down_stream": {
        *("main", "experiment", "cross_validation", "tasks", "compare", "caches"),
        *("choices", "checks", "select", "search", "contents", "embedding"),
    },
}
COMMANDS = {"prepare", "inference", "msn.train", "down_stream.main"}
FILES_IN_A_FOLDER = range(4, 10)


def modules(root=ROOT):
    """{dotted name: file} of the project without its tests; packages are named by their folder."""
    files = [path for folder in (*DOORS, "configs") for path in (root / folder).rglob("*.py")]
    files += root.glob("*.py")
    names = (path.relative_to(root).with_suffix("").as_posix().replace("/", ".") for path in files)
    return {name.removesuffix(".__init__"): path for name, path in zip(names, files, strict=True)}


MODULES = modules()


def imports(path, known=MODULES):
    """All modules of ours that a file imports anywhere, as dotted names."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (full & set(known)) or {node.module}
    return {name for name in names if name.split(".")[0] in {*DOORS, "configs", *COMMANDS}}


def place_of(name):
    """The entry of ORDER that a module belongs to, None if it has no place."""
    while name and name not in ORDER:
        name = name.rpartition(".")[0]
    return name or None


def upward(name, others):
    """Those of `others` that stand above the module `name`."""
    rank = ORDER.index(place_of(name))
    return {other for other in others if ORDER.index(place_of(other) or "inference") > rank}


def circle(graph):
    """The modules of a circle in {module: modules it imports}; None where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def test_every_file_has_a_place():
    for name, path in MODULES.items():
        head, *rest = name.split(".")
        if path.name == "__init__.py" or head == "configs":
            continue
        if len(rest) == 1:
            assert rest[0] in DOORS[head], f"{name} is neither a door nor in a folder"
        elif rest:
            assert name.rpartition(".")[0] in ORDER, f"{name}: no such folder"
        else:
            assert head in COMMANDS, f"{name}: the top level is fixed"


@pytest.mark.parametrize("place", [place for place in ORDER if "." in place])
def test_a_folder_holds_few_files(place):
    if not (ROOT / place.replace(".", "/")).is_dir():
        assert place in MODULES  # a door with a rank of its own
        return
    files = [n for n, p in MODULES.items() if place_of(n) == place and p.name != "__init__.py"]
    assert len(files) in FILES_IN_A_FOLDER, files


@pytest.mark.parametrize("name", sorted(name for name in MODULES if not name.startswith("configs")))
def test_imports_run_downwards(name):
    assert not upward(name, imports(MODULES[name]))


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name.startswith("configs")))
def test_configs_import_configs_alone(name):
    assert all(
        other.startswith("configs.") or other == "configs" for other in imports(MODULES[name])
    )


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nothing_imports_a_command(name):
    assert not imports(MODULES[name]) & COMMANDS


def test_no_circle():
    assert circle({name: imports(path) for name, path in MODULES.items()}) is None


def test_the_rule_sees_what_it_forbids(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("def f():\n    from msn.method import heads\n    import down_stream.main\n")
    assert imports(path) == {"msn.method.heads", "down_stream.main"}
    assert upward("msn.method.losses", imports(path)) == {"down_stream.main"}
    assert upward("msn.networks.vit", {"configs.msn_base"}) == {"configs.msn_base"}
    assert place_of("elsewhere.module") is None
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES.values()} - {ROOT}))
def test_every_folder_is_a_package(folder):
    assert (folder / "__init__.py").is_file()


def test_tests_mirror_the_folders():
    for path in (ROOT / "tests").rglob("test_*.py"):
        parts = path.relative_to(ROOT / "tests").parts[:-1]
        assert (path.parent / "__init__.py").is_file()
        if parts and parts[0] not in ("end_to_end", "benchmarks"):
            assert (ROOT / Path(*parts)).is_dir(), path
