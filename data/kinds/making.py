"""Makes a dataset as it was asked for, each kind in its way.

What only one kind needs is imported when that is made.
"""

from typing import Any

from data.dataset.audit import Audit
from data.kinds.request import Request


def make_dataset(request: Request, audit: Audit) -> dict[str, Any]:
    """Makes a dataset but for what all kinds have in common at the end; returns its splits.

    Raises:
      InputError: what is asked for cannot be.
    """
    makers = {
        "cholec80": _videos,
        "polypsset": _polypsset,
        "neopolyp": _neopolyp,
        "classes": _class_folders,
    }
    return makers.get(request.dataset, _public_dataset)(request, audit)


def _videos(request: Request, audit: Audit) -> dict[str, Any]:
    """Makes Cholec80, its miniature, or a dataset of any other videos; returns its splits."""
    from data.kinds.sources import find_sources
    from data.preparation.pipeline import prepare_videos, take_annotations

    root, path, workers = request.root, request.path, request.workers
    settings, archive = request.settings, path("archive")
    beam = request.beam
    media, is_to_unpack = find_sources(request, settings, audit)
    take_annotations(root, path("annotations"), path("phases"), path("phase_map"), audit)
    if request.synthetic:
        from data.synthetic.cholec80 import make_dataset as render

        rendered = request.synthetic_videos, request.seed, request.synthetic_seconds
        render(root, *rendered, workers=workers)
    elif is_to_unpack:
        from data.archives.cholec80_archive import unpack_archive

        fetching = request.verify_checksum, request.keep_archive
        unpack_archive(root, request.url, archive, *fetching)
    elif archive:
        audit.remark(f"{root}: has videos or frames already, {archive} is not unpacked")
    rest = request.annotation_fps, path("patients"), beam
    manifest = prepare_videos(root, media, request.cleaning, settings, workers, audit, *rest)
    if beam:
        beam.forget()
    return manifest


def _class_folders(request: Request, audit: Audit) -> dict[str, Any]:
    """Makes a dataset of images in a folder for each class; returns its splits."""
    from data.image_classes.class_folders import prepare_classes

    path = request.path
    return prepare_classes(
        request.root,
        request.needed("images"),
        path("sequences"),
        request.seed,
        audit,
        path("split"),
        request.class_folders,
        path("patients"),
    )


def _public_dataset(request: Request, audit: Audit) -> dict[str, Any]:
    """Makes a public dataset from its archive; returns its splits."""
    from data.public_datasets.preparing import prepare_public

    return prepare_public(
        request.dataset,
        request.root,
        request.needed("archive"),
        request.cleaning,
        request.settings,
        request.workers,
        audit,
    )


def _neopolyp(request: Request, audit: Audit) -> dict[str, Any]:
    """Makes NeoPolyp, of whole frames or crops; returns its splits."""
    from data.image_classes.neopolyp import prepare_neopolyp

    return prepare_neopolyp(
        request.root,
        request.needed("archive"),
        request.crop_margin,
        request.path("sequences"),
        request.seed,
        audit,
        request.path("split"),
    )


def _polypsset(request: Request, audit: Audit) -> dict[str, Any]:
    """Makes PolypsSet or its miniature, of whole frames or crops; returns its splits."""
    from data.image_classes.polypsset import prepare_polyps
    from data.image_classes.writing import check_margin
    from data.synthetic.polyps import make_polyps

    root, margin = request.root, request.crop_margin
    if request.synthetic:
        check_margin(root, margin)
        if "synthetic_videos" in request.given:
            make_polyps(root, request.synthetic_videos, seed=request.seed)
        else:
            make_polyps(root, seed=request.seed)
    return prepare_polyps(root, request.path("archive"), margin, audit)
