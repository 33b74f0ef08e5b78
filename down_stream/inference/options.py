"""What is computed of frames; and what cannot be, said before TensorFlow is imported."""

from dataclasses import dataclass, field
from pathlib import Path

from data.common.errors import InputError
from data.storage.paths import AnyPath, check_local, check_output_folder
from data.video.decoding import check_settings
from data.video.files.opening import VideoFile
from down_stream.choices import RESULTS, check_tokens, is_frame_model
from down_stream.inference.annotations import Wanted
from down_stream.inference.network import is_network
from msn.formats.files.recognising import check_encoder
from msn.workdir.seen import seen_of

SUFFIXES = (".npz", ".parquet")  # of a table
GONE = ("drop", "keep")  # what becomes of the rows of videos that are not there any more


@dataclass(frozen=True)
class Options:
    """What is computed of each frame, as `features.extraction.frame_outputs` explains it.

    Attributes:
      features, layers, tokens: of the embeddings.
      attention: None, or a folder for pictures of it.
      map: None, or an .html file for a map of the embeddings.
      annotations: None, or which files for annotators to write.
      batch_size: frames that pass the network together; the results do not depend on it, but for
        rounding.
      given: what the encoder's file does not say, arguments of `load_encoder`.
      gone: of GONE.
    """

    features: str | None = None
    layers: int | None = None
    tokens: str | None = None
    attention: AnyPath | None = None
    map: AnyPath | None = None
    annotations: Wanted | None = None
    batch_size: int = 32
    given: dict = field(default_factory=dict)
    gone: str = "drop"


def check_output(path: AnyPath) -> None:
    """Raises `InputError` if no table can be written there."""
    if path.suffix not in SUFFIXES or path.is_dir():
        raise InputError(f"{path}: expected a name that ends in {' or '.join(SUFFIXES)}")
    check_output_folder("output", path.parent)


def check_map(path: AnyPath) -> None:
    """Raises `InputError` if a map cannot be written there."""
    if path.suffix != ".html" or path.is_dir():
        raise InputError(f"--map={path}: expected the name of a file that ends in .html")
    check_output_folder("map", path.parent)


def check_model(path: AnyPath, given: dict) -> None:
    """Raises `InputError` where neither an encoder nor a frame model is at a path.

    Also where anything of an encoder is given besides a frame model, which says it itself; or what
    lies with it about its training cannot be read.
    """
    if not path.exists() and (path.parent / RESULTS).is_file():
        raise InputError(
            f"{path}: the experiment in {path.parent} has no model: neighbours, and features "
            "that were computed elsewhere, say nothing of other frames; expected one of another "
            "mode, of an encoder"
        )
    if not is_frame_model(path):
        check_encoder(path)
    elif given:
        raise InputError(f"{path}: says its {', '.join(given)} itself; expected none")
    seen_of(path / "encoder" if is_frame_model(path) else path)  # which the table says, at its end


def check_options(options: Options) -> None:
    """Raises `InputError` for options of which some cannot be, or not together."""
    check_tokens(options.features, options.layers, options.tokens)
    if options.map:
        check_map(options.map)
    if options.attention:
        check_output_folder("attention", options.attention)


def check_stream(model_path: AnyPath, source: str, fps: float) -> None:
    """Raises `InputError` where there is no frame model to label a video with, or no video.

    Whether a camera or an address has one is found when it is opened.
    """
    check_settings(fps)
    if not is_frame_model(model_path):
        raise InputError(
            f"{model_path}: not a model of phases; expected the model/ of an experiment for "
            "--stream"
        )
    if source.isdecimal() or is_network(source):
        return
    check_local("--stream", source)
    with VideoFile(Path(source)):
        pass
