import json
import logging
import os
import subprocess

import pytest

from configs import phase_base
from data.common.configurations import flatten
from data.common.errors import InputError
from msn.method.model import MSN
from msn.workdir import checkpoints
from msn.workdir.run_directory import (
    CHANGEABLE,
    check_configuration,
    check_room,
    check_writable,
    write_configuration,
)
from tests.support.small_msn import small_config

TINY = {"image_size": 16, "patch_size": 4, "width": 12, "depth": 1, "num_heads": 3}


def test_keys_that_may_change_and_keys_that_may_not(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    write_configuration(tmp_path, small_config("data"))
    assert check_configuration(tmp_path, small_config("data")) == []
    changed = small_config("data", log_every=5, probe__max_frames=7, keep_every=100)
    assert len(check_configuration(tmp_path, changed)) == 3
    write_configuration(tmp_path, changed)
    assert "log_every 2 -> 5" in caplog.text
    assert json.loads((tmp_path / "config.json").read_text())["log_every"] == 5
    with pytest.raises(InputError, match=r"\(optimizer\.learning_rate 0\.001 -> 0\.5\)"):
        write_configuration(
            tmp_path, small_config("data", optimizer__learning_rate=0.5, log_every=9)
        )
    assert json.loads((tmp_path / "config.json").read_text())["log_every"] == 5
    with pytest.raises(InputError, match=r"steps 6 -> 9\).* --config\.init=.*/encoder$"):
        write_configuration(tmp_path, small_config("data", steps=9))
    with pytest.raises(InputError, match="use another workdir or the same configuration"):
        write_configuration(tmp_path, small_config("data", steps=9, seed=3))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: damaged"):
        check_configuration(tmp_path, changed)


@pytest.mark.parametrize("key", ["balance_sources", "one_source_per_batch"])
def test_a_run_of_an_earlier_version_has_not_balanced_data_sets(tmp_path, key):
    write_configuration(tmp_path, small_config("data"))
    before = json.loads((tmp_path / "config.json").read_text())
    del before["data"][key]
    (tmp_path / "config.json").write_text(json.dumps(before))
    assert check_configuration(tmp_path, small_config("data")) == []
    with pytest.raises(InputError, match=rf"data\.{key} None -> True"):
        check_configuration(tmp_path, small_config("data", **{f"data__{key}": True}))


def test_every_changeable_key_is_one():
    keys = {*flatten(small_config("data").to_dict()), *flatten(phase_base.get_config().to_dict())}
    assert set(CHANGEABLE) <= keys


def test_room_for_the_checkpoints_of_the_whole_run(tmp_path):
    model = MSN(TINY, hidden_dim=16, output_dim=8, num_prototypes=6)
    workdir = tmp_path / "not yet" / "there"
    check_room(workdir, model, keep=2, keep_every=0, total_steps=10**9)
    with pytest.raises(InputError, match=r"MB free, .* MB needed for 1000000003 checkpoints"):
        check_room(workdir, model, keep=2, keep_every=1, total_steps=10**9)
    path = checkpoints.save_checkpoint(tmp_path, model, 1, keep=1)
    with pytest.raises(InputError, match=f"of {path.stat().st_size / 1e6:,.1f} MB"):
        check_room(workdir, model, keep=2, keep_every=1, total_steps=10**9)


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    folder = tmp_path / "read only"
    folder.mkdir()
    is_root = os.geteuid() == 0  # to whom permissions do not apply, but mounts do
    if is_root:
        command = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("root without the right to mount")
    else:
        folder.chmod(0o500)
    try:
        for workdir in (folder, folder / "new" / "run"):
            with pytest.raises(InputError, match=f"no permission to write to {folder}"):
                check_writable(workdir)
        check_writable(tmp_path / "new")
    finally:
        if is_root:
            subprocess.run(["umount", folder], check=True)


def test_a_run_of_which_no_checkpoint_can_be_used_is_not_started_anew(tmp_path):
    folder, sizes = tmp_path / "checkpoints", {"hidden_dim": 16, "output_dim": 8}
    model, other = (MSN(TINY, **sizes, num_prototypes=count) for count in (6, 7))
    assert checkpoints.restore_newest(folder, model) == (0, ())
    path = checkpoints.save_checkpoint(folder, other, 3, keep=1)
    with pytest.raises(InputError, match="none of 1 checkpoints can be used"):
        checkpoints.restore_newest(folder, model)
    assert path.is_file()
    assert checkpoints.restore_newest(folder, other) == (3, ())
