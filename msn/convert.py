"""Converts encoders between the formats of this and of other projects, and exports them.

  python -m msn.convert --source=checkpoint_0 --output=encoder
  python -m msn.convert --source=runs/msn_vits16/encoder --output=vit_msn --format=hf
  python -m msn.convert --source=runs/msn_vits16/encoder --output=encoder.onnx --format=onnx

--source is whatever `msn.encoders.load_encoder` opens, --output what is written, by --format:

  encoder  an encoder directory, which every command here opens
  msn      a .pth.tar with the target encoder of facebookresearch/msn (PyTorch)
  hf       a ViTMSN directory of Hugging Face: transformers.ViTMSNModel.from_pretrained(output)
  timm     a safetensors file with the names of timm's Vision Transformers

Encoders with a convolutional stem cannot be written as hf and timm.

Exports hold the computation, too, and are no sources to convert from:

  saved_model  what an encoder directory has inside, for TensorFlow Serving among others
  onnx         for ONNX Runtime and others; needs requirements-export.txt
  tflite       for LiteRT on phones and other devices; needs requirements-export.txt

Into each go RGB frames 0..255, float32 [batch, size, size, 3]; its output number 1 is the
representation [batch, width]. The batch may have any size.
The last two are written in memory, about fifty times that of the weights (4.9 GB for ViT-S).

--push=hf://owner/name uploads what was written, an encoder directory or one of Hugging Face, to a
new, private repository there, without the names of videos and of places on this machine. What the
same command wrote before is uploaded as it is. Nothing is uploaded without this flag.

What was written is read back, and stays only if it computes the same: exports on frames that are
rendered, or on those of --image_path.
"""

if __name__ == "__main__":  # before what takes long to import
    from data.common import stopping

    stopping.end_at_once()

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from data.common import cli
from data.common.errors import InputError
from data.storage.locking import locked_file
from data.storage.paths import AnyPath, check_local, check_output_folder
from data.storage.whole import whole_file, whole_folder

FORMATS = ("encoder", "msn", "hf", "timm")
EXPORTS = ("saved_model", "onnx", "tflite")
PACKAGES = {"onnx": ("tf2onnx", "onnxruntime"), "tflite": ("ai_edge_litert",)}
FOLDERS = {"encoder": "encoder.json", "hf": "config.json", "saved_model": "saved_model.pb"}
WITHOUT_STEMS = ("hf", "timm")  # their Vision Transformers have patch convolutions alone
PUSHED = ("encoder", "hf")  # directories with a card
TOLERANCE = 1e-5  # relative error; another GELU alone gives ten times as much


