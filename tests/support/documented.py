"""Commands of the pages: found in their blocks, and run in this process with tiny networks."""

import runpy
import shlex
import sys
import textwrap
import warnings

from absl import flags

from data.common import cli
from msn.networks.variants import variant_arguments
from tests.support.places import ROOT
from tests.support.small_msn import VARIANT

PROJECT = ("prepare", "inference", "data", "msn", "down_stream", "__main__")


def blocks(text, languages):
    """The fenced blocks of a page in one of these languages ("" for none), without indentation."""
    inside, language, lines = False, "", []
    for line in text.splitlines(keepends=True):
        if line.strip().startswith("```"):
            if inside and language in languages:
                yield textwrap.dedent("".join(lines))
            inside, language, lines = not inside, line.strip().removeprefix("```"), []
        elif inside:
            lines.append(line)


def commands(text):
    """The lines of a page's shell blocks, as lists of words, without comments."""
    lines = "".join(blocks(text, ("", "bash"))).replace("\\\n", " ").splitlines()
    for line in lines:
        if line.startswith("make "):
            yield line.split()[:2]  # what the target does stands beside it
        elif words := shlex.split(line, comments=True):
            yield words


def run_command(words, monkeypatch, parse_only=False):
    """Runs `python FILE ...` or `python -m MODULE ...` in this process.

    With `parse_only`, only its flags and configuration keys are read. A mistake, or wrong input,
    raises; returns the exit code.
    """
    assert words[0] == "python", words

    def run(main, wrong_input, positional="", kept=""):
        _, *rest = cli.parse(sys.argv, positional)
        raise SystemExit(0 if parse_only else main(*rest) or 0)

    as_module = words[1] == "-m"
    monkeypatch.setattr(cli, "run", run)
    monkeypatch.setattr(cli, "_default_config", None)
    monkeypatch.setattr(cli, "_groups", {})
    monkeypatch.setattr(sys, "argv", words[2:] if as_module else words[1:])
    with own_flags():
        try:
            if as_module:
                with warnings.catch_warnings():  # it is run anew, whoever has imported it
                    warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning)
                    runpy.run_module(words[2], run_name="__main__", alter_sys=False)
            else:
                runpy.run_path(str(ROOT / words[1]), run_name="__main__")
        except SystemExit as end:
            return end.code or 0
    return 0


class own_flags:  # noqa: N801 (a context, used like a function)
    """Context without the flags of commands that were imported before, nor any left by this one."""

    def __enter__(self):
        values = flags.FLAGS
        modules = {name: values.find_module_defining_flag(name) or "" for name in values}
        ours = [name for name, module in modules.items() if self.is_ours(module)]
        self.hidden = {name: values[name] for name in ours}
        for name in ours:
            delattr(values, name)
        self.others = set(values)

    def __exit__(self, *_):
        values = flags.FLAGS
        for name in set(values) - self.others:
            delattr(values, name)
        for name, flag in self.hidden.items():
            values[name] = flag

    @staticmethod
    def is_ours(module):
        return not module or module.split(".")[0] in PROJECT or module.endswith(".py")


def shrink_pretraining(config):
    """Two steps of a tiny network."""
    assert variant_arguments(config.model.variant)["patch_size"] in (8, 16)
    config.model.variant = VARIANT
    config.model.update(hidden_dim=16, output_dim=8, num_prototypes=8)
    config.views.update(size=16, focal_size=8, focal_views=1)
    config.batch_size, config.steps, config.compile_with_xla = 4, 2, False
    if "cholec80" in config.data.root[0]:
        config.data.exclude_videos = ("video04",)


def shrink_experiment(config):
    """An epoch of a tiny network; of Cholec80 one or two videos for each part."""
    is_new = "fractions" in config or not config.encoder
    config.model.variant, config.resnet_weights = VARIANT if is_new else "", "none"
    config.model.image_size = 16
    config.batch_size, config.epochs, config.tecno.epochs = 14, 1, 1
    config.feature_cache = "runs/features"
    if config.task != "classes":
        config.train_videos = ("video01", "video02")
        config.validation_videos = ("video03",)
        config.test_videos = ("video04",)
