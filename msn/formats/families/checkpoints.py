"""From the content of a PyTorch checkpoint to the weights of the one encoder that is meant.

A checkpoint is nested: "teacher" and "student", "state_dict", "model"; and names have beginnings:
"module." (DataParallel), "backbone." (DINO), "model.encoder." (anybody's Lightning module). An
encoder is wherever there is a patch embedding.
"""

import re
from collections.abc import Iterator, Mapping

from data.common.errors import InputError
from msn.formats.families import dino, dinov2, dinov3, ijepa, mae, timm
from msn.formats.families.family import IMAGENET, Family

EMBEDDING = re.compile(r"(|.*\.)patch_embed\.(proj|stem\.0)\.weight")
BLOCK = re.compile(r"(|.*?\.)blocks\.(\d+\.)+attn\..*")
WRAPPERS = re.compile(r"(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
CHUNKED = re.compile(r"blocks\.\d+\.(\d+)\.")  # DINOv2's training: blocks in groups
# Of several encoders that one is taken which was trained to be used.
FIRST, LAST = r"teacher|target|ema|momentum", r"student|online|anchor|query"
# Parts of a network that have blocks of their own, and no patches.
NO_ENCODER = re.compile(r"(^|[._])(head|heads|decoder|decoders|predictor|pred)(_?\w*)\.")
# Parts of a file beside its encoder that no representation depends on.
BESIDE = re.compile(
    r"(^|[._])(head|heads|fc|classifier|decoder|decoders|predictor|pred|projector|projection|"
    r"prototypes?|centers?|criterion|loss|queue|optimizer|scheduler|metric|metrics|"
    rf"{FIRST}|{LAST})(_?\w*)(\.|$)|(^|\.)(dino|ibot)_\w+|^num_batches_tracked$"
)


def tables(content, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping]]:
    """Yields (path, dict) of all dicts in a checkpoint, outermost first."""
    if isinstance(content, Mapping):
        yield path, content
        for key, value in content.items():
            yield from tables(value, (*path, str(key)))


def encoder_of(content, is_tensor) -> tuple[str, dict, list[str]]:
    """The encoder in a checkpoint.

    Args:
      content: what was read, nested dicts with tensors in them.
      is_tensor: what tells them from other values.

    Returns:
      Where it is ("teacher", "state_dict.model.encoder", "" for a file of nothing else); its
      tensors by name; and the names of other tensors, none of which matters.

    Raises:
      InputError: none, or several of which none comes first, or a tensor beside it that may matter.
    """
    found, beside, damaged = {}, [], set()
    for path, table in tables(content):
        tensors = {
            WRAPPERS.sub("", str(name)): value for name, value in table.items() if is_tensor(value)
        }
        beginnings = [match[1] for name in tensors if (match := EMBEDDING.fullmatch(name))]
        for start in beginnings:
            inside = {n.removeprefix(start): v for n, v in tensors.items() if n.startswith(start)}
            found[".".join((*path, start)).rstrip(".")] = plain_blocks(inside)
        starts = {match[1] for name in tensors if (match := BLOCK.fullmatch(name))}
        starts = {start for start in starts if not NO_ENCODER.search(start)}
        damaged |= {".".join((*path, start)) for start in starts.difference(beginnings)}
        beside += [
            ".".join((*path, name)) for name in tensors if not name.startswith(tuple(beginnings))
        ]
    if not found:
        names = list(map(str, content))[:8] if isinstance(content, Mapping) else []
        raise InputError(
            f"a PyTorch file without an encoder; found: "
            f"{', '.join(names) or type(content).__name__}; expected a Vision Transformer's "
            "weights, with a 'patch_embed.proj.weight' (as of DINO, DINOv2, MAE, timm, msn)"
        )
    where = the_one(list(found))
    if better := [place for place in sorted(damaged) if rank(place) < rank(where)]:
        raise InputError(
            f"no weight {better[0] + 'patch_embed.proj.weight'!r} beside the blocks there, which "
            f"come before {where!r}"
        )
    unused = beside + [other for other in found if other != where]
    # Of a file of training, only what belongs to the model could matter.
    inner = where.partition(".")[0]
    if unknown := [n for n in beside if n.startswith(inner) and not BESIDE.search(n)]:
        raise InputError(
            f"weight {unknown[0]!r} beside the encoder {where!r} is not known to be without effect"
        )
    return where, found[where], unused


def the_one(places: list[str]) -> str:
    """The encoder that is meant, of several; raises `InputError` where that cannot be told."""
    best = min(map(rank, places))
    chosen = [place for place in places if rank(place) == best]
    if len(chosen) > 1:
        raise InputError(
            f"{len(chosen)} encoders, {' and '.join(map(repr, chosen[:3]))}; expected one"
        )
    return chosen[0]


def rank(place: str) -> int:
    """Which of several encoders is meant: one of lower rank."""
    return 0 if re.search(FIRST, place) else 2 if re.search(LAST, place) else 1


def plain_blocks(tensors: dict) -> dict:
    """The same with blocks that are numbered through, in groups or not."""
    return {CHUNKED.sub(r"blocks.\1.", name): value for name, value in tensors.items()}


def project_of(where: str, tensors: Mapping, content: Mapping) -> str:
    """The project whose training wrote a file, by how it is laid out: "msn", ..., or ""."""
    first = where.partition(".")[0]  # DataParallel's "module" may follow
    if first == "target_encoder":
        return "ijepa" if "predictor" in content and "cls_token" not in tensors else "msn"
    return "dino" if first == "teacher" else ""


def family_of(project: str, weights: dict) -> tuple[Family, dict]:
    """The family of an encoder without configuration, and its weights, made plain.

    Args:
      project: as `project_of` has it.
      weights: arrays by name.
    """
    if dinov3.is_dinov3(weights):
        return dinov3.of_weights(weights)
    if family := dinov2.of_weights(weights):
        return family, weights
    if project in PROJECTS and "blocks.0.ls1.gamma" not in weights:
        return PROJECTS[project], weights
    if mae.is_mae(weights):
        return mae.OFFICIAL, weights
    return timm.family_of(weights), weights


MSN = Family("MSN", dino.OFFICIAL.names, unused=timm.BARE.unused, normalisation=IMAGENET)
PROJECTS = {"msn": MSN, "ijepa": ijepa.OFFICIAL, "dino": dino.OFFICIAL}
