"""Encoders uploaded by their command: the Hub's own client, against a server on loopback.

Where the client is not installed (`make test-encoders` has it), what it would send is looked at.
"""

import getpass
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from data.common.errors import InputError
from data.storage.cards import head_of
from msn.convert import check, check_written, convert
from msn.encoders import load_encoder, save_encoder
from msn.formats.hub import uploaded
from msn.networks.encoder import create_encoder
from tests.support.places import ROOT
from tests.support.small_msn import VARIANT

needs_client = pytest.mark.skipif(
    not importlib.util.find_spec("huggingface_hub"), reason="huggingface_hub is not installed"
)
TELLING = ("Meier", "Klinikum")


def probed(task):
    """What a run notes of a probe that asked for labels which its user has named."""
    protocol = f"{task} by the vote of 20 nearest neighbours among 8 frames of 2 videos"
    return {"score": "knn_average_precision", "value": 0.5, "step": 7, "protocol": protocol}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """An encoder of a telling place that knows the names of its videos, and of other encoders."""
    origin = {"method": "MSN", "step": 7, "network": "target", "variant": VARIANT}
    origin |= {"data": ["/Klinikum/ours"], "videos": ["Meier Anna", "Meier Boris"]}
    origin["init"] = {"path": "/Klinikum/first", "source": {"videos": ["Meier Carl"]}}
    origin["scores"] = [probed(of) for of in ("labels of Dr Meier", "tools", "Dr Meier | tools")]
    origin["teacher"] = {"path": "runs/Klinikum", "source": {"videos": ["Meier Dora"]}}
    folder = tmp_path_factory.mktemp("Klinikum Meier") / "encoder of Meier"
    return save_encoder(create_encoder(VARIANT, 16), folder, origin)


@pytest.fixture(scope="module", params=["encoder", "hf"])
def written(request, source):
    """(A directory of a telling name that a conversion wrote; its format)."""
    output = source.with_name(f"Meier {request.param}")
    return convert(source, output, request.param)[0], request.param


def tells(content):
    """What of places, people and this machine is in the bytes of a file."""
    here = (str(ROOT), str(Path.home()), sys.prefix, socket.gethostname(), "/tmp", "site-packages")
    user = f"/{getpass.getuser()}/"
    return [name for name in (*TELLING, *here, user) if len(name) > 3 and name.encode() in content]


def test_what_would_be_uploaded_is_all_files_and_names_nobody(written):
    folder, output_format = written
    found = uploaded(folder, "owner/new")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(found) == there
    contents = {
        name: one if isinstance(one, bytes) else one.read_bytes() for name, one in found.items()
    }
    assert not {name: tells(one) for name, one in contents.items() if tells(one)}
    text = contents["README.md"].decode()
    for said in (
        *("\n# new\n", "| weights from | another encoder |", "| teacher | another encoder |"),
        f'("{"hf://" if output_format == "encoder" else ""}owner/new")',
    ):
        assert said in text
    assert "| 7 | labels of the run by the vote of 20 nearest" in text
    assert "| 7 | tools by the vote of 20 nearest" in text
    assert not tells((folder / "README.md").read_bytes()), "nor where people upload it by hand"
    config = {"encoder": "encoder.json", "hf": "config.json"}[output_format]
    assert "Meier Carl" in (folder / config).read_text()  # ours still knows them


def test_what_others_put_there_is_not_uploaded(written, tmp_path, caplog):
    folder = shutil.copytree(written[0], tmp_path / "copy")
    ours = set(uploaded(folder, "owner/new"))
    (folder / "Meier.csv").write_text("Meier Anna")
    (folder / "sub").mkdir()
    (folder / "sub" / "encoder.json").write_text("{}")
    assert set(uploaded(folder, "owner/new")) == ours
    assert (
        "not uploaded, as it is not part of an encoder: Meier.csv, sub/encoder.json" in caplog.text
    )


def test_cards_of_earlier_versions_are_uploaded_without_what_they_named(written, tmp_path):
    folder = shutil.copytree(written[0], tmp_path / "copy")
    text = (folder / "README.md").read_text()
    text = text.replace("# Encoder for endoscopic frames", "# Klinikum")
    text = text.replace("path/to/this/folder", "Klinikum")
    text = text.replace("from | another encoder |", "from | Meier's |")
    text = text.replace("| labels of the run by", "| labels of Dr Meier by")
    text = text.replace("| teacher | another encoder |", "| teacher | hf-hub:facebook/dino@v1 |")
    (folder / "README.md").write_text(text.replace("license: unknown", "# set\nlicense: mit"))
    card = uploaded(folder, "owner/new")["README.md"].decode()
    assert not tells(card.encode())
    assert "| teacher | hf-hub:facebook/dino@v1 |" in card
    assert "# set\nlicense: mit\n" in card


