from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data.storage.parts import PartReader
from data.storage.whole import write_json


def count_open():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_parts_of_files_on_disks_and_stores(root):
    root.mkdir(exist_ok=True, parents=True)
    (root / "a.bin").write_bytes(bytes(range(100)))
    reader = PartReader()
    assert reader.read(root / "a.bin", 10, 5).tobytes() == bytes(range(10, 15))
    assert reader.read(root / "a.bin", 98, 5).tobytes() == bytes([98, 99])


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        PartReader().read(tmp_path / "none", 0, 1)


def test_few_files_stay_open(tmp_path):
    files = [tmp_path / f"{number}" for number in range(60)]
    for number, file in enumerate(files):
        write_json(file, number)
    before, most = count_open(), 0
    reader = PartReader(open_files=8)

    def read(place):
        nonlocal most
        number = place * 7 % 60
        assert int(reader.read(files[number], 0, 9).tobytes()) == number
        most = max(most, count_open())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(600)))
    assert before + 8 <= most <= before + 8 + 2 * 4  # a listing of a thread is open, too
    reader._opened.cache_clear()
    assert count_open() == before
