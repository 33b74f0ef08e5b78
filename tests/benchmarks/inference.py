"""Speed of an encoder's inference, beside Hugging Face's ViTMSN in PyTorch.

  python -m tests.benchmarks.inference

ViT-S/16, 16 images of 224 pixels, the same weights on both sides (written as a ViTMSN directory),
on the CPU, in turns. Ours is the function by which embeddings are made; it normalises the images
itself, the other side gets them normalised.
"""

import statistics
import tempfile
from pathlib import Path

import numpy as np

from data.synthetic.cholec80 import make_dataset
from tests.benchmarks.report import OtherSide, interleaved, median_ratio, run, seconds

BATCH, SIZE = 16, 224
ROUNDS = 15
SECONDS, FRAME_SIZE, INPUT_ROUNDS = 20, (854, 480), 3  # rendered
TOLERANCE = 1e-4  # relative error of CLS
THEIRS = ("sdpa", "eager")


def measure() -> dict:
    """Both sides on the same images."""
    import tensorflow as tf

    from down_stream.features.extraction import representation
    from msn.formats.hugging_face import write_directory
    from msn.networks.encoder import create_encoder

    images = np.random.default_rng(0).integers(0, 256, (BATCH, SIZE, SIZE, 3), np.uint8)
    encoder = create_encoder("vits16", SIZE, seed=0)
    represent = representation(encoder, "cls")
    ours = {
        "ours": lambda batch: (represent(batch),),
        "all_tokens": tf.function(lambda batch: encoder(batch)[::-1], jit_compile=True),
    }
    inputs = tf.constant(images, tf.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_directory(encoder, folder / "model")
        np.save(folder / "images.npy", images)
        with OtherSide("tests.benchmarks.torch_inference", name) as torch:
            outputs = {kind: function(inputs)[0].numpy() for kind, function in ours.items()}
            reference = [np.load(folder / f"{kind}.npy") for kind in THEIRS]
            error = max(relative_error(a, b) for a in outputs.values() for b in reference)
            if not error < TOLERANCE:
                raise ValueError(f"the two sides differ: relative error {error:.1e}")
            taken = {kind: [] for kind in (*ours, *THEIRS)}
            for _ in range(ROUNDS):
                for kind, function in ours.items():
                    taken[kind].append(seconds(lambda f=function: f(inputs)[0].numpy()))
                for kind in THEIRS:
                    taken[kind].append(torch.seconds(kind))

    with tempfile.TemporaryDirectory() as name:
        with_input = measure_input(encoder, Path(name))
    fastest = min(THEIRS, key=lambda kind: statistics.median(taken[kind]))
    rates = {kind: BATCH / statistics.median(values) for kind, values in taken.items()}
    return {
        "measured": f"ViT-S/16 inference, batch {BATCH}, {SIZE} pixels, CPU",
        "unit": "images/s",
        "value": rates["ours"],
        "baseline": f"Hugging Face's ViTMSN on PyTorch, {fastest} attention",
        "baseline_value": rates[fastest],
        "ratio": median_ratio(taken[fastest], taken["ours"]),
        "all_tokens": rates["all_tokens"],
        "all_tokens_ratio": median_ratio(taken[fastest], taken["all_tokens"]),
        **{f"baseline_{kind}": rates[kind] for kind in THEIRS},
        "relative_error": error,
        **with_input,
    }


def measure_input(encoder, folder: Path) -> dict:
    """Images per second from files and videos, beside the network alone and reading alone."""
    import tensorflow as tf

    from data.batches.batches import embed_batches
    from data.batches.read_ahead import read_ahead
    from down_stream.features.extraction import frame_outputs

    function, sources = frame_outputs(encoder), make_sources(folder)
    batch = np.random.default_rng(0).integers(0, 256, (BATCH, SIZE, SIZE, 3), np.uint8)
    count = min(map(len, sources.values())) // BATCH * BATCH
    if not all(len(frames) == count for frames in sources.values()):
        raise ValueError(f"{count} frames are not what all sources have")

    def network():
        for _ in range(count // BATCH):
            function(tf.constant(batch))["embeddings"].numpy()

    calls = {"network": network}
    for kind, frames in sources.items():
        calls[kind] = lambda frames=frames: list(embed_batches(function, frames, SIZE, BATCH))
        calls[f"{kind}_reading"] = lambda frames=frames: list(read_ahead(frames, SIZE, 2 * BATCH))
    interleaved(calls, 1)  # compiles, and fills the disk's cache
    taken = interleaved(calls, INPUT_ROUNDS)
    result = {"input_frames": count, "network_alone": count / statistics.median(taken["network"])}
    for kind in sources:
        share = median_ratio(taken["network"], taken[kind])
        reading = median_ratio(taken[f"{kind}_reading"], taken["network"])
        result |= {
            f"from_{kind}": count / statistics.median(taken[kind]),
            f"from_{kind}_share": share,
            f"from_{kind}_floor": 1 / (1 + reading),
            f"from_{kind}_share_of_floor": share * (1 + reading),
        }
    return result


def make_sources(folder: Path) -> dict:
    """The same frames as JPEG, PNG and video, a multiple of BATCH of each."""
    from data.extraction.extracting import extract_frames
    from data.frames.listing import list_images, list_videos

    make_dataset(folder, 1, seconds=SECONDS, size=FRAME_SIZE)
    (video,) = (folder / "videos").iterdir()
    names = [f"copy{number}" for number in range(BATCH)]  # of any number of frames, BATCH times
    for name in names:
        (folder / "copies").mkdir(exist_ok=True)
        (folder / "copies" / f"{name}{video.suffix}").symlink_to(video)
    sources = {}
    for format in ("jpg", "png"):
        extract_frames([video], folder / format, format=format)
        lines = [str(file) for file in sorted((folder / format / video.stem).iterdir())]
        (folder / f"{format}.txt").write_text("\n".join(lines * len(names)))
        sources[format] = list_images(folder / f"{format}.txt")
    return sources | {"video": list_videos([folder / "copies"])}


def relative_error(ours, theirs) -> float:
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


if __name__ == "__main__":
    run("inference", measure)