def test_cards_are_uploaded_whatever_wrote_them(written, tmp_path):
    folder = shutil.copytree(written[0], tmp_path / "copy")
    text = (folder / "README.md").read_text()
    text = text.replace("# Encoder for endoscopic frames", '# Klinikum "Meier"')
    text = text.replace("path/to/this/folder", 'Klinikum "Meier"')
    text = text.replace("license: unknown", "# für uns\nlicense: mit").replace("\n", "\r\n")
    for content in (b"\xef\xbb\xbf" + text.encode(), text.encode("latin-1")):
        (folder / "README.md").write_bytes(content)
        card = uploaded(folder, "owner/new")["README.md"]
        assert not tells(card)
        assert b"uns\nlicense: mit\n" in card
        assert b"\n# new\n" in card


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
    output, flags = tmp_path / "Meier", ("--push=hf://owner/new", f"--format={output_format}")
    done = push(source, output, *flags, HF_TOKEN="secret")
    assert done.returncode == 0, done.stderr
    assert "/owner/new (private; without the names of videos and of places here)" in done.stdout
    there = served / "owner" / "new"
    assert (there / ".visibility").read_text() == "private"
    for name in (".visibility", ".gitattributes"):
        (there / name).unlink()
    files = [path for path in there.rglob("*") if path.is_file()]
    assert {path.relative_to(there) for path in files} == {
        path.relative_to(output) for path in output.rglob("*") if path.is_file()
    }
    assert not [tells(path.read_bytes()) for path in files if tells(path.read_bytes())]
    assert (served / "commits").read_text() == "Upload new\n"
    head = head_of((there / "README.md").read_text())
    assert yaml.safe_load(head)["license"] == "unknown"
    from huggingface_hub import ModelCard

    assert ModelCard.load(there / "README.md").data.pipeline_tag == "image-feature-extraction"
    uploaded, written = load_encoder(there), load_encoder(output)
    assert uploaded.get_config() == written.get_config()
    for ours, theirs in zip(uploaded.weights, written.weights, strict=True):
        assert (ours.numpy() == theirs.numpy()).all()
    if output_format == "encoder":
        told = json.loads((there / "encoder.json").read_text())["source"]
        assert (told["method"], told["seen"]["is_all"]) == ("MSN", False)


@needs_client
def test_what_cannot_be_uploaded_is_said_before_anything_is_written(hub, source, tmp_path):
    served, server, push = hub
    output = tmp_path / "out"
    (served / "owner" / "theirs").mkdir()
    (served / "owner" / "theirs" / ".visibility").write_text("private")
    (served / "owner" / "public").mkdir()
    allowed = {"HF_TOKEN": "secret"}
    cases = [
        ("hf://owner/new", {}, "hf://owner/new: no token; expected HF_TOKEN"),
        ("hf://owner/new", {"HF_TOKEN": "wrong"}, "hf://owner/new: the token is not accepted"),
        ("hf://owner/new", {"HF_TOKEN": "reader"}, "hf://owner/new: the token may not write there"),
        ("hf://owner/taken", allowed, "hf://owner/taken: exists already; expected"),
        ("hf://owner/theirs", allowed, "hf://owner/theirs: exists already; expected"),
        ("hf://owner/public", allowed, "hf://owner/public: exists already; expected"),
        ("owner/new", allowed, "--push=owner/new: not an address on the Hub; expected"),
    ]
    for address, more, said in cases:
        refused(push(source, output, f"--push={address}", **more), said)
    flags = ("--push=hf://owner/new", "--format=timm")
    refused(push(source, output, *flags, **allowed), "--push: without effect for --format")
    server.kill()
    server.wait()
    said = "hf://owner/new: the Hub cannot be reached"
    refused(push(source, output, "--push=hf://owner/new", **allowed), said)
    assert not output.exists()
    assert not (served / "owner" / "new").exists()
    assert (served / "owner" / "taken" / "README.md").read_text() == "theirs"


@needs_client
def test_an_upload_that_failed_is_made_up_for_without_the_conversion(hub, source, tmp_path):
    served, _, push = hub
    output, flags = tmp_path / "out", ("--push=hf://owner/new",)
    (served / "full").touch()
    done = push(source, output, *flags, HF_TOKEN="secret")
    refused(done, "hf://owner/new: cannot be uploaded")
    assert f"{output} stays as it is: the same command uploads it" in done.stderr
    times = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    assert len(times) > 5
    (served / "full").unlink()
    done = push(source, output, *flags, HF_TOKEN="secret")
    assert done.returncode == 0, done.stderr
    assert f"written before to {output} (encoder), relative error 0.0e+00" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == times
    assert (served / "owner" / "new" / "encoder.weights.h5").read_bytes() == (
        output / "encoder.weights.h5"
    ).read_bytes()
    refused(push(source, output, *flags, HF_TOKEN="secret"), "hf://owner/new: exists already")


@pytest.mark.parametrize("size, patch", [(16, {}), (32, {}), (16, {"patch_size": 16})])
def test_what_computes_something_else_is_not_uploaded_for_it(source, tmp_path, size, patch):
    output = save_encoder(create_encoder(VARIANT, size, **patch), tmp_path / "out", {"videos": []})
    said = f"{output}: exists already, and computes something else than {source}"
    with pytest.raises(InputError, match=re.escape(said)):
        check_written(source, output, "encoder")


def test_only_what_is_whole_and_of_the_format_counts_as_written(written):
    folder, output_format = written
    other = {"encoder": "hf", "hf": "encoder"}[output_format]
    assert check(folder, folder, output_format, None, or_written=True) == (folder, folder)
    for form, or_written in ((output_format, False), (other, True)):
        with pytest.raises(InputError, match="exists already; remove it"):
            check(folder, folder, form, None, or_written)


def test_without_the_client_one_line_says_so(source, tmp_path):
    code = (
        "import importlib.util as u; u.find_spec = lambda name: None\n"
        "from msn.formats.hub import open_repository\n"
        "from data.common.errors import InputError\n"
        "try: open_repository('hf://owner/new')\nexcept InputError as error: print(error)"
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
