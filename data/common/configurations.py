"""Configurations: files of `configs/` or of users, their keys, and what is wrong in them."""

import ast
import difflib
import math
import os
import re
import runpy
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ml_collections
from ml_collections import ConfigDict, FieldReference

from data.common.errors import InputError, one_line, some

ROOT = Path(__file__).resolve().parents[2]
_LIBRARY = str(Path(ml_collections.__file__).parent)


def flatten(tree: dict, separator: str = ".") -> dict:
    """{"a": {"b": 1}} -> {"a.b": 1}, of any tree of dicts; empty ones have no leaves."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            below = flatten(value, separator).items()
            flat |= {f"{key}{separator}{rest}": leaf for rest, leaf in below}
        else:
            flat[str(key)] = value
    return flat


def read_config(file: str) -> ConfigDict:
    """The configuration of "FILE" or "FILE:ARGUMENT".

    Raises:
      ValueError: one line: no such file, no get_config() in it, or a mistake in it; of a key that
        the configuration does not have, which one is near.
    """
    path, _, argument = file.partition(":")
    if not Path(path).is_file():
        raise ValueError(f"--config={path}: no such file; configurations are in {ROOT}/configs")
    try:
        module = runpy.run_path(path)
        if "get_config" not in module:
            raise ValueError(f"--config={path}: no get_config() in it; see {ROOT}/configs")
        return module["get_config"](*([argument] if argument else []))
    except (AttributeError, ImportError, KeyError, NameError, TypeError) as error:
        raise ValueError(_mistake(error, path)) from error


def configured(
    config: ConfigDict | str | Path, overrides: Mapping[str, Any] | None = None, base: str = ""
) -> ConfigDict:
    """A configuration as a call from Python names it, with some keys changed.

    Args:
      config: one, which stays as it is; or "FILE" or "FILE:ARGUMENT", from the working directory
        or else from the project's.
      overrides: {dotted key: value}; lists are taken for tuples, and one text for a tuple of one.
      base: a file of the project; one that is read must have its keys.

    Raises:
      InputError: no such file, a mistake in it, no such key, or a value of another type.
    """
    if not isinstance(config, ConfigDict):
        file = str(config)
        if not Path(file.partition(":")[0]).is_file() and (ROOT / file.partition(":")[0]).is_file():
            file = str(ROOT / file)
        try:
            config = read_config(file)
            if base:
                check_complete(config, read_config(str(ROOT / base)), file.partition(":")[0], base)
        except ValueError as error:
            raise InputError(str(error)) from error
    if not overrides:
        return config
    for key in overrides:
        if unknown := unknown_part(config, key):
            raise InputError(f"overrides: {key}: {unknown}")
    values = flatten(config.to_dict())
    given = {key: _as_type(values.get(key), value) for key, value in overrides.items()}
    for key, value in given.items():
        try:
            with_overrides(config, {key: value})
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"overrides: {key} is {value!r}; {one_line(error)}") from error
    return with_overrides(config, given)


def with_overrides(config: ConfigDict, overrides: Mapping[str, Any]) -> ConfigDict:
    """A copy of a configuration with these keys changed."""
    own = config.copy_and_resolve_references()
    with own.ignore_type():  # a value of any type stays one: the copy has its value's alone
        for key in (key for key in config if config.get_type(key) is object):
            own[key] = FieldReference(config[key], field_type=object)
    own.update_from_flattened_dict(dict(overrides))
    return own


def _as_type(before: Any, value: Any) -> Any:
    """A value as a key has it that has this one: paths as texts, several as a tuple."""
    if isinstance(value, list | tuple):
        return tuple(_as_type(None, one) for one in value)
    is_path = isinstance(value, os.PathLike) or hasattr(value, "joinpath")  # a remote one
    value = str(value) if is_path else value
    return (value,) if isinstance(before, tuple) and isinstance(value, str) else value


def list_configs(base: str) -> str:
    """The files of `configs/` that a command can start from, and what each of them says it needs.

    Args:
      base: the one that the command starts from itself; others with all of its keys are listed.

    Returns:
      For each: its data, hardware and time, and below them what it is for: the first sentence and
      the line "Needs: DATA; HARDWARE; TIME" of its docstring.
    """
    keys = flatten(read_config(str(ROOT / base)).to_dict()).keys()
    rows = [("configuration", "data", "hardware", "time", "")]
    for path in sorted((ROOT / "configs").glob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        needs = re.search(r"^Needs: (.+); (.+); (.+)$", docstring, re.MULTILINE)
        if needs and keys <= flatten(read_config(str(path)).to_dict()).keys():
            rows.append((str(path.relative_to(ROOT)), *needs.groups(), docstring.splitlines()[0]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:3]
    return "\n".join(
        "  ".join([*map(str.ljust, row, widths), row[3]]) + (f"\n    {row[4]}" if row[4] else "")
        for row in rows
    )


def check_config(files: Iterable[str], overrides: Iterable[str], base: Path | None) -> None:
    """Raises `ValueError` for a config file that cannot be used, or overrides of unknown keys.

    Args:
      files: "FILE" or "FILE:ARGUMENT".
      overrides: "KEY" or "KEY=VALUE", the key with dots.
      base: a file of the project whose keys they must have, or None.
    """
    complete = read_config(str(base)) if base else None
    for file in files:
        config, path = read_config(file), file.partition(":")[0]
        if base and complete:
            check_complete(config, complete, path, str(base.relative_to(ROOT)))
        for override in overrides:
            check_key(config, override.split("=")[0], path)


def check_complete(config: ConfigDict, base: ConfigDict, path: str, base_path: str) -> None:
    """Raises `ValueError` if `config` lacks keys of `base`, which the command reads."""
    missing = flatten(base.to_dict()).keys() - flatten(config.to_dict()).keys()
    if missing:
        raise ValueError(
            f"--config={path}: no key {some(sorted(missing))}; expected all keys of "
            f"{base_path}: start from its get_config(), and change single keys"
        )


def check_key(config: ConfigDict, key: str, path: str) -> None:
    """Raises `ValueError` that lists the keys there are, if `config` has no such dotted key."""
    if unknown := unknown_part(config, key):
        raise ValueError(f"--config.{key}: {unknown} (in {path})")


def check_finite(values: Mapping[str, object]) -> None:
    """Raises `ValueError` for NaN and infinity among values: no limit of a flag refuses NaN."""
    for name, value in values.items():
        if isinstance(value, ConfigDict):
            check_finite({f"{name}.{key}": value[key] for key in value})
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise ValueError(f"{name}={number}: expected a finite number")


def with_home(arg: str) -> str:
    """`--name=~/x` and `~/x` as a shell would have them."""
    name, equals, value = arg.partition("=") if arg.startswith("-") else ("", "", arg)
    return name + equals + os.path.expanduser(value)  # noqa: PTH111, not every value is a path


def expand_homes(config: ConfigDict) -> None:
    """Gives all values of a configuration that begin with `~` as a shell would have them."""

    def expanded(value):
        if isinstance(value, list | tuple):
            return type(value)(map(expanded, value))
        return with_home(value) if isinstance(value, str) and value.startswith("~") else value

    for key, value in config.items():
        if isinstance(value, ConfigDict):
            expand_homes(value)
        elif (new := expanded(value)) != value:
            config[key] = new


def unknown_part(config: ConfigDict, key: str) -> str:
    """What of a dotted key `config` does not have, and which keys there are; "" if it has it."""
    node = config
    for part in key.split("."):
        if not isinstance(node, ConfigDict) or part not in node:
            return _unknown(part, node)
        node = node[part]
    return ""


def _unknown(key: str, node) -> str:
    """That `node`, a configuration or a value of one, has no such key, and which ones there are."""
    known = sorted(node) if isinstance(node, ConfigDict) else []
    near = difflib.get_close_matches(key, known, 1)
    hint = f"; did you mean {near[0]}?" if near else ";"
    return f"unknown key {key!r}{hint} known here: {', '.join(known) or 'none'}"


def _mistake(error: Exception, path: str) -> str:
    """What is wrong in a configuration file, and where, of an error that executing it raised."""
    frames = list(traceback.walk_tb(error.__traceback__))
    own = [
        (frame.f_code.co_filename, line)
        for frame, line in frames
        if not frame.f_code.co_filename.startswith((_LIBRARY, "<")) and frame.f_code != _CODE
    ]
    # None where get_config() does not take what it is called with.
    where = "{}, line {}".format(*own[-1]) if own else path
    owners = [frame.f_locals.get("self") for frame, _ in frames]
    nodes = [one for one in owners if isinstance(one, ConfigDict)]
    if nodes and isinstance(error, AttributeError | KeyError):
        said = str(error)  # with all keys and values there are, or with the key alone, in quotes
        key = re.search(r'Key "(.+?)" does', said) or re.search(r"[\"']([^\"'\\]+)\\?[\"']", said)
        if key:
            added = "; a key of your own is added in `with config.unlocked():`"
            return f"{where}: {_unknown(key[1], nodes[-1])}{added}"
    return f"{where}: {type(error).__name__}: {error}"


_CODE = read_config.__code__
