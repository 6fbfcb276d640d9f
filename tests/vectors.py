"""Vectors of some texts with whatever sentence-transformers is installed; run by tests/test_portability.py elsewhere.

usage: python vectors.py TEXTS.json OUT.json MODEL...
"""

import json
import sys
import traceback
from pathlib import Path

import sentence_transformers
import transformers


def main() -> None:
    """Write {model: vectors, or the traceback of what went wrong} and the versions."""
    texts = json.loads(Path(sys.argv[1]).read_text())
    found: dict[str, object] = {}
    for folder in sys.argv[3:]:
        try:
            model = sentence_transformers.SentenceTransformer(folder, device="cpu", local_files_only=True)
            found[folder] = {"vectors": model.encode(texts).tolist(), "longest": str(model.max_seq_length)}
        except Exception:
            found[folder] = traceback.format_exc()
    versions = {"sentence_transformers": sentence_transformers.__version__, "transformers": transformers.__version__}
    Path(sys.argv[2]).write_text(json.dumps({"versions": versions, "found": found}))


main()
