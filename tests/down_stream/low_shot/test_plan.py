import pytest

from configs import encoder_comparison, phase_low_shot
from data.common.errors import InputError
from down_stream.low_shot.plan import check

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
