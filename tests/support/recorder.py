"""What a function of the product is called with, while the real one runs."""


class Recorder:
    """A function, and the arguments of its calls.

    Args:
      function: that is called.
      answer: an exception that is raised in its place, to end there.
    """

    def __init__(self, function, answer=None):
        self.function, self.answer, self.calls = function, answer, []

    def __call__(self, *args, **kwargs):
        self.calls.append((args, kwargs))
        if self.answer is not None:
            raise self.answer
        return self.function(*args, **kwargs)

    def named(self, name):
        """The values of one argument, call by call."""
        return [kwargs[name] for _, kwargs in self.calls]


def recorded(monkeypatch, module, name, answer=None):
    """Puts a recorder in the place of a module's function."""
    recorder = Recorder(getattr(module, name), answer)
    monkeypatch.setattr(module, name, recorder)
    return recorder
