"""What `tests.fuzz` damages: sound inputs of each kind, and the reading of them as the tool does it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hub_tools.config import RunConfig
from hub_tools.core.files import write_text
from hub_tools.corpus.readers import read_table, sample_file

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Input:
    """A kind of input: `write` makes a sound one in an empty folder, `read` reads it after one file was damaged."""

    write: Callable[[Path], object]
    read: Callable[[Path, Path], object]
    share: int  # of all inputs, in percent


@cache
def _pairs() -> tuple[tuple[str, str], ...]:
    return tuple((row["tr"], row["en"]) for row in read_table(sample_file("tr-en.tsv")))[:200]


def _write_table(folder: Path, name: str, rows: Rows) -> None:
    """Write a table in every format that is read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = list(rows[0])
    cells = [columns, *([str(row[column]) for column in columns] for row in rows)]
    texts = {
        "tsv": "".join("\t".join(line) + "\n" for line in cells),
        "csv": "".join(",".join(json.dumps(cell, ensure_ascii=False) for cell in line) + "\n" for line in cells),
        "jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
    }
    for ending, text in texts.items():
        write_text(folder / f"{name}.{ending}", text)
        (folder / f"{name}.{ending}.gz").write_bytes(gzip.compress(text.encode()))
    for compression in ("snappy", "none", "zstd"):
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}-{compression}.parquet", compression=compression)


def _write_text(folder: Path) -> None:
    texts = [target for target, _ in _pairs()]
    write_text(folder / "text.txt", "\n".join(texts) + "\n")
    (folder / "text.txt.gz").write_bytes(gzip.compress("\n".join(texts).encode()))
    _write_table(folder, "text", [{"id": i, "text": text} for i, text in enumerate(texts)])


def _read_text(_folder: Path, file: Path) -> None:
    from hub_tools.corpus.sources import find_sources

    for source in find_sources(str(file), ("tr",), seed=1):
        for text in source.open():
            text.encode()


def _write_parallel(folder: Path) -> None:
    _write_table(folder, "pairs", [{"tr": target, "en": source} for target, source in _pairs()])


def _read_parallel(folder: Path, file: Path) -> None:
    from hub_tools.corpus.build import build_corpus
    from hub_tools.corpus.sources import Source

    out = folder.parent / "corpus"
    shutil.rmtree(out, ignore_errors=True)
    own = Source(lang="tr", name="own", identity=None, open=lambda: (target for target, _ in _pairs()))
    options: dict[str, Any] = {"targets": ("tr",), "languages": ("tr",), "limits": {}, "seed": 1, "max_tokens": 64}
    build_corpus(out, [own], [file], tokenizer=_tiny_tokenizer(), **options)


@cache
def _tiny_tokenizer() -> Any:
    from hub_tools.models.tokenizer import read_model_tokenizer

    return read_model_tokenizer(tiny_teacher()).load()


def _write_data(folder: Path) -> None:
    pairs = [{"sentence1": t, "sentence2": s, "score": i % 6 / 2, "label": i % 2} for i, (t, s) in enumerate(_pairs())]
    _write_table(folder, "pairs", pairs)
    labelled = [{"text": t, "label": i % 3, "split": ("train", "test")[i % 2]} for i, (t, _) in enumerate(_pairs())]
    _write_table(folder, "labelled", labelled)
    _write_table(folder, "bitext", [{"tr": target, "en": source} for target, source in _pairs()])
    _write_table(folder, "passages", [{"id": i, "text": target} for i, (target, _) in enumerate(_pairs())])
    _write_table(folder, "questions", [{"text": source, "passage_id": i} for i, (_, source) in enumerate(_pairs())])


# Name of a table of `_write_data` -> the options that take it, and what is given to them.
_DATA = {
    "pairs": {"sts": "{file}", "pairs": "{file}"},
    "labelled": {"classification": "{file}", "clustering": "{file}"},
    "bitext": {"bitext": "{file}"},
    "passages": {"retrieval": "{folder}/questions.tsv,{file}"},
    "questions": {"retrieval": "{file},{folder}/passages.tsv"},
}


def _read_data(folder: Path, file: Path) -> None:
    """Read data to measure on, by every option that takes such a table."""
    from hub_tools.evaluation.tasks import read_tasks

    for option, spec in _DATA[file.name.partition(".")[0].partition("-")[0]].items():
        read_tasks(option, [spec.format(file=file, folder=folder)], ("tr",))


