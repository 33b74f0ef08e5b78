"""Whether packets of H.264 follow one another, and which have half a frame, by what frames carry.

Only what a packet says in front is read: of its parameter sets the width of a number, of its first
slice the number (ITU-T H.264, 7.3.2.1.1 and 7.3.3; `frame_num` in 7.4.3). It is one more than that
of the frame before if others are made from that one, else the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass

SLICE, SLICE_A, IDR, PARAMETERS = 1, 2, 5, 7  # types of units
WITH_COLOURS = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}  # profiles
HEAD = 64  # bytes of a unit in which all of this stands
LARGE_HEAD = 1024  # of a parameter set, which may have scaling matrices


@dataclass
class FrameNumbers:
    """Reads the packets of a video in the order of the file.

    Args:
      extradata: of the stream, as its container has it.

    Attributes:
      period: numbers begin again after so many; 0 where they say nothing.
      may_have_fields: whether a picture may be a field, every second row of a frame.
    """

    extradata: bytes

    def __post_init__(self):
        self.period, self._skips_colour, self._latest = 0, False, None
        self.may_have_fields, self._first_field = False, None
        # An avcC record says how many bytes hold the length of a unit; else units have start codes.
        is_record = self.extradata[:1] == b"\x01" and len(self.extradata) > 4  # else it is damaged
        self._length_bytes = (self.extradata[4] & 3) + 1 if is_record else 0
        parameters = _units_of_record(self.extradata) if is_record else _units(self.extradata)
        for unit in parameters:
            self._set_parameters(unit)

    def follows(self, packet: bytes) -> bool:
        """Whether the frame of a packet follows the one of the packet before; True if not known."""
        for unit in self._units(packet):
            kind, is_reference = unit[0] & 31, bool(unit[0] >> 5 & 3)
            if kind == PARAMETERS:
                self._set_parameters(unit)
            elif kind in (SLICE, SLICE_A, IDR) and self.period:
                latest, self._latest = self._latest, (self._number(unit), is_reference)
                if kind == IDR or latest is None:
                    return True
                step = (self._latest[0] - latest[0]) % self.period
                return step == 0 or (step == 1 and latest[1])  # 0: a second field, too
        return True

    def completes(self, packet: bytes) -> bool:
        """Whether a packet has the second field of a frame, and the one before has the first."""
        fields = set()  # (number, whether it is the bottom field)
        for unit in self._units(packet):
            if unit[0] & 31 == PARAMETERS:
                self._set_parameters(unit)
            elif unit[0] & 31 in (SLICE, SLICE_A, IDR):
                field = self._field(unit)
                if field is None:  # the frame is whole
                    break
                fields.add(field)
        field = fields.pop() if len(fields) == 1 else None
        is_second = field is not None and self._first_field == (field[0], not field[1])
        self._first_field = None if is_second else field
        return is_second

    def _units(self, packet: bytes) -> Iterator[bytes]:
        return _sized_units(packet, self._length_bytes) if self._length_bytes else _units(packet)

    def _field(self, unit: bytes) -> tuple[int, bool] | None:
        if not (self.may_have_fields and self.period):
            return None
        bits = self._bits_of_number(unit)
        number = bits.take(self.period.bit_length() - 1)
        return (number, bool(bits.take(1))) if bits.take(1) else None

    def _number(self, unit: bytes) -> int:
        return self._bits_of_number(unit).take(self.period.bit_length() - 1)

    def _bits_of_number(self, unit: bytes) -> "_Bits":
        bits = _Bits(unit[1:HEAD])
        for _ in ("first macroblock", "type of slice", "picture parameters"):
            bits.exponential()
        if self._skips_colour:
            bits.take(2)
        return bits

    def _set_parameters(self, unit: bytes) -> None:
        if len(unit) < 4 or unit[0] & 31 != PARAMETERS:
            return
        bits = _Bits(unit[1:LARGE_HEAD])
        profile = bits.take(8)
        bits.take(16)
        bits.exponential()
        self._skips_colour = False
        if profile in WITH_COLOURS:
            colours = bits.exponential()
            self._skips_colour = colours == 3 and bool(bits.take(1))
            bits.exponential(), bits.exponential(), bits.take(1)
            if bits.take(1):
                for matrix in range(12 if colours == 3 else 8):
                    bits.skip_matrix(16 if matrix < 6 else 64)
        period = 1 << bits.exponential() + 4
        order = bits.exponential()
        if order == 0:
            bits.exponential()
        elif order == 1:
            bits.take(1), bits.exponential(), bits.exponential()
            for _ in range(bits.exponential()):
                bits.exponential()
        bits.exponential()
        may_skip = bits.take(1)
        bits.exponential(), bits.exponential()
        self.may_have_fields = not bits.take(1)
        self.period = 0 if may_skip or period > 1 << 16 else period


class _Bits:
    """The bits of a unit, 0 behind its end; bytes that only keep start codes away are left out."""

    def __init__(self, content: bytes):
        content = content.replace(b"\0\0\3", b"\0\0")
        self._bits, self._left = int.from_bytes(content, "big"), 8 * len(content)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            return 0
        return self._bits >> self._left & (1 << count) - 1

    def exponential(self) -> int:
        zeros = 0
        while not self.take(1) and self._left > 0 and zeros < 32:
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def skip_matrix(self, size: int) -> None:
        if not self.take(1):
            return
        scale = following = 8
        for _ in range(size):
            if following:
                code = self.exponential()
                following = (scale + (code + 1) // 2 * (1 if code & 1 else -1)) % 256
            scale = following or scale


def _units(content: bytes) -> Iterator[bytes]:
    """Units behind start codes."""
    start = content.find(b"\0\0\1")
    while 0 <= start < len(content) - 3:
        end = content.find(b"\0\0\1", start + 3)
        if end != start + 3:
            yield content[start + 3 : end if end >= 0 else None]
        start = end


def _sized_units(content: bytes, length_bytes: int) -> Iterator[bytes]:
    """Units behind their lengths."""
    at = 0
    while at + length_bytes < len(content):
        size = int.from_bytes(content[at : at + length_bytes], "big")
        at += length_bytes
        if size:
            yield content[at : at + size]
        at += size


def _units_of_record(record: bytes) -> Iterator[bytes]:
    """The sequence parameter sets of an avcC record (ISO/IEC 14496-15, 5.3.3.1)."""
    at = 6
    for _ in range(record[5] & 31 if len(record) > 6 else 0):
        size = int.from_bytes(record[at : at + 2], "big")
        if record[at + 2 : at + 2 + size]:
            yield record[at + 2 : at + 2 + size]
        at += 2 + size
