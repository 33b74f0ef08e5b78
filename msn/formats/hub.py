"""Encoders on the Hugging Face Hub, as hf://owner/name[@revision] or timm's hf-hub:owner/name.

`huggingface_hub` fetches them into its cache, with its token; what is in the cache opens without a
network. HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are its environment variables.

What is uploaded goes into a new, private repository: the files that we write, without the names of
videos, and of files and folders of this machine, that encoder.json, config.json and cards have.
"""

import contextlib
import fnmatch
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path

from data.common.errors import InputError, one_line, some
from data.common.logs import logger
from data.storage.cards import CARD
from data.storage.paths import AnyPath, to_path
from msn.formats.files.recognising import ENCODER_FILE, HUGGING_FACE_FILE
from msn.formats.model_card import (
    ADDRESS,
    TIMM,
    VIDEOS,
    card_of_repository,
    without_label,
)

NEW = re.compile(r"hf://([\w.-]+/[\w.-]+)")
# Of where weights came from, what tells nobody's name: keys of "source" in encoder.json.
TELLING_NOBODY = ("method", "step", "network", "variant", "licence", "scores")
# What our directories hold. What else lies in one is somebody's own, and stays there.
UPLOADED = (CARD, ENCODER_FILE, "encoder.weights.h5", "saved_model/*.pb", "saved_model/variables/*")
UPLOADED += ("saved_model/assets.extra/preprocessing.json", HUGGING_FACE_FILE)
UPLOADED += ("preprocessor_config.json", "model.safetensors")
MADE_BY_THE_HUB = ".gitattributes"
# What other libraries read, and nothing here opens.
IGNORED = ("tf_model*", "flax_model*", "rust_model*", "onnx/*", "*.gguf", "*.msgpack")


def encoder_path(path: str | AnyPath) -> AnyPath:
    """The path of an encoder as the user gave it; of one on the Hub, its folder in the cache.

    Raises:
      InputError: there is none, or it cannot be fetched; as `data.storage.paths.to_path` does.
    """
    found = ADDRESS.fullmatch(str(path))
    if found:
        return fetched(str(path), *found.groups())
    if str(path).startswith(TIMM):
        raise InputError(f"{path}: not an address on the Hub; expected {TIMM}owner/name[@revision]")
    return to_path(path)


