"""Waiting for the other workers of a run: until all are there, or for so long and no longer.

TensorFlow would wait for an hour, deaf to signals, and then not say for whom.
"""

import contextlib
import re
import socket
import time

from data.common.errors import InputError, reason_of, some
from data.common.logs import logger

POLL_SECONDS = 0.5
CONNECT_SECONDS = 5  # a machine that is not there answers nothing
SAY_EVERY = 60  # seconds
_LAST_PORT = 65535


def wait_for_workers(addresses: list[str], own: int, minutes: float) -> None:
    """Returns when something listens at the addresses of all workers.

    Meanwhile this process listens at its own; afterwards TensorFlow's server does, which those
    find that are still waiting.

    Args:
      addresses: HOST:PORT of all workers.
      own: index of this one's.
      minutes: after which those that are missing are given up.

    Raises:
      InputError: workers are missing; an address makes no sense, or another process has ours.
    """
    places = [place_of(address) for address in addresses]
    if twice := sorted({one for one in addresses if addresses.count(one) > 1}):
        raise InputError(f"{some(twice)}: the address of several workers; expected one for each")
    missing = {index: place for index, place in enumerate(places) if index != own}
    started = said = time.monotonic()
    with listening(addresses[own], places[own][1]) as server:
        while True:
            answer(server)
            for index, place in list(missing.items()):
                if is_there(place):
                    del missing[index]
            if not missing:
                return
            now, names = time.monotonic(), some([addresses[index] for index in missing])
            if now - started >= 60 * minutes:
                raise InputError(
                    f"worker {own} of {len(addresses)} has waited {minutes:g} minutes: not there "
                    f"are {names}; expected all workers to be started (their logs say what keeps "
                    "them), or more --config.wait_minutes"
                )
            if now - said >= SAY_EVERY:
                logger.info("still waiting for %s", names)
                said = now
            time.sleep(POLL_SECONDS)


def place_of(address: str) -> tuple[str, int]:
    """HOST:PORT -> both."""
    host, _, port = address.rpartition(":")
    if not (host and re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) <= _LAST_PORT):
        raise InputError(
            f"worker {address!r} of the cluster; expected HOST:PORT, with a port from 1 to "
            f"{_LAST_PORT}"
        )
    try:
        host.encode("idna")  # as the socket will
        if "\0" in host:
            raise UnicodeError("a zero byte")
    except UnicodeError as error:
        raise InputError(
            f"worker {address!r} of the cluster; expected HOST:PORT, with the name of a machine"
        ) from error
    return host.removeprefix("[").removesuffix("]"), int(port)


@contextlib.contextmanager
def listening(address: str, port: int):
    """Context with a socket that listens at a port of this machine."""
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        server = socket.create_server(("", port), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise InputError(
            f"{address}, this worker: {reason_of(error)}; expected a port that no other process has"
        ) from error
    with server:
        server.setblocking(False)
        yield server


def answer(server: socket.socket) -> None:
    """Ends the connections that came: who could connect knows what it wanted to know."""
    with contextlib.suppress(BlockingIOError):
        while True:
            server.accept()[0].close()


def is_there(place: tuple[str, int]) -> bool:
    """Whether something listens at (host, port); names that are not known yet may come, too."""
    try:
        socket.create_connection(place, CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
