"""What a teacher that knows the language is best trained towards: goals of pairs, on dev data; for docs/results.md.

    python -m benchmarks.goals --teacher E5 --trim TRIM --data DATA [--work DIR] [--run TITLE=RUN ...]

E5 is a folder with multilingual-e5-small, TRIM its trim that `benchmarks.evaluation` makes (WORK/run/clone there). The
trim is trained for 150 steps of 2,048 tokens on the same few texts towards different goals, and measured as it is then
and half-way to its start. No test split is read. Each training is kept in WORK as it is finished. RUN is a finished run
of hub-distill, whose student is measured too.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.document import table, write_section
from benchmarks.tables import rows_of
from hub_tools.config import DistillConfig
from hub_tools.core.files import read_json, write_json
from hub_tools.core.hardware import Hardware
from hub_tools.evaluation.subject import Subject
from hub_tools.models.encoder import Encoder, unit
from hub_tools.models.loading import load_model
from hub_tools.training.data import TokenizedTexts, TrainingSet
from hub_tools.training.trainer import Trainer

CPU = Hardware(device="cpu", precision="fp32")
LONGEST, HELDOUT, STEPS, STEP_TOKENS, RATE = 256, 100, 150, 2048, 3e-5
# Characters of the English side; places of nDCG.
SHORTEST_PAIR, CUTOFF = 40, 10
TEXTS = {"tr": 4000, "en": 3000, "paragraphs": 1000, "pairs": 4000}
SIDES = ("sentence1", "sentence2")
QUERY, DOCUMENT = "query: ", "passage: "
Vectors = NDArray[np.float32]
# Dev measure -> its name in the table.
MEASURES = {
    "sts_tr": "STSb-tr",
    "sts_en": "STSb-en",
    "bitext": "WMT 2016 tr-en",
    "r@1": "headings R@1",
    "ndcg": "nDCG@10",
}


def between(first: Vectors, second: Vectors) -> Vectors:
    """Return the vectors half-way between those of two sides, rows of length one, shape (n, dim)."""
    return unit(unit(first) + unit(second))


class Goal(NamedTuple):
    """Towards what pairs are trained, behind the query prompt."""

    title: str
    is_between: bool


GOALS = {
    "own3e-5": Goal("each text its own vector", is_between=False),
    "mean3e-5": Goal("pairs half-way, behind the query prompt", is_between=True),
}


class Data:
    """Texts to train on, and the dev data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def rows(self, name: str) -> Iterator[dict[str, str]]:
        """Yield the rows of a table."""
        return rows_of(self.folder / f"{name}.tsv.gz")

    def lines(self, name: str, count: int) -> list[str]:
        """Return the first lines of a text."""
        with gzip.open(self.folder / f"text/{name}.txt.gz", "rt", encoding="utf-8") as lines:
            return lines.read().splitlines()[:count]

    @cached_property
    def headings(self) -> tuple[list[str], list[str]]:
        """Headings and the passages under them, for retrieval."""
        rows = list(self.rows("pairs/query-passage-tr"))
        queries: list[str] = []
        passages: list[str] = []
        seen: set[str] = set()
        for number in np.random.default_rng(0).permutation(len(rows))[:800]:
            row = rows[number]
            if row["positive"] not in seen and row["query"] not in queries:
                seen.add(row["positive"])
                queries.append(row["query"])
                passages.append(row["positive"][:1200])
        return queries, passages

    @cached_property
    def training(self) -> dict[str, Any]:
        """Sentences, paragraphs and pairs; no paragraph is a passage of the headings."""
        rng = np.random.default_rng(1)
        by_source: dict[str, list[str]] = {}
        for row in self.rows("paragraphs/paragraphs-tr"):
            by_source.setdefault(row["source"], []).append(row["text"])
        known = {passage[:200] for passage in self.headings[1]}
        paragraphs: list[str] = []
        for _, own in sorted(by_source.items()):
            chosen = rng.permutation(len(own))[: min(len(own), max(1, 3500 // len(by_source)))]
            paragraphs += [own[number] for number in chosen]
        paragraphs = [text[:600] for text in paragraphs if text[:200] not in known]
        rng.shuffle(paragraphs)
        pairs = [(row["en"], row["tr"]) for row in self.rows("bitext/en-tr-train") if len(row["en"]) > SHORTEST_PAIR]
        pairs += [(row["en"], row["tr"]) for row in self.rows("bitext/en-tr-more") if "3b1b" not in row["source"]]
        return {
            "tr": self.lines("tr", TEXTS["tr"]),
            "en": self.lines("en", TEXTS["en"]),
            "paragraphs": paragraphs[: TEXTS["paragraphs"]],
            "pairs": [pairs[number] for number in rng.permutation(len(pairs))[: TEXTS["pairs"]]],
        }


def dev_scores(model: Any, data: Data) -> dict[str, float]:
    """Return the dev measures of a model, x100."""
    subject = Subject(lambda: model, CPU, longest=LONGEST)
    found: dict[str, float] = {}
    for lang in ("tr", "en"):
        rows = list(data.rows(f"sts/stsb-{lang}-dev"))
        first, second = (
            subject.encode([row[side] for row in rows], "query", side) for side in rows[0] if "sent" in side
        )
        found[f"sts_{lang}"] = spearmanr((first * second).sum(axis=1), [float(row["score"]) for row in rows])[0]
    rows = list(data.rows("bitext/newstest2016-en-tr"))[:1000]
    english, turkish = (subject.encode([row[lang] for row in rows], "query", lang) for lang in ("en", "tr"))
    similarities, own = english @ turkish.T, np.arange(len(rows))
    found["bitext"] = float(np.mean([(similarities.argmax(axis=axis) == own).mean() for axis in (0, 1)]))
    queries, passages = data.headings
    similarities = subject.encode(queries, "query", "headings") @ subject.encode(passages, "document", "passages").T
    place = (similarities > similarities.diagonal()[:, None]).sum(axis=1)
    found["r@1"] = float((place == 0).mean())
    found["ndcg"] = float(np.where(place < CUTOFF, 1 / np.log2(place + 2), 0).mean())
    return {name: round(100 * float(value), 2) for name, value in found.items()}


class Study:
    """The teacher's vectors, and trainings from the trim."""

    def __init__(self, teacher: Path, trim: Path, data: Data, work: Path) -> None:
        self.teacher, self.trim, self.data, self.work = teacher, trim, data, work
        work.mkdir(parents=True, exist_ok=True)

    def vectors(self, name: str, texts: list[str], prompt: str) -> Vectors:
        """Return the teacher's vectors of texts, computed once."""
        file = self.work / f"{name}.npy"
        if not file.exists():
            model = load_model(self.teacher, device="cpu")
            model.max_seq_length = LONGEST
            np.save(file, unit(Encoder(model, CPU)(texts, prompt).vectors))
        found: Vectors = np.load(file)
        return found

    def parts(self, goal: Goal) -> list[tuple[list[str], str, Vectors]]:
        """Return texts, each part with its prompt and its goals."""
        texts = self.data.training
        plain = (("v-tr", texts["tr"], QUERY), ("v-en", texts["en"], QUERY), ("v-paras", texts["paragraphs"], DOCUMENT))
        parts = [(own, prompt, self.vectors(name, own, prompt)) for name, own, prompt in plain]
        sides = [list(side) for side in zip(*texts["pairs"], strict=True)]
        found = [self.vectors(name, own, QUERY) for name, own in zip(("v-src", "v-tgt"), sides, strict=True)]
        goals = [between(*found)] * 2 if goal.is_between else found
        return parts + [(own, QUERY, wanted) for own, wanted in zip(sides, goals, strict=True)]

    def train(self, name: str, goal: Goal) -> dict[str, Any]:
        """Train the trim towards a goal and measure it, or return what was measured before."""
        file = self.work / f"{name}.json"
        if not file.exists():
            parts = self.parts(goal)
            heldout, train = (self._training_set(parts, part) for part in (slice(HELDOUT), slice(HELDOUT, None)))
            model, start = (load_model(self.trim, device="cpu") for _ in range(2))
            config = DistillConfig(
                steps=STEPS, batch_tokens=STEP_TOKENS, learning_rate=RATE, backbone_lr_scale=1.0, eval_steps=STEPS
            )
            Trainer(model, train, heldout, self.work / name, config, hardware=CPU, seed=1).train()
            whole = dev_scores(model, self.data)
            for weight, before in zip(model.parameters(), start.parameters(), strict=True):
                weight.data.lerp_(before.data, 0.5)
            write_json(file, {"a1.0": whole, "a0.5": dev_scores(model, self.data)})
        found: dict[str, Any] = read_json(file)
        return found

    def _training_set(self, parts: list[tuple[list[str], str, Vectors]], part: slice) -> TrainingSet:
        texts = TokenizedTexts.Builder(self.trim / "tokenizer.json", LONGEST)
        for own, prompt, _ in parts:
            texts.add([prompt + text for text in own[part]])
        goals = np.concatenate([vectors[part] for _, _, vectors in parts])
        return TrainingSet(
            texts=texts.build(),
            target_index=np.arange(len(goals)),
            targets=goals,
            source=-np.ones(len(goals), np.int64),
            is_translation=np.zeros(len(goals), np.bool_),
            is_other=np.zeros(len(goals), np.bool_),
        )

    def untrained(self, name: str, folder: Path) -> dict[str, float]:
        """Return the dev measures of a model as it is, measured once."""
        file = self.work / f"dev-{name}.json"
        if not file.exists():
            write_json(file, dev_scores(load_model(folder, device="cpu"), self.data))
        found: dict[str, float] = read_json(file)
        return found


def main() -> None:
    """Train towards each goal, measure, and write the section."""
    parser = argparse.ArgumentParser()
    for option in ("--teacher", "--trim", "--data"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("goals-benchmark"))
    parser.add_argument("--run", action="append", default=[], help="title=folder of a finished run")
    args = parser.parse_args()
    study = Study(args.teacher, args.trim, Data(args.data), args.work)
    rows = [["dev, x100", *MEASURES.values()]]

    def add(title: str, scores: dict[str, float]) -> None:
        rows.append([title, *(f"{scores[name]:.2f}" for name in MEASURES)])

    add("teacher", study.untrained("teacher", args.teacher))
    add("its trim, 32,768 tokens", study.untrained("trim", args.trim))
    for name, goal in GOALS.items():
        found = study.train(name, goal)
        add(goal.title, found["a1.0"])
        if "a0.5" in found:
            add(f"{goal.title}; half-way to the trim", found["a0.5"])
    for given in args.run:
        title, _, folder = given.partition("=")
        add(title, study.untrained(title, Path(folder) / "student"))
    head = "Written by `python -m benchmarks.goals --teacher E5 --trim TRIM --data DATA`."
    write_section("results.md", "goals", [head, "", *table(rows)])


if __name__ == "__main__":
    main()
