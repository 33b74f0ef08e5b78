"""requirements.lock, from which `make setup LOCKED=1` installs."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def asked(file):
    """Names and versions that a requirements file asks for, with the files it names."""
    pins = {}
    for line in (ROOT / file).read_text().splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("-r "):
            pins |= asked(line.removeprefix("-r "))
        elif line:
            name, version = line.split("==")
            pins[canonical(name)] = version
    return pins


def canonical(name):
    return re.sub(r"[-_.]+", "-", name.split("[")[0]).lower()


def test_the_lock_file_is_of_these_requirements():
    entries = (ROOT / "requirements.lock").read_text().split("\n", 2)[2].strip()
    locked = {}
    for entry in re.split(r"\n(?=[a-z])", entries):
        first, *hashes = entry.split("\n")
        name, version = re.match(r"([\w.\[\]-]+)==([\w.+]+)", first).groups()
        locked.setdefault(canonical(name), set()).add(version)
        assert hashes and all("--hash=sha256:" in line for line in hashes), first
    wrong = {
        name: (version, locked.get(name))
        for name, version in asked("requirements-dev.txt").items()
        if locked.get(name) != {version}
    }
    assert not wrong, f"{wrong}; run: make lock"