def _write_configuration(folder: Path) -> None:
    config = RunConfig.from_dict({"teacher": "org/name", "lang": "tr", "distill": {"steps": 3}})
    write_text(folder / "run.toml", config.to_toml())


def _read_configuration(_folder: Path, file: Path) -> None:
    RunConfig.from_toml(file, {})


def _read_upload(_folder: Path, file: Path) -> None:
    """Read a file that a visitor of the page sent."""
    from hub_tools.space.documents import from_file

    from_file(file)


def _write_upload(folder: Path) -> None:
    texts = [target for target, _ in _pairs()]
    write_text(folder / "text.txt", "\n\n".join(texts))
    write_text(folder / "text.csv", "".join(f'{i};"{text}"\n' for i, text in enumerate(texts)))


def tiny_teacher() -> Path:
    """Return a small teacher, which is made once for all."""
    return Path(os.environ["HUB_TOOLS_FUZZ_TEACHER"])


def _write_teacher(folder: Path) -> None:
    shutil.copytree(tiny_teacher(), folder, dirs_exist_ok=True)


def _read_teacher(folder: Path, _file: Path) -> None:
    """Clone a teacher and let the clone encode."""
    _encode(_run(folder, "clone", teacher=str(folder)) / "clone")


def _write_tokenizer(folder: Path) -> None:
    from hub_tools.tokenization.tokenizer_json import TOKENIZER_FILES

    for name in TOKENIZER_FILES:
        if (tiny_teacher() / name).exists():
            shutil.copy(tiny_teacher() / name, folder / name)


def _read_tokenizer(folder: Path, _file: Path) -> None:
    _encode(_run(folder, "clone", tokenizer={"use": str(folder)}) / "clone")


def _write_vectors(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"text": target, "embedding": [0.6, 0.8, *[0.0] * 30]} for target, _ in _pairs()]
    pq.write_table(pa.Table.from_pylist(rows), folder / "train-00000.parquet")


def _read_vectors(folder: Path, _file: Path) -> None:
    """Take vectors that others computed."""
    _run(folder, "embed", corpus={"sources": ["sample"], "limit": 5}, embed={"use": str(folder)})


def _write_run(folder: Path) -> None:
    _run(folder, "publish", evaluate={"sts": [str(sample_file("sts.tsv"))]})


def _read_run(folder: Path, _file: Path) -> None:
    """Show what would be published, or do the job again where it stands."""
    from hub_tools.hub.publish import plan_push

    os.environ["HF_TOKEN"] = "hf_nobody"
    plan_push(folder, {"namespace": "ada"})


def _read_run_again(folder: Path, _file: Path) -> None:
    _write_run(folder)
    _encode(folder / "student")


def _run(folder: Path, last: str, **options: Any) -> Path:
    """Do a small job up to a stage, in a folder of its own beside the input unless the input is a run."""
    from hub_tools.pipeline import run

    output = folder if last == "publish" else folder.parent / "run"
    if last != "publish":
        shutil.rmtree(output, ignore_errors=True)
    values: dict[str, Any] = {
        "teacher": str(tiny_teacher()),
        "lang": "tr",
        "output": str(output),
        "precision": "fp32",
        "device": "cpu",
        "corpus": {"sources": ["sample"], "limit": 60},
        "tokenizer": {"vocab_size": 3000},
        "embed": {"distill_limit": 20},
        "distill": {"steps": 1, "batch_tokens": 512},
    }
    if "use" in options.get("tokenizer", {}):
        values["tokenizer"] = {}
    run(RunConfig.from_dict({**values, **options}), last=last)
    return output


def _encode(model: Path) -> None:
    import numpy as np

    from hub_tools.models.loading import load_model

    assert np.isfinite(load_model(model, device="cpu").encode(["Kütüphane açık.", ""])).all()


INPUTS = {
    "configuration": Input(_write_configuration, _read_configuration, 15),
    "text": Input(_write_text, _read_text, 40),
    "parallel text": Input(_write_parallel, _read_parallel, 10),
    "data to measure on": Input(_write_data, _read_data, 14),
    "upload": Input(_write_upload, _read_upload, 12),
    "teacher": Input(_write_teacher, _read_teacher, 3),
    "tokenizer": Input(_write_tokenizer, _read_tokenizer, 1),
    "vectors": Input(_write_vectors, _read_vectors, 1),
    "run, published": Input(_write_run, _read_run, 3),
    "run, continued": Input(_write_run, _read_run_again, 1),
}
