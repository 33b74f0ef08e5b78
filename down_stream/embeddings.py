"""Embeddings (and phase probabilities) of image files, and the file they are kept in."""

from pathlib import Path

import numpy as np

from data.errors import InputError, check_output_folder
from data.image_files import ImageFiles
from down_stream.features import over_frames, probabilities_and_representation, representation
from down_stream.model import is_phase_model, load_phase_model
from msn.checkpoint import load_encoder


def embed_images(model_path: str | Path, image_path: str | Path, *, batch_size: int) -> dict:
    """Embeds an image or all images of a folder.

    Args:
      model_path: an encoder directory, or the model/ of a down-stream experiment.
      image_path: an image file or a folder.
      batch_size: images in a batch; the embeddings do not depend on it, but for rounding.

    Returns:
      {"embeddings": float32 [images, width], "path": str [images]}, with a phase model also
      "probabilities": float32 [images, phases]; and under "unreadable" the list of paths that were
      left out.

    Raises:
      InputError: nothing to embed, or nothing to embed it with.
    """
    images = ImageFiles(image_path)
    if is_phase_model(model_path):
        model = load_phase_model(model_path)
        function, size = probabilities_and_representation(model), model.encoder.image_size
    else:
        encoder = load_encoder(model_path)
        function, size = representation(encoder), encoder.image_size
    (*probabilities, embeddings), rows = over_frames(
        function,
        images,
        image_size=size,
        batch_size=min(batch_size, len(images)),
        description="embedding",
    )
    unread = np.setdiff1d(np.arange(len(images)), rows)
    table = {"embeddings": embeddings, "path": np.asarray(images.paths(rows))}
    if probabilities:
        table["probabilities"] = probabilities[0]
    return table | {"unreadable": images.paths(unread)}


def write_embeddings(path: str | Path, table: dict[str, np.ndarray]) -> Path:
    """Writes arrays to an .npz that loads with `allow_pickle=False`.

    Raises:
      InputError: the file would not end in .npz.
    """
    path = check_output(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **table)
    partial.replace(path)
    return path


def check_output(path: str | Path) -> Path:
    """The path, if it ends in .npz; raises `InputError` otherwise."""
    if Path(path).suffix != ".npz" or Path(path).is_dir():
        raise InputError(f"{path}: embeddings are written to a file that ends in .npz")
    check_output_folder("output", Path(path).parent)
    return Path(path)
