"""Exports of encoders to formats that run without this project: SavedModel, ONNX, TFLite.

All keep one contract, that of the published models: `images`, float32 [batch, size, size, 3], RGB
0..255, go in; `tokens` [batch, 1 + patches, width] and `cls` [batch, width] come out, in this
order. The size of the batch is free.

ONNX is written by tf2onnx (github.com/onnx/tensorflow-onnx), which Keras' own export uses, too;
TFLite by TensorFlow. They are run by onnxruntime and by LiteRT.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.common.errors import InputError
from msn.formats.onnx_encoder import RESAMPLE
from msn.formats.saved_model import OUTPUTS, images_spec, save_saved_model
from msn.networks.encoder import resample_of

LARGEST_FILE = 2**31 - 2**24  # bytes that protobuf and FlatBuffers can address, less the graph's
RENDERED_SIZE = (256, 144)


def write_export(encoder, output_format: str, path: Path) -> None:
    """Writes a directory (saved_model) or a file (onnx, tflite).

    Raises:
      InputError: more weights than the format can hold.
    """
    if output_format == "saved_model":
        save_saved_model(encoder, path)
        return
    size = 4 * sum(int(np.prod(weight.shape)) for weight in encoder.weights)
    if size > LARGEST_FILE:
        raise InputError(
            f"{size / 1e9:.1f} GB of weights; expected at most 2 GB for format {output_format}; "
            "saved_model has no limit"
        )
    path.write_bytes({"onnx": to_onnx, "tflite": to_tflite}[output_format](encoder))


def frozen_function(encoder):
    """A concrete function, images -> (tokens, cls), with the weights as constants."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    function = tf.function(encoder.call, input_signature=[images_spec(encoder)])
    return convert_variables_to_constants_v2(function.get_concrete_function())


def to_onnx(encoder) -> bytes:
    """The content of an ONNX file."""
    from tf2onnx import convert

    logging.getLogger("tf2onnx").setLevel(logging.WARNING)
    function = frozen_function(encoder)
    names = [tensor.name for tensor in function.outputs]
    model, _ = convert.from_graph_def(
        function.graph.as_graph_def(),
        input_names=[function.inputs[0].name],
        output_names=names,
        tensors_to_rename={function.inputs[0].name: "images"}
        | dict(zip(names, OUTPUTS, strict=True)),
    )
    model.metadata_props.add(key=RESAMPLE, value=resample_of(encoder))
    return model.SerializeToString()


def to_tflite(encoder) -> bytearray:
    """The content of a TFLite file, with the signature `serving_default`."""
    import tensorflow as tf
    from ai_edge_litert.schema_py_generated import Model

    function = frozen_function(encoder)
    named = tf.function(
        lambda images: dict(zip(OUTPUTS, function(images), strict=True)),
        input_signature=[images_spec(encoder)],
    ).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([named], tf.Module())
    content = bytearray(converter.convert())
    # The converter names the outputs and leaves their order to chance.
    model = Model.GetRootAs(content)
    signature = model.SignatureDefs(0)
    found = [signature.Outputs(place) for place in range(signature.OutputsLength())]
    places = {output.Name().decode(): output.TensorIndex() for output in found}
    model.Subgraphs(0).OutputsAsNumpy()[:] = [places[name] for name in OUTPUTS]
    return content


def run_export(path: Path, output_format: str, images: np.ndarray) -> list[np.ndarray]:
    """Outputs by number, tokens and cls, of an exported encoder for float32 images."""
    if output_format == "saved_model":
        import tensorflow as tf

        return [np.asarray(output) for output in tf.saved_model.load(str(path))(images)]
    if output_format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(None, {"images": images})
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, images)
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]


def difference(encoder, output_format: str, frames: np.ndarray, path: Path) -> float:
    """Largest relative error ‖a − b‖/‖b‖ of a frame's tokens and cls, as an export gives them.

    Of all frames as one batch, and of the first alone: an export must take both.
    """
    both = (frames, frames[:1])
    errors = [
        relative_error(run_export(path, output_format, images), encoder(images)) for images in both
    ]
    return float(np.max(errors))  # NaN, if one of them is


def encoder_difference(encoder, reference) -> float:
    """The same of an encoder that was opened, on a fixed image of noise, RGB 0..255."""
    size = reference.image_size
    if encoder.image_size != size:
        return float("inf")
    image = np.random.default_rng(0).integers(0, 256, (1, size, size, 3)).astype(np.float32)
    return relative_error(encoder(image), reference(image))


def relative_error(outputs: Sequence, expected: Sequence) -> float:
    """Largest relative error ‖a − b‖/‖b‖ of an image's tokens and cls; infinite of other shapes."""
    errors = []
    for one, other in zip(outputs, expected, strict=True):
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        if one.shape != other.shape:
            return float("inf")
        axes = tuple(range(1, other.ndim))
        error = np.sum((one - other) ** 2, axes) / np.sum(other**2, axes)
        errors.append(np.sqrt(error.max()))
    return float(np.max(errors))  # NaN, if one of them is


def read_frames(
    image_path: str | None, image_size: int, most: int = 8, resample: str = "bilinear"
) -> np.ndarray:
    """Frames to compare on, float32 [frames, image_size, image_size, 3], RGB 0..255.

    Args:
      image_path: an image, a folder, a glob pattern or a text file with paths, of which the first
        `most` are taken; None for three frames that are rendered.
      image_size, resample: of the encoder.

    Raises:
      InputError: no images there, or an unreadable one.
    """
    from data.images.finding import find_images
    from data.images.image_io import frame_to_input, read_image

    frames = (
        [read_image(file) for file in find_images(image_path, [])[0][:most]]
        if image_path
        else render_frames()
    )
    return np.stack([frame_to_input(frame, image_size, resample) for frame in frames]).astype(
        np.float32
    )


def render_frames() -> list[np.ndarray]:
    """Three frames of one rendered operation, uint8 [height, width, 3], RGB."""
    from data.synthetic.camera import Endoscope
    from data.synthetic.cholec80 import make_timeline

    rng = np.random.default_rng(0)
    endoscope = Endoscope(rng, RENDERED_SIZE, make_timeline(rng, seconds=20))
    places = (0, endoscope.count // 2, endoscope.count - 1)
    return [np.ascontiguousarray(endoscope.frame(place)[..., ::-1]) for place in places]
