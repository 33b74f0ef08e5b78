"""Trees of dicts, such as configurations and checkpoints of other libraries."""


def flatten(tree: dict, separator: str = ".") -> dict:
    """{"a": {"b": 1}} -> {"a.b": 1}; empty dicts have no leaves."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            below = flatten(value, separator).items()
            flat |= {f"{key}{separator}{rest}": leaf for rest, leaf in below}
        else:
            flat[str(key)] = value
    return flat
