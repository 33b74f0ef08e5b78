r"""Extracts embeddings from images with a pre-trained encoder.

  python inference.py --model_path runs/demo/msn/encoder \
      --image_path runs/demo/data/cholec80/frames/video13 --output embeddings.npz

The model is an encoder directory, or the model/ of a down-stream experiment (then the phase
probabilities are written too). In Python:

  table = numpy.load("embeddings.npz")
  table["embeddings"]      float32 [images, width]
  table["path"]            one path per row
"""

from absl import flags

from configs import command
from data.errors import InputError

MODEL = flags.DEFINE_string("model_path", None, "encoder directory or phase model directory")
IMAGES = flags.DEFINE_string("image_path", None, "an image, or a folder with images")
OUTPUT = flags.DEFINE_string("output", "embeddings.npz", "file that receives the embeddings")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "images at a time", lower_bound=1)
flags.mark_flags_as_required(["model_path", "image_path"])


def main() -> int:
    """Runs the command and returns its exit code."""
    command.import_tensorflow()
    from down_stream.embeddings import check_output, embed_images, write_embeddings

    check_output(OUTPUT.value)
    table = embed_images(MODEL.value, IMAGES.value, batch_size=BATCH_SIZE.value)
    unreadable = table.pop("unreadable")
    path = write_embeddings(OUTPUT.value, table)
    for name, values in table.items():
        print(f"{name:14} {values.dtype} {list(values.shape)}")
    print(f"written to     {path}")
    if unreadable:
        print(f"left out, unreadable ({len(unreadable)}): {', '.join(unreadable)}")
        return command.DONE_IN_PART
    return command.DONE


if __name__ == "__main__":
    command.run(main, wrong_input=(InputError,))
