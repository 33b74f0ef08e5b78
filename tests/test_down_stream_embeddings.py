import numpy as np
import pytest

from data.errors import InputError
from data.images import frame_to_input, read_image
from down_stream.embeddings import check_output, embed_images, write_embeddings
from down_stream.model import PhaseModel, save_phase_model
from msn.checkpoint import save_encoder
from msn.vit import create_encoder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    encoder = create_encoder("vitmicro8", image_size=16, seed=5)
    folder = tmp_path_factory.mktemp("models")
    model = PhaseModel(encoder, ("a", "b"), seed=0)
    return (
        encoder,
        save_encoder(encoder, folder / "encoder", {}),
        save_phase_model(model, folder / "model", {}),
    )


def test_one_row_per_image_of_a_folder(models, small_dataset):
    encoder, path, _ = models
    table = embed_images(path, small_dataset / "frames" / "video02", batch_size=4)
    assert table["embeddings"].shape == (14, 96)
    assert table["unreadable"] == []
    assert table["path"][3].endswith("video02_000004.png")
    image = frame_to_input(read_image(table["path"][3]), 16)
    np.testing.assert_allclose(table["embeddings"][3], encoder(image[None])[1][0], atol=1e-4)


def test_one_image(models, small_dataset):
    image = small_dataset / "frames" / "video01" / "video01_000001.png"
    table = embed_images(models[1], image, batch_size=32)
    assert table["embeddings"].shape == (1, 96)
    assert table["path"].tolist() == [str(image)]


def test_a_phase_model_gives_probabilities_too(models, small_dataset):
    table = embed_images(models[2], small_dataset / "frames" / "video01", batch_size=32)
    assert table["probabilities"].shape == (14, 2)
    plain = embed_images(models[1], small_dataset / "frames" / "video01", batch_size=32)
    np.testing.assert_allclose(table["embeddings"], plain["embeddings"], atol=1e-4)


def test_the_file_loads_without_pickle(tmp_path):
    table = {"embeddings": np.ones((2, 3), np.float32), "path": np.array(["a", "b"])}
    path = write_embeddings(tmp_path / "deep" / "out.npz", table)
    with np.load(path, allow_pickle=False) as loaded:
        assert loaded["path"].tolist() == ["a", "b"]
        np.testing.assert_array_equal(loaded["embeddings"], table["embeddings"])
    assert [file.name for file in path.parent.iterdir()] == ["out.npz"]
    with pytest.raises(InputError, match=r"\.npz"):
        check_output(tmp_path / "out.csv")
