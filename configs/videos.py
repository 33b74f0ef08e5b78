"""Names of videos, for lists in configurations."""


def videos(first: int, last: int) -> tuple[str, ...]:
    """Names by number: videos(1, 3) is ("video01", "video02", "video03")."""
    return tuple(f"video{number:02d}" for number in range(first, last + 1))
