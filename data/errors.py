"""The one exception for what the user, not the program, has to put right."""


class InputError(ValueError):
    """Wrong input: a path, a file's content, a configuration value.

    The message is one line: which input, what was found, what would be right. Commands print it
    without a stack trace and exit with code 2 (see `configs/command.py`).
    """
