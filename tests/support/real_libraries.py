"""PyTorch, transformers and timm themselves, in an environment of their own: `make test-encoders`.

timm imports torchvision, for data sets and image operations that no test needs, and whose builds
go with one build of PyTorch each: a stand-in takes its place.
"""

import importlib.abc
import importlib.machinery
import sys
import types


class Named(type):
    """Makes classes that have every attribute: its name."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class Anything(types.ModuleType):
    """A module in which every name is such a class."""

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Named(name, (), {})


class StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds torchvision and whatever is in it."""

    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return Anything(spec.name)

    def exec_module(self, module):
        pass


def import_timm():
    """timm, without torchvision."""
    sys.meta_path.append(StandIn())
    import timm

    return timm
