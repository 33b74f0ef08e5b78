"""Videos as recorders write them, by PyAV: interlaced, in MPEG streams, damaged."""

from fractions import Fraction

import av
import numpy as np

from tests.support.small_videos import draw_number


def moving_square(number):
    """A picture in which something moves fast: two fields of it make a comb."""
    image = np.full((96, 128, 3), 60, np.uint8)
    left = number * 7 % 96
    image[20:76, left : left + 30] = (200, 90, 30)
    return image


def encode(
    path, codec="libx264", frames=100, fps=25, fields="", draw=draw_number, begin=0, **options
):
    """Writes a video of the pictures `draw(0)`, `draw(1)`, ...

    Args:
      fields: "tff" or "bff" makes a frame of every two pictures, the field order; "" none.
      begin: the time stamp of the first frame, in frames.
      options: of the encoder.
    """
    with av.open(str(path), "w") as container:
        height, width = draw(0).shape[:2]
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.codec_context.time_base = Fraction(1, fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if codec == "mjpeg":
            stream.pix_fmt = "yuvj420p"
        if fields:
            stream.codec_context.flags |= av.codec.context.Flags.interlaced_dct
            stream.codec_context.flags |= av.codec.context.Flags.interlaced_me
        for frame in _drawn(frames, draw, fields):
            frame.pts += begin
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _drawn(frames, draw, fields):
    flag = None
    for number in range(frames):
        image = draw(number)
        if fields:  # the even rows are the top field
            first, second = draw(2 * number).copy(), draw(2 * number + 1)
            image = first if fields == "tff" else second.copy()
            image[1::2] = (second if fields == "tff" else first)[1::2]
        frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv420p")
        frame.pts = number
        if fields:
            flag = flag or _setfield(frame, fields)
            flag.push(frame)
            frame = flag.pull()
        frame.time_base = Fraction(1, 25)
        yield frame


def _setfield(frame, fields):
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    mark, sink = graph.add("setfield", fields), graph.add("buffersink")
    source.link_to(mark)
    mark.link_to(sink)
    graph.configure()
    return graph


def make_noise(path, share, size=2000):
    """Overwrites some bytes of a file, from a share of its length on, with noise."""
    content = bytearray(path.read_bytes())
    begin = int(share * len(content))
    content[begin : begin + size] = np.random.default_rng(0).bytes(size)
    path.write_bytes(content)
    return path


def without(path, target, begin, end):
    """Copies the packets of a video, but for those shown from `begin` to `end`, in seconds."""
    with av.open(str(path)) as source, av.open(str(target), "w") as opened:
        stream, first = opened.add_stream_from_template(source.streams.video[0]), None
        for packet in source.demux(video=0):
            if packet.size:
                first = packet.pts if first is None else first
                if not begin <= (packet.pts - first) * packet.time_base < end:
                    packet.stream = stream
                    opened.mux(packet)
    return target


def with_sound(path, target, codec="aac", seconds=0):
    """Copies a video and adds noise to be heard, as long as its pictures, or for `seconds`."""
    with av.open(str(path)) as source, av.open(str(target), "w") as opened:
        pictures = opened.add_stream_from_template(source.streams.video[0])
        sound = opened.add_stream(codec, rate=44100, layout="mono", bit_rate=64_000)
        first, heard = None, 0
        for packet in source.demux(video=0):
            if not packet.size:
                continue
            first = packet.pts if first is None else first
            while heard <= (packet.pts - first) * packet.time_base:
                opened.mux(sound.encode(_noise(heard)))
                heard += 1
            packet.stream = pictures
            opened.mux(packet)
        for second in range(heard, seconds):
            opened.mux(sound.encode(_noise(second)))
        opened.mux(sound.encode(None))
    return target


def _noise(second):
    noise = np.random.default_rng(second).normal(0, 0.1, (1, 44100)).astype("float32")
    frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 44100, 44100 * second
    return frame
