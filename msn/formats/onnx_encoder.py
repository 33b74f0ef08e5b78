"""ONNX files as frozen encoders, of any architecture: a ConvNeXt, a CAFormer, a Vision Transformer.

NAME.onnx does not say what it takes and gives. NAME.json beside it does, nothing is assumed:

  {"input": {"name": "pixel_values", "layout": "NCHW", "size": 224},
   "range": [0, 1], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
   "outputs": {"pooled": "pooler_output"}}

`layout` is NCHW or NHWC. RGB is brought into `range`; `mean` is subtracted, `std` divides the rest.
`outputs` names one or more: "cls" and "pooled", [batch, width]; "tokens", [batch, tokens, width],
with "special_tokens", how many of them, CLS first, come before the patches. `resample` alone may be
missing: how frames are resized to `size`, of `data.images.image_io.RESAMPLES`. It is then what the
metadata of a file that `msn.convert` wrote has under this name, else "bilinear".
"""

import importlib.util
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from data.common.errors import InputError, one_line, some
from data.images.image_io import BILINEAR, RESAMPLES
from data.storage.folders import local_copy
from data.storage.paths import AnyPath, to_path
from msn.formats.files.recognising import ONNX_FILE
from msn.formats.files.weight_files import read_json

MODEL_FILE, DESCRIPTION = ONNX_FILE, ".json"
KEYS = {"input", "range", "mean", "std", "outputs"}
RESAMPLE = "resample"  # may be missing
LAYOUTS = {"NCHW": (0, 3, 1, 2), "NHWC": (0, 1, 2, 3)}
OUTPUTS = ("cls", "pooled", "tokens")
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxEncoder(keras.Model):
    """An ONNX file that is called like an encoder. It has no weights to train and no backbone.

    Args:
      path: of the file; the description lies beside it.

    Attributes:
      features: what an image's features are, "cls", "pooled" or "mean" of the patches: the first
        that the file gives.
      resample: how frames are resized for it.

    Call arguments:
      images: float or uint8 [batch, image_size, image_size, 3], RGB 0..255.

    Returns:
      tokens [batch, 1 + patches, width], the representation first, without patches where the file
      gives none; and the representation [batch, width].

    Raises:
      InputError: no description, or one that does not fit the file; onnxruntime is missing; or
        Keras runs on another backend than TensorFlow.
    """

    kind = "an ONNX file"

    def __init__(self, path: str | AnyPath, name=None):
        super().__init__(name=name, trainable=False)
        self.file = to_path(path)
        self.description = self.file.with_suffix(DESCRIPTION)
        if keras.backend.backend() != "tensorflow":
            raise InputError(
                f"an ONNX file needs KERAS_BACKEND=tensorflow, not {keras.backend.backend()}"
            )
        facts = checked_facts(self.description)
        self.image_size, self.layout = facts["input"]["size"], facts["input"]["layout"]
        named = facts["outputs"]
        self.names = {output: named[output] for output in OUTPUTS if output in named}
        self.special_tokens = facts["outputs"].get("special_tokens", 0)
        low, high = facts["range"]
        mean, std = (np.asarray(facts[name], np.float64) for name in ("mean", "std"))
        self.scale = ((high - low) / 255 / std).astype(np.float32)
        self.offset = ((low - mean) / std).astype(np.float32)
        self.session = open_session(self.file)
        self.resample = facts.get(RESAMPLE) or self._noted_resample()
        self.input_name = facts["input"]["name"]
        self.input_type, self.single = self._check_input()
        self.width = self._check_outputs()
        self.built = True

    @cached_property
    def features(self) -> str:
        if "cls" in self.names or ("pooled" not in self.names and self.special_tokens):
            return "cls"
        return "pooled" if "pooled" in self.names else "mean"

    def call(self, images):
        import tensorflow as tf

        if tuple(images.shape[1:]) != (self.image_size, self.image_size, 3):
            raise InputError(
                f"images of shape {tuple(images.shape[1:])}; expected "
                f"{(self.image_size, self.image_size, 3)}, which alone this ONNX file takes"
            )
        images = tf.cast(images, tf.float32)
        tokens, representation = tf.numpy_function(self.run, [images], [tf.float32] * 2)
        tokens.set_shape((images.shape[0], self.num_tokens, self.width))
        representation.set_shape((images.shape[0], self.width))
        return tokens, representation

    def represent(self, images):
        """Images as in `call` -> the representation [batch, width] alone."""
        return self(images)[1]

    def run(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What `call` gives, as arrays."""
        values = (images * self.scale + self.offset).transpose(LAYOUTS[self.layout])
        values = np.ascontiguousarray(values, self.input_type)
        parts = [values[row : row + 1] for row in range(len(values))] if self.single else [values]
        names = list(self.names.values())
        found = [self.session.run(names, {self.input_name: part}) for part in parts]
        found = [np.concatenate(rows).astype(np.float32) for rows in zip(*found, strict=True)]
        outputs = dict(zip(self.names, found, strict=True))
        patches = outputs["tokens"][:, self.special_tokens :] if "tokens" in outputs else None
        if self.features == "mean":
            representation = patches.mean(axis=1)
        elif self.features in outputs:
            representation = outputs[self.features]
        else:
            representation = outputs["tokens"][:, 0]
        tokens = [representation[:, None], *([] if patches is None else [patches])]
        return np.concatenate(tokens, axis=1), representation

    def _noted_resample(self) -> str:
        """The `resample` of an encoder that `msn.convert` wrote; else the usual."""
        noted = self.session.get_modelmeta().custom_metadata_map.get(RESAMPLE)
        return noted if noted in RESAMPLES else BILINEAR

    def _check_input(self) -> tuple[type, bool]:
        """The type of the input, and whether images go in one by one; raises `InputError`."""
        inputs = {one.name: one for one in self.session.get_inputs()}
        if list(inputs) != [self.input_name]:
            raise InputError(
                f"{self.description.name} says input {self.input_name!r}, but {self.file.name} has "
                f"{', '.join(inputs)}; expected its only input"
            )
        found = inputs[self.input_name]
        size = self.image_size
        wanted = (0, 3, size, size) if self.layout == "NCHW" else (0, size, size, 3)
        fits = len(found.shape) == 4 and all(
            not isinstance(there, int) or there == expected
            for there, expected in zip(found.shape[1:], wanted[1:], strict=True)
        )
        batch = found.shape[0] if found.shape else None
        if not fits or found.type not in TYPES or (isinstance(batch, int) and batch != 1):
            raise InputError(
                f"{self.file.name} takes {found.type} {found.shape}; expected floats [batch, "
                f"{', '.join(map(str, wanted[1:]))}], as {self.description.name} says, and any "
                "number or one of them"
            )
        return TYPES[found.type], batch == 1

    def _check_outputs(self) -> int:
        """The width of an image's features, by running the file once; raises `InputError`."""
        there = [one.name for one in self.session.get_outputs()]
        if missing := [name for name in self.names.values() if name not in there]:
            raise InputError(
                f"{self.description.name} names an output {missing[0]!r}; expected of "
                f"{self.file.name}: {', '.join(there)}"
            )
        black = np.zeros((1, self.image_size, self.image_size, 3), np.float32)
        values = np.ascontiguousarray(black.transpose(LAYOUTS[self.layout]), self.input_type)
        try:
            found = self.session.run(list(self.names.values()), {self.input_name: values})
        except Exception as error:  # its errors have no class in common
            raise InputError(
                f"does not run on images of {self.image_size} pixels as {self.layout}, as "
                f"{self.description.name} says ({one_line(error)})"
            ) from error
        shapes = {kind: one.shape for kind, one in zip(self.names, found, strict=True)}
        for kind, shape in shapes.items():
            axes = 3 if kind == "tokens" else 2
            if len(shape) != axes or shape[0] != 1:
                raise InputError(
                    f"output {self.names[kind]!r} is {list(shape)} for one image; expected "
                    f"{kind} as [1, {'tokens, ' if axes == 3 else ''}width]"
                )
        widths = {shape[-1] for shape in shapes.values()}
        if len(widths) > 1:
            raise InputError(f"outputs of the shapes {list(shapes.values())}; expected one width")
        tokens = shapes["tokens"][1] if "tokens" in shapes else 0
        if tokens and self.special_tokens >= tokens:
            raise InputError(f"{self.special_tokens} of {tokens} tokens special; expected patches")
        self.num_tokens = 1 + max(tokens - self.special_tokens, 0)
        return widths.pop()

    def get_config(self):
        """Constructor arguments."""
        return {"path": str(self.file)}


def open_session(path: AnyPath):
    """An ONNX Runtime session on the CPU; raises `InputError`."""
    if not importlib.util.find_spec("onnxruntime"):
        raise InputError(
            "an ONNX file needs onnxruntime, which is not installed; run: python -m pip install "
            "-r requirements-onnx.txt"
        )
    import onnxruntime

    with local_copy(path) as file:
        try:
            return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no class in common
            raise InputError(f"not an ONNX file that can be run ({one_line(error)})") from error


def checked_facts(path: AnyPath) -> dict:
    """What a description says, all of it; raises `InputError`."""
    if not path.is_file():
        raise InputError(
            f"an ONNX file does not say what it takes and gives; expected {path.name} beside it "
            "(docs/encoders.md)"
        )
    facts = read_json(path)
    if facts.keys() - {RESAMPLE} != KEYS:
        raise InputError(
            f"{path.name} has {some(sorted(facts)) or 'nothing'}; expected exactly "
            f"{', '.join(sorted(KEYS))}, and {RESAMPLE} where it is not {BILINEAR}"
        )
    given, outputs = facts["input"], facts["outputs"]
    problem = None
    if not isinstance(given, dict) or given.keys() != {"name", "layout", "size"}:
        problem = f"input is {given}; expected name, layout and size"
    elif given["layout"] not in LAYOUTS:
        problem = f"layout is {given['layout']!r}; expected one of {', '.join(LAYOUTS)}"
    elif type(given["size"]) is not int or given["size"] < 1:
        problem = f"size is {given['size']!r}; expected pixels"
    elif not _numbers(facts["range"], 2) or facts["range"][0] >= facts["range"][1]:
        problem = f"range is {facts['range']}; expected [0, 1], [0, 255] or [-1, 1], as it takes it"
    elif not _numbers(facts["mean"], 3) or not _numbers(facts["std"], 3):
        problem = f"mean {facts['mean']}, std {facts['std']}; expected three numbers each"
    elif min(facts["std"]) <= 0:
        problem = f"std is {facts['std']}; expected numbers above 0"
    elif RESAMPLE in facts and facts[RESAMPLE] not in RESAMPLES:
        problem = f"resample is {facts[RESAMPLE]!r}; expected one of {', '.join(RESAMPLES)}"
    elif not isinstance(outputs, dict) or not outputs.keys() & set(OUTPUTS):
        problem = f"outputs is {outputs}; expected names of {', '.join(OUTPUTS)}"
    elif unknown := outputs.keys() - {*OUTPUTS, "special_tokens"}:
        problem = f"outputs has {sorted(unknown)[0]!r}; expected {', '.join(OUTPUTS)}"
    elif ("tokens" in outputs) != ("special_tokens" in outputs):
        problem = "tokens and special_tokens; expected both or none of them"
    elif type(outputs.get("special_tokens", 0)) is not int or outputs.get("special_tokens", 0) < 0:
        problem = f"special_tokens is {outputs['special_tokens']!r}; expected how many there are"
    if problem:
        raise InputError(f"{path.name}: {problem}")
    return facts


def _numbers(value, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(type(one) in (int, float) and np.isfinite(one) for one in value)
    )


def write_onnx(encoder: OnnxEncoder, folder: Path) -> None:
    """Copies an ONNX file and its description into a new directory, as MODEL_FILE.

    Raises:
      InputError: its weights are in files of their own, which were not copied.
    """
    folder.mkdir(parents=True)
    target = folder / MODEL_FILE
    target.write_bytes(encoder.file.read_bytes())
    target.with_suffix(DESCRIPTION).write_bytes(encoder.description.read_bytes())
    open_session(target)
