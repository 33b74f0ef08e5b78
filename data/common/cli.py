"""What all commands share: flags and configuration in, one clear line and an exit code out.

Exit codes: 0 done; 1 done in part (an input could not be used); 2 the user's input was wrong;
75 the same command goes on: a signal or Ctrl-C stopped it (see `data/common/stopping.py`), or
another process is at work at the same place.
"""

import contextlib
import functools
import gc
import io
import itertools
import logging
import os
import sys
import textwrap
from collections.abc import Callable, Iterator

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from data.common import compiled_programs, summary
from data.common.configurations import (
    ROOT,
    check_config,
    check_finite,
    expand_homes,
    list_configs,
    with_home,
)
from data.common.errors import (
    InputError,
    LockedError,
    describe,
    has_controls,
    is_utf8,
    one_line,
    printable,
    say_full,
)
from data.common.logs import caught_stderr, open_standard_streams
from data.common.stopping import TRY_AGAIN, ended_by_signals, has_ended

STORES = ("aiobotocore", "azure", "botocore", "httpx2")  # packages that log each request

DONE, DONE_IN_PART, WRONG_INPUT = 0, 1, 2
FAILED = 1  # Python's own, after a stack trace

_default_config = None
_groups = {}  # title -> names of the flags that `flag_group` was open for


@contextlib.contextmanager
def flag_group(title: str) -> Iterator[None]:
    """Context in which flags are defined that `--help` shows together, in this order."""
    others = set(flags.FLAGS)
    yield
    _groups[title] = [name for name in flags.FLAGS if name not in others]


def define_config(default: str, help_string: str) -> flags.FlagHolder:
    """Defines `--config=FILE` and `--config.KEY=VALUE`; `default` is relative to the project."""
    global _default_config
    _default_config = ROOT / default
    # Without a default here: absl would read it, overrides included, before mistakes are caught.
    help_string = f"{help_string}. Single keys: --config.KEY=VALUE."
    holder = config_flags.DEFINE_config_file("config", None, help_string, lock_config=True)
    flag = flags.FLAGS["config"]
    flag.default_as_str = f"'{default}'"
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)  # for --help
    listing = "prints the configurations there are, what each is for and needs, and ends"
    flags.DEFINE_boolean("list_configs", False, listing)
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS["list_configs"])
    return holder


def define_encoder_facts() -> Callable[[], dict]:
    """Defines --num_heads, --mean and --std.

    Returns:
      A function that gives those that are set, as arguments of `msn.encoders.load_encoder`.
    """
    unsaid = "of the encoder, where its file does not say it"
    colour = f"of RGB in 0..1, R,G,B, {unsaid}"
    holders = {"num_heads": flags.DEFINE_integer("num_heads", None, f"attention heads {unsaid}")}
    for name in ("mean", "std"):
        holders[name] = flags.DEFINE(_Numbers(), name, None, colour)
    return lambda: {name: flag.value for name, flag in holders.items() if flag.value is not None}


class _Numbers(flags.ArgumentParser):
    """Numbers with commas between them."""

    def parse(self, argument):
        try:
            return argument and tuple(map(float, argument.split(",")))
        except ValueError as error:
            raise ValueError("expected numbers with commas between them") from error

    def flag_type(self):
        return "numbers"


