"""What every test starts from: no network, and no setting of the machine's own."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GOMP_SPINCOUNT"] = "10000"  # as a session sets it
for name in [n for n in os.environ if n.startswith("GRAPHENGINE_")]:
    del os.environ[name]
