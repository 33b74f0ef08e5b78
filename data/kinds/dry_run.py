"""What `prepare` would do, as far as it is known (`--dry_run`)."""

from data.dataset.audit import Audit
from data.dataset.classes import check_kind
from data.image_classes.polypsset import check_polyps
from data.kinds import plan_archives
from data.kinds.kinds import OF_CLASSES, PUBLIC
from data.kinds.plan import Plan, plan_packing, say_plan
from data.kinds.plan_videos import plan_videos
from data.kinds.request import Request
from data.kinds.sources import find_sources
from data.preparation.pipeline import check_annotations


def plan_dataset(request: Request, audit: Audit) -> list[str]:
    """The plan in words; what cannot be used is a problem of the audit."""
    kind, root, path = request.dataset, request.root, request.path
    check_kind(root, is_of_classes=kind in OF_CLASSES)
    archive, settings = path("archive"), request.settings
    sequences, split = path("sequences"), path("split")
    if kind in PUBLIC:
        made = plan_archives.plan_public(kind, root, request.needed("archive"), settings, audit)
    elif kind == "classes":
        images, level = request.needed("images"), request.class_folders
        made = plan_archives.plan_classes(root, images, sequences, split, level, audit)
    elif kind == "neopolyp":
        given, margin = request.needed("archive"), request.crop_margin
        made = plan_archives.plan_neopolyp(root, given, margin, sequences, split, audit)
    elif request.synthetic:
        made = Plan(["a miniature, to be rendered"], is_certain=False)
    elif kind == "polypsset":
        check_polyps(root, archive, request.crop_margin)
        made = plan_archives.plan_archive(archive or root, root)
    else:
        media, is_to_unpack = find_sources(request, settings, audit)
        check_annotations(path("annotations"), path("phases"), path("phase_map"))
        if is_to_unpack:
            made = plan_archives.plan_archive(archive, root)
        else:
            made = plan_videos(root, media, settings, audit, request.crop_borders)
    if request.pack:
        plan_packing(root, request.pack_size, made)
    return say_plan(root, made, audit)
