"""Where the videos of a request come from."""

from typing import Any

from data.archives.cholec80_archive import check_archive
from data.archives.unpacking import needs_archive
from data.dataset.audit import Audit
from data.kinds.request import Request
from data.preparation.media import Media, has_media
from data.preparation.pipeline import check_sources


def find_sources(
    request: Request, settings: dict[str, Any], audit: Audit
) -> tuple[Media | None, bool]:
    """What --videos holds, and whether an archive is to be unpacked; may change the settings."""
    archive, given = request.path("archive"), request.given
    media = check_sources(
        request.root,
        videos=request.path("videos"),
        operations=request.path("operations"),
        join_parts=request.join_parts,
        archive=archive,
        is_synthetic=request.synthetic,
        is_cholec80=bool(request.name == "cholec80" or archive or "url" in given),
        settings=settings,
        is_fps_given="fps" in given,
        workers=request.workers,
        audit=audit,
    )
    is_to_unpack = not (media or request.synthetic) and needs_archive(request.root, has_media)
    if archive and is_to_unpack:
        check_archive(archive)
    return media, is_to_unpack
