"""Every configuration file: it loads, can run as far as can be checked, and says how to."""

import importlib
import re
import runpy

import pytest

from data.dataset.cholec80 import DEFAULT_SPLIT, SPLITS
from data.splits.manifest import MANIFEST
from data.splits.parts import PARTS, expand
from data.views.multi_crop import Views
from down_stream import checks
from down_stream.comparison import checks as comparison
from msn.networks.variants import variant_arguments
from msn.training.checks import check
from tests.support.places import ROOT

FILES = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))
PRETRAINING = [name for name in FILES if name.startswith("msn_")]
PHASES = [name for name in FILES if name.startswith("phase_")]
OTHER_TASKS = [name for name in FILES if name.startswith(("polyps_", "tools_"))]
ANY_DATA = ["msn_base", "msn_small"]
COLONOSCOPY = [n for n in PRETRAINING if "colonoscopy" in n or "polyps" in n]


def load(name, *arguments):
    return runpy.run_path(str(ROOT / "configs" / f"{name}.py"))["get_config"](*arguments)


@pytest.mark.parametrize(
    "name", [n for n in PRETRAINING + PHASES + OTHER_TASKS if not n.endswith("_base")]
)
def test_the_docstring_holds_the_command(name):
    text = importlib.import_module(f"configs.{name}").__doc__
    assert f"--config=configs/{name}.py" in text
    assert "python" in text
    assert len(re.search(r"^Needs: (.+)$", text, re.MULTILINE)[1].split("; ")) == 3


@pytest.mark.parametrize("name", PRETRAINING)
def test_pre_training_configurations_pass_the_checks_of_a_run(name):
    config = load(name)
    check(config)
    assert Views(**config.views).size % variant_arguments(config.model.variant)["patch_size"] == 0
    for key in ("seed", "batch_size", "epochs", "steps", "checkpoint_every", "strategy"):
        assert key in config
    config.steps = 7  # a placeholder takes an int


@pytest.mark.parametrize(
    "argument, loss",
    [
        ("", (True, 1.0, 0.0)),
        ("no_sinkhorn", (False, 5.0, 0.0)),  # "better", Assran et al., arXiv 2204.07141
        ("power_law", (False, 5.0, 0.25)),  # arXiv 2210.07277
    ],
)
@pytest.mark.parametrize("name", [n for n in PRETRAINING if n.startswith("msn_vit")])
def test_ways_to_balance_assignments(name, argument, loss):
    config = load(name, argument)
    check(config)
    assert (config.loss.sinkhorn, config.loss.me_max_weight, config.loss.prior_exponent) == loss
    with pytest.raises(ValueError, match="no_sinkhorn"):
        load(name, "uniform")


@pytest.mark.parametrize("name", PHASES + OTHER_TASKS)
def test_configurations_pass_the_checks_of_an_experiment(name):
    config = load(name)
    config.encoder = "somewhere"
    checks.check(config)
    splits = [set(config[f"{part}_videos"]) for part in PARTS]
    assert all(splits)
    if splits == [{MANIFEST}] * 3:  # as prepare.py has written them: without an overlap
        return
    assert not (splits[0] & splits[1] or splits[0] & splits[2] or splits[1] & splits[2])


def test_the_default_split_is_the_published_one():
    config = load("phase_base")
    for part, videos in SPLITS[DEFAULT_SPLIT].items():
        assert config[f"{part}_videos"] == videos


@pytest.mark.parametrize("name", OTHER_TASKS)
def test_the_task_is_the_files(name):
    config = load(name)
    assert config.task == {"polyps": "classes", "tools": "tools"}[name.split("_")[0]]
    assert config.mode == ("finetune" if name.endswith("finetune") else "probe")
    assert set(config) <= set(load("phase_base")) | set(load("phase_low_shot"))


@pytest.mark.parametrize("arg", ["", "tools", "classes", "demo"])
def test_a_comparison_is_of_one_task_and_the_modes_keep_what_is_theirs(arg):
    config = load("encoder_comparison", arg)
    comparison.check(config)
    task = {"tools": "tools", "classes": "classes"}.get(arg, "phases")
    assert config.task == task
    assert bool(config.temporal) == (task == "phases")
    assert not config.encoder
    tuned = {"tools": "tools_finetune", "classes": "polyps_finetune"}.get(arg, "phase_finetune")
    tuned = load("phase_demo", "finetune") if arg == "demo" else load(tuned)
    assert config.settings.finetune.batch_size == tuned.batch_size != config.batch_size
    assert config.settings.finetune.optimizer.to_dict() == tuned.optimizer.to_dict()
    with pytest.raises(ValueError, match="expected nothing, tools, classes or demo"):
        load("encoder_comparison", "other")


@pytest.mark.parametrize("name", COLONOSCOPY)
def test_no_encoder_sees_a_polyp_that_it_is_evaluated_on(name):
    """Whatever the numbers of the sequences are; PolypsSet's splits.json says the same."""
    polyps, config = load("polyps_base"), load(name)
    there = [f"{part}-{n}" for part in ("train2019", "val2019", "test2019") for n in range(1, 40)]
    kept = set(there) - set(expand(config.data.exclude_videos, there))
    assert kept == {video for video in there if video.startswith("train2019")}
    assert {polyps[f"{part}_videos"] for part in PARTS} == {(MANIFEST,)}
    assert config.views.colour_jitter < load("msn_base").views.colour_jitter


@pytest.mark.parametrize("name", [n for n in PRETRAINING if n not in [*ANY_DATA, *COLONOSCOPY]])
def test_no_encoder_sees_a_video_that_it_is_evaluated_on(name):
    evaluated = {"msn_demo": "phase_demo", "msn_proof": "phase_proof"}
    phases = load(evaluated.get(name, "phase_base"))
    excluded = set(load(name).data.exclude_videos)
    assert excluded == set(phases.validation_videos) | set(phases.test_videos)


@pytest.mark.parametrize(
    "name, variant, patch_drop",
    [
        (f"msn_{variant}{where}", variant, patch_drop)
        for variant, patch_drop in [("vits16", 0.15), ("vitb16", 0.3), ("vitl16", 0.5)]
        for where in ("", "_colonoscopy")
    ],
)
def test_masking_grows_with_the_network(name, variant, patch_drop):
    config = load(name)
    assert (config.model.variant, config.patch_drop) == (variant, patch_drop)


def test_the_three_ways_of_the_demo():
    probe, random, finetune = (load("phase_demo", way) for way in ("", "random", "finetune"))
    assert (probe.encoder, random.encoder) == ("runs/demo/msn/encoder", "")
    pretraining = load("msn_demo")
    assert random.model.variant == pretraining.model.variant
    assert random.model.image_size == pretraining.views.size
    assert [c.mode for c in (probe, random, finetune)] == ["probe", "probe", "finetune"]
    assert probe.test_videos == random.test_videos == finetune.test_videos
    with pytest.raises(ValueError, match="other"):
        load("phase_demo", "other")


def test_files_of_the_repository_that_configurations_name_are_in_the_image():
    """A .dockerignore leaves all out that it does not name."""
    named = {
        path
        for file in FILES
        for path in re.findall(r'"(tests/[^"]+)"', (ROOT / "configs" / f"{file}.py").read_text())
    }
    kept = (ROOT / ".dockerignore").read_text().split()
    assert named
    for path in named:
        assert (ROOT / path).exists()
        assert f"!{path}" in kept
