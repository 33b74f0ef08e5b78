"""MkDocs' hooks: pages of the repository that are not in docs/, and the reference of the doors.

Links are written for the repository's pages; here they are turned to the same pages of the site.
Source: mkdocs.org/user-guide/configuration/#hooks.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
# Path in the repository: path on the site.
ELSEWHERE = {
    "README.md": "index.md",
    "REPRODUCE.md": "REPRODUCE.md",
    "CHANGELOG.md": "CHANGELOG.md",
    ".github/CONTRIBUTING.md": "CONTRIBUTING.md",
    "CITATION.cff": "CITATION.cff",
    **{
        f".github/{path.name}": f"pictures/{path.name}" for path in (ROOT / ".github").glob("*.png")
    },
}
FOLDERS = {"docs/slurm": "slurm/one_gpu.sh"}  # a site has no listings of folders
REPOSITORY = {there: here for here, there in ELSEWHERE.items()}
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)")
REFERENCE = {  # what Python code calls, in the order of the work
    "Preparing data": ("data.preparing", ("prepare", "Prepared")),
    "Batches for training": (
        "data.pretraining",
        ("pretraining_dataset", "view_shapes", "UnreadableFrames"),
    ),
    "Labelled batches": ("data.finetuning", ("training_dataset", "load_frames")),
    "Cholec80, as images": (
        "data.cholec80_images",
        ("Cholec80ImagesLoader", "get_cholec80_images_datasets"),
    ),
    "Cholec80, as records": ("data.cholec80_tfrecords", ("make_cholec80", "read_config")),
    "Pre-training": ("msn.pretrain", ("pretrain",)),
    "Encoders": ("msn.encoders", ("load_encoder", "save_encoder")),
    "Experiments": ("down_stream.experiment", ("experiment",)),
    "Embeddings": ("down_stream.embedding", ("embed",)),
    "Tasks": ("down_stream.tasks", ("Task", "open_task")),
    "Scores": (
        "down_stream.metrics.phases",
        ("evaluate",),
    ),
}


def on_files(files, config):
    """Adds what is elsewhere."""
    for here, there in ELSEWHERE.items():
        if (ROOT / here).exists():
            files.append(File.generated(config, there, abs_src_path=str(ROOT / here)))
    files.append(
        File.generated(config, "site.css", content=(ROOT / "docs/site/site.css").read_text())
    )
    files.append(File.generated(config, "reference.md", content=reference()))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turns links of the repository's pages into links of the site's."""
    here = REPOSITORY.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    folder = posixpath.dirname(here)
    return LINK.sub(lambda found: target(found[1], folder), markdown)


def on_page_content(html, page, config, files):
    """Tables can be focused: those wider than a phone are scrolled by keyboard, too."""
    return html.replace("<table>", '<table tabindex="0">')


def on_post_page(output, page, config):
    """The search has a name for screen readers, which the theme leaves out."""
    dialog = 'data-md-component="search" role="dialog"'
    assert dialog in output, "the theme has another search now; does it have a name?"
    return output.replace(dialog, f'{dialog} aria-label="Search"')


def target(link, folder):
    """A link as seen from the top of the site, where all pages are."""
    path = posixpath.normpath(posixpath.join(folder, link))
    path = FOLDERS.get(path, path)
    return ELSEWHERE.get(path) or path.removeprefix("docs/")


def reference():
    """The page of what Python code calls; mkdocstrings writes its text from the docstrings."""
    lines = [
        "# Reference",
        "",
        "For those who call the project from Python. The modules are read from",
    ]
    lines += ["top to bottom in the order of the work; what is not listed here may change.", ""]
    for title, (module, names) in REFERENCE.items():
        lines += [f"## {title}", "", f"`{module}`", ""]
        lines += [line for name in names for line in (f"::: {module}.{name}", "")]
    return "\n".join(lines)
