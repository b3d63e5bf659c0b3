"""Writes the golden files of this version of the runtime; see the package for the rule."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from runtime.frame.metadata import METADATA_VERSIONS
from runtime.version import SPEC_VERSION
from tests.golden.replays import replay_roots
from tests.golden.script import golden_chain, history, metadata_hex

folder = Path(__file__).parent / f"spec-{SPEC_VERSION}"
if folder.exists() and "--unreleased" not in sys.argv[1:]:
    sys.exit(
        f"{folder.name} is there. If nodes run this version, raise SPEC_VERSION in "
        "runtime/version.py; if it was never released, pass --unreleased."
    )
chain = golden_chain()
folder.mkdir(exist_ok=True)
for version in METADATA_VERSIONS:
    (folder / f"metadata_v{version}.hex").write_text(metadata_hex(chain, version))
(folder / "history.json").write_text(json.dumps(history(chain), indent=1) + "\n")
with TemporaryDirectory() as data:
    roots = replay_roots(Path(data))
(folder / "replays.json").write_text(json.dumps(roots, indent=1) + "\n")
print(f"wrote {folder.name}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
