"""Documents by the teacher, queries by the student: both are in one space."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hub_tools.cloning.clone import clone
from hub_tools.config import TokenizerConfig
from hub_tools.core.hardware import Hardware
from hub_tools.corpus.build import Corpus
from hub_tools.models.encoder import encode, unit
from hub_tools.models.loading import load_model
from hub_tools.models.resolve import find_teacher
from hub_tools.models.tokenizer import read_teacher_tokenizer
from hub_tools.tokenization.adapt import Adaptation

CPU = Hardware(device="cpu", precision="fp32")


def test_queries_of_the_student_find_documents_of_the_teacher(
    tiny_teacher: Path, pair_texts: dict[str, list[str]], no_text: Corpus, tmp_path: Path
) -> None:
    teacher, texts = find_teacher(str(tiny_teacher)), pair_texts["en"][:100]
    readers = {lang: lambda own=own: iter(own) for lang, own in pair_texts.items()}
    config = TokenizerConfig(vocab_size=4096, learn=0)
    spec = read_teacher_tokenizer(teacher)
    Adaptation(spec, readers, targets=("en",), config=config, max_seq_length=128).make().student.write(
        tmp_path / "tokenizer"
    )
    clone(teacher, tmp_path / "tokenizer", no_text, tmp_path / "student", init="mean")
    documents, queries = (
        unit(encode(load_model(folder, device="cpu"), texts, CPU)) for folder in (tiny_teacher, tmp_path / "student")
    )
    found = (queries @ documents.T).argmax(axis=1)
    assert (found == np.arange(len(texts))).mean() > 0.95
