"""What a family of encoders is: its names of weights, what it publishes, what of a file is unused.

Each file of this folder describes one family. All weights are brought under the names of timm's
Vision Transformers, which facebookresearch/msn has, too: "blocks.0.attn.qkv.weight" and so on.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from data.common.errors import InputError

# Mean and std of RGB in 0..1.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

# Our names; {} is the number of a block. Of a layer there are a weight and a bias.
TENSORS = (
    *("cls_token", "reg_token", "pos_embed"),
    *("blocks.{}.ls1.gamma", "blocks.{}.ls2.gamma"),
)
LAYERS = (
    *("patch_embed.proj", "blocks.{}.norm1", "blocks.{}.attn.qkv", "blocks.{}.attn.proj"),
    *("blocks.{}.norm2", "blocks.{}.mlp.fc1", "blocks.{}.mlp.fc2", "norm", "fc_norm"),
)


class State(dict):
    """Weights under our names, {name: array}; `theirs` is what the file calls them."""

    def __init__(self, weights=(), theirs=()):
        super().__init__(weights)
        self.theirs = dict(theirs)

    def called(self, name: str) -> str:
        """The name of a weight in the file."""
        return self.theirs.get(name, name)


@dataclass(frozen=True)
class Family:
    """A family of encoders.

    Attributes:
      title: of the family, for messages.
      names: our name of a tensor or layer (of TENSORS and LAYERS) -> theirs, or several that are
        put together; those that are not here have the same name. None: there is no such weight.
      optional: our names that a file may lack.
      zero: their names of biases that are 0 where a file has none.
      unused: beginnings of their names that no representation depends on.
      normalisation: mean and std of RGB in 0..1 that the family publishes; None where its files
        do not tell which of several it is.
      candidates: (who, mean, std) of those that it may be, for the error that asks.
      arguments: of `msn.networks.encoder.Encoder`, all that the family has and shapes do not tell.
    """

    title: str
    names: Mapping[str, str | tuple[str, ...] | None] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    zero: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    normalisation: tuple | None = None
    candidates: tuple = ()
    arguments: Mapping = field(default_factory=dict)

    def with_arguments(self, **arguments) -> "Family":
        """The same with other arguments, besides those that are None."""
        given = {name: value for name, value in arguments.items() if value is not None}
        return replace(self, arguments={**self.arguments} | given)

    def with_prefix(self, prefix: str) -> "Family":
        """The same with something before the names of all weights."""

        def prefixed(theirs):
            if isinstance(theirs, tuple):
                return tuple(prefix + one for one in theirs)
            return theirs and prefix + theirs

        names = {ours: self.names.get(ours, ours) for ours in (*TENSORS, *LAYERS)}
        return replace(
            self,
            names={ours: prefixed(theirs) for ours, theirs in names.items()},
            zero=prefixed(self.zero),
            unused=self.unused + prefixed(self.unused),
        )

    @property
    def hint(self) -> str:
        """What mean and std may be, in words."""
        known = [f"{who} has {numbers(m)} and {numbers(s)}" for who, (m, s) in self.candidates]
        return "; ".join(known) or "its project publishes them"

    def entries(self, depth: int) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Yields (our pattern, our name, their names) of all weights, with so many blocks."""
        parts = [(name, "") for name in TENSORS]
        parts += [(name, part) for name in LAYERS for part in (".weight", ".bias")]
        for name, part in parts:
            theirs = self.names.get(name, name)
            if theirs is None:
                continue
            theirs = (theirs,) if isinstance(theirs, str) else theirs
            for block in range(depth if "{}" in name else 1):
                found = tuple(f"{one}{part}".format(block) for one in theirs)
                yield name + part, (name + part).format(block), found

    def translate(self, weights: Mapping[str, np.ndarray]) -> tuple[State, list[str]]:
        """Weights under our names, and the names of those that are not used.

        Raises:
          InputError: one is missing, or unknown, or parts of one differ in shape.
        """
        depth, left, state = self.depth(weights), dict(weights), State()
        for pattern in self.zero:  # in all blocks or in none
            if not any(pattern.format(block) in weights for block in range(depth)):
                for block in range(depth):
                    weight = weights.get(f"{pattern.removesuffix('.bias')}.weight".format(block))
                    if weight is not None:
                        left[pattern.format(block)] = np.zeros(weight.shape[:1], np.float32)
        entries = list(self.entries(depth))
        there = {pattern for pattern, _, theirs in entries if set(theirs) & left.keys()}
        for pattern, name, theirs in entries:
            if pattern in self.optional and pattern not in there:
                continue
            if missing := [one for one in theirs if one not in left]:
                raise InputError(
                    f"no weight {missing[0]!r} among the {len(weights)} that were found, which "
                    f"{self.title} has"
                )
            state[name] = joined({one: left.pop(one) for one in theirs})
            state.theirs[name] = " + ".join(theirs)
        if unknown := [name for name in left if not name.startswith(self.unused)]:
            raise InputError(
                f"weight {unknown[0]!r} does not belong to {self.title} as it is known here; "
                "expected only weights that are used, or known to be without effect"
            )
        return state, list(left)

    def depth(self, weights) -> int:
        """How many blocks there are."""
        start, _, _ = self.names.get("blocks.{}.attn.proj", "blocks.{}.attn.proj").partition("{}")
        pattern = re.compile(re.escape(start) + r"(\d+)\.")
        return len({match[1] for name in weights if (match := pattern.match(name))})


def numbers(values) -> str:
    """Numbers as a flag has them."""
    return ",".join(f"{value:g}" for value in values)


def joined(found: dict[str, np.ndarray]) -> np.ndarray:
    """Parts of one weight, put together; raises `InputError` where one differs from the others."""
    arrays = list(found.values())
    if len(arrays) == 1:
        return arrays[0]
    shapes = Counter(array.shape for array in arrays)
    common, count = shapes.most_common(1)[0]
    if len(shapes) > 1 and count == 1:
        raise InputError(f"weights {' and '.join(map(repr, found))}: found shapes {list(shapes)}")
    for name, array in found.items():
        if array.shape != common or not common:
            raise InputError(f"weight {name!r}: found shape {array.shape}; expected {common}")
    return np.concatenate(arrays)


def agree(config: Mapping, found: Mapping, where: str) -> None:
    """Raises `InputError` where a configuration says something else than the weights."""
    for key, value in found.items():
        if key in config and config[key] != value:
            raise InputError(f"{where} says {key} {config[key]}, but the weights hold {value}")