def run(
    main: Callable[..., int | None],
    wrong_input: tuple[type[Exception], ...],
    positional: str = "",
    kept: str = "nothing is left half-written; start it again",
) -> None:
    """Parses the command line, calls `main()` and exits the process with its code.

    Heavy imports belong inside `main`: then `--help` and a mistyped flag answer at once.

    Args:
      main: the command; returns an exit code, None for 0.
      wrong_input: exceptions whose message is one line for the user. They end the process with
        code 2. So does an `OSError` (a missing folder, no permission, a full disk); a `LockedError`
        ends it with 75.
      positional: what is given without a flag, "FILE" for one, "FILE ..." for one or more,
        "[FILE ...]" for any number; `main` is called with it.
      kept: said after a signal or Ctrl-C: what is kept, and how to go on.
    """

    def guarded(argv):
        logging.basicConfig(level=logging.INFO, force=True)
        logging.getLogger().handlers[0].setFormatter(_PlainLines())
        for package in (*STORES, "matplotlib"):  # which tells of its font cache
            logging.getLogger(package).setLevel(logging.WARNING)
        try:
            told = summary.begin(sys.argv)
        except (InputError, OSError) as error:
            return refuse(error)
        try:
            code = main(*argv[1:]) or DONE
            sys.stdout.flush()  # what cannot be told is an error, too
            return told.end(code, DONE_IN_PART)
        except LockedError as error:
            refuse(error)
            return told.end(TRY_AGAIN, DONE_IN_PART, str(error))
        except wrong_input as error:
            return told.end(refuse(error), DONE_IN_PART, str(error))
        except OSError as error:
            return told.end(refuse(describe(error)), DONE_IN_PART, describe(error))
        except BaseException as error:  # a signal, or a mistake of ours
            if line := say_full(error):
                return told.end(refuse(line), DONE_IN_PART, line)
            code = TRY_AGAIN if isinstance(error, KeyboardInterrupt) else FAILED
            told.end(getattr(error, "code", code), DONE_IN_PART, one_line(error))
            raise

    open_standard_streams()
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # of damage we tell, with the file's name
    # Figures look as we draw them, not as a matplotlibrc of another project says.
    os.environ["MATPLOTLIBRC"] = os.devnull
    os.environ.pop("MPLBACKEND", None)
    try:
        with ended_by_signals(kept):
            app.run(guarded, flags_parser=functools.partial(parse, positional=positional))
    except SystemExit as end:
        has_ended(end.code or DONE)
        raise
    except KeyboardInterrupt as error:
        print(error, file=sys.stderr)
        has_ended(TRY_AGAIN)
        sys.exit(TRY_AGAIN)


class _PlainLines(logging.Formatter):
    """Messages alone; a terminal obeys no name of a file in them."""

    def format(self, record):
        return printable(super().format(record), kept="\n\t")


