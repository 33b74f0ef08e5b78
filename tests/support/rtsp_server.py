"""A small real RTSP server on this machine (RFC 2326): H.264 as RTP (RFC 6184) inside its TCP."""

import re
import socketserver
import struct
import sys
import threading
import time

import av

PAYLOAD, RATE = 1200, 90_000  # bytes of a packet; units of time stamps a second


def access_units(video):
    """Pairs (number of a frame, its NAL units) of an H.264 file without containers and B-frames."""
    with av.open(str(video)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    for number, content in enumerate(packets):
        yield number, [nal for nal in re.split(rb"\0\0\0?\x01", content) if nal]


def rtp_payloads(nals):
    """Pairs (payload, whether it is a frame's last)."""
    for place, nal in enumerate(nals):
        is_last = place == len(nals) - 1
        if len(nal) <= PAYLOAD:
            yield nal, is_last
            continue
        head, body = nal[0], nal[1:]
        for start in range(0, len(body), PAYLOAD):
            ends = start + PAYLOAD >= len(body)
            kind = (head & 31) | (0x80 if start == 0 else 0) | (0x40 if ends else 0)
            yield (
                bytes([(head & 0x60) | 28, kind]) + body[start : start + PAYLOAD],
                (is_last and ends),
            )


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        server = self.server
        while head := self.rfile.read(1):
            if head == b"$":  # a report of the client, in between
                _, size = struct.unpack(">BH", self.rfile.read(3))
                self.rfile.read(size)
                continue
            head += self.rfile.readline()
            fields = [head.decode()]
            while line := self.rfile.readline().decode().strip():
                fields.append(line)
            method, *_ = head.decode().split()
            server.asked.append(method)
            number = re.search(r"CSeq: (\d+)", "\n".join(fields))[1]
            answer = getattr(self, f"answer_{method.lower()}", None)
            if answer is None:
                self.answer(number, status="501 Not Implemented")
            elif answer(number, fields):
                return

    def answer(self, number, *fields, status="200 OK", body=""):
        fields = [f"RTSP/1.0 {status}", f"CSeq: {number}", "Session: 1", *fields]
        if body:
            fields += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        self.wfile.write(("\r\n".join(fields) + "\r\n\r\n" + body).encode())

    def answer_options(self, number, fields):
        self.answer(number, "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")

    def answer_describe(self, number, fields):
        if self.server.is_locked:
            self.answer(number, status="401 Unauthorized")
            return
        length = self.server.length
        span = f"a=range:npt=0-{length}\r\n" if length else ""
        self.answer(
            number,
            body="v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=tower\r\nt=0 0\r\n" + span + "m=video 0 "
            "RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n"
            "a=control:video\r\n",
        )

    def answer_setup(self, number, fields):
        if "RTP/AVP/TCP" not in "\n".join(fields):
            self.answer(number, status="461 Unsupported Transport")
            return
        self.answer(number, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")

    def answer_pause(self, number, fields):
        self.answer(number)

    def answer_teardown(self, number, fields):
        self.answer(number)
        return True

    def answer_play(self, number, fields):
        """Plays what is due for this connection, and says whether it is over."""
        server = self.server
        first, last, then = server.plays.pop(0) if server.plays else (0, 0, "gone")
        if then == "gone":
            return True
        asked = re.search(r"Range: npt=([\d.]+)", "\n".join(fields))
        if server.length and asked:
            first = int(float(asked[1]) * server.fps)
        first -= first % server.keys  # decoding begins at a key frame
        self.answer(number, f"Range: npt={first / server.fps:g}-")
        sequence = 0
        for frame, nals in server.units[first:last]:
            for payload, is_last in rtp_payloads(nals):
                head = struct.pack(
                    ">BBHII", 0x80, 96 | is_last << 7, sequence & 0xFFFF, self.stamp(frame), 7
                )
                packet = head + payload
                self.wfile.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                sequence += 1
        if then == "bye":
            # A sender's report and a goodbye (RFC 3550, 6.4.1 and 6.6).
            report = struct.pack(">BBHIQIII", 0x80, 200, 6, 7, 1 << 63, self.stamp(last), 0, 0)
            report += struct.pack(">BBHI", 0x81, 203, 1, 7)
            self.wfile.write(struct.pack(">cBH", b"$", 1, len(report)) + report)
        elif then == "stall":
            time.sleep(server.stall)
        return then not in ("bye", "wait")

    def stamp(self, frame):
        return int(frame * RATE / self.server.fps)


class RtspServer(socketserver.ThreadingTCPServer):
    """Serves frames of one file.

    Attributes:
      plays: for each time that it is asked to play, the first frame, the end, and what it does
        then: "bye" (says that it is over), "close" (of the connection), "wait" (for what the
        client asks next), "stall" (for `stall` seconds, then "close"). Where the list is over, it
        closes connections that ask for more.
      length: seconds that it announces, and finds places in, as for a file; 0 for a live stream.
      asked: the methods that clients used.
    """

    allow_reuse_address = daemon_threads = True

    def __init__(self, video, plays, fps=25, keys=25, length=0.0):
        self.units, self.plays = list(access_units(video)), list(plays)
        self.fps, self.keys, self.length = fps, keys, length
        self.stall, self.is_locked, self.asked = 30.0, False, []
        super().__init__(("127.0.0.1", 0), Session)
        self.url = f"rtsp://127.0.0.1:{self.server_address[1]}/live"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that is gone
            super().handle_error(request, client_address)
