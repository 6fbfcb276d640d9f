"""Exports for deployment: ONNX and OpenVINO, in fp32 and int8, each kept only if it gives the model's vectors.

torch.onnx and openvino's reader of ONNX do the work, `graph` what is rounded to int8. They are given the whole model,
from token ids to the sentence's vector: pooling, Dense heads and normalisation are inside, so nothing is left for the
caller to forget. The graph's outputs are `last_hidden_state` and `sentence_embedding`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hub_tools.core.errors import UserError
from hub_tools.core.files import write_json
from hub_tools.core.hardware import Hardware
from hub_tools.core.logging import log
from hub_tools.core.run_dir import check_stage
from hub_tools.core.run_files import check_links
from hub_tools.core.run_record import RECORD, STUDENT, student_of
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.exporting.graph import allow_input, quantize_products, quantize_tables, quantize_weights
from hub_tools.models.encoder import encode, least_cosine, unit
from hub_tools.models.loading import SAFE, LoadPolicy, backbone, load_model
from hub_tools.vectors.agreement import agreement

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

Format = Literal["onnx", "onnx-int8", "openvino", "openvino-int8"]
Vectors = NDArray[np.float32]
# Least cosine between the exported and the original vector of a text; a dropped head falls far below.
PARITY = 0.99
FILES: dict[Format, str] = {
    "onnx": "onnx/model.onnx",
    "onnx-int8": "onnx/model_qint8.onnx",
    "openvino": "openvino/openvino_model.xml",
    "openvino-int8": "openvino/openvino_model_qint8.xml",
}
# Of the order of similarities: what a lossy export may lose without a warning.
_LEVEL = 0.005
# Of what lies beside a model's modules.json.
_LEFT_OUT = (
    ".*", "README.md", "*.safetensors", "*.index.json", "*.bin", "*.h5", "*.msgpack", "*.ot", "*.onnx",
    *{Path(file).parts[0] for file in FILES.values()}, "tensorboard",
)  # fmt: skip
_INPUTS = ("input_ids", "attention_mask")
_UNREAD_INPUT = "token_type_ids"  # runtimes give it to every BERT; the texts here have one type
_OUTPUTS = ("last_hidden_state", "sentence_embedding")
_GATE_PAIRS, _GATE_BATCH = 30, 7
_AGREEMENT_PAIRS = 100
_CPU = Hardware(device="cpu", precision="fp32")


def export(source: Path, kind: Format, out: Path | None = None, *, policy: LoadPolicy = SAFE) -> dict[str, Any]:
    """Export a model, and keep the export only if it gives the model's vectors.

    `source` is a run folder, whose student is taken, or the folder of a sentence-transformers model. Without `out` the
    export stands beside the model, named after the format.

    Returns:
        format, file, least cosine, texts, how alike similarities are ordered, bytes of the export, and its folder.

    Raises:
        UserError: there is no such model, a file is damaged or a link out of its folder, a library is missing, `out` is
            not empty, or the vectors are not the same.
    """
    folder = find_model(source).resolve()  # "." has no name to call the export after
    check_links(folder)
    check_stage(folder)
    _check_libraries(kind)
    out = out or folder.with_name(f"{folder.name}-{kind}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--output {out} is not empty. Choose another folder, or delete it to export again.")
    model = load_model(folder, device="cpu", policy=policy)
    if not hasattr(model[0], "auto_model"):
        raise UserError(
            f"{folder} begins with a {type(model[0]).__name__}: a table of rows, which needs no export. "
            "Its model.safetensors is read by model2vec and sentence-transformers as it is."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        partial = Path(scratch) / "export"
        _copy_settings(folder, partial)
        log.info("exporting %s as %s", folder, kind)
        file = partial / FILES[kind]
        file.parent.mkdir(parents=True, exist_ok=True)
        batches = _gate_batches()
        texts = [text for batch in batches for text in batch]
        with _explain_failure(model, kind):
            _write(model, kind, file)
            exported = Exported(model, kind, file)
            vectors = np.concatenate([exported(batch) for batch in batches])
        least = check_parity(encode(model, texts, _CPU), vectors, kind)
        facts = {"format": kind, "file": FILES[kind], "least_cosine": round(least, 6), "texts": len(texts)}
        facts["similarities_ranked"] = round(_agreement(model, exported), 5)
        write_json(partial / "export.json", facts)
        if out.exists():
            out.rmdir()
        partial.replace(out)
    size = sum(f.stat().st_size for f in (out / FILES[kind]).parent.iterdir())
    return {**facts, "bytes": size, "folder": str(out)}


def find_model(source: Path) -> Path:
    """Return the folder of a model, or of the student of a run; a UserError says that there is neither."""
    inside = [student_of(source)] if (source / RECORD).is_file() else [source / STUDENT]
    for folder in (*inside, source):
        if (folder / "modules.json").exists():
            return folder
    raise UserError(f"{source} is no finished run and no sentence-transformers model. Expected a folder of either.")


def _check_libraries(kind: Format) -> None:
    for name in ("onnx", "onnxscript", "openvino" if kind.startswith("openvino") else "onnxruntime"):
        try:
            import_module(name)
        except ImportError as error:
            raise UserError(
                f"--format {kind} needs the package {name}. Run: pip install 'hub-tools[export]'"
            ) from error


def _copy_settings(folder: Path, out: Path) -> None:
    """Copy tokenizer, configurations and the other modules; nothing that holds the first module's weights."""

    def leave_out(where: str, names: list[str]) -> set[str]:
        patterns = _LEFT_OUT if Path(where) == folder else (".*",)
        return set(shutil.ignore_patterns(*patterns)(where, names))

    shutil.copytree(folder, out, ignore=leave_out)


