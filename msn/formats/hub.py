"""Encoders on the Hugging Face Hub, as hf://owner/name[@revision] or timm's hf-hub:owner/name.

`huggingface_hub` fetches them into its cache, with its token; what is in the cache opens without a
network. HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are its environment variables.

What is uploaded goes into a new, private repository, without the names of videos and paths that
encoder.json and config.json have.
"""

import contextlib
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path

from data.common.errors import InputError, one_line
from data.storage.paths import AnyPath, to_path
from msn.formats.files.recognising import ENCODER_FILE, HUGGING_FACE_FILE
from msn.formats.model_card import VIDEOS

TIMM = "hf-hub:"
ADDRESS = re.compile(rf"(?:hf://|{TIMM})([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
NEW = re.compile(r"hf://([\w.-]+/[\w.-]+)")
# Of where weights came from, what tells nobody's name: keys of "source" in encoder.json.
TELLING_NOBODY = ("method", "step", "network", "variant", "licence")
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
        raise InputError(f"{path}: no address on the Hub; expected {TIMM}owner/name[@revision]")
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


def check_push(address: str) -> None:
    """Asks the Hub whether a new repository could be made at an address.

    Raises:
      InputError: it could not: no address, no client, no token, one that is not accepted, a
        repository that is there already, or a server that does not answer.
    """
    repository = new_repository(address)
    check_client(address)
    from huggingface_hub import HfApi, get_token

    if not get_token():
        raise InputError(
            f"{address}: no token; expected HF_TOKEN, or that of the command: hf auth login"
        )
    with said(address):
        HfApi().whoami()
        if HfApi().repo_exists(repository):
            raise InputError(
                f"{address}: exists already; expected the name of a new repository, since nothing "
                "there is replaced"
            )


def push(folder: Path, address: str) -> str:
    """Uploads a directory to a new, private repository; returns its page.

    Raises:
      InputError: as `check_push` does; the directory is as it was.
    """
    repository = new_repository(address)
    from huggingface_hub import CommitOperationAdd, HfApi

    files = sorted(path for path in folder.rglob("*") if path.is_file())
    added = [CommitOperationAdd(path.relative_to(folder).as_posix(), shown(path)) for path in files]
    with said(address):
        page = HfApi().create_repo(repository, private=True)
        HfApi().create_commit(repository, added, commit_message=f"Upload {folder.name}")
    return str(page)


def shown(path: Path) -> Path | bytes:
    """What is uploaded of a file: itself, or its content without names of videos and paths."""
    if path.name not in (ENCODER_FILE, HUGGING_FACE_FILE):
        return path
    told = json.loads(path.read_text(encoding="utf-8"))
    told.pop(VIDEOS, None)
    if "source" in told:
        kept = {key: told["source"][key] for key in TELLING_NOBODY if key in told["source"]}
        told["source"] = kept | {"seen": {"videos": [], "data": [], "is_all": False}}
    return (json.dumps(told, indent=2) + "\n").encode()


def new_repository(address: str) -> str:
    """owner/name of hf://owner/name; raises `InputError`."""
    found = NEW.fullmatch(address)
    if not found:
        raise InputError(f"--push={address}: no address on the Hub; expected hf://owner/name")
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
            409: "exists already; expected the name of a new repository",
        }.get(status, f"cannot be uploaded ({one_line(error)})")
        raise InputError(f"{address}: {why}") from error
    except errors.HFValidationError as error:
        raise InputError(f"{address}: no name of a repository ({one_line(error)})") from error
    except (errors.HTTPError, OSError) as error:
        raise InputError(f"{address}: the Hub cannot be reached ({one_line(error)})") from error
    except ValueError as error:  # as of a card whose head the Hub does not take
        raise InputError(f"{address}: cannot be uploaded ({one_line(error)})") from error
