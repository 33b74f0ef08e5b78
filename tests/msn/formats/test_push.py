"""Encoders uploaded by their command: the Hub's own client, against a server on loopback."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import yaml

from data.storage.cards import head_of
from msn.encoders import load_encoder, save_encoder
from msn.networks.encoder import create_encoder
from tests.support.places import ROOT
from tests.support.small_msn import VARIANT

needs_client = pytest.mark.skipif(
    not importlib.util.find_spec("huggingface_hub"), reason="huggingface_hub is not installed"
)
TELLING = ("Meier", "Klinikum")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """An encoder that knows the names of its videos."""
    origin = {"method": "MSN", "step": 7, "network": "target", "variant": VARIANT}
    origin |= {"data": ["/Klinikum/ours"], "videos": ["Meier Anna", "Meier Boris"]}
    origin["init"] = {"path": "/Klinikum/first", "source": {"videos": ["Meier Carl"]}}
    folder = tmp_path_factory.mktemp("source") / "encoder"
    return save_encoder(create_encoder(VARIANT, 16), folder, origin)


@pytest.fixture
def hub(tmp_path):
    """(Its folder; its process; a function that converts with --push in a new process)."""
    served = tmp_path / "served"
    (served / "owner" / "taken").mkdir(parents=True)
    (served / "owner" / "taken" / "README.md").write_text("theirs")
    command = [sys.executable, "-m", "tests.support.hub_server", str(served)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    port = server.stdout.readline().strip()
    environment = os.environ | {
        **{"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(tmp_path / "home")},
        **{"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
    }
    environment.pop("HF_TOKEN", None)

    def push(source, output, *flags, **more):
        call = [sys.executable, "-m", "msn.convert", f"--source={source}", f"--output={output}"]
        how = {"cwd": ROOT, "env": environment | more, "capture_output": True, "text": True}
        return subprocess.run([*call, *flags], **how, timeout=200)

    yield served, server, push
    server.kill()
    server.communicate()


@needs_client
@pytest.mark.parametrize("output_format", ["encoder", "hf"])
def test_what_is_uploaded_opens_and_names_nobody(hub, source, tmp_path, output_format):
    served, _, push = hub
    output, flags = tmp_path / "out", ("--push=hf://owner/new", f"--format={output_format}")
    done = push(source, output, *flags, HF_TOKEN="secret")
    assert done.returncode == 0, done.stderr
    assert "/owner/new (private; names of videos left out)" in done.stdout
    there = served / "owner" / "new"
    assert (there / ".visibility").read_text() == "private"
    (there / ".visibility").unlink()

    def names(folder):
        return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}

    assert names(there) == names(output)
    contents = [path.read_bytes() for path in there.rglob("*") if path.is_file()]
    assert not [n for n in TELLING for content in contents if n.encode() in content]
    assert yaml.safe_load(head_of((there / "README.md").read_text()))["license"] == "unknown"
    uploaded, written = load_encoder(there), load_encoder(output)
    assert uploaded.get_config() == written.get_config()
    for ours, theirs in zip(uploaded.weights, written.weights, strict=True):
        assert (ours.numpy() == theirs.numpy()).all()
    described = (
        output / ("encoder.json" if output_format == "encoder" else "config.json")
    ).read_text()
    assert "Meier Carl" in described  # ours still knows them
    if output_format == "encoder":
        told = json.loads((there / "encoder.json").read_text())["source"]
        assert (told["method"], told["seen"]["is_all"]) == ("MSN", False)


@needs_client
def test_what_cannot_be_uploaded_is_said_before_anything_is_written(hub, source, tmp_path):
    served, server, push = hub
    output = tmp_path / "out"
    cases = [
        ("hf://owner/new", {}, "hf://owner/new: no token; expected HF_TOKEN"),
        ("hf://owner/new", {"HF_TOKEN": "wrong"}, "hf://owner/new: the token is not accepted"),
        ("hf://owner/taken", {"HF_TOKEN": "secret"}, "hf://owner/taken: exists already; expected"),
        ("owner/new", {"HF_TOKEN": "secret"}, "--push=owner/new: no address on the Hub; expected"),
    ]
    for address, more, said in cases:
        refused(push(source, output, f"--push={address}", **more), said)
    flags = ("--push=hf://owner/new", "--format=timm")
    refused(push(source, output, *flags, HF_TOKEN="secret"), "--push: without effect for --format")
    server.kill()
    server.wait()
    flags = ("--push=hf://owner/new",)
    said = "hf://owner/new: the Hub cannot be reached"
    refused(push(source, output, *flags, HF_TOKEN="secret"), said)
    assert not output.exists()
    assert [path.name for path in served.iterdir()] == ["owner"]
    assert (served / "owner" / "taken" / "README.md").read_text() == "theirs"


@needs_client
def test_what_may_not_be_written_there_stays_here(hub, source, tmp_path):
    output = tmp_path / "out"
    done = hub[2](source, output, "--push=hf://owner/new", HF_TOKEN="reader")
    refused(done, "hf://owner/new: the token may not write there")
    assert f"{output} stays as it is, not uploaded" in done.stderr
    assert load_encoder(output).image_size == 16


def test_without_the_client_one_line_says_so(source, tmp_path):
    code = (
        "import importlib.util as u; u.find_spec = lambda name: None\n"
        "from msn.formats.hub import check_push\n"
        "from data.common.errors import InputError\n"
        "try: check_push('hf://owner/new')\nexcept InputError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("hf://owner/new: needs huggingface_hub, which is not installed")


def refused(done, said):
    """Asserts that a command ended with exit code 2 and one line, which says this."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert len(lines) == 1, done.stderr
    assert said in lines[0]
    assert "Traceback" not in done.stderr
