"""Small ONNX encoders with their descriptions, and what they compute."""

import json

import numpy as np

SIZE, PATCH, WIDTH = 16, 4, 12
MEAN, STD = (0.3, 0.2, 0.1), (0.5, 0.4, 0.25)


def write(folder, *, layout="NCHW", batch="batch", name="net", special_tokens=1, **changes):
    """Writes NAME.onnx, a projection of patches with their mean before them, and NAME.json."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    kernel = np.random.default_rng(0).normal(size=(WIDTH, 3, PATCH, PATCH)).astype(np.float32)
    rows = SIZE // PATCH
    shape = np.array([-1, WIDTH, rows**2], np.int64)
    nodes = [
        helper.make_node("Transpose", ["pixels"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["channels", "kernel"], ["maps"], strides=[PATCH, PATCH]),
        helper.make_node("Reshape", ["maps", "shape"], ["flat"]),
        helper.make_node("Transpose", ["flat"], ["patches"], perm=[0, 2, 1]),
        helper.make_node("ReduceMean", ["patches", "axis"], ["mean"], keepdims=1),
        helper.make_node("Concat", ["mean"] * special_tokens + ["patches"], ["tokens"], axis=1),
        helper.make_node("ReduceMax", ["patches", "axis"], ["pooled"], keepdims=0),
    ]
    if layout == "NCHW":
        nodes[:2] = [helper.make_node("Conv", ["pixels", "kernel"], ["maps"], strides=[PATCH] * 2)]
    pixels = [batch, 3, SIZE, SIZE] if layout == "NCHW" else [batch, SIZE, SIZE, 3]
    constants = {"kernel": kernel, "shape": shape, "axis": np.array([1], np.int64)}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, pixels)],
        [
            helper.make_tensor_value_info("tokens", TensorProto.FLOAT, [batch, None, WIDTH]),
            helper.make_tensor_value_info("pooled", TensorProto.FLOAT, [batch, WIDTH]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    facts = {
        "input": {"name": "pixels", "layout": layout, "size": SIZE},
        "range": [0, 1],
        "mean": MEAN,
        "std": STD,
        "outputs": {"tokens": "tokens", "special_tokens": special_tokens},
    }
    path.with_suffix(".json").write_text(json.dumps(facts | changes))
    return path


def expected(images, low=0.0, high=1.0):
    """Patches [images, patches, WIDTH] of raw images, by NumPy."""
    kernel = np.random.default_rng(0).normal(size=(WIDTH, 3, PATCH, PATCH)).astype(np.float32)
    values = (low + images / 255 * (high - low) - MEAN) / STD
    rows = SIZE // PATCH
    patches = values.reshape(-1, rows, PATCH, rows, PATCH, 3)
    return np.einsum("nrpcqk,wkpq->nrcw", patches, kernel).reshape(-1, rows**2, WIDTH)
