"""Who may import whom, read from the syntax trees."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("data", "msn", "down_stream", "configs")
COMMANDS = {"prepare", "inference", "msn.train", "down_stream.main"}

# Folder -> what its modules may import of ours, themselves included.
ALLOWED = {
    "data": ("data",),
    "msn": ("msn", "data"),
    "down_stream": (
        "down_stream",
        "data",
        "msn.vit",
        "msn.checkpoint",
        "msn.resnet",
        "msn.neighbours",
        "msn.run_directory",
        "msn.state_files",
    ),
    "configs": ("configs",),
}
# Library modules with a small main() may use what commands share, for its exit codes.
WITH_MAIN = {
    "data.views",
    "down_stream.compare",
    "down_stream.metrics",
    "msn.convert",
    "msn.curves",
    "msn.method_figure",
}


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def modules():
    files = [path for folder in FOLDERS for path in (ROOT / folder).glob("*.py")]
    files += ROOT.glob("*.py")
    return {module_name(path): path for path in files if path.name != "__init__.py"}


def imports(path):
    """All modules that a file imports anywhere, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            known = modules()
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in known else node.module)
    return {name for name in found if name.split(".")[0] in FOLDERS or name in COMMANDS}


def within(name, prefixes):
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize("name", sorted(set(modules()) - COMMANDS))
def test_library_imports_only_what_it_may(name):
    allowed = ALLOWED[name.split(".")[0]]
    if name in WITH_MAIN:
        allowed += ("configs.command",)
    wrong = {other for other in imports(modules()[name]) if not within(other, allowed)}
    assert not wrong


@pytest.mark.parametrize("name", sorted(modules()))
def test_nothing_imports_a_command(name):
    assert not imports(modules()[name]) & COMMANDS


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_commands_import_libraries_and_configs_command(name):
    wrong = {
        other
        for other in imports(modules()[name])
        if other.startswith("configs") and other != "configs.command"
    }
    assert not wrong


def test_the_rule_sees_a_forbidden_import(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("def f():\n    from msn import heads\n    import down_stream.main\n")
    assert imports(path) == {"msn.heads", "down_stream.main"}
    assert not within("msn.heads", ALLOWED["down_stream"])


@pytest.mark.parametrize("folder", [*FOLDERS, "tests"])
def test_every_folder_is_a_package(folder):
    assert (ROOT / folder / "__init__.py").is_file()
