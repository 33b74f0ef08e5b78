"""A model of a step over many GPUs: bytes, and seconds, as docs/scaling.md has them.

  python -m tests.benchmarks.scaling_model

Sources: an all-reduce of S bytes over k sends 2 (k - 1) / k S from each, an all-gather half of it
(NVIDIA/nccl-tests, doc/PERFORMANCE.md). H100 SXM: 494 TFLOP/s of dense TF32, NVLink 450 GB/s each
way (NVIDIA, H100 Tensor Core GPU datasheet: 989 with sparsity, 900 both ways); DGX H100: one
ConnectX-7 of 400 Gb/s for each GPU (NVIDIA, DGX H100 User Guide).
"""

import itertools

from msn.networks.variants import variant_arguments
from tests.benchmarks.pretrain_step import operations

FLOAT = 4  # bytes of a gradient and of a row's number, in every `precision`
PEAK, ATTAINED = 494e12, 0.4  # operations per second; the share that is attained is assumed
# Bytes per second, one way: within a machine, between machines for each GPU, and for all of one.
NVLINK, INFINIBAND, ETHERNET = 450e9, 50e9, 3.125e9
OF_A_MACHINE = 8  # GPUs that NVLink connects
GPUS = (8, 64, 512)


def parameters(config) -> dict[str, int]:
    """Numbers that a step has gradients of: of the encoder, the head, the prototypes."""
    model, views = config.model, config.views
    sizes = variant_arguments(model.variant)
    width, depth, patch_size = (sizes[name] for name in ("width", "depth", "patch_size"))
    block = 12 * width**2 + 13 * width  # qkv, out, MLP; their biases; two layer norms
    positions = 1 + (views.size // patch_size) ** 2
    patches = (3 * patch_size**2 + 1) * width
    hidden, output = model.hidden_dim, model.output_dim
    kernels = width * hidden + hidden**2 + hidden * output
    return {
        "encoder": depth * block + patches + (positions + 1) * width + 2 * width,
        "head": kernels + 2 * 3 * hidden + output,  # bias and batch norm of two, bias of the last
        "prototypes": model.num_prototypes * output,
    }


def gathered(config) -> int:
    """Bytes of the rows of cls of the whole batch: target, anchor and focal views."""
    width = variant_arguments(config.model.variant)["width"]
    return FLOAT * (2 + config.views.focal_views) * config.batch_size * width


def exchanged(config, replicas: int) -> dict[str, float]:
    """Bytes that each replica sends in a step, for rows and for gradients."""
    factor = 2 * (replicas - 1) / replicas
    gradients = FLOAT * sum(parameters(config).values())
    return {"rows": factor * gathered(config), "gradients": factor * gradients}


def head_operations(config) -> float:
    """Operations of heads and prototypes per image and step: forward, and backward on anchors."""
    model = config.model
    widths = (
        variant_arguments(model.variant)["width"],
        *(model.hidden_dim, model.hidden_dim, model.output_dim, model.num_prototypes),
    )
    once = 2 * sum(a * b for a, b in itertools.pairwise(widths))
    return once * (1 + 3 * (1 + config.views.focal_views))


def seconds_of(size: float, gpus: int, ethernet: bool = False) -> float:
    """Seconds of an all-reduce: scattered within machines, then across them, then gathered within.

    Every GPU has an eighth to send across; without InfiniBand, all eighths share one link.
    """
    machines = gpus // OF_A_MACHINE
    within = 2 * (OF_A_MACHINE - 1) / OF_A_MACHINE * size / NVLINK
    across = 2 * (machines - 1) / machines * size
    return within + across / (ETHERNET if ethernet else OF_A_MACHINE * INFINIBAND)


def prediction(config, gpus: int, ethernet: bool = False) -> dict[str, float]:
    """Seconds of a step by part; nothing overlaps, as in the program."""
    batch, rate = config.batch_size, PEAK * ATTAINED
    heads = head_operations(config)
    gradients = FLOAT * sum(parameters(config).values())
    return {
        "encoders": (operations(config) - heads) * batch / gpus / rate,
        "heads_and_loss": heads * batch / rate,  # every replica those of the whole batch
        "rows": seconds_of(gathered(config), gpus, ethernet),
        "gradients": seconds_of(gradients, gpus, ethernet),
    }


def efficiency(config, gpus: int, ethernet: bool = False) -> float:
    """Of a step on so many GPUs: the share in which each does what one GPU would do, too."""
    parts = prediction(config, gpus, ethernet)
    return (parts["encoders"] + parts["heads_and_loss"] / gpus) / sum(parts.values())


HEAD = (
    *("variant", "GPUs", "batch", "MB rows", "MB gradients", "ms encoders", "ms heads and loss"),
    *("ms exchange", "efficiency", "at 25 Gb/s"),
)


def print_table() -> None:
    """The table of docs/scaling.md: the published batch, then sixteen images for each GPU."""
    from configs import msn_vitb16, msn_vitl16, msn_vits16

    print("|", " | ".join(HEAD), "|")
    print("|" + "---|" * len(HEAD))
    files = (msn_vits16, msn_vitb16, msn_vitl16)
    for per_gpu, file, gpus in itertools.product((None, 16), files, GPUS):
        config = file.get_config()
        config.batch_size = per_gpu * gpus if per_gpu else config.batch_size
        if per_gpu and config.batch_size == file.get_config().batch_size:
            continue  # a row of the published batch
        parts = prediction(config, gpus)
        exchange = parts["rows"] + parts["gradients"]
        cells = [
            *(config.model.variant, f"{gpus}", f"{config.batch_size}"),
            *(f"{size / 1e6:.0f}" for size in exchanged(config, gpus).values()),
            *(f"{1e3 * parts[name]:.1f}" for name in ("encoders", "heads_and_loss")),
            f"{1e3 * exchange:.1f}",
            *(f"{efficiency(config, gpus, ethernet):.0%}" for ethernet in (False, True)),
        ]
        print("|", " | ".join(cells), "|")


if __name__ == "__main__":
    print_table()