def convert(
    source: str | AnyPath,
    output: str | Path,
    output_format: str,
    image_path: str | None = None,
    **given: Any,
) -> tuple[Path, float]:
    """Writes an encoder in another format.

    Args:
      source: anything that `msn.encoders.load_encoder` opens, except a SavedModel.
      output: file or directory; must not be there yet.
      output_format: one of FORMATS or EXPORTS.
      image_path: frames on which an export is compared, as `msn.formats.export.read_frames` takes
        them.
      **given: num_heads, mean, std for sources that do not say them, as `load_encoder` takes them.

    Returns:
      The path that was written; and the relative error ‖a − b‖/‖b‖ of what it computes.

    Raises:
      InputError: the source cannot be converted, `output` exists, the format cannot express this
        encoder, or its packages are not installed: then nothing is written.
    """
    from msn.encoders import load_encoder, save_encoder
    from msn.formats import export  # TensorFlow: after the flags are checked
    from msn.formats.hugging_face import write_directory, write_timm
    from msn.formats.model_card import VIDEOS, licence_beside, write_card
    from msn.formats.reference_names import write_msn_checkpoint
    from msn.networks.encoder import resample_of
    from msn.training.initialisation import origin_of
    from msn.workdir.seen import Seen, seen_of, seen_of_source

    place, output = check(source, output, output_format, image_path)
    encoder = open_source(place, output_format, given)
    origin: dict[str, Any] = {"videos": [], "converted_from": str(source)}
    origin |= origin_of(place).get("source", {}) | {"licence": licence_beside(place)}
    if "method" not in origin:  # not one of ours, which says it itself
        origin["seen"] = seen_of(place).to_json()
    if is_export := output_format in EXPORTS:
        frames = export.read_frames(image_path, encoder.image_size, resample=resample_of(encoder))

    def write(path: Path) -> None:
        if is_export:
            export.write_export(encoder, output_format, path)
            if path.is_dir():
                write_card(path, encoder, origin, "keras")
        elif output_format == "encoder":
            save_encoder(encoder, path, origin)
        elif output_format == "msn":
            write_msn_checkpoint(encoder, path)
        elif output_format == "hf":
            seen = seen_of_source(origin)
            write_directory(encoder, path, {VIDEOS: seen.to_json()} if seen != Seen() else {})
            write_card(path, encoder, origin, "transformers")
        else:
            write_timm(encoder, path)

    last = FOLDERS.get(output_format)
    whole = functools.partial(whole_folder, last=last) if last else whole_file
    with locked_file(output), whole(output) as side:
        write(side)
        error = (
            export.difference(encoder, output_format, frames, side)
            if is_export
            else export.encoder_difference(load_encoder(side), encoder)
        )
        if not error <= TOLERANCE:
            raise InputError(
                f"{source}: not written: a reader of format {output_format} would compute "
                f"something else (relative error {error:.1e}){reason(encoder, output_format)}"
            )
    return output, error


def check_written(
    source: str | AnyPath, output: str | Path, output_format: str, **given: Any
) -> tuple[Path, float]:
    """What `convert` returns, of a directory that it has written before.

    Raises:
      InputError: what is there computes something else than the source.
    """
    from msn.encoders import load_encoder
    from msn.formats.export import encoder_difference
    from msn.formats.hub import encoder_path

    encoder, output = open_source(encoder_path(source), output_format, given), Path(output)
    error = encoder_difference(load_encoder(output), encoder)
    if not error <= TOLERANCE:
        raise InputError(
            f"{output}: exists already, and computes something else than {source} (relative error "
            f"{error:.1e}); remove it, or write to another path"
        )
    return output, error


def check(
    source: str | AnyPath,
    output: str | Path,
    output_format: str,
    image_path: str | None,
    or_written: bool = False,
) -> tuple[AnyPath, Path]:
    """The paths that `convert` reads and writes; `or_written`: or which it has written before.

    Raises:
      InputError: no encoder at the one, something at the other, or what `convert` cannot do with
        the format. Whether the encoder can be converted is found when it is opened.
    """
    from data.images.finding import find_images
    from msn.formats.files.recognising import check_encoder
    from msn.formats.hub import encoder_path

    check_local("--output", output)
    if image_path is not None and output_format not in EXPORTS:
        raise InputError(
            f"--image_path: without effect for --format={output_format}; expected one of "
            f"--format={'|'.join(EXPORTS)}"
        )
    place, output = encoder_path(source), Path(output)
    if output.exists() and not (or_written and (output / FOLDERS[output_format]).is_file()):
        raise InputError(f"{output}: exists already; remove it, or write to another path")
    check_output_folder("--output", output.parent)
    check_packages(output_format)
    if (place / "encoder").is_dir():  # of a run, or of a down-stream model
        raise InputError(
            f"{source}: not an encoder, but a directory with one in it; expected "
            f"{place / 'encoder'}"
        )
    check_encoder(place)
    if image_path is not None:
        find_images(image_path, [])
    return place, output


