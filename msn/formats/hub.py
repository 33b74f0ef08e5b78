"""Encoders on the Hugging Face Hub, as hf://owner/name[@revision] or timm's hf-hub:owner/name.

`huggingface_hub` fetches them into its cache, with its token; what is in the cache opens without a
network. HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are its environment variables.
"""

import importlib.util
import re
from pathlib import Path

from data.common.errors import InputError, one_line
from data.storage.paths import AnyPath, to_path

TIMM = "hf-hub:"
ADDRESS = re.compile(rf"(?:hf://|{TIMM})([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
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
    if not importlib.util.find_spec("huggingface_hub"):
        raise InputError(
            f"{address}: needs huggingface_hub, which is not installed; run: python -m pip install "
            "-r requirements-remote.txt"
        )
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
