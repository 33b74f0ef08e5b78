"""Encoders on the Hub: its own client in a process of its own, against a server on loopback."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.common.errors import InputError
from msn.encoders import load_encoder
from msn.formats.hub import encoder_path
from msn.formats.reference_names import named_variables
from tests.support.golden_families import ENCODERS
from tests.support.places import ROOT
from tests.support.small_dataset import make_small_dataset

needs_client = pytest.mark.skipif(
    not importlib.util.find_spec("huggingface_hub"), reason="huggingface_hub is not installed"
)


@pytest.fixture
def hub(tmp_path):
    """The environment of a process that is to know the server, and the server's process."""
    for name in ("name", "private"):
        shutil.copytree(ENCODERS / "hf-dinov2", tmp_path / "served" / "owner" / name)
    (tmp_path / "served" / "owner" / "name" / "tf_model.h5").write_bytes(b"not read")
    command = [sys.executable, "-m", "tests.support.hub_server", str(tmp_path / "served")]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    port = server.stdout.readline().strip()
    environment = os.environ | {
        **{"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(tmp_path / "home")},
        **{"HF_HUB_DISABLE_XET": "1", "HF_HUB_ETAG_TIMEOUT": "2"},
    }
    environment.pop("HF_TOKEN", None)

    yield environment, server
    server.kill()
    server.communicate()


@needs_client
def test_an_encoder_is_fetched_once_and_opens_without_a_network(hub):
    environment, server = hub

    def fetch(address, **more):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                f"from msn.formats.hub import encoder_path as p\n"
                f"from data.common.errors import InputError\n"
                f"try: print(p({address!r}))\nexcept InputError as e: print('refused:', e)",
            ],
            **{"cwd": ROOT, "env": environment | more, "capture_output": True, "text": True},
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        (line,) = done.stdout.splitlines()
        return line

    folder = fetch("hf://owner/name")
    assert load_encoder(folder).get_config() == load_encoder(ENCODERS / "hf-dinov2").get_config()
    assert sorted(path.name for path in Path(folder).iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    assert fetch("hf-hub:owner/name") == folder
    other = fetch("hf://owner/name@v2")
    assert other.endswith("b" * 40) and other != folder
    for address, said in (
        ("hf://owner/name@v3", "hf://owner/name@v3: no such revision"),
        ("hf-hub:owner/none", "hf-hub:owner/none: no such repository, or a private one"),
        ("hf://owner/private", "hf://owner/private: no such repository, or a private one"),
    ):
        assert fetch(address).startswith(f"refused: {said}")
    assert fetch("hf://owner/private", HF_TOKEN="secret").endswith("a" * 40)
    server.kill()
    server.wait()
    assert fetch("hf://owner/name") == folder
    assert fetch("hf://owner/name", HF_HUB_OFFLINE="1") == folder
    for more in ({}, {"HF_HUB_OFFLINE": "1"}):
        line = fetch("hf://owner/other", **more)
        assert line.startswith(
            "refused: hf://owner/other: the Hub cannot be reached, and it is not"
        )


@needs_client
def test_a_run_begins_at_an_encoder_of_the_hub(hub, tmp_path):
    """`--config.init`: fetched once, opened from the cache when the network is away, and named."""
    environment, server = hub
    root = make_small_dataset(tmp_path / "data")

    def train(address, workdir):
        command = [sys.executable, "-m", "msn.train", "--config=configs/msn_base.py"]
        command += [f"--workdir={tmp_path / workdir}", f"--config.init={address}"]
        command += [f"--config.data.root={root}", "--config.steps=0", "--config.batch_size=8"]
        command += ["--config.views.size=16", "--config.views.focal_size=8"]
        how = {"cwd": ROOT, "env": environment, "capture_output": True, "text": True}
        return subprocess.run(command, **how, timeout=300)

    done = train("hf://owner/none", "refused")
    assert (done.returncode, (tmp_path / "refused").exists()) == (2, False), done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert "hf://owner/none: no such repository, or a private one" in line
    for workdir in ("first", "again"):
        done = train("hf://owner/name", workdir)
        assert done.returncode == 0, done.stderr
        server.kill()
        server.wait()
    encoder = load_encoder(tmp_path / "again" / "encoder")
    begun = load_encoder(ENCODERS / "hf-dinov2")
    assert (encoder.mean, encoder.backbone.width) == (begun.mean, begun.backbone.width)
    ours, theirs = named_variables(encoder.backbone), named_variables(begun.backbone)
    name = "blocks.0.attn.qkv.weight"
    np.testing.assert_array_equal(ours[name], theirs[name])
    told = json.loads((tmp_path / "again" / "encoder" / "encoder.json").read_text())
    assert told["source"]["init"]["path"] == "hf://owner/name"
    card = (tmp_path / "again" / "encoder" / "README.md").read_text()
    assert "| weights from | hf://owner/name |" in card


def test_other_paths_are_left_alone_and_mistyped_addresses_refused(tmp_path):
    assert encoder_path(str(tmp_path / "encoder")) == tmp_path / "encoder"
    assert encoder_path(tmp_path) == tmp_path
    for address in ("hf-hub:name", "hf-hub:owner/name/more"):
        with pytest.raises(
            InputError, match=f"{address}: not an address on the Hub; expected hf-hub:"
        ):
            load_encoder(address)


def test_without_the_client_one_line_says_so(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"hf://owner/name: needs huggingface_hub.* -r requirem"):
        load_encoder("hf://owner/name")