def check_packages(output_format: str) -> None:
    """Raises `InputError` where the packages are missing that a format needs."""
    needed = PACKAGES.get(output_format, ())
    if missing := [name for name in needed if not importlib.util.find_spec(name)]:
        raise InputError(
            f"format {output_format}: {' and '.join(missing)} not installed; run: "
            "python -m pip install -r requirements-export.txt"
        )


def open_source(source: AnyPath, output_format: str, given: dict[str, Any]) -> Any:
    """The encoder to convert; raises `InputError` where the format cannot express it."""
    from msn.encoders import load_encoder
    from msn.formats.onnx_encoder import OnnxEncoder
    from msn.networks.encoder import Encoder

    encoder = load_encoder(source, **given)
    if not encoder.trainable_variables:
        kind, original = (
            ("an ONNX file", "that it was made of")
            if isinstance(encoder, OnnxEncoder)
            else ("a SavedModel", "with its weights (checkpoint_0, or the folder of saved_model/)")
        )
        raise InputError(
            f"{source}: {kind} is frozen: its weights cannot be converted; expected the file "
            f"{original}"
        )
    if output_format not in ("encoder", *EXPORTS) and not isinstance(encoder, Encoder):
        raise InputError(
            f"{source}: not a Vision Transformer, which format {output_format} needs; expected "
            "--format=encoder"
        )
    if output_format in WITHOUT_STEMS and encoder.backbone.stem_channels:
        raise InputError(
            f"{source}: has a convolutional stem, which format {output_format} does not have; "
            "expected --format=encoder or msn"
        )
    return encoder


def reason(encoder: Any, output_format: str) -> str:
    """What a format of bare weights cannot say about an encoder."""
    if output_format != "msn":
        return ""
    config = encoder.get_config()
    said = {key: config[key] for key in ("gelu", "layer_norm_epsilon", "mean", "std")}
    return (
        ": facebookresearch/msn has the exact GELU (erf), epsilon 1e-6 and ImageNet's mean and "
        f"std, this encoder {said}"
    )


def define_flags() -> Callable[[], dict[str, Any]]:
    """Defines the flags of this command; importing the module does not.

    Returns what `data.common.cli.define_encoder_facts` does.
    """
    flags.DEFINE_string("source", None, "encoder to convert", required=True)
    flags.DEFINE_string("output", None, "file or directory that is written", required=True)
    flags.DEFINE_enum("format", "encoder", FORMATS + EXPORTS, "format of the output")
    flags.DEFINE_string(
        "image_path", None, "images to compare an export on, instead of rendered ones"
    )
    flags.DEFINE_string("push", None, "upload it, too: hf://owner/name, a new repository")
    return cli.define_encoder_facts()


def main(given: dict[str, Any]) -> int:
    """Runs the command and returns its exit code; `given` are arguments of `load_encoder`."""
    from msn.formats.hub import open_repository, push

    flag, is_pushed = flags.FLAGS, flags.FLAGS.push is not None
    if is_pushed and flag.format not in PUSHED:
        raise InputError(
            f"--push: without effect for --format={flag.format}; expected --format=encoder|hf, "
            "which have a card"
        )
    place = flag.source, flag.output, flag.format
    _, output = check(*place, flag.image_path, or_written=is_pushed)  # before TensorFlow's import
    if is_pushed:
        open_repository(flag.push)
    cli.import_tensorflow()
    if output.exists():
        written, (path, error) = "written before", check_written(*place, **given)
    else:
        written, (path, error) = "written", convert(*place, flag.image_path, **given)
    print(f"{written} to {path} ({flag.format}), relative error {error:.1e}")
    if is_pushed:
        try:
            page = push(path, flag.push)
        except InputError as fault:
            raise InputError(
                f"{fault}; {path} stays as it is: the same command uploads it"
            ) from fault
        print(f"uploaded to {page} (private; without the names of videos and of places here)")
    return cli.DONE


if __name__ == "__main__":
    facts = define_flags()
    cli.run(lambda: main(facts()), wrong_input=(InputError,))
