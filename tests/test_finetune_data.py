"""What training with labels reads from files and the Hub, how much of it is kept, and what the plan says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub_tools.config import RunConfig
from hub_tools.config_finetune import FinetuneConfig
from hub_tools.core.distributed import Processes
from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.files import write_json
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.contamination import EvaluationTexts
from hub_tools.corpus.readers import sample_file
from hub_tools.evaluation.data import Retrieval
from hub_tools.evaluation.subject import Subject
from hub_tools.evaluation.tasks import Task
from hub_tools.finetuning import dev
from hub_tools.finetuning.data import Example, Labelled, check_something_left, read_labelled, split, with_translations
from hub_tools.finetuning.hub_table import is_hub_table
from hub_tools.models.loading import load_model
from hub_tools.reporting.finetuning import finetuning
from hub_tools.results import FinetuneData, FinetuneResult, FinetuneStep
from hub_tools.stages import job
from tests.commands import environment, hub_distill, succeeded
from tests.fake_hub import FakeHub
from tests.training_job import CPU


def table(file: Path, *rows: str) -> str:
    """Write a .tsv; cells are between bars."""
    file.write_text("".join(row.replace("|", "\t") + "\n" for row in rows), encoding="utf-8")
    return str(file)


def read(**options: Any) -> Labelled:
    (labelled,) = read_labelled(FinetuneConfig(**options), ("tr",))
    return labelled


def test_labels_of_inference_become_a_text_that_follows_and_one_that_contradicts(tmp_path: Path) -> None:
    file = table(
        tmp_path / "nli.tsv",
        "premise|hypothesis|label",
        "p|follows|entailment",
        "p|other|neutral",
        "p|denies|contradiction",
    )
    found = read(nli=(file,)).examples
    assert [(example.texts, example.same) for example in found] == [
        (("p", "follows", "denies"), True),
        (("p", "other"), False),
        (("p", "denies"), False),
    ]
    numbers = table(tmp_path / "n.tsv", "premise|hypothesis|label", "p|yes|0", "p|perhaps|1", "p|no|2")
    assert [example.same for example in read(nli=(numbers,)).examples] == [True, False, False]
    same = table(tmp_path / "s.tsv", "sentence1|sentence2|label", "a|b|1", "a|c|0")
    assert [example.same for example in read(nli=(same,)).examples] == [True, False]


def test_paragraphs_ask_for_themselves(tmp_path: Path) -> None:
    first = "This is a first sentence of some length."
    rest = "Then comes the rest, which is longer than the sentence before it was."
    file = table(tmp_path / "p.tsv", "title|text", f"Bees|{first} {rest}", "Bees|Another.", "|Untitled.", "|Alone.")
    found = read(paragraphs=(file,))
    assert [example.texts for example in found.examples] == [
        ("Bees", f"{first} {rest}"),
        (first, rest),
        ("Bees", "Another."),
        (f"{first} {rest}", "Another."),
    ]
    assert not found.has_labels
    untitled = table(tmp_path / "u.tsv", "text", "One.", "Two.")
    assert [example.texts for example in read(paragraphs=(untitled,)).examples] == [("One.", "Two.")]


def test_search_data_is_read_as_the_evaluation_reads_it_and_as_a_table_of_pairs(tmp_path: Path) -> None:
    queries = table(tmp_path / "q.tsv", "question|context_id", "who?|c1", "where?|c2")
    passages = table(tmp_path / "c.tsv", "context_id|text", "c1|She did.", "c2|There.")
    both = read(retrieval=(f"{queries},{passages}",)).examples
    assert [example.texts for example in both] == [("who?", "She did."), ("where?", "There.")]
    pairs = table(tmp_path / "pairs.tsv", "query|positive|negative", "who?|She did.|He did.")
    assert read(retrieval=(pairs,)).examples[0].texts == ("who?", "She did.", "He did.")
    wrong = table(tmp_path / "w.tsv", "a|b", "x|y")
    with pytest.raises(UserError, match=r"--finetune-retrieval .*w\.tsv has the columns a, b; no title"):
        read(retrieval=(wrong,))


def test_a_tenth_is_held_out_and_what_is_measured_on_is_dropped(tmp_path: Path) -> None:
    rows = [f"Sentence number {n} of the first side.|Sentence number {n} of the other.|{n % 6}" for n in range(40)]
    labelled = read(sts=(table(tmp_path / "sts.tsv", "sentence1|sentence2|score", *rows),))
    parts = split(labelled, EvaluationTexts([("STS x, test", ["Sentence number 3 of the other."])]))
    assert (parts.result.train, parts.result.heldout, parts.result.dropped_contaminated) == (35, 4, 1)
    assert parts.dev is not None
    heldout = set(parts.dev.texts())
    assert heldout.isdisjoint(text for example in parts.train for text in example.texts)
    assert "Sentence number 9 of the other." in heldout
    everything = EvaluationTexts([("STS x, test", [text for example in labelled.examples for text in example.texts])])
    with pytest.raises(UserError, match="nothing is left to train on of 40 examples; 40 hold a text that is measured"):
        split(labelled, everything)


def test_a_limit_takes_examples_from_all_over_a_file(tmp_path: Path) -> None:
    rows = [f"a{n}|b{n}|{n}" for n in range(100)]
    file = table(tmp_path / "sts.tsv", "sentence1|sentence2|score", *rows)
    assert [example.score for example in read(sts=(file,), limit=20).examples] == [5.0 * n for n in range(20)]


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="--finetune-order sts leaves out nli, for which there is data"):
        FinetuneConfig(order=("sts",), nli=("a.tsv",))
    with pytest.raises(UsageError, match="names a skill twice"):
        FinetuneConfig(order=("sts", "sts"))
    with pytest.raises(UsageError, match="--finetune-shares"):
        FinetuneConfig(shares=(0.5, 1.5))
    assert FinetuneConfig.from_dict({"shares": "0.5, 1", "order": "sts,nli"}).shares == (0.5, 1.0)


def test_similarities_and_their_translations_are_trained_together(tmp_path: Path) -> None:
    def pairs(name: str, *scores: int) -> str:
        rows = [f"{name} {number}|{name} {number} too|{score}" for number, score in enumerate(scores)]
        return table(tmp_path / f"{name}.tsv", "sentence1|sentence2|score", *rows)

    scores = [number % 5 for number in range(20)]
    files = pairs("tr", *scores), pairs("en", *scores), pairs("other", *scores[1:], 3), pairs("de", *scores)
    parts = [split(one, EvaluationTexts([])) for one in read_labelled(FinetuneConfig(sts=files), ("tr",))]
    found = with_translations(parts)
    assert [[one.labelled.name for one in sets] for sets in found] == [["tr", "en"], ["tr", "de"], ["other"]]
    # Where nothing is left that both have, each is trained alone.
    first, second = (replace(one, train=one.train[start::2]) for start, one in enumerate(parts[:2]))
    assert [[one.labelled.name for one in sets] for sets in with_translations([first, second])] == [["tr"], ["en"]]


def test_a_dataset_of_the_hub_is_read_at_its_commit_and_with_its_license(
    hub: FakeHub, online: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "sts"
    folder.mkdir()
    (folder / "train.csv").write_text("sentence1,sentence2,score\nbir,iki,1.5\nüç,dört,2.5\n", encoding="utf-8")
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n", encoding="utf-8")
    repo = hub.add("dataset", "org/sts", folder)
    config = FinetuneConfig(sts=("org/sts",))
    with environment(**online):
        (found,) = read_labelled(config, ("tr",))
        assert read_labelled(config, ("tr",), fetch=False) == ()
        with pytest.raises(UserError, match="knows no dataset 'org/no'"):
            read_labelled(FinetuneConfig(sts=("org/no",)), ("tr",))
    assert [example.texts for example in found.examples] == [("bir", "iki"), ("üç", "dört")]
    assert (found.name, found.license, found.revision) == ("org/sts", "cc-by-4.0", repo.head.oid)


def test_what_is_a_file_or_a_pair_of_files_is_no_dataset_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "pairs").touch()
    names = ["org/sts", "org/sts@main:tr:train", "own/pairs", "a/b.tsv", "a/q,a/p", "file.tsv"]
    assert [is_hub_table(name) for name in names] == [True, True, False, False, False, False]


class Texts(Corpus):
    """Held-out sentences of one language."""

    def __init__(self, folder: Path, texts: list[str]) -> None:
        write_json(folder / "stats.json", {"languages": ["tr"], "missing": [], "text": {}})
        super().__init__(folder)
        self.own = texts

    def texts(self, lang: str, split: str = "train", limit: int | None = None) -> Any:
        return iter(self.own[:limit])


def test_what_the_student_knew_is_measured_without_labels(tiny_teacher: Path, tmp_path: Path) -> None:
    sentences = [f"{line} {number}" for number, line in enumerate(sample_file("tr-en.tsv").read_text().split("\n"))]
    corpus = Texts(tmp_path, sentences[:400])
    model = load_model(tiny_teacher, device="cpu")
    found = dev.Dev([], corpus, ("tr",), Subject(lambda: model, CPU), CPU).measure(model)
    assert list(found) == [
        "second halves of sentences (tr), ndcg@10",
        "nearest to the teacher's vector, sentences (tr)",
        "nearest to the teacher's vector, paragraphs (tr)",
    ]
    # The teacher itself is nearest to its own vectors.
    assert found["nearest to the teacher's vector, sentences (tr)"] == 100.0
    alone = dev.Dev([], corpus, ("tr",), None, CPU).measure(model)
    assert list(alone) == ["second halves of sentences (tr), ndcg@10"]
    # A search that is held out needs nothing that stands for it.
    search = Retrieval(queries=["q"], passages=["p", "other"], relevant=[{0: 1.0}])
    real = dev.Dev([Task(name="own", split="heldout", data=search)], corpus, ("tr",), None, CPU).measure(model)
    assert list(real) == ["own, ndcg@10"]
    assert dev._halve("iki yarı bir bütün eder", "tr") == ("iki yarı", "bir bütün eder")
    assert dev._halve("一半加一半", "zh") == ("一半", "加一半")


def test_the_plan_says_what_is_trained_on_and_that_it_takes_more_memory(minilm: Path, tmp_path: Path) -> None:
    words = ["--teacher", str(minilm), "--lang", "tr", "--corpus", "sample", "--vocab-size", "8192", "--dry-run"]
    without = hub_distill(*words, cwd=tmp_path)
    rows = ["sentence1\tsentence2\tscore", *(f"first {number}\tsecond {number}\t{number % 6}" for number in range(100))]
    own = tmp_path / "own.tsv"
    own.write_text("\n".join(rows), encoding="utf-8")
    done = hub_distill(*words, "--finetune-sts", str(own), "--finetune-nli", "a/b", cwd=tmp_path)
    succeeded(done)
    assert "labels       100 of own (sts), those of a/b; 1 passes in steps of 32 examples and 16 anchors" in done.stdout
    memory = [line for text in (without.stdout, done.stdout) for line in text.splitlines() if line.startswith("memory")]
    assert memory[0] != memory[1]


@pytest.mark.parametrize("plan_only", [True, False])
def test_labels_that_are_all_measured_on_are_refused_before_the_work(
    tiny_teacher: Path, tmp_path: Path, plan_only: bool
) -> None:
    values = {"teacher": str(tiny_teacher), "lang": "tr", "output": str(tmp_path / "run"), "device": "cpu"}
    # The bundled pairs are measured on in every Turkish run.
    config = RunConfig.from_dict({**values, "finetune": {"sts": [str(sample_file("sts.tsv"))]}})
    with pytest.raises(UserError, match="sts: nothing is left to train on of 100 examples; 100 hold a text"):
        job.prepare(config, plan_only=plan_only)


def test_what_is_left_is_known_by_few_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = tuple(Example((f"first {number}", f"second {number}"), number) for number in range(10_000))
    evaluation, seen = EvaluationTexts([("STS x, test", ["first 0"])]), list[int]()
    find = evaluation.find
    monkeypatch.setattr(evaluation, "find", lambda texts: seen.append(len(texts)) or find(texts))
    check_something_left(Labelled(skill="sts", name="x", examples=examples), evaluation)
    assert sum(seen) < 10_000


def test_several_processes_are_refused(tiny_teacher: Path, tmp_path: Path) -> None:
    values = {"teacher": str(tiny_teacher), "lang": "tr", "output": str(tmp_path / "run")}
    config = RunConfig.from_dict({**values, "finetune": {"sts": [str(sample_file("sts.tsv"))]}})
    with pytest.raises(UserError, match="Training with labels runs in one process"):
        job.prepare(config, processes=Processes(rank=0, world_size=2))


def test_the_report_says_in_words_what_was_taken_and_what_was_not() -> None:
    class Report:
        finetune = FinetuneResult(
            device="cpu",
            precision="fp32",
            data=[
                FinetuneData(skill="sts", name="stsb-tr", train=900, heldout=100, dropped_contaminated=3),
                FinetuneData(skill="retrieval", name="a/b", train=9, heldout=1, license="mit", has_labels=False),
            ],
            skills=[
                _step("retrieval", taken=False, lowered={"sts stsb-tr, spearman": -1.25}),
                _step("sts", taken=True, share=0.5),
            ],
            before={"sts stsb-tr, spearman": 79.5},
            after={"sts stsb-tr, spearman": 84.0},
            anchors=1000,
            minutes=1.0,
        )

    report: Any = Report()
    text = finetuning(report)
    assert text is not None
    assert "- Retrieval: not taken, because every share lowers a measure by more than half a point" in text
    assert "the best, sts stsb-tr, spearman by 1.2." in text
    assert "- Similarity: 50% of what the training changed in the weights was taken." in text
    assert "| retrieval, queries made from the text | a/b | 9 | 1 | mit |" in text
    assert "were dropped: 3 of stsb-tr." in text
    assert "marked `supervised`" in text


def _step(skill: str, *, taken: bool, share: float = 1.0, lowered: dict[str, float] | None = None) -> FinetuneStep:
    return FinetuneStep(
        skill=skill,
        steps=10,
        tokens_per_second=100.0,
        taken=taken,
        share=share,
        measures={"sts stsb-tr, spearman": 84.0},
        lowered=lowered or {},
    )
