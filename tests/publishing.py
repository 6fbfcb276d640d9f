"""Publish a finished run to a Hub on this machine, load it back as a stranger would, and lay out what was pushed.

    python -m tests.publishing RUN --out DIR

DIR gets a folder for each repo (`model/ada/...`, `dataset/ada/...`, `space/ada/...`) with the files that a visitor of
the Hub would see, and docs/hub.md the table of them. The Hub is that of the tests: real HTTP on loopback.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.document import table, write_section
from tests.commands import PROGRAM
from tests.fake_hub import FakeHub, HubServer, User

TOKEN = "hf_tutorial"
# What a reader of the page types, with a token that may write for ada.
COMMANDS = [
    "hub-distill publish RUN --push-to-hub ada --name minilm-tr --space --dry-run",
    "hub-distill publish RUN --push-to-hub ada --name minilm-tr --space --private --tag v1.0",
]
LOAD = """
import sys
from datasets import load_dataset
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

student, local = SentenceTransformer("ada/minilm-tr", device="cpu"), SentenceTransformer(sys.argv[1], device="cpu")
texts = ["Kütüphane bugün açık.", "Yarın yağmur bekleniyor.", "The library is open."]
print(float((student.encode(texts) * local.encode(texts)).sum(axis=1).min()))
print(len(AutoTokenizer.from_pretrained("ada/minilm-tr-tokenizer")))
print(load_dataset("ada/minilm-tr-embeddings", split="train").num_rows)
"""


def publish(run: Path, environment: dict[str, str]) -> None:
    """Run the commands of the page.

    Raises:
        CalledProcessError: one of them failed.
    """
    for command in COMMANDS:
        words = [str(run) if word == "RUN" else word for word in command.split()[1:]]
        subprocess.run([*PROGRAM, *words], env=environment, check=True)


def load_back(run: Path, environment: dict[str, str]) -> tuple[float, int, int]:
    """Return the least cosine to the local student, the tokens of the tokenizer, and the rows of the dataset."""
    command = [sys.executable, "-c", LOAD, str(run / "student")]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    cosine, tokens, rows = done.stdout.split()[-3:]
    return float(cosine), int(tokens), int(rows)


def lay_out(hub: FakeHub, out: Path) -> list[list[str]]:
    """Write the files of every repo, and return the rows of a table of them."""
    rows = [["repo", "files", "MB"]]
    for (kind, name), repo in sorted(hub.repos.items()):
        files = repo.head.files
        for path in files:
            file = out / kind / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(hub.read(kind, name, path))
        size = sum(file.stat().st_size for file in (out / kind / name).rglob("*") if file.is_file())
        rows.append([f"{kind} `{name}`", str(len(files)), f"{size / 1e6:.1f}"])
    return rows


def main() -> None:
    """Publish, load back, lay out, and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    # Publishing is noted in the run: the reader's own stays as it is.
    run = Path(shutil.copytree(args.run, args.out / "run"))
    hub = HubServer().start_over(cas=args.out / "cas")
    hub.users[TOKEN] = User("ada")
    settings: dict[str, Any] = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(args.out / "home"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": TOKEN,
    }
    environment = {**os.environ, **settings}
    publish(run, environment)
    cosine, tokens, rows = load_back(run, environment)
    files = lay_out(hub, args.out)
    write_section(
        "hub.md",
        "tutorial",
        [
            "```bash",
            *COMMANDS,
            "```",
            "",
            *table(files),
            "",
            f"Loaded back from there by their ids: the model's vectors have a cosine of at least {cosine:.6f} to those",
            f"of `RUN/student`, the tokenizer has {tokens:,} tokens, the dataset {rows:,} rows for training.",
            f"Done on {time.strftime('%Y-%m-%d')} with the run of `hub-distill demo`; written by",
            "`python -m tests.publishing demo-run --out DIR`, which also lays out every file that was pushed.",
        ],
    )


if __name__ == "__main__":
    main()
