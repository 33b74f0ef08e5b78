"""What a mistyped command line looks like: one line, exit code 2, nothing written, no trace."""

import os
import re
import subprocess
import sys

import pytest

from tests.support.places import ROOT

MODEL = f"--model_path={ROOT / 'tests' / 'golden' / 'encoders' / 'hf-dinov2'}"
CONFIG = f"--config={ROOT}/configs/msn_demo.py"

COMMANDS = {
    "prepare": ["prepare.py"],
    "train": ["-m", "msn.train"],
    "main": ["down_stream/main.py"],
    "inference": ["inference.py"],
    "metrics": ["-m", "down_stream.metrics"],
    "compare": ["-m", "down_stream.compare"],
    "curves": ["-m", "msn.curves"],
    "search": ["-m", "down_stream.search"],
}


def call(command, *arguments, cwd=ROOT, environment=None):
    program = [str(ROOT / part) if part.endswith(".py") else part for part in COMMANDS[command]]
    return subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}),
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    "command, arguments, named",
    [
        ("prepare", ["--nonsense=1"], "nonsense"),
        ("train", ["--nonsense=1"], "nonsense"),
        ("main", ["--nonsense=1"], "nonsense"),
        ("inference", ["--nonsense=1"], "nonsense"),
        ("train", [CONFIG, "--workdir=RUN", "--config.nonsense=1"], "nonsense"),
        ("train", [CONFIG, "--workdir=RUN", "--config.views.nonsense=1"], "focal_size"),
        ("train", [CONFIG, "--workdir=RUN", "--config.batch_size=many"], "batch_size"),
        ("train", [CONFIG, "--workdir=RUN", "--config.batch_size=1.5"], "batch_size"),
        ("train", [CONFIG, "--workdir=RUN", "--config.steps=x"], "steps"),
        ("train", ["--config=nowhere.py", "--workdir=RUN"], "nowhere.py"),
        ("train", [CONFIG], "workdir"),
        ("train", [f"--config={ROOT}/data/common/machine.py", "--workdir=RUN"], "get_config"),
        ("train", ["--config=configs/msn_demo.py:other", "--workdir=RUN"], "other"),
        ("prepare", ["--data_rootdir="], "data_rootdir"),
        ("prepare", ["--data_rootdir=RUN", "--videos="], "videos"),
        ("main", ["--config.optimizer.name.deeper=1"], "deeper"),
        ("main", ["--model=vit"], "vits"),
        ("main", ["--optimizer=lamb"], "lamb"),
        ("main", ["--learning_rate=-1"], "learning_rate"),
        ("main", ["--learning_rate=fast"], "fast"),
        ("main", ["--learning_rate=nan"], "--learning_rate=nan: expected a finite number"),
        ("main", ["--config.optimizer.learning_rate=nan"], "--config.optimizer.learning_rate=nan"),
        ("train", [CONFIG, "--workdir=RUN", "--config.optimizer.weight_decay=inf"], "finite"),
        ("search", ["--embeddings=a.npz", "--video=a", "--second=nan"], "--second=nan"),
        ("main", ["--config=configs/phase_demo.py:other"], "other"),
        ("inference", ["--model_path=x"], "image_path"),
        ("prepare", ["--data_rootdir=RUN", "my_videos"], "my_videos"),
        ("metrics", ["--nonsense=1"], "nonsense"),
        ("metrics", [], "required: PREDICTIONS"),
        ("metrics", ["a.csv", "b.csv", "--output=RUN"], "b.csv"),
        ("compare", ["x", "--nonsense=1"], "nonsense"),
        ("compare", [], "required: RUN_DIR ..."),
        ("curves", ["x", "--nonsense=1"], "nonsense"),
        ("curves", ["--output=RUN"], "required: WORKDIR ..."),
    ],
)
def test_mistakes_end_with_one_line(tmp_path, command, arguments, named):
    arguments = [a.replace("RUN", str(tmp_path / "run")) for a in arguments]
    result = call(command, *arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert named in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "command, arguments, named",
    [
        ("prepare", ["--videos=nowhere", "--data_rootdir=OUT"], "nowhere"),
        ("train", [CONFIG, "--workdir=OUT", "--config.data.root=nowhere"], "nowhere"),
        ("main", ["--config.workdir=OUT", "--config.data.root=nowhere"], "nowhere"),
        ("inference", [MODEL, "--image_path=nowhere", "--output=OUT/x.npz"], "nowhere"),
        ("metrics", ["nowhere", "--output", "OUT"], "nowhere"),
        ("compare", ["nowhere"], "nowhere"),
        ("curves", ["nowhere", "--output", "OUT"], "nowhere"),
    ],
)
def test_missing_folders_end_with_one_line_and_nothing_written(tmp_path, command, arguments, named):
    arguments = [a.replace("OUT", str(tmp_path / "out")) for a in arguments]
    result = call(command, *arguments, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("error: ")
    assert named in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("asked", ["--help", "-h"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_and_is_no_error(command, asked, tmp_path):
    result = call(command, asked, cwd=tmp_path)
    assert result.returncode == 0
    assert "python" in result.stdout  # an example that can be copied
    assert "--" in result.stdout
    if command in ("train", "main"):
        assert "--config:" in result.stdout
        assert "(default: 'configs/" in result.stdout and "None" not in result.stdout
        assert "--workdir:" in result.stdout and "--[no]list_configs:" in result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "command, own, other", [("train", "msn_", "phase_"), ("main", "phase_", "msn_")]
)
def test_configurations_are_listed_as_their_files_have_them(command, own, other, tmp_path):
    result = call(command, "--list_configs", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"configs/{own}demo.py" in result.stdout and f"configs/{other}" not in (
        "".join(line for line in result.stdout.splitlines() if not line.startswith(" "))
    )
    for name in (f"{own}demo", f"{own}base"):
        text = (ROOT / f"configs/{name}.py").read_text()
        for part in re.search(r"^Needs: (.+)$", text, re.MULTILINE)[1].split("; "):
            assert part in result.stdout
        assert text.removeprefix("r").removeprefix('"""').splitlines()[0] in result.stdout


def test_the_working_directory_is_a_flag_of_experiments_too(tmp_path):
    result = call("main", f"--workdir={tmp_path / 'none' / 'file'}", "--config.data.root=nowhere")
    assert "nowhere" in result.stderr
    (tmp_path / "file").write_text("")
    result = call("main", f"--workdir={tmp_path / 'file'}", f"--config.data.root={tmp_path}")
    assert result.returncode == 2 and str(tmp_path / "file") in result.stderr


@pytest.mark.parametrize("command", ["train", "main", "inference"])
def test_another_keras_backend_is_said(command, tmp_path, small_dataset):
    data = f"--config.data.root={small_dataset}"
    videos = {"train": "video01", "validation": "video02", "test": "video03"}
    arguments = {
        "train": [CONFIG, f"--workdir={tmp_path / 'run'}", data],
        "main": [
            *("--config=configs/phase_probe.py", "--model=vits", data),
            *(f"--config.{part}_videos={video}" for part, video in videos.items()),
        ],
        "inference": [MODEL, f"--image_path={ROOT / '.github'}", f"--output={tmp_path / 'x.npz'}"],
    }
    result = call(command, *arguments[command], environment={"KERAS_BACKEND": "jax"})
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "KERAS_BACKEND=jax" in result.stderr


def test_a_bug_still_shows_its_trace(tmp_path):
    """Only what the user can put right is shortened to one line."""
    script = tmp_path / "command_with_a_bug.py"
    script.write_text(
        "from data.common import cli\n"
        "def main():\n    return [][0]\n"
        "cli.run(main, wrong_input=(ValueError,))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "IndexError" in result.stderr


def test_tensorflows_noise_is_caught_and_stderr_given_back(tmp_path):
    script = tmp_path / "start.py"
    script.write_text(
        "from data.common import cli\n"
        "def main():\n"
        "    cli.import_tensorflow()\n"
        "    import sys\n    print('stderr still works', file=sys.stderr)\n"
        "cli.run(main, wrong_input=())\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(ROOT)
    result = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stderr == "stderr still works\n"


def test_help_shows_flags_in_their_groups(tmp_path):
    shown = call("prepare", "--help", cwd=tmp_path).stdout
    parts = ["The dataset:", "--name=STRING", "--dataset=cholec80|autolaparo"]
    parts += ["Frames that are extracted", "--fps=FLOAT", "Default: 1.0.\n", "  --drop_black\n"]
    places = [shown.rindex(part) for part in parts]
    assert places == sorted(places)
    assert shown.count("<cholec80") == 0


def test_the_home_folder_is_meant_by_a_tilde(tmp_path):
    """In flags, in arguments, in keys on the command line, and in a configuration's own values."""
    (tmp_path / "config.py").write_text(
        "from configs import msn_demo\n"
        "def get_config():\n"
        "    config = msn_demo.get_config()\n"
        "    config.data.root = ('~/a', 'b~')\n"
        "    config.init, config.export = '~/c', 'x~'\n"
        "    with config.unlocked():\n"
        "        config.workdir = ''\n"
        "    return config\n"
    )
    script = tmp_path / "command.py"
    script.write_text(
        "from absl import flags\n"
        "from data.common import cli\n"
        "CONFIG = cli.define_config('configs/msn_demo.py', 'x')\n"
        "OUTPUT = flags.DEFINE_string('output', None, 'x')\n"
        "def main(file):\n"
        "    config = CONFIG.value\n"
        "    print(file, OUTPUT.value, *config.data.root, config.init, config.workdir,\n"
        "          config.export)\n"
        "cli.run(main, wrong_input=(), positional='FILE')\n"
    )
    arguments = ["~/file", "--config=~/config.py", "--output=~/e.npz", "--config.workdir=~"]
    result = subprocess.run(
        [sys.executable, script, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    home = [f"{tmp_path}/{name}" for name in ("file", "e.npz", "a")]
    assert result.stdout.split() == [*home, "b~", f"{tmp_path}/c", f"{tmp_path}", "x~"]


def test_a_path_that_is_no_text_is_refused(tmp_path):
    result = call("prepare", f"--data_rootdir={tmp_path}", b"--videos=caf\xe9")
    assert result.returncode == 2
    assert (
        result.stderr == "error: --videos=caf\\xe9: not UTF-8; expected a path that is; rename it\n"
    )


@pytest.mark.parametrize(
    ("letter", "shown"),
    [
        *(("\n", "\\n"), ("\r", "\\r"), ("\x1b[31m", "\\x1b[31m"), ("\x85", "\\x85")),
        *(("\u2028", "\\u2028"), ("\u2029", "\\u2029"), ("\u202e", "\\u202e")),
    ],
)
@pytest.mark.parametrize("flag", ["name", "videos", "data_rootdir"])
def test_control_characters_in_arguments_are_refused_in_one_line(tmp_path, flag, letter, shown):
    flags = {"data_rootdir": f"{tmp_path}/data", "videos": str(tmp_path)}
    flags[flag] = f"{tmp_path}/a{letter}b" if flag != "name" else f"a{letter}b"
    result = call("prepare", *(f"--{name}={value}" for name, value in flags.items()))
    assert result.returncode == 2 and not (tmp_path / "data").exists()
    assert result.stderr == (
        f"error: --{flag}={flags[flag].replace(letter, shown)}: a line break or another control "
        "character in it; expected a name without one; rename it\n"
    )


@pytest.mark.parametrize(
    ("content", "variables"),
    [
        ('{"floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.1}', {}),
        ('{"floatx": "half"}', {}),
        ('{"nnx_enabled": true}', {}),
        ("[]", {}),
        ("{}", {"KERAS_NNX_ENABLED": "true"}),
        ("{}", {"KERAS_MAX_EPOCHS": "one"}),
    ],
)
def test_another_projects_keras_has_no_effect(tmp_path, content, variables):
    """What ~/.keras/keras.json and Keras's variables say is for other programs."""
    (tmp_path / "keras.json").write_text(content)
    code = (
        "import os\n"
        "from data.common import cli\n"
        "before = dict(os.environ)\n"
        "cli.import_tensorflow()\n"
        "keras_ones = {name for name in os.environ if name.startswith('KERAS_')}\n"
        "assert keras_ones == {name for name in before if name.startswith('KERAS_')}\n"
        "import keras\n"
        "dense = keras.layers.Conv2D(1, 1)\n"
        "config = keras.config\n"
        "print(config.floatx(), config.epsilon(), dense.compute_dtype, dense.data_format)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "KERAS_HOME": str(tmp_path)} | variables
    environment["KERAS_BACKEND"] = "tensorflow"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "float32 1e-07 float32 channels_last\n"
    assert (tmp_path / "keras.json").read_text() == content
