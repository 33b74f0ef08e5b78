import json

import pytest

from data.common.errors import InputError
from data.splits.manifest import MANIFEST, with_held_out


@pytest.mark.parametrize("protocols", [None, [], {"a": {"train": {"videos": ["op"]}}}])
def test_a_manifest_that_says_not_what_is_held_out_is_refused(tmp_path, protocols):
    (tmp_path / MANIFEST).write_text(json.dumps({"default": "a", "protocols": protocols}))
    with pytest.raises(InputError, match=r"splits\.json: not there or damaged"):
        with_held_out((MANIFEST,), [tmp_path])
