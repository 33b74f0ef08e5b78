"""Programs kept by real processes: found again, never wrong, never in the way."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.common import compiled_programs

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import logging, sys, time
logging.basicConfig(format="%(message)s", level=logging.INFO)
from data.common import cli, compiled_programs
cli.import_tensorflow()
import tensorflow as tf

@tf.function(jit_compile=True)
def program(x):
    return tf.reduce_sum(tf.nn.gelu(tf.linalg.matmul(x, x)))

with compiled_programs.compiling("program"):
    value = program(tf.random.stateless_normal((64, 64), seed=(1, 2)))
print(float(value).hex(), flush=True)
time.sleep(float(sys.argv[1]))
"""


def start(store, seconds=0, **environment):
    """A process that compiles a program, and then waits."""
    others = {k: v for k, v in os.environ.items() if k not in ("TF_XLA_FLAGS", "XLA_FLAGS")}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(seconds)],
        env=others | {"MSN_PROGRAMS": str(store), "PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kept(store):
    return list(store.glob("*/*.pb"))


def use_in(environment):
    """TF_XLA_FLAGS after `use` in a process of its own, without TensorFlow."""
    script = "import os; from data.common import compiled_programs as p; p.use()\n"
    script += "print(os.environ.get('TF_XLA_FLAGS', ''))"
    others = {k: v for k, v in os.environ.items() if k not in ("TF_XLA_FLAGS", "XLA_FLAGS")}
    others |= {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.check_output([sys.executable, "-c", script], env=others, text=True).strip()


def test_a_program_is_compiled_once_though_the_process_was_killed(tmp_path):
    killed = start(tmp_path, seconds=600)
    value = killed.stdout.readline()
    while not kept(tmp_path):
        time.sleep(0.1)
    killed.send_signal(signal.SIGKILL)
    assert ", kept\n" in killed.communicate()[1]
    assert len(list(tmp_path.glob("*/process-*"))) == 1

    output, log = start(tmp_path).communicate()
    assert output == value  # to the bit
    assert "program: compiled program found" in log
    assert not list(tmp_path.glob("*/process-*"))  # its own, and that of the killed one

    for damage in (b"", bytes(1000)):  # cut off; a hole, as after a power failure
        (file,) = kept(tmp_path)
        content = file.read_bytes()
        file.write_bytes(
            content[: len(content) // 2] + damage + content[len(content) // 2 + 1000 :]
        )
        if not damage:
            os.truncate(file, len(content) // 2)
        output, log = start(tmp_path).communicate()
        assert output == value
        assert "program: compiled in" in log
        (file,) = kept(tmp_path)
        assert len(file.read_bytes()) == pytest.approx(len(content), rel=0.1)


def test_two_processes_at_a_time_keep_one_program(tmp_path):
    both = [start(tmp_path), start(tmp_path)]
    values = [process.communicate()[0] for process in both]
    assert values[0] == values[1] != ""
    names = {file.name.split(".", 1)[1] for file in kept(tmp_path)}
    assert len(names) == 1


def test_where_programs_are_kept(tmp_path):
    store = tmp_path / "store"
    flags = use_in({"MSN_PROGRAMS": str(store)})
    assert flags.startswith(f"--tf_xla_persistent_cache_directory={store}/")
    assert use_in({"MSN_PROGRAMS": "", "XDG_CACHE_HOME": str(tmp_path / "cache")}).startswith(
        f"--tf_xla_persistent_cache_directory={tmp_path}/cache/endoscopy-msn/programs/"
    )
    assert use_in({"MSN_PROGRAMS": "off"}) == ""
    mine = "--tf_xla_persistent_cache_directory=/mine"
    assert use_in({"MSN_PROGRAMS": str(store), "TF_XLA_FLAGS": mine}) == mine
    (tmp_path / "file").touch()
    assert use_in({"MSN_PROGRAMS": str(tmp_path / "file")}) == ""  # no folder can be there

    # A child of such a process has a folder of its own, beside its parent's.
    inherited = use_in({"MSN_PROGRAMS": str(store), "TF_XLA_FLAGS": f"--tf_xla_a=1 {flags}"})
    assert inherited.startswith("--tf_xla_a=1 ")
    assert inherited.count("directory=") == 1
    assert flags.split()[0] not in inherited
    # Other settings of XLA make other programs.
    others = use_in({"MSN_PROGRAMS": str(store), "XLA_FLAGS": "--xla_cpu_enable_fast_math=true"})
    assert Path(others.split()[0]).parent != Path(flags.split()[0]).parent


def test_the_oldest_programs_go(tmp_path):
    for age, name in enumerate(("new", "middle", "old")):
        (tmp_path / f"{name}.pb").write_bytes(bytes(100))
        os.utime(tmp_path / f"{name}.pb", (1e9 - age, 1e9 - age))
    compiled_programs._remove_oldest(tmp_path, limit=250)
    assert {file.name for file in tmp_path.iterdir()} == {"new.pb", "middle.pb"}
