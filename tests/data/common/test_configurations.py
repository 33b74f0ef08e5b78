"""Configuration files of users: a mistake is said in a line, with its place and what is near."""

import os
import subprocess
import sys

import pytest

from data.common.configurations import (
    check_complete,
    check_key,
    configured,
    flatten,
    read_config,
)
from tests.support.places import ROOT

FILES = sorted((ROOT / "configs").glob("[a-u]*.py"))


def write_config(folder, lines, base="msn_base"):
    path = folder / "my.py"
    body = "\n".join(f"    {line}" for line in lines)
    path.write_text(
        f"from configs import {base}\n\n\ndef get_config(arg=''):\n"
        f"    config = {base}.get_config(arg)\n{body}\n    return config\n"
    )
    return path


@pytest.mark.parametrize(
    "line, found",
    [
        ("config.optimizer.learning_rat = 1e-3", "unknown key 'learning_rat'; did you mean learni"),
        ("config['batchsize'] = 3", "unknown key 'batchsize'; did you mean batch_size?"),
        ("config.views.update(sise=64)", "unknown key 'sise'; did you mean size?"),
        ("config.optimiser.learning_rate = 3", "unknown key 'optimiser'; did you mean optimizer?"),
        ("config['batch-size'] = 3", "unknown key 'batch-size'; did you mean batch_size?"),
        ("config.views.update({'focal views': 3})", "unknown key 'focal views'; did you mean foc"),
        ("getattr(config, 'batch size')", "unknown key 'batch size'; did you mean batch_size?"),
        ("getattr(config, '\"')", "AttributeError: "),
        ("config.batch_size = 'many'", "TypeError: Could not override field 'batch_size'"),
        ("config.batch_size = mnay", "NameError: name 'mnay' is not defined"),
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        ("arg.nothing", "AttributeError: 'str' object has no attribute 'nothing'"),
    ],
)
def test_a_mistake_is_said_with_its_line(tmp_path, line, found):
    path = write_config(tmp_path, ["config.seed = 1", line])
    with pytest.raises(ValueError) as error:
        read_config(str(path))
    assert str(error.value).startswith(f"{path}, line 7: {found}")


@pytest.mark.parametrize(
    "parameters, given, found",
    [
        ("", ":foo", "get_config() takes 0 positional arguments but 1 was given"),
        ("size", "", "get_config() missing 1 required positional argument: 'size'"),
    ],
)
def test_an_argument_that_is_not_taken_or_missing_is_said(tmp_path, parameters, given, found):
    path = tmp_path / "my.py"
    path.write_text(f"def get_config({parameters}):\n    return None\n")
    with pytest.raises(ValueError) as error:
        read_config(f"{path}{given}")
    assert str(error.value) == f"{path}: TypeError: {found}"


def test_known_keys_and_the_way_to_add_one_are_said(tmp_path):
    path = write_config(tmp_path, ["config.randaug.layer = 1"], base="phase_low_shot")
    with pytest.raises(ValueError, match=r"known here: layers, magnitude; .*config\.unlocked\(\)"):
        read_config(f"{path}:finetune")


def test_a_key_is_added_on_purpose(tmp_path):
    path = write_config(tmp_path, ["with config.unlocked():", "    config.note = 'mine'"])
    assert read_config(str(path)).note == "mine"


def test_a_value_that_may_be_of_any_type_is_changed_from_python_too_and_again():
    config = configured("configs/msn_demo.py", {"compile_with_xla": False})
    assert config.compile_with_xla is False
    for value in (True, "auto"):
        config = configured(config, {"compile_with_xla": value})
        assert config.compile_with_xla == value


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_ours_are_locked_with_all_that_is_in_them(file):
    config = read_config(str(file))
    nodes = [config, *(value for value in config.values() if hasattr(value, "is_locked"))]
    assert all(node.is_locked for node in nodes)


def test_keys_that_went_are_said(tmp_path):
    base = read_config(str(ROOT / "configs/msn_demo.py"))
    lines = ["import ml_collections", "config.optimizer = ml_collections.ConfigDict({'lr': 1.0})"]
    path = write_config(tmp_path, lines)
    with pytest.raises(ValueError, match=r"my\.py: no key optimizer\.clip_gradients, opt"):
        check_complete(read_config(str(path)), base, str(path), "configs/msn_demo.py")
    check_complete(base, base, "", "")


def test_a_key_of_the_command_line_is_compared_with_those_there_are():
    config = read_config(str(ROOT / "configs/msn_demo.py"))
    check_key(config, "views.size", "x.py")
    with pytest.raises(ValueError, match=r"--config.views.siz: unknown key 'siz'; did you mean si"):
        check_key(config, "views.siz", "x.py")
    with pytest.raises(ValueError, match="known here: none"):
        check_key(config, "seed.deeper", "x.py")


@pytest.mark.parametrize(
    "command, base",
    [(["-m", "msn.train", "--workdir=run"], "msn_demo"), (["down_stream/main.py"], "phase_demo")],
)
def test_both_doors_end_with_one_line(tmp_path, command, base):
    path = write_config(tmp_path, ["config.batchsize = 3"], base)
    command = [str(ROOT / part) if part.endswith(".py") else part for part in command]
    done = subprocess.run(
        [sys.executable, *command, f"--config={path}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {path}, line 6: unknown key 'batchsize'; did you mean b")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_trees_become_flat():
    assert flatten({"a": {"b": 1, "c": {}}, "d": 2}) == {"a.b": 1, "d": 2}
