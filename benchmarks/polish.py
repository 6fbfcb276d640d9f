"""What training with labels after the distillation brings and costs, part by part, for docs/results.md.

    python -m benchmarks.polish --run RUN --data DATA [--student DIR] [--lang tr] [--work DIR] [--limit N]
        [--only NAME ...] [--option NAME=JSON ...]

RUN is a finished run of hub-distill, DATA the folder with sts/, retrieval/ and pairs/. Trained on are STSb train (of
the language and English) and, for Turkish, TQuAD and headings with their passages; choices are made on a tenth of each
that is held out. Tests are STSb test, XQuAD, NTREX and SIB-200, whose texts are dropped from the training. Each variant
is kept in WORK/NAME, NAME being that of RUN, and one that is cut off is continued. `--student` is trained instead of
RUN's, one of fewer layers for example, and WORK/NAME is named after it too. `--only` names variants; the section has a
table for each study in WORK, with all that are done. `--option` changes an option of all variants, by its name in
[finetune] of a configuration; give another WORK then.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.document import table, write_section
from hub_tools.config_evaluate import EvaluateConfig
from hub_tools.config_finetune import FinetuneConfig
from hub_tools.core.files import hash_file, read_json, write_json
from hub_tools.core.hardware import choose_hardware, keep_freed_memory
from hub_tools.core.logging import setup_logging
from hub_tools.core.plain import to_plain
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.readers import column_names
from hub_tools.evaluation.evaluate import evaluate
from hub_tools.evaluation.mteb_tasks import chosen_tasks
from hub_tools.evaluation.smaller import smaller_vectors
from hub_tools.evaluation.subject import Subject
from hub_tools.evaluation.tasks import evaluation_texts
from hub_tools.finetuning.data import Labelled, read_labelled
from hub_tools.finetuning.finetune import finetune
from hub_tools.models.loading import load_model
from hub_tools.models.resolve import find_teacher
from hub_tools.reporting.report import read_report
from hub_tools.vectors.dataset import EmbeddingDataset

LENGTHS = (256, 128, 64)
HEAD_RETRIEVAL = "recall@1"  # beside the first measure of each task


class Variant(NamedTuple):
    """A training, by what it changes in the options."""

    title: str
    skills: tuple[str, ...]
    changes: dict[str, Any]


SKILLS = ("retrieval", "sts")
VARIANTS = {
    "all": Variant("retrieval and similarity", SKILLS, {}),
    "sts": Variant("similarity alone", ("sts",), {}),
    "retrieval": Variant("retrieval alone", ("retrieval",), {}),
    "pseudo": Variant("no labels: queries made from paragraphs", ("paragraphs",), {}),
    "no-anchor": Variant("both, without anchors", SKILLS, {"anchors": 0}),
    "no-average": Variant("both, all of what each changed", SKILLS, {"shares": (1.0,)}),
    "matryoshka": Variant("both, also trained for 256, 128 and 64 numbers", SKILLS, {"matryoshka": LENGTHS}),
}


# Variants with the data of `all`, from the same distilled student: the trainings are the same, to the byte.
_SAME_TRAININGS = ("retrieval", "no-average")
# Variants of which leading parts of the vectors are measured.
_SHORTENED = ("all", "matryoshka")


class Study:
    """A run, its data, and what is measured."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.run, self.data, self.lang = args.run, args.data, args.lang
        self.student: Path = args.student or self.run / "student"
        own = [args.student.parent.name] if args.student else []
        self.work: Path = args.work / "-".join([args.run.name, *own])
        self.limit, self.changes = args.limit, dict(map(_option, args.option))
        self.report = read_report(self.run)
        self.hardware = choose_hardware(args.device, "auto")
        teacher = find_teacher(args.teacher or self.report.teacher.spec)
        self.teacher = self._subject(teacher.path, teacher.identity)
        self.targets = tuple(dict.fromkeys((self.lang, *self.report.targets)))
        xquad = self._pair("retrieval/xquad-questions", "retrieval/xquad-contexts")
        config = EvaluateConfig(
            sts=tuple(self._file(f"sts/stsb-{lang}-test") for lang in (self.lang, "en")),
            retrieval=xquad if self.lang in column_names(Path(self._file("retrieval/xquad-questions"))) else (),
            bitext=(self._file("bitext/ntrex128"),),
            classification=(self._file("classification/sib200"),),
        )
        self.tasks = chosen_tasks(config, (self.lang,))
        self.work.mkdir(parents=True, exist_ok=True)
        named = {"student": args.student and "STUDENT", "limit": args.limit}
        options = "".join(
            [
                *(f" --{name} {value}" for name, value in named.items() if value),
                *(f" --option {one}" for one in args.option),
            ]
        )
        how = (
            f"Written by `python -m benchmarks.polish --run RUN --data DATA --lang {self.lang}{options}` on "
            f"{time.strftime('%Y-%m-%d')}; {self.hardware}. Rows of kinds that were trained for are supervised."
        )
        write_json(self.work / "study.json", {"how": how})
        self.untrained("student", self._subject(self.student, "student"))
        self.untrained("teacher", self.teacher)

    def _file(self, name: str) -> str:
        return str(self.data / f"{name}.tsv.gz")

    def _pair(self, queries: str, passages: str) -> tuple[str, ...]:
        return (f"{self._file(queries)},{self._file(passages)}",)

    def _subject(self, folder: Path, identity: str) -> Subject:
        load = partial(load_model, folder, device=self.hardware.device)
        return Subject(load, self.hardware, cache=self.work / "vectors", identity=identity)

    def options(self, variant: Variant) -> FinetuneConfig:
        """Return the options of a variant, with the files that there are in the language."""
        of_turkish = self.lang == "tr"
        tquad = self._pair("retrieval/tquad-train-tr-questions", "retrieval/tquad-train-tr-contexts")
        files = {
            "sts": tuple(self._file(f"sts/stsb-{lang}-train") for lang in dict.fromkeys((self.lang, "en"))),
            "retrieval": (*tquad, self._file("pairs/query-passage-tr")) if of_turkish else (),
            "paragraphs": (self._file("paragraphs/paragraphs-tr"),) if of_turkish else (),
        }
        chosen = {skill: files[skill] for skill in variant.skills}
        return FinetuneConfig.from_dict({**chosen, "limit": self.limit, **self.changes, **variant.changes})

    def train(self, name: str) -> None:
        """Train a variant and measure it, unless that was done before."""
        file, out = self.work / f"{name}.json", self.work / name
        if file.exists():
            return
        out.mkdir(exist_ok=True)
        config = self.options(VARIANTS[name])
        if not config.is_asked:
            return
        if name in _SAME_TRAININGS:
            self.take_trainings(VARIANTS[name].skills, out)
        result = finetune(
            self.student,
            self.teacher,
            Corpus(self.run / "corpus"),
            EmbeddingDataset(self.run / "embeddings"),
            self.labelled(config),
            out=out,
            config=config,
            targets=self.targets,
            evaluation=evaluation_texts(self.tasks, self.targets),
            hardware=self.hardware,
            seed=self.report.config.seed,
        )
        subject = self._subject(out, hash_file(out / "model.safetensors"))
        scores = self.measure(subject)
        if name in _SHORTENED:
            scores |= self.shortened(subject)
        write_json(file, {"scores": scores, "result": to_plain(result)})

    def take_trainings(self, skills: tuple[str, ...], out: Path) -> None:
        """Copy the finished trainings of `all`, of which the variant keeps other parts."""
        for checkpoint in (self.work / "all").glob("[0-9]-*/checkpoint-*"):
            skill = checkpoint.parent.name
            if skill.partition("-")[2] in skills and not (out / skill).exists():
                shutil.copytree(checkpoint, out / skill / checkpoint.name)

    def labelled(self, config: FinetuneConfig) -> list[Labelled]:
        """Read the data; a limit is for passages, which take nearly all of the time."""
        scores = read_labelled(replace(config, limit=None, retrieval=(), paragraphs=()), (self.lang,))
        return [*read_labelled(replace(config, sts=()), (self.lang,)), *scores]

    def measure(self, subject: Subject) -> dict[str, float]:
        """Return the first measure of each test, x100, and the share of questions answered by the first passage."""
        rows = evaluate({"model": subject}, self.tasks)
        shown = [row for row in rows if row.is_main or row.metric == HEAD_RETRIEVAL]
        return {f"{row.task}, {row.metric}": round(100 * (row.value("model") or 0), 2) for row in shown}

    def shortened(self, subject: Subject) -> dict[str, float]:
        """Return the same of leading parts of the vectors, as far as tasks have it."""
        found = smaller_vectors({"model": subject}, self.tasks, LENGTHS)
        return {
            f"{one.task}, {form}": round(100 * figure.value, 2)
            for one in found
            for form, figure in one.figures.items()
            if figure is not None
        }

    def untrained(self, name: str, subject: Subject) -> None:
        """Measure a model as it is, once."""
        file = self.work / f"test-{name}.json"
        if not file.exists():
            write_json(file, self.measure(subject))


