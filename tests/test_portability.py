"""What is saved loads with the same vectors in other versions of sentence-transformers and transformers.

Needs another environment: set HUB_TOOLS_OTHER_PYTHON to its python. CI does so for two pairs of versions.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hub_tools.core.files import read_json, write_json
from hub_tools.core.hardware import Hardware
from hub_tools.models.encoder import encode
from hub_tools.models.loading import load_model, longest_input, save_model
from tests.architectures import ARCHITECTURES

OTHER = os.environ.get("HUB_TOOLS_OTHER_PYTHON")
TEXTS = ["Merhaba dünya!", "A plain English sentence.", "数学 и Физика", "word " * 300, "Kitaplarımızı okuduk."]
CPU = Hardware(device="cpu", precision="fp32")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(OTHER is None, reason="HUB_TOOLS_OTHER_PYTHON names no python with other versions"),
]


@pytest.fixture(scope="module")
def elsewhere(small_clones: dict[str, tuple[Path, Any]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the other environment found, for clones (copied files) and students (saved by our libraries)."""
    root = tmp_path_factory.mktemp("elsewhere")
    folders = []
    for name, (clone, _) in small_clones.items():
        model = load_model(clone, device="cpu")
        save_model(model, root / name, tokenizer=clone, max_seq_length=longest_input(model))
        folders += [str(clone), str(root / name)]
    write_json(root / "texts.json", TEXTS)
    script = str(Path(__file__).with_name("vectors.py"))
    subprocess.run([str(OTHER), script, str(root / "texts.json"), str(root / "found.json"), *folders], check=True)
    found = read_json(root / "found.json")
    return {name: (root / name, found["found"]) for name in small_clones} | {"versions": found["versions"]}


def test_it_is_another_environment(elsewhere: dict[str, Any]) -> None:
    import sentence_transformers
    import transformers

    ours = {"sentence_transformers": sentence_transformers.__version__, "transformers": transformers.__version__}
    assert elsewhere["versions"] != ours


@pytest.mark.parametrize("saved", ["clone", "student"])
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_vectors_are_the_same_elsewhere(
    name: str, saved: str, elsewhere: dict[str, Any], small_clones: dict[str, tuple[Path, Any]]
) -> None:
    student, found = elsewhere[name]
    folder = small_clones[name][0] if saved == "clone" else student
    theirs = found[str(folder)]
    assert isinstance(theirs, dict), theirs
    model = load_model(folder, device="cpu")
    a, b = encode(model, TEXTS, CPU), np.array(theirs["vectors"])
    if ARCHITECTURES[name].truncate_dim:  # sentence-transformers 5 takes it as an argument alone: whole vectors
        b = b[:, : a.shape[1]]
    assert a.shape == b.shape
    cosines = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    assert cosines.min() >= 0.9999
    assert theirs["longest"] == str(model.max_seq_length)