@contextmanager
def _explain_failure(model: SentenceTransformer, kind: Format) -> Iterator[None]:
    """Turn whatever an exporter raises, of many kinds and on many lines, into one line."""
    try:
        yield
    except Exception as error:
        name = type(backbone(model)).__name__
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(
            f"The exporter of --format {kind} cannot write or read this {name}: {reason} Nothing was written. "
            "Deploy the model itself, or try another --format."
        ) from error


def _gate_batches() -> list[list[str]]:
    """Return texts of many lengths in two languages, together and alone, with an empty one and one of all others."""
    pairs = list(read_table(sample_file("tr-en.tsv")))[:_GATE_PAIRS]
    texts = [pair[lang] for pair in pairs for lang in ("tr", "en")]
    extremes = ["", "a", " ".join(texts)]
    texts += extremes
    together = [texts[start : start + _GATE_BATCH] for start in range(0, len(texts), _GATE_BATCH)]
    return [*together, *([text] for text in extremes)]


def _agreement(model: SentenceTransformer, exported: Exported) -> float:
    """Return how alike model and export order the similarities of texts, 1 for the same order (Spearman)."""
    pairs = list(read_table(sample_file("tr-en.tsv")))[:_AGREEMENT_PAIRS]
    texts = [pair[lang] for pair in pairs for lang in ("tr", "en")]
    found = agreement(unit(encode(model, texts, _CPU)), unit(exported.encode(texts)))
    if found.ranks < 1 - _LEVEL:
        log.warning(
            "  the export orders similarities %.1f of 100 as the model does: measure it before you rely on it",
            100 * found.ranks,
        )
    return found.ranks


def check_parity(expected: Vectors, exported: Vectors, kind: str) -> float:
    """Return the least cosine of vectors, shape (texts, dim); a UserError if it is below `PARITY` or widths differ."""
    if expected.shape != exported.shape:
        raise UserError(
            f"The {kind} export gives {exported.shape[-1]} numbers for a text, the model {expected.shape[-1]}: a Dense "
            "head was dropped. Nothing was written."
        )
    if not np.isfinite(exported).all():
        raise UserError(
            f"The {kind} export gives vectors that are not finite. Nothing was written. Try another --format."
        )
    least = least_cosine(expected, exported)
    if least < PARITY:
        raise UserError(
            f"The {kind} export gives other vectors than the model: the least cosine is {least:.4f}, expected at least "
            f"{PARITY}. Nothing was written. Deploy the model itself, or try another --format."
        )
    return least


