"""The command: an image or a frame of a video is looked for, with the encoder of the table."""

import re

import pytest

from data.common.errors import InputError
from data.frames.listing import list_videos
from data.storage.paths import to_path
from down_stream.inference.embeddings import Options, embed
from down_stream.lookup.pictures import Pictures
from down_stream.lookup.strips import link_to
from down_stream.search_index.building import build_index
from down_stream.search_index.query import find, query_of_images
from down_stream.search_index.searching import SearchIndex
from msn.encoders import save_encoder
from msn.networks.encoder import Encoder
from tests.end_to_end.test_documentation import write_video
from tests.support.documented import run_command


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two videos of four seconds, an encoder, and their table."""
    root = tmp_path_factory.mktemp("search")
    for number in (1, 2):
        write_video(root / "recordings" / f"op{number}.mp4", number)
    for name, seed in (("encoder", 0), ("other", 1)):
        encoder = Encoder(image_size=16, patch_size=8, width=12, depth=2, num_heads=3, seed=seed)
        save_encoder(encoder, root / name, {})
    frames = list_videos([root / "recordings"])
    embed(root / "encoder", frames, to_path(root / "table.parquet"), Options())
    return root


def test_a_frame_that_was_saved_is_found_where_it_was(place, eager):
    import cv2

    path = str(place / "recordings" / "op2.mp4")
    image = Pictures(1.0).read(path, 2.0)
    cv2.imwrite(str(place / "frame.png"), image[..., ::-1])
    index = build_index([to_path(place / "table.parquet")], place / "index")
    query = query_of_images(index, [place / "frame.png"], None)
    best = find(index, query, 1)[0]
    assert (best.video, best.second, best.path) == ("op2", 2, path)
    assert best.likeness > 0.99
    with pytest.raises(InputError, match="another encoder than that of"):
        query_of_images(index, [place / "frame.png"], str(place / "other"))
    assert link_to(path, 2.0) == (place / "recordings" / "op2.mp4").as_uri() + "#t=2"


def test_the_page_of_the_command_opens_recordings_at_their_times(place, monkeypatch):
    output = place / "like.html"
    words = ["python", "-m", "down_stream.search", f"--embeddings={place / 'table.parquet'}"]
    words += ["--video=op1", "--second=1", "--apart=1", f"--output={output}"]
    assert run_command(words, monkeypatch) == 0
    page = output.read_text()
    links = re.findall(r'href="(file://[^"]+)"', page)
    assert len(links) == 8  # what was asked for and all others
    assert all(re.search(r"op[12]\.mp4#t=\d$", link) for link in links)
    assert page.count('src="data:image/jpeg') == 8
    assert len(SearchIndex(place / "table.parquet.index")) == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--video=op1", "--second=1"], "expected --embeddings, or --index"),
        (["--index=none", "--video=op1", "--second=1"], "no complete index"),
        (["--index=x", "--video=op1"], "expected either --image, or --video with --second"),
        (["--index=x", "--image=a.png", "--output=a.txt"], r"ends in \.html"),
    ],
)
def test_wrong_wishes_are_named(words, message, monkeypatch):
    with pytest.raises(InputError, match=message):
        run_command(["python", "-m", "down_stream.search", *words], monkeypatch)
