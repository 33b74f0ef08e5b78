"""What an encoder's file does not say is said once, in whichever way the encoder is opened."""

import re

import numpy as np
import pytest

from configs import msn_base, phase_base
from data.common.errors import InputError
from data.frames.listing import list_images
from down_stream.features.encoders import open_encoder
from down_stream.inference.embeddings import Options, embed
from msn import convert
from msn.encoders import facts_in, load_encoder
from msn.training.initialisation import open_pretrained
from tests.support.forked_commands import call
from tests.support.places import GOLDEN

MAE = GOLDEN / "encoders" / "mae.pth"  # says neither; 24 wide
FACTS = {"num_heads": 3, "mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}
FLAGS = ["--num_heads=3", "--mean=0.1,0.2,0.3", "--std=0.5,0.6,0.7"]


def found(encoder):
    return {"num_heads": encoder.backbone.num_heads, "mean": encoder.mean, "std": encoder.std}


@pytest.mark.parametrize("base, key", [(phase_base, "encoder"), (msn_base, "init")])
def test_configurations_say_it_or_leave_it_to_the_file(base, key):
    config = base.get_config()
    assert facts_in(config, key) == dict.fromkeys(FACTS)
    for name, value in FACTS.items():
        config[f"{key}_{name}"] = value
    assert facts_in(config, key) == FACTS


def test_every_way_to_open_an_encoder_passes_it_on(small_dataset, tmp_path):
    from_scratch = {"image_size": 16, "resnet_weights": "none", "seed": 0}
    assert found(open_encoder(MAE, "", **from_scratch, given=FACTS)) == FACTS
    converted, _ = convert.convert(MAE, tmp_path / "encoder", "encoder", **FACTS)
    assert found(load_encoder(converted)) == FACTS
    assert found(open_pretrained(MAE, FACTS)) == FACTS
    frames = list_images(small_dataset / "frames" / "video01")
    tables = []
    for number, path, given in ((0, MAE, FACTS), (1, converted, {})):
        output = tmp_path / f"{number}.npz"
        embed(path, frames, output, Options(given=given))
        tables.append(np.load(output)["embeddings"])
    np.testing.assert_allclose(*tables, atol=1e-5)


def test_a_table_is_not_gone_on_with_by_another_mean(small_dataset, tmp_path):
    frames = list_images(small_dataset / "frames" / "video01")
    embed(MAE, frames, tmp_path / "a.npz", Options(given=FACTS))
    other = FACTS | {"mean": (0.2, 0.2, 0.3)}
    with pytest.raises(InputError, match=r"a\.npz: made with model .*expected the same"):
        embed(MAE, frames, tmp_path / "a.npz", Options(given=other))


def test_the_message_names_flags_and_keys_that_there_are():
    with pytest.raises(InputError) as caught:
        load_encoder(MAE, num_heads=3)
    configs = {"encoder": phase_base.get_config(), "init": msn_base.get_config()}
    named = re.findall(r"--config\.(\w+?)_(mean|std)=", str(caught.value))
    assert len(named) == 4
    assert all(f"{key}_{name}" in configs[key] for key, name in named)
    assert "inference.py, msn.convert: --mean=R,G,B --std=R,G,B" in str(caught.value)
    with pytest.raises(InputError, match=r"--num_heads=N.*encoder_num_heads=N.*init_num_heads=N"):
        load_encoder(MAE, **{name: FACTS[name] for name in ("mean", "std")})


@pytest.mark.parametrize(
    "wrong, named",
    [
        ({"mean": (0.1, 0.2)}, r"mean is \(0.1, 0.2\); expected three numbers"),
        ({"std": (0.1, 0.0, 0.2)}, "std is .*; expected three numbers above 0"),
        ({"std": ("a", "b", "c")}, "std is "),
        ({"mean": (np.nan, 0, 0)}, "mean is "),
    ],
)
def test_what_is_no_colour_is_refused(wrong, named):
    with pytest.raises(InputError, match=named):
        load_encoder(MAE, **FACTS | wrong)


def test_commands_have_the_flags(small_dataset, tmp_path):
    source = [f"--source={MAE}", f"--output={tmp_path / 'encoder'}"]
    done = call("-m", "msn.convert", *source, *FLAGS)
    assert done.returncode == 0, done.stderr
    assert found(load_encoder(tmp_path / "encoder")) == FACTS
    images = f"--image_path={small_dataset / 'frames' / 'video01'}"
    common = ["inference.py", f"--model_path={MAE}", images, f"--output={tmp_path / 'a.npz'}"]
    done = call(*common, *FLAGS)
    assert done.returncode == 0, done.stderr
    done = call(*common, *FLAGS[:1], "--mean=a,b")
    assert done.returncode == 2
    assert "--mean" in done.stderr
    assert "expected numbers with commas" in done.stderr
