"""H.264 whose pictures are fields (PAFF), as broadcast recorders write it and x264 does not.

A field's blocks stand in it as they are (I_PCM) where they have changed since the field of its kind
before, and are skipped elsewhere: ITU-T H.264, 7.3.2 and 7.3.3.
"""

from fractions import Fraction

import av
import cv2
import numpy as np

START, PARAMETERS, PICTURE_PARAMETERS, IDR, PICTURE = b"\0\0\0\1", 0x67, 0x68, 0x65, 0x61
PERIOD = 256  # of the numbers of frames
I_PCM = 25


class _Bits:
    def __init__(self):
        self._bits = []

    def put(self, count, value):
        self._bits += [value >> bit & 1 for bit in reversed(range(count))]
        return self

    def exponential(self, *values):
        for value in values:
            length = (value + 1).bit_length()
            self.put(2 * length - 1, value + 1)
        return self

    def block(self, planes, row, column):
        self.put(-len(self._bits) % 8, 0)
        for plane, size in zip(planes, (16, 8, 8), strict=True):
            block = plane[row * size :, column * size :][:size, :size]
            self._bits += np.unpackbits(block.reshape(-1)).tolist()

    def unit(self, head):
        bits = [*self._bits, 1]
        content = bytearray([head])
        for byte in np.packbits(np.array(bits, np.uint8)).tolist():
            if byte <= 3 and content[-2:] == b"\0\0":
                content.append(3)
            content.append(byte)
        return START + bytes(content)


def encode_fields(path, frames, draw, fields="tff", key_every=25, fps=25):
    """Writes a video of the pictures `draw(0)`, `draw(1)`, ..., of which two are a frame.

    Args:
      draw: number -> BGR, uint8 [height, width, 3]: whole blocks of 16, and an even number of rows.
      fields: "tff" or "bff", the field order.
    """
    raw = path.with_name(f"{path.stem}_raw.h264")
    raw.write_bytes(b"".join(_units(frames, draw, fields, key_every)))
    with av.open(str(raw), format="h264") as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = (packet for packet in source.demux(video=0) if packet.size)
        for number, packet in enumerate(packets):
            packet.pts = packet.dts = number
            packet.duration, packet.time_base, packet.stream = 1, Fraction(1, 2 * fps), stream
            target.mux(packet)
    assert number == 2 * frames - 1, "a field is a packet"
    return path


def _units(frames, draw, fields, key_every):
    height, width = draw(0).shape[:2]
    latest = {}  # whether it is the bottom field -> its planes
    for number in range(2 * frames):
        frame, is_second = divmod(number, 2)
        place, is_bottom = frame % key_every, is_second != (fields == "bff")
        is_key = not place and not is_second
        planes = _planes(draw(number), is_bottom)
        if is_key:
            yield _parameters(height, width)
            latest = {}
        slice_ = _Bits().exponential(0, 5 if is_bottom in latest else 7, 0).put(8, place % PERIOD)
        slice_.put(1, 1).put(1, is_bottom)
        if is_key:
            slice_.exponential(frame // key_every % 2)
        slice_.put(8, (2 * place + is_second) % 256)
        if is_bottom in latest:
            slice_.put(2, 0)  # one reference, of the field's kind
        slice_.put(2 if is_key else 1, 0).exponential(0, 1)  # no change of quality, no filter
        _put_blocks(slice_, planes, latest.get(is_bottom))
        latest[is_bottom] = planes
        yield slice_.unit(IDR if is_key else PICTURE)


def _planes(image, is_bottom):
    height, width = image.shape[:2]
    planes = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    luma, colours = planes[:height], planes[height:].reshape(2, height // 2, width // 2)
    return [np.ascontiguousarray(plane[is_bottom::2]) for plane in (luma, *colours)]


def _put_blocks(slice_, planes, before):
    skipped = 0
    for row in range(planes[0].shape[0] // 16):
        for column in range(planes[0].shape[1] // 16):
            rows, columns = slice(16 * row, 16 * row + 16), slice(16 * column, 16 * column + 16)
            is_same = before and (planes[0][rows, columns] == before[0][rows, columns]).all()
            if is_same:
                skipped += 1
                continue
            if before:
                slice_.exponential(skipped)
                skipped = 0
            slice_.exponential(I_PCM + 5 if before else I_PCM)
            slice_.block(planes, row, column)
    if skipped:
        slice_.exponential(skipped)


def _parameters(height, width):
    sequence = _Bits().put(8, 77).put(8, 0).put(8, 30).exponential(0, 4, 0, 4, 2).put(1, 0)
    sequence.exponential(width // 16 - 1, height // 32 - 1).put(4, 0b0010)  # fields; no cropping
    sequence.put(1, 0)
    picture = _Bits().exponential(0, 0).put(2, 0).exponential(0, 0, 0).put(3, 0)
    picture.exponential(0, 0, 0).put(3, 0b100)
    return sequence.unit(PARAMETERS) + picture.unit(PICTURE_PARAMETERS)