def import_tensorflow() -> None:
    """Imports TensorFlow quietly; it finds the programs that earlier processes compiled.

    Where it is imported already, nothing changes.

    Raises:
      InputError: Keras is told to use another backend.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise InputError(f"KERAS_BACKEND={backend}: expected tensorflow, or the variable unset")
    if "tensorflow" in sys.modules:
        return
    compiled_programs.use()
    with _garbage_left(), _keras_as_it_comes():
        _import_quietly()
        import keras  # noqa: F401
    compiled_programs.wait()
    compiled_programs.xla_works()  # before this process takes the GPU's memory


@contextlib.contextmanager
def _keras_as_it_comes() -> Iterator[None]:
    """Context in which Keras is imported with its own defaults.

    What `keras.json` and Keras's variables say is for another project: half precision, channels
    first, no more than so many epochs; or what Keras does not understand, which ends its import.
    """
    named = [name for name in os.environ if name.startswith("KERAS_") and name != "KERAS_BACKEND"]
    before = {name: os.environ.pop(name) for name in named}
    os.environ["KERAS_HOME"] = os.devnull  # in which no keras.json is, or can be written
    try:
        yield
    finally:
        del os.environ["KERAS_HOME"]
        os.environ.update(before)


@contextlib.contextmanager
def _garbage_left() -> Iterator[None]:
    """Context in which no garbage is looked for; what is made in it counts as none later, either.

    What an import makes stays; to look through it again and again took a fifth of TensorFlow's.
    """
    was_looked_for = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_looked_for:
            gc.enable()


def _import_quietly() -> None:
    """Imports TensorFlow without its start-up noise, unless TF_CPP_MIN_LOG_LEVEL=0 asks for it.

    TensorFlow 2.21 writes some lines to stderr before it looks at its log level
    (tensorflow/tensorflow#100442), so stderr is caught meanwhile; a failed import shows it.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "0":
        return
    with caught_stderr(is_shown_after_errors=True):
        import tensorflow  # noqa: F401
    # Its Python side; absl's own function, because TensorFlow sets and resets absl's verbosity.
    absl_logging.set_verbosity(absl_logging.ERROR)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def parse(argv: list[str], positional: str = "") -> list[str]:
    """Parses `argv` into absl's FLAGS, and returns it without them.

    A mistake ends the process with one line and code 2. `positional` is that of `run`.
    """
    argv = ["--help" if arg in ("-h", "-?", "-help") else with_home(arg) for arg in argv]
    if foreign := [arg for arg in argv if not is_utf8(arg)]:
        sys.exit(refuse(f"{printable(foreign[0])}: not UTF-8; expected a path that is; rename it"))
    if broken := [arg for arg in argv if has_controls(arg)]:
        found = f"{printable(broken[0])}: a line break or another control character in it"
        sys.exit(refuse(f"{found}; expected a name without one; rename it"))
    if _default_config and not _config_files(argv):
        argv = [argv[0], f"--config={_default_config}", *argv[1:]]
    sys.argv = argv  # where ml_collections looks for overrides
    if _default_config and "--list_configs" in argv:
        with _answering():
            print(list_configs(str(_default_config.relative_to(ROOT))))
    if _groups and "--help" in argv:
        with _answering():
            print(sys.modules["__main__"].__doc__, *map(_group_help, _groups), sep="\n")
    flags.FLAGS.set_gnu_getopt(bool(positional))  # flags may follow what is positional
    try:
        keys = [arg[len("--config.") :] for arg in argv if arg.startswith("--config.")]
        check_config(_config_files(argv), keys, _default_config)
        with contextlib.redirect_stdout(io.StringIO()) as said:  # absl hides a pipe that is closed
            rest = flags.FLAGS(argv)
        check_finite({f"--{name}": flags.FLAGS[name].value for name in flags.FLAGS})
        if _default_config:
            expand_homes(flags.FLAGS.config)
    except SystemExit:  # absl ends --help with code 1; a question that was answered is no error
        with _answering():
            print(said.getvalue(), end="")
    except (
        flags.Error,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        OSError,
        SyntaxError,
    ) as error:
        # ml_collections raises the last six for wrong types and broken files.
        sys.exit(refuse(describe(error) if isinstance(error, OSError) else error))
    if positional and positional[0] != "[" and not rest[1:]:
        sys.exit(refuse(f"required: {positional}"))
    most = 1 + bool(positional)  # with the name of the program
    if len(rest) > most and "..." not in positional:
        sys.exit(refuse(f"unexpected argument {rest[most]!r}: options are given as --name=value"))
    return rest


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    """Context in which a question is answered, as --help is; the process ends with it.

    What cannot be told is an error; of a pipe that is closed, as by `head`, nobody wants a word.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        sys.exit(WRONG_INPUT)
    except OSError as error:
        sys.exit(refuse(describe(error)))
    sys.exit(DONE)


def _group_help(title: str) -> str:
    """The flags of a group with their defaults and what they are for, to be printed."""
    lines = [f"{title}:"]
    for name in _groups[title]:
        flag = flags.FLAGS[name]
        values = "|".join(getattr(flag.parser, "enum_values", []))
        value = "" if flag.boolean else f"={values or flag.parser.flag_type().upper()}"
        default = f" Default: {flag.default}." if flag.default not in (None, False) else ""
        text = textwrap.fill(flag.help.removeprefix(f"<{values}>: ") + default, 90)
        lines += [f"  --{name}{value}", textwrap.indent(text, " " * 6)]
    return "\n".join([*lines, ""])


def _config_files(argv: list[str]) -> list[str]:
    """The values of `--config=FILE` and `--config FILE`."""
    files = [arg.removeprefix("--config=") for arg in argv if arg.startswith("--config=")]
    return files + [value for arg, value in itertools.pairwise(argv) if arg == "--config"]


def refuse(reason) -> int:
    """Prints the reason as one line to stderr and returns the exit code for wrong input."""
    print("error:", printable(" ".join(str(reason).split())), file=sys.stderr)
    return WRONG_INPUT
