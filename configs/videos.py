"""Names of videos, for lists in configurations."""


def videos(first: int, last: int) -> tuple[str, ...]:
    """Names of the videos `first` to `last`: "video01", "video02" and so on."""
    return tuple(f"video{number:02d}" for number in range(first, last + 1))
