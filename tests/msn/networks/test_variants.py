import re

import pytest

from data.common.errors import InputError
from msn.networks.encoder import create_encoder
from msn.networks.variants import (
    CONV_STEMS,
    SIZES,
    default_image_size,
    variant_arguments,
)
from msn.networks.vit import VisionTransformer
from tests.support.parameter_count import parameter_count
from tests.support.places import ROOT

PAGE = ROOT / "docs" / "encoders.md"
PATCHES = (16, 14, 10, 8, 7, 4)
STEMS = [f"vit{stem}16" for stem in CONV_STEMS]

# timm's figures for vit_*_patch*_224, less the classifier's 1000 (width + 1).
PUBLISHED = {
    "ti": (16, 5_717_416 - 193_000),
    "s": (16, 22_050_664 - 385_000),
    "b": (16, 86_567_656 - 769_000),
    "l": (16, 304_326_632 - 1_025_000),
    "h": (14, 632_045_800 - 1_281_000),
}


def test_parameters_are_as_published():
    for size, (patch, count) in PUBLISHED.items():
        assert parameter_count(f"vit{size}{patch}") == count
    # ViT_C-4GF of arXiv 2106.14881: 17.8 M with the classifier.
    assert (parameter_count("vitc4gf16") + 385_000) / 1e6 == pytest.approx(17.8, abs=0.05)


@pytest.mark.parametrize("size", PUBLISHED)
@pytest.mark.parametrize("patch", PATCHES)
def test_patches_change_the_embedding_and_the_positions_alone(size, patch):
    published, count = PUBLISHED[size]
    width = variant_arguments(f"vit{size}{patch}")["width"]
    values = 3 * patch**2 - 3 * published**2
    positions = (224 // patch) ** 2 - (224 // published) ** 2
    assert parameter_count(f"vit{size}{patch}") == count + (values + positions) * width


@pytest.mark.parametrize(
    "variant", [f"vit{size}{p}" for size in ("micro", "ti") for p in PATCHES] + ["vits10", *STEMS]
)
def test_parameters_are_those_of_the_model(variant):
    encoder = create_encoder(variant)
    assert parameter_count(variant) == sum(
        v.value.shape.num_elements() for v in encoder.trainable_variables
    )


def test_parameters_of_another_image_size():
    backbone = VisionTransformer(image_size=48, **variant_arguments("vitmicro8"))
    assert parameter_count("vitmicro8", 48) == backbone.count_params()


def test_the_image_size_is_the_next_smaller_multiple_of_the_patch():
    assert [default_image_size(p) for p in PATCHES] == [224, 224, 220, 224, 224, 224]
    assert create_encoder("vitmicro10").image_size == 220
    assert create_encoder("vitmicro10").backbone.positions.shape == (1, 1 + 22 * 22, 96)


def test_stems_take_the_place_of_one_block():
    for variant, mlp_ratio in (("vitc4gf16", 3), ("vitconvs16", 6)):
        arguments = variant_arguments(variant)
        assert arguments["depth"] == variant_arguments("vits16")["depth"] - 1
        assert arguments["mlp_ratio"] == mlp_ratio
        assert 2 ** len(arguments["stem_channels"]) == arguments["patch_size"]
    # A caller may change what it was given.
    variant_arguments("vitc4gf16")["depth"] = 1
    assert variant_arguments("vitc4gf16")["depth"] == 11


@pytest.mark.parametrize(
    "variant", ["vits", "vitx16", "vits0", "resnet50", "", "vitc4gf8", "vitconvs14", "VITS16"]
)
def test_unknown_variants_are_refused(variant):
    with pytest.raises(InputError, match=r"vits16.*vitc4gf16"):
        variant_arguments(variant)


def test_the_table_of_variants_in_the_documentation():
    """| `vits` | 384 | 12 | 6 | 21.67 | ... |: one column per patch size, counts in millions."""
    lines = PAGE.read_text().splitlines()
    header = next(line for line in lines if re.match(r"\| variant +\| width", line))
    patches = [int(cell) for cell in re.findall(r"/(\d+)", header)]
    assert set(patches) == set(PATCHES)
    table = {}
    for line in lines:
        if match := re.match(r"\| `vit(\w+)` +\|(.+)\|$", line):
            table[match[1]] = [cell.strip() for cell in match[2].split("|")]
    assert set(table) == (SIZES.keys() - {"micro", "nano"}) | CONV_STEMS.keys()
    for size, (width, depth, heads, *counts) in table.items():
        told = {p: count for p, count in zip(patches, counts, strict=True) if count}
        assert set(told) == ({16} if size in CONV_STEMS else set(PATCHES))
        for patch, count in told.items():
            arguments = variant_arguments(f"vit{size}{patch}")
            sizes = [arguments[key] for key in ("width", "depth", "num_heads")]
            assert sizes == [int(width), int(depth), int(heads)]
            assert count == f"{parameter_count(f'vit{size}{patch}') / 1e6:.2f}", (size, patch)