def fetched(address: str, repository: str, revision: str | None) -> Path:
    """The folder of a repository in the cache of `huggingface_hub`; raises `InputError`."""
    check_client(address)
    from huggingface_hub import errors, snapshot_download

    try:
        folder = snapshot_download(repository, revision=revision, ignore_patterns=list(IGNORED))
    except errors.LocalEntryNotFoundError as error:
        raise InputError(
            f"{address}: the Hub cannot be reached, and it is not in the cache ({one_line(error)})"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(
            f"{address}: no such revision; expected a branch, tag or commit"
        ) from error
    except errors.GatedRepoError as error:
        raise InputError(
            f"{address}: its owner asks for an agreement; expected a token of someone who has "
            "agreed (HF_TOKEN)"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"{address}: no such repository, or a private one; expected owner/name, and a token "
            "where it is private (HF_TOKEN)"
        ) from error
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
        raise InputError(f"{address}: cannot be fetched ({one_line(error)})") from error
    return Path(folder)


def check_client(address: str) -> None:
    """Raises `InputError` where the Hub's client is not installed."""
    if not importlib.util.find_spec("huggingface_hub"):
        raise InputError(
            f"{address}: needs huggingface_hub, which is not installed; run: python -m pip install "
            "-r requirements-remote.txt"
        )


def open_repository(address: str) -> None:
    """Makes the private repository that `push` fills, or finds an empty one of an earlier attempt.

    So the right to write there is known before anything slow is done.

    Raises:
      InputError: there is none: no address, no client, no token, one that is not accepted or may
        not write, a repository that is there already and is not empty, private and the user's, or
        a server that does not answer.
    """
    repository = new_repository(address)
    check_client(address)
    from huggingface_hub import HfApi, errors, get_token

    if not get_token():
        raise InputError(
            f"{address}: no token; expected HF_TOKEN, or that of the command: hf auth login"
        )
    with said(address):
        try:
            HfApi().create_repo(repository, private=True)
        except errors.HfHubHTTPError as error:
            if error.response.status_code != 409:
                raise
            if not is_empty(repository):
                raise InputError(
                    f"{address}: exists already; expected the name of a new repository, or of an "
                    "empty, private one of yours, since nothing there is replaced"
                ) from error


def is_empty(repository: str) -> bool:
    """Whether the user may write in a repository, and it is private and has no files."""
    from huggingface_hub import HfApi, errors

    try:
        HfApi().auth_check(repository, write=True)
        found = HfApi().model_info(repository)
    except errors.HfHubHTTPError as error:
        if error.response.status_code in (401, 403, 404):  # somebody else's
            return False
        raise
    return bool(found.private) and {file.rfilename for file in found.siblings} <= {MADE_BY_THE_HUB}


def push(folder: Path, address: str) -> str:
    """Uploads a directory to the repository that `open_repository` has made; returns its page.

    Raises:
      InputError: it cannot be uploaded; the directory is as it was, and the repository empty.
    """
    repository = new_repository(address)
    from huggingface_hub import CommitOperationAdd, HfApi

    files = uploaded(folder, repository)
    added = [CommitOperationAdd(name, content) for name, content in files.items()]
    title = f"Upload {repository.rpartition('/')[2]}"
    with said(address):
        return str(HfApi().create_commit(repository, added, commit_message=title).repo_url)


def uploaded(folder: Path, repository: str) -> dict[str, Path | bytes]:
    """What is uploaded of a directory to owner/name, by name: a file, or what is left of its text.

    Files that are not ours are left out, and said.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    is_ours = {name: any(fnmatch.fnmatch(name, ours) for ours in UPLOADED) for name in names}
    if others := [name for name in names if not is_ours[name]]:
        logger.warning(
            "%s: not uploaded, as it is not part of an encoder: %s", folder, some(others)
        )
    return {name: shown(path, repository) for name, path in names.items() if is_ours[name]}


def shown(path: Path, repository: str) -> Path | bytes:
    """A file, or its content without names of videos and of what is on this machine."""
    if path.name == CARD:
        card = path.read_text(encoding="utf-8-sig", errors="replace")  # of anybody's editor
        return card_of_repository(card, repository).encode()
    if path.name not in (ENCODER_FILE, HUGGING_FACE_FILE):
        return path
    told = json.loads(path.read_text(encoding="utf-8"))
    told.pop(VIDEOS, None)
    if "source" in told:
        kept = {key: told["source"][key] for key in TELLING_NOBODY if key in told["source"]}
        if "scores" in kept:
            kept["scores"] = [
                one | {"protocol": without_label(one["protocol"])} for one in kept["scores"]
            ]
        told["source"] = kept | {"seen": {"videos": [], "data": [], "is_all": False}}
    return (json.dumps(told, indent=2) + "\n").encode()


def new_repository(address: str) -> str:
    """owner/name of hf://owner/name; raises `InputError`."""
    found = NEW.fullmatch(address)
    if not found:
        raise InputError(f"--push={address}: not an address on the Hub; expected hf://owner/name")
    return found[1]


@contextlib.contextmanager
def said(address: str) -> Iterator[None]:
    """Makes one `InputError` of what the client raises."""
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        why = {
            401: "the token is not accepted; expected a valid one (HF_TOKEN)",
            403: "the token may not write there; expected one with the right to, of the owner",
        }.get(status, f"cannot be uploaded ({one_line(error)})")
        raise InputError(f"{address}: {why}") from error
    except errors.HFValidationError as error:
        raise InputError(f"{address}: not the name of a repository ({one_line(error)})") from error
    except (errors.HTTPError, OSError) as error:
        raise InputError(f"{address}: the Hub cannot be reached ({one_line(error)})") from error
    except ValueError as error:  # as of a card whose head the Hub does not take
        raise InputError(f"{address}: cannot be uploaded ({one_line(error)})") from error
