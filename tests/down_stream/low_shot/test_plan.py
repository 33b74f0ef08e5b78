import pytest

from configs import encoder_comparison, phase_low_shot
from data.common.errors import InputError
from down_stream.low_shot.checks import check
from down_stream.low_shot.plan import of_encoder

ENTRIES = (("msn", "PATH"), ("random", ""))


@pytest.fixture(params=[encoder_comparison, phase_low_shot])
def config(request):
    return request.param.get_config()


@pytest.mark.parametrize("pair", [("a b", "a-b"), (".x", "x"), ("DINO", "dino"), ("a?", "a")])
def test_names_whose_folders_would_be_one(config, pair):
    config.encoders = ((pair[0], "PATH"), (pair[1], "OTHER"), *ENTRIES)
    with pytest.raises(InputError, match="would have the same folders") as error:
        check(config)
    assert all(repr(name) in str(error.value) for name in pair)


@pytest.mark.parametrize(
    "own, named",
    [
        ({"encoder_maen": (0.1, 0.2, 0.3)}, "msn: unknown key 'encoder_maen'; did you mean enc"),
        ({"featurs": "mean"}, "msn: unknown key 'featurs'; did you mean features"),
        ({"optimizer": {"nam": "sgd"}}, "msn: unknown key 'nam'; did you mean name"),
        ({"modes": ("knn",)}, "msn: unknown key 'modes'"),
        ({"seed": 3}, "msn: seed in its third place"),
        ({"data.root": ("a",)}, "msn: data.root in its third place"),
        ({"train_videos": ("a",)}, "msn: train_videos in its third place"),
        ({"mode": "knn"}, "msn: mode in its third place"),
        ({"batch_size": "many"}, "msn: batch_size is 'many'"),
    ],
)
def test_keys_that_no_encoder_alone_has(config, own, named):
    config.encoders = (("msn", "PATH", own), ("random", ""))
    with pytest.raises(InputError, match=named):
        check(config)


def test_keys_that_an_encoder_alone_may_have(config):
    own = {"encoder_mean": (0.1, 0.2, 0.3), "features": "mean", "optimizer": {"name": "sgd"}}
    own |= {"optimizer.learning_rate": 1, "model.image_size": 32}
    config.encoders = (("msn", "PATH", own), ("random", "", {"model.like": "PATH"}))
    check(config)


def test_random_initialisation_is_told_what_the_file_of_the_one_it_is_like_does_not_say(config):
    own = {"encoder_mean": (0.1, 0.2, 0.3), "features": "mean"}
    config.encoders = (("table", "a.parquet"), ("vit", "PATH{seed}", own), ("random", ""))
    told = of_encoder(config, ("random", ""), "2")
    assert told == {
        **{"encoder": "", "model.like": "PATH2", "seed": 2, "encoder_mean": (0.1, 0.2, 0.3)}
    }
    entry = ("random", "", {"encoder_mean": (0.5, 0.5, 0.5)})
    assert of_encoder(config, entry, "2")["encoder_mean"] == (0.5, 0.5, 0.5)
    config.model.like = "OTHER"
    assert "encoder_mean" not in of_encoder(config, ("random", ""), "2")


def test_random_initialisation_is_like_the_first_that_can_be_trained(config, tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    frozen = tuple(
        (name, str(tmp_path / name)) for name in ("saved", "network.onnx", "features.npz")
    )
    config.encoders = (*frozen, ("vit", "PATH"), ("random", ""))
    assert of_encoder(config, ("random", ""), "0")["model.like"] == "PATH"
    config.encoders = (*frozen, ("random", ""))
    with pytest.raises(InputError, match="random: no encoder of this list can be trained"):
        of_encoder(config, ("random", ""), "0")
    assert of_encoder(config, ("random", "", {"model.variant": "vits16"}), "0")["encoder"] == ""
    config.model.variant = "vits16"
    assert of_encoder(config, ("random", ""), "0")["model.like"] is None