def rows(folder: Path) -> Iterator[list[str]]:
    """Yield the table of a study: teacher, distilled student, and each variant that is done."""
    first, teacher = (read_json(folder / f"test-{name}.json") for name in ("student", "teacher"))
    yield ["test, x100", *first, "share taken"]
    for title, found in (("teacher", teacher), ("distilled student", first)):
        yield [title, *(f"{found[key]:.1f}" for key in first), ""]
    for name, variant in VARIANTS.items():
        if (file := folder / f"{name}.json").exists():
            found = read_json(file)
            taken = ", ".join(f"{s['skill']} {s['share']:g}" for s in found["result"]["skills"] if s["taken"])
            yield [variant.title, *(f"{found['scores'][key]:.1f}" for key in first), taken or "none"]


def shortened_rows(folder: Path) -> Iterator[list[str]]:
    """Yield the table of leading parts of the vectors, without and with training for them."""
    found = {name: read_json(folder / f"{name}.json")["scores"] for name in _SHORTENED}
    yield ["test, x100", "numbers", *(VARIANTS[name].title for name in _SHORTENED)]
    for key in found["matryoshka"]:
        task, _, form = key.rpartition(", ")
        if form == "float32" or form.endswith("numbers"):
            yield [task, form.removesuffix(" numbers"), *(f"{scores[key]:.1f}" for scores in found.values())]


def document(work: Path) -> None:
    """Write the section from all studies that there are."""
    lines = []
    for file in sorted(work.glob("*/study.json")):
        folder = file.parent
        lines += [f"### {folder.name}", "", read_json(file)["how"], "", *table(list(rows(folder))), ""]
        if all((folder / f"{name}.json").exists() for name in _SHORTENED):
            lines += ["Leading parts of the vectors:", "", *table(list(shortened_rows(folder))), ""]
    write_section("results.md", "polish", lines)


def _option(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, json.loads(value)


def main() -> None:
    """Train and measure the variants, and write the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", help="where it is now, if not where the run had it")
    parser.add_argument("--student", type=Path, help="trained instead of the run's")
    parser.add_argument("--lang", default="tr")
    parser.add_argument("--work", type=Path, default=Path("polish-benchmark"))
    parser.add_argument("--limit", type=int, help="most examples of each file with passages")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=JSON", help="of all variants: epochs=2")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    args = parser.parse_args()
    setup_logging()
    keep_freed_memory()
    study = Study(args)
    for name in args.only:
        study.train(name)
        document(args.work)  # after each: one that is cut off leaves what was measured


if __name__ == "__main__":
    main()
