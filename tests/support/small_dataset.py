"""A very small dataset directory: frames whose colour pattern tells the phase, real annotations."""

import cv2
import numpy as np

from data.dataset.cholec80 import PHASES, TOOLS
from data.indexing.building import build_index


def draw_frame(phase, seed, size=(24, 32)):
    """RGB noise on stripes whose direction and width tell the phase; the colour does not."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    angle, period = np.pi * phase / 7, 4 + phase
    stripes = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    colour = random.uniform(60, 200, 3)
    image = colour + 50 * stripes[..., None] + random.normal(0, 8, (*size, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def make_small_dataset(root, videos=4, seconds=14, phases=7):
    """Writes frames/, phase_annotations/, tool_annotations/ and the index; returns `root`."""
    for number in range(1, videos + 1):
        name = f"video{number:02d}"
        folder = root / "frames" / name
        folder.mkdir(parents=True)
        of_second = [second * phases // seconds for second in range(seconds)]
        for second, phase in enumerate(of_second):
            image = draw_frame(phase, seed=1000 * number + second)
            path = folder / f"{name}_{second + 1:06d}.png"
            assert cv2.imwrite(str(path), image[..., ::-1])
        rows = [f"{25 * s + i}\t{PHASES[p]}" for s, p in enumerate(of_second) for i in range(25)]
        write(root / "phase_annotations" / f"{name}-phase.txt", ["Frame\tPhase", *rows])
        rows = [f"{25 * s}\t" + "\t".join("1000000") for s in range(seconds)]
        write(root / "tool_annotations" / f"{name}-tool.txt", ["\t".join(["Frame", *TOOLS]), *rows])
    build_index(root)
    return root


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
