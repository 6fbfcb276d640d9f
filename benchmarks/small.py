"""Students of fewer layers, a static one, and the exports: quality, size and speed, for docs/smaller.md.

    python -m benchmarks.small --run RUN --data DATA [--teacher DIR] [--work DIR] [--only NAME ...] [--texts N]
        [--epochs X] [--limit N]

RUN is a finished run of hub-distill, which is only read; DATA the folder with sts/, retrieval/ and bitext/. Students
are made with RUN's tokenizer and trained on its vectors, or with `--texts` on those of as many texts of the language
and of English, which are embedded once. They take the layers of most influence; names like `0,1,2,3,4,11` take these.
`exports` writes RUN's student in all formats. What is done in WORK is used again; `--limit` makes all of it small, to
try it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np

from benchmarks.document import table, write_section
from hub_tools.cloning.clone import clone
from hub_tools.cloning.layers import choose_layers, find_stack, measure_influence
from hub_tools.cloning.static import write_static
from hub_tools.config import EmbedConfig
from hub_tools.config_evaluate import EvaluateConfig
from hub_tools.core.files import read_json, write_json
from hub_tools.core.hardware import choose_hardware, keep_freed_memory
from hub_tools.core.logging import setup_logging
from hub_tools.core.plain import to_plain
from hub_tools.corpus.build import Corpus
from hub_tools.evaluation.costs import sentences_of, texts_of_tasks
from hub_tools.evaluation.evaluate import evaluate
from hub_tools.evaluation.mteb_tasks import chosen_tasks
from hub_tools.evaluation.subject import Subject
from hub_tools.exporting.export import Exported, Format, export
from hub_tools.models.encoder import unit
from hub_tools.models.loading import SAFE, load_model
from hub_tools.models.resolve import find_teacher
from hub_tools.models.sizes import weight_bytes
from hub_tools.reporting.report import read_report
from hub_tools.training.distill import distill
from hub_tools.vectors.agreement import agreement
from hub_tools.vectors.dataset import EmbeddingDataset
from hub_tools.vectors.embed import embed

K = TypeVar("K", bound=Hashable)
STATIC, EXPORTS = "static", "exports"
_ALL = ["6", "4", STATIC, EXPORTS]
_MEASURED, _HELDOUT, _ROUNDS = 400, 200, 21
# What a static student, for which 32 texts are little, is measured with beside its teacher; characters of a sentence.
_MANY, _BATCHES, _LONGEST = 4096, (32, 1024), 200
# Beside the first measure of each task.
_RECALL = "recall@1"


def encode(model: Any, texts: list[str], batch_size: int = 32) -> Any:
    """Encode texts as sentence-transformers does."""
    return model.encode(texts, batch_size=batch_size, show_progress_bar=False)


def ratio(one: list[float], two: list[float]) -> float:
    """Return how many times as long the first takes, the median over rounds: a slow moment hits all of a round."""
    return statistics.median(a / b for a, b in zip(one, two, strict=True))


class Study:
    """A run, and what is made of it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.run: Path = args.run
        self.work: Path = args.work
        self.report = read_report(self.run)
        self.lang, self.targets = self.report.target, self.report.targets
        self.hardware, self.corpus = choose_hardware(args.device, "auto"), Corpus(self.run / "corpus")
        self.teacher = find_teacher(args.teacher or self.report.teacher.spec)
        data = {kind: str(args.data / f"{kind}.tsv.gz") for kind in ("retrieval/xquad-questions", "bitext/ntrex128")}
        questions = data["retrieval/xquad-questions"]
        config = EvaluateConfig(
            sts=tuple(str(args.data / f"sts/stsb-{lang}-test.tsv.gz") for lang in dict.fromkeys((self.lang, "en"))),
            retrieval=(f"{questions},{questions.replace('questions', 'contexts')}",),
            bitext=(data["bitext/ntrex128"],),
        )
        self.tasks = [] if args.limit else chosen_tasks(config, (self.lang,))
        languages = [lang for lang in dict.fromkeys((*self.targets, "en")) if lang in self.corpus.languages]
        count = args.limit or _MEASURED
        self.texts = [text for lang in languages for text in self.corpus.texts(lang, "heldout", count)]
        self.counted = [text for lang in languages for text in self.corpus.texts(lang, "train", 5000)]
        self.work.mkdir(parents=True, exist_ok=True)

    def vectors(self) -> EmbeddingDataset:
        """Return the vectors of the run, or of as many texts as were asked for, which are embedded here."""
        if not self.args.texts:
            return EmbeddingDataset(self.run / "embeddings")
        out, asked = self.work / f"embeddings-{self.args.texts}", self.report.config.embed
        if not (out / "manifest.json").exists():
            limit = ",".join(f"{lang}={self.args.texts}" for lang in dict.fromkeys((*self.targets, "en")))
            config = EmbedConfig.from_dict({**to_plain(asked), "distill_limit": f"{limit},*={self.args.texts // 40}"})
            embed(self.teacher, self.corpus, out, targets=self.targets, config=config, hardware=self.hardware)
        return EmbeddingDataset(out)

    def layers(self, name: str) -> tuple[int, ...]:
        """Return the layers that a name stands for."""
        asked = tuple(map(int, name.split(",")))
        if len(asked) > 1:
            return asked
        stack, file = find_stack(self.teacher), self.work / "influence.json"
        if not file.exists():
            texts = self.texts[: 2 * _HELDOUT]
            found = measure_influence(self._load(self.teacher.path), stack, texts, self.hardware)
            write_json(file, found.tolist())
        return choose_layers(np.array(read_json(file)), stack.kinds, *asked)

    def student(self, name: str) -> Path:
        """Make a student and train it, unless that was done before; return its folder."""
        folder = self.work / name.replace(",", "-")
        made, student, done = folder / "clone", folder / "student", folder / "distill.json"
        if done.exists():
            return student
        tokenizer = self.run / "tokenizer" / self.report.clone.tokenizer
        make = partial(clone, self.teacher, tokenizer, self.corpus, init="mean", targets=self.targets)
        layers = () if name == STATIC else self.layers(name)
        if name == STATIC and not (made / "modules.json").exists():
            made.mkdir(parents=True, exist_ok=True)
            make(folder / "whole")
            write_static(folder / "whole", self.counted, made, self.hardware.exact, SAFE)
        elif not (made / "modules.json").exists():
            make(made, layers=layers)
        config = replace(self.report.config.distill, epochs=self.args.epochs, steps=self.args.limit)
        seed = self.report.config.seed
        started = time.monotonic()
        result = distill(
            made, self.vectors(), student, config, hardware=self.hardware, seed=seed, is_shallow=bool(layers)
        )
        minutes = round((time.monotonic() - started) / 60, 1)
        write_json(done, {"layers": list(layers), "minutes": minutes, "result": to_plain(result)})
        return student

    def _load(self, folder: Path) -> Any:
        return load_model(folder, device=self.hardware.device)

    def compare(self, names: list[str]) -> list[list[str]]:
        """Return the table of teacher, the run's student and these students: all measured now, side by side."""
        folders = {"teacher": self.teacher.path, "student of the run": self.run / "student"}
        titles = {name: "static" if name == STATIC else f"layers {name}" for name in names}
        folders |= {titles[name]: self.student(name) for name in names}
        subjects = {name: Subject(partial(self._load, folder), self.hardware.exact) for name, folder in folders.items()}
        subjects["teacher"].model.prompts = dict(subjects["student of the run"].model.prompts)
        rows = [row for row in evaluate(subjects, self.tasks) if row.is_main or row.metric == _RECALL]
        texts = texts_of_tasks(self.tasks) or self.texts
        sentences = sentences_of(texts)
        weights = {name: weight_bytes(folder, SAFE) for name, folder in folders.items()}
        seconds = self.seconds({name: partial(encode, subject.model, sentences) for name, subject in subjects.items()})
        ratios = {name: ratio(seconds["teacher"], own) for name, own in seconds.items()}
        vectors = {name: subject.encode(self.texts, "query", name) for name, subject in subjects.items()}
        if STATIC in subjects:
            ratios[STATIC] = self.static_ratio(subjects["teacher"].model, subjects[STATIC].model, texts)
        head = ["model", *(f"{row.task}, {row.metric}" for row in rows), "similarities ranked", "MB", "sentences/s"]
        found = [[*head, "times the teacher", "minutes"]]
        teacher = len(sentences) / statistics.median(seconds["teacher"])
        for name in subjects:
            done = self.work / name.removeprefix("layers ").replace(",", "-") / "distill.json"
            trained = read_json(done) if done.exists() else {}
            taken = f" ({', '.join(map(str, trained['layers']))})" if trained.get("layers") else ""
            ranked = agreement(vectors["teacher"], vectors[name]).ranks
            found.append(
                [
                    f"{name}{taken}",
                    *(f"{100 * (row.value(name) or 0):.1f}" for row in rows),
                    f"{100 * ranked:.1f}",
                    f"{weights[name] / 1e6:.1f}",
                    f"{ratios[name] * teacher:.0f}",
                    f"{ratios[name]:.2f}",
                    str(trained.get("minutes", "")),
                ]
            )
        return found

    def static_ratio(self, teacher: Any, static: Any, texts: list[str]) -> float:
        """Return how much faster a static student is: both in turns, each with the batch that suits it better."""
        sentences = [text for text in texts if len(text) <= _LONGEST][:_MANY]
        few = sentences[: _MANY // 32]
        seconds = self.seconds(
            {
                (name, batch): partial(encode, model, own, batch_size=batch)
                for name, model, own in (("teacher", teacher, few), (STATIC, static, sentences))
                for batch in _BATCHES
            }
        )
        best = {
            name: min((seconds[name, batch] for batch in _BATCHES), key=statistics.median)
            for name in ("teacher", STATIC)
        }
        return ratio(best["teacher"], best[STATIC]) * len(sentences) / len(few)

    def seconds(self, runs: Mapping[K, Callable[[], Any]]) -> dict[K, list[float]]:
        """Return how long each takes, round by round, in which all take turns."""
        found: dict[K, list[float]] = {name: [] for name in runs}
        for _ in range(2 if self.args.limit else _ROUNDS):
            for name, run in runs.items():
                run()  # what ran before it leaves its own weights in the caches
                started = time.perf_counter()
                run()
                found[name].append(time.perf_counter() - started)
        return found

    def exports(self) -> list[list[str]]:
        """Return the table of the exports of the run's student beside torch: models take turns, medians."""
        folder = self.run / "student"
        model = self._load(folder)
        texts = sentences_of(texts_of_tasks(self.tasks) or self.texts)
        size = weight_bytes(folder, SAFE)
        torch = partial(encode, model)
        models: dict[str, tuple[int, Callable[[list[str]], Any]]] = {"torch, fp32": (size, torch)}
        for kind in get_args(Format):
            out = self.work / kind
            if not (out / "export.json").exists():
                export(folder, kind, out)
            file = out / read_json(out / "export.json")["file"]
            weights = sum(one.stat().st_size for one in file.parent.iterdir())
            models[kind] = weights, Exported(model, kind, file).encode
        seconds = self.seconds({name: partial(run, texts) for name, (_, run) in models.items()})
        expected = unit(torch(self.texts))
        found = [["runtime", "MB", "sentences/s", "times torch", "least cosine", "similarities ranked"]]
        for name, (weights, run) in models.items():
            vectors = unit(np.asarray(run(self.texts)))
            found.append(
                [
                    name,
                    f"{weights / 1e6:.1f}",
                    f"{len(texts) / statistics.median(seconds[name]):.0f}",
                    f"{ratio(seconds['torch, fp32'], seconds[name]):.2f}",
                    f"{(expected * vectors).sum(axis=1).min():.4f}",
                    f"{100 * agreement(expected, vectors).ranks:.2f}",
                ]
            )
        return found


def sections(study: Study) -> Iterator[str]:
    """Yield the lines of the section."""
    args = study.args
    names = [name for name in args.only if name != EXPORTS]
    options = "" if args.only == _ALL else f" --only {' '.join(args.only)}"
    options += f" --texts {args.texts}" if args.texts and names else ""
    options += f" --epochs {args.epochs:g}" if names else ""
    trained = f"{args.texts:,} texts of each language" if args.texts else "the vectors of the run"
    how = f"{study.hardware}; students trained on {trained}" if names else str(study.hardware)
    yield f"`python -m benchmarks.small --run RUN --data DATA{options}`, {time.strftime('%Y-%m-%d')}, {how}."
    yield (
        f"Models take turns in {_ROUNDS} rounds of 32 texts at once; speeds, and their ratios in a round, are medians. "
        f"The static student has {_MANY:,} sentences beside {_MANY // 32} of its teacher's, each with 32 or 1,024 at "
        "once, whichever is faster."
    )
    yield ""
    if names:
        yield from (*table(study.compare(names)), "")
    if EXPORTS in args.only:
        yield from table(study.exports())


def main() -> None:
    """Make and measure, and write the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", help="where it is now, if not where the run had it")
    parser.add_argument("--work", type=Path, default=Path("small-benchmark"))
    parser.add_argument("--only", nargs="*", default=_ALL, metavar="NAME")
    parser.add_argument("--texts", type=int, default=0, help="of the language and of English, embedded for it")
    parser.add_argument("--epochs", type=float, default=10.0)
    parser.add_argument("--limit", type=int, help="steps, and texts that are measured, to try it; nothing is written")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    setup_logging()
    keep_freed_memory()
    lines = list(sections(Study(args)))
    print("\n".join(lines))
    if not args.limit:
        write_section("smaller.md", "small", lines)


if __name__ == "__main__":
    main()
