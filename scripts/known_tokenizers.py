"""Print hub_tools/space/known.json: what the sample's sentences cost in tokenizers that many know, read from folders.

usage: python scripts/known_tokenizers.py intfloat/multilingual-e5-small=FOLDER ... > hub_tools/space/known.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hub_tools.core.files import hash_file
from hub_tools.corpus.readers import sample_file
from hub_tools.space.tokenize import TokenizerView, count_languages
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

counts = {}
for word in sys.argv[1:]:
    name, _, folder = word.partition("=")
    found = count_languages(TokenizerView(TokenizerSpec.read(Path(folder))))
    counts[name] = {lang: [own["tokens"], own["unknown_text"]] for lang, own in found.items()}
sys.stdout.write(json.dumps({"sentences": hash_file(sample_file("languages.tsv")), "counts": counts}))
