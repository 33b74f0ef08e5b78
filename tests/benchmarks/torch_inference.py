"""Hugging Face's ViTMSN in PyTorch, for tests.benchmarks.inference.

  python -m tests.benchmarks.torch_inference FOLDER

FOLDER holds a ViTMSN directory "model" and "images.npy", uint8 [batch, height, width, 3]. Writes
the CLS outputs to "sdpa.npy" and "eager.npy"; then, for every line with one of these two names on
stdin, runs the batch with that attention and prints the seconds. Images come normalised.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from transformers import ViTMSNModel
from transformers.utils.logging import disable_progress_bar


def main(folder: Path):
    disable_progress_bar()
    config = json.loads((folder / "model" / "preprocessor_config.json").read_text())
    images = np.load(folder / "images.npy") * config["rescale_factor"]
    images = (images - config["image_mean"]) / config["image_std"]
    pixels = torch.from_numpy(images.astype(np.float32).transpose(0, 3, 1, 2).copy())
    models = {
        name: ViTMSNModel.from_pretrained(folder / "model", attn_implementation=name).eval()
        for name in ("sdpa", "eager")
    }
    with torch.inference_mode():
        for name, model in models.items():
            np.save(folder / f"{name}.npy", model(pixels).last_hidden_state[:, 0].numpy())
        print("ready", flush=True)
        for line in sys.stdin:
            start = time.perf_counter()
            models[line.strip()](pixels)
            print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
