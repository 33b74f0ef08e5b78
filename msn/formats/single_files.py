"""Single files with an encoder in them: of PyTorch, and safetensors."""

from data.storage.paths import AnyPath
from msn.formats import hugging_face
from msn.formats.families import checkpoints, dinov2
from msn.formats.files import preprocessing, torch_files, weight_files
from msn.formats.reference_names import Foreign
from msn.formats.state_sizes import sizes_of_state


def read_torch(path: AnyPath) -> Foreign:
    """The encoder in a PyTorch file; raises `InputError`."""

    def choose(content):
        where, tensors, unused = checkpoints.encoder_of(content, torch_files.is_tensor)
        heads = content.get("num_heads") if where == "target_encoder" else None  # ours say it
        family = checkpoints.project_of(where, tensors, content)
        return tensors, (family, unused, heads if type(heads) is int else None)

    weights, (project, unused, heads) = torch_files.read_chosen(path, choose)
    return found_in(weights, project, unused, {"num_heads": heads})


def read_safetensors(path: AnyPath) -> Foreign:
    """The encoder in a safetensors file; raises `InputError`."""
    weights, metadata = weight_files.read_safetensors(path)
    if hugging_face.METADATA in metadata:  # ours
        return Foreign(weights, hugging_face.timm_arguments(metadata))
    _, weights, unused = checkpoints.encoder_of(weights, lambda value: hasattr(value, "shape"))
    return found_in(weights, "", unused, {})


def found_in(weights, project: str, unused: list[str], arguments: dict) -> Foreign:
    """The encoder of these weights, of a project as far as it is known; raises `InputError`."""
    family, weights = checkpoints.family_of(project, weights)
    arguments = {**family.arguments} | arguments | preprocessing.normalisation(family.normalisation)
    if any(name.startswith("patch_embed.stem.") for name in weights):  # of msn alone
        return Foreign(weights, arguments, unused, family)
    state, more = family.translate(weights)
    sizes = sizes_of_state(state, "rope_theta" not in arguments)
    if family.title == "DINOv2":
        size = dinov2.image_size(sizes["image_size"])
        arguments |= preprocessing.size_arguments(size, sizes, arguments)
    return Foreign(state, arguments, unused + more, family)
