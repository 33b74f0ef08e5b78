"""Where tests find the project and its golden files."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(os.environ.get("MSN_GOLDEN", ROOT / "tests" / "golden"))
