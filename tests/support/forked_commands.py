"""Commands in processes of their own that need not import TensorFlow anew.

They are forked from a server that has imported it: that takes five seconds of processor time, which
a test of what a command does need not pay for at each start. How commands start from nothing is
seen in tests/data/common/test_cli.py and tests/end_to_end/test_commands_chained.py.
"""

import atexit
import importlib
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from tests.support.places import ROOT

SECONDS = 300  # that a command may take
PRELOADED = ["tensorflow", "keras", "pandas", "sklearn.linear_model"]  # nothing of the project


def call(*words, cwd=ROOT, environment=None, stand_ins=None, by_xla=False):
    """Runs `python WORDS`: a file or -m and a module, and its arguments.

    The modules in a folder `stand_ins` are imported instead of those of their names. XLA compiles
    nothing unless `by_xla`: for what is compared, to the last digit, with what it has compiled.

    Returns what `subprocess.run` does, with the output as text.
    """
    words = [str(word) for word in words]
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / name for name in ("stdout", "stderr")]
        environment = dict(os.environ) | (environment or {})
        arguments = (words, str(cwd), environment, outputs, stand_ins, by_xla)
        code = exit_code(run, *arguments)
        texts = [path.read_text(encoding="utf-8") for path in outputs]
        return subprocess.CompletedProcess(words, code, *texts)


def run_in_a_process(function, *arguments):
    """Calls a function of a module in a process, which must end well; it keeps what it compiles."""
    code = exit_code(call_function, function.__module__, function.__name__, arguments)
    assert code == 0, f"{function.__name__} ended with {code}; stderr says why"


def call_function(module, name, arguments):
    set_up_tensorflow()  # before the module makes its first tensor
    getattr(importlib.import_module(module), name)(*arguments)


def exit_code(function, *arguments):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=function, args=arguments)
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
        raise subprocess.TimeoutExpired(str(arguments), SECONDS)
    return process.exitcode


def run(words, folder, environment, outputs, stand_ins, by_xla):
    """Does in this process what python does with these words, and ends with their exit code."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in enumerate([os.devnull, *outputs]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    sys.path.insert(0, str(ROOT))
    if stand_ins:
        forget({file.stem for file in stand_ins.glob("*.py")})
        sys.path.insert(0, str(stand_ins))
    else:
        set_up_tensorflow()
        if not by_xla:
            leave_out_xla()
    try:
        if words[0] == "-m":
            sys.argv = words[1:]
            sys.modules.pop(words[1], None)  # else runpy remarks that it is imported already
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = [str(ROOT / words[0]), *words[1:]]
            runpy.run_path(sys.argv[0], run_name="__main__")
    finally:  # as at the end of python, which that of a forked process leaves out
        threading._shutdown()
        atexit._run_exitfuncs()


def forget(packages):
    """The next import of them looks for them anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]


def leave_out_xla():
    """Programs are traced alone: XLA would compile for longer than a test's commands run."""
    from data.common import compiled_programs

    works = compiled_programs.xla_works
    for name, module in [*sys.modules.items()]:
        if name.startswith(("data.", "msn.", "down_stream.")) and "xla_works" in vars(module):
            assert module.xla_works is works
            module.xla_works = lambda: False


def set_up_tensorflow():
    """What commands do when they import TensorFlow, and leave out where it is imported already."""
    from data.common import cli, compiled_programs

    compiled_programs.use()
    cli._import_quietly()
    compiled_programs.wait()