def whole(model: SentenceTransformer) -> torch.nn.Module:
    """Return the model as a function of token ids and attention mask, to hidden states and vectors."""
    import torch

    width = model.truncate_dim  # None means all

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(list(model))

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            features: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
            for part in self.parts:
                features = part(features)
            return features["token_embeddings"], features["sentence_embedding"][:, :width]

    backbone(model).set_attn_implementation("eager")  # plain operations, which every exporter knows
    return Whole()


def _write(model: SentenceTransformer, kind: Format, file: Path) -> None:
    """Write the exported graph; the other formats are made from the one in ONNX."""
    onnx: Any = import_module("onnx")
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "model.onnx"
        _write_onnx(model, plain)
        loaded = onnx.load(plain)
        # Shapes that the exporter noted before it folded weights; what reads the graph infers them again. What it noted
        # of torch's code is a megabyte.
        del loaded.graph.value_info[:]
        for node in loaded.graph.node:
            del node.metadata_props[:]
        if kind.endswith("int8"):
            quantize_tables(loaded.graph)
        if kind == "onnx-int8":
            quantize_products(loaded.graph)
        if kind == "openvino-int8":
            quantize_weights(loaded.graph)
        if kind.startswith("onnx"):
            allow_input(loaded.graph, _UNREAD_INPUT)
            onnx.save(loaded, file)
            return
        onnx.save(loaded, plain)
        openvino: Any = import_module("openvino")
        openvino.save_model(openvino.convert_model(str(plain)), str(file), compress_to_fp16=False)


def _write_onnx(model: SentenceTransformer, file: Path) -> None:
    import torch

    free = torch.export.Dim.DYNAMIC
    example: Any = model.tokenizer(["one", "two words and some more"], padding=True, return_tensors="pt")
    inputs = tuple(example[name] for name in _INPUTS)
    names: Any = {"input_names": list(_INPUTS), "output_names": list(_OUTPUTS)}
    options: Any = {"dynamic_shapes": {name: {0: free, 1: free} for name in _INPUTS}, "external_data": False}
    with torch.no_grad():
        torch.onnx.export(whole(model).eval(), inputs, str(file), **names, **options, dynamo=True, verbose=False)


class Exported:
    """An export as a function of texts, by its runtime alone, with the model's tokenizer, default prompt and length.

    `threads` are the cores that it runs on, all by default.
    """

    def __init__(self, model: SentenceTransformer, kind: Format, file: Path, threads: int | None = None) -> None:
        self.model, threads = model, threads or os.cpu_count() or 1
        self._run: Callable[[dict[str, Any]], Vectors]
        self.prompt = model.prompts.get(model.default_prompt_name or "") or ""
        if kind.startswith("openvino"):
            options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
            openvino: Any = import_module("openvino")
            compiled = openvino.Core().compile_model(str(file), "CPU", options)
            self._run = lambda inputs: compiled(inputs)[_OUTPUTS[1]]
        else:
            runtime: Any = import_module("onnxruntime")
            settings = runtime.SessionOptions()
            settings.intra_op_num_threads = threads
            session = runtime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
            self._run = lambda inputs: session.run([_OUTPUTS[1]], inputs)[0]

    def __call__(self, texts: list[str]) -> Vectors:
        """Return the vectors of texts that are read together, shape (texts, dim)."""
        encoded = self.model.tokenizer(
            [self.prompt + text for text in texts],
            padding=True,
            truncation=True,
            max_length=self.model.max_seq_length,
            return_tensors="np",
        )
        vectors: Vectors = self._run({name: encoded[name].astype(np.int64) for name in _INPUTS})
        return vectors

    def encode(self, texts: list[str], batch: int = 32) -> Vectors:
        """Return the vectors of any number of texts, the longest first, so many at a time."""
        order = np.argsort([-len(text) for text in texts], kind="stable")
        found = [self([texts[i] for i in order[start : start + batch]]) for start in range(0, len(texts), batch)]
        vectors = np.concatenate(found)
        return vectors[np.argsort(order)]
