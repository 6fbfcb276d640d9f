"""What models are measured on is found in the text to train on, and dropped from all of it."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tools.config import RunConfig
from hub_tools.core.errors import UserError
from hub_tools.core.run_dir import RunDir
from hub_tools.core.run_dir import Task as Work
from hub_tools.corpus import contamination
from hub_tools.corpus.build import Corpus, build_corpus
from hub_tools.corpus.contamination import EvaluationTexts, Match
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.corpus.sources import find_sources
from hub_tools.evaluation.data import Classification
from hub_tools.evaluation.tasks import Task, evaluation_texts
from hub_tools.pipeline import run
from hub_tools.reporting.contamination import contamination as in_words
from hub_tools.reporting.report import FullReport
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from tests.fake_run import read_report

SENTENCES = [row[lang] for row in read_table(sample_file("tr-en.tsv")) for lang in ("tr", "en")]
LONG = [text for text in SENTENCES if sum(map(str.isalnum, text)) >= 60]
CHINESE = "今天下午我们在图书馆门口的长椅上一起读完了那本关于海洋的旧书。"


def kinds(evaluation: EvaluationTexts, texts: list[str]) -> list[str | None]:
    return [match and match.kind for match in evaluation.find(texts)]


@settings(max_examples=50, deadline=None)
@given(text=st.text(), noise=st.text(alphabet=" .,;!?'\"-…\n\t", max_size=5))
def test_a_text_is_found_whatever_its_punctuation(text: str, noise: str) -> None:
    has_letters = any(map(str.isalnum, contamination._normalise([text])))
    found = kinds(EvaluationTexts([("a", [text])]), [f"{noise}{text}{noise}"])
    assert found == ["exact" if has_letters else None]


@pytest.mark.parametrize("text", ["Işık İNCE, ılık.", "Straße", "ﬁne ㎏", "ΟΔΟΣ", "İstanbul'da"])
def test_a_text_is_found_whatever_its_case_and_form(text: str) -> None:
    for other in (text.upper(), text.lower(), text.casefold()):
        assert kinds(EvaluationTexts([("a", [text])]), [other]) == ["exact"], other


def test_nearly_the_same_is_found_and_other_texts_are_not() -> None:
    rng = random.Random(1)
    evaluation = EvaluationTexts([("a", LONG[::2])])
    words = [word for text in LONG for word in text.split()]
    for text, other in zip(LONG[::2], LONG[1::2], strict=False):
        own = text.split()
        place = rng.randrange(len(own))
        edited = [
            " ".join([*own[:place], rng.choice(words), *own[place + 1 :]]),
            " ".join([*own[:place], *own[place + 1 :]]),
            f"{text} {other}",
            f"{other} {text}",
        ]
        assert set(kinds(evaluation, edited)) <= {"near", "exact"}, text
    assert kinds(evaluation, LONG[1::2]).count(None) == len(LONG[1::2])


def test_of_sentences_half_must_be_the_same_and_of_parts_more() -> None:
    sentence = "Kahverengi köpek parkta yalnız koşuyor."
    evaluation = EvaluationTexts([("a", [sentence])])
    others = [sentence.replace("koşuyor", "oturuyor"), f"Kahverengi köpek parkta yalnız {' '.join(LONG[:2])}"]
    assert kinds(evaluation, others) == ["near", None]


def test_a_part_of_a_longer_text_is_found_both_ways() -> None:
    paragraph = " ".join(LONG[:8])
    assert set(kinds(EvaluationTexts([("a", [paragraph])]), LONG[:8])) == {"near"}
    assert kinds(EvaluationTexts([("a", LONG[3:4])]), [paragraph]) == ["near"]


def test_short_texts_are_dropped_only_where_they_are_equal() -> None:
    evaluation = EvaluationTexts([("a", ["Bir adam gitar çalıyor.", "Evet."])])
    others = [
        "Bir adam flüt çalıyor.",
        "Bir kadın gitar çalıyor.",
        "Bir adam gitar çalıyor ve şarkı söylüyor.",
        "Evet, öyle.",
    ]
    assert kinds(evaluation, ["bir adam, gitar çalıyor", *others, "EVET"]) == ["exact", *[None] * 4, "exact"]
    longer = EvaluationTexts([("a", ["Küçük kız bahçede oynuyor."])])
    assert kinds(longer, ["Küçük kız bahçede oynuyordu.", "Küçük kız bahçede oynuyor!"]) == [None, "exact"]


def test_scripts_without_spaces() -> None:
    evaluation = EvaluationTexts([("a", [CHINESE])])
    near = [CHINESE.replace("下午", "早上"), CHINESE.replace("一起", ""), f"他说“{CHINESE}”后来我们走了。"]
    assert kinds(evaluation, [f"《{CHINESE[:-1]}》", *near]) == ["exact", "near", "near", "near"]
    assert kinds(
        evaluation, ["昨天晚上他们在火车站旁边的小饭馆里第一次尝到了当地的鱼汤。", "今天下午我们在图书馆"]
    ) == [None, None]


def is_near(first: str, second: str) -> bool:
    """The definition, by comparing with each text."""
    texts = contamination._normalise([first, second]).split("\n")
    fewer, more = sorted(({t[i : i + 8] for i in range(len(t) - 7)} for t in texts), key=len)
    shared, part = len(fewer & more), max(30, 0.6 * len(fewer), min(0.8 * len(fewer), 60))
    return min(map(len, texts)) >= 30 and (shared >= part or shared >= 0.5 * len(more))


def test_what_is_found_is_what_comparing_all_with_all_finds() -> None:
    rng = random.Random(2)
    words = [text.split() for text in LONG[:60]]
    # Texts that share more and less of each other.
    texts = [" ".join(a[: rng.randrange(3, 20)] + b[rng.randrange(8) :]) for a, b in pairwise(words)]
    evaluation = EvaluationTexts([("a", LONG[:60])])
    expected = [any(is_near(text, other) for other in LONG[:60]) for text in texts]
    assert {True, False} == set(expected)
    assert [kind is not None for kind in kinds(evaluation, texts)] == expected
    # It depends on no other text that is looked up beside it.
    assert [kinds(evaluation, [text]) for text in texts] == [[kind] for kind in kinds(evaluation, texts)]


def test_a_long_name_makes_no_short_question() -> None:
    name = "Türkiye Bilimsel ve Teknolojik Araştırma Kurumu"
    evaluation = EvaluationTexts([("a", [f"{name}'nun kısaltması nedir?"])])
    law = f"{name}na yapılacak her türlü bağışlar, vasiyetler ve yardımlar gelir ve kurumlar vergilerinden muaftır."
    assert kinds(evaluation, [law, f"{law} {name}'nun kısaltması bu mudur?"]) == [None, "near"]


def test_a_text_in_several_data_sets_counts_for_the_first() -> None:
    evaluation = EvaluationTexts([("a", LONG[:2]), ("b", LONG[1:3])])
    assert evaluation.find(LONG[:4]) == [Match("a", "exact"), Match("a", "exact"), Match("b", "exact"), None]
    assert list(evaluation.screen(LONG[:4], lambda text: (text, LONG[3]))) == list(
        zip(LONG[:4], evaluation.find(LONG[:4]), strict=True)
    )


def test_nothing_to_measure_on_reads_nothing_ahead() -> None:
    endless = iter(lambda: "text", None)
    assert next(EvaluationTexts([]).screen(endless, lambda text: (text,))) == ("text", None)
    assert EvaluationTexts([("a", ["...", ""])]).find(["...", "", "text"]) == [None] * 3


def test_texts_that_a_classifier_learns_from_are_not_measured_on() -> None:
    data = Classification(train=["a"], train_labels=["x"], test=["b"], test_labels=["x"])
    task = Task(name="topics", split="test", data=data)
    assert list(task.texts()) == ["b"]
    assert evaluation_texts([task], ("en",)).names == ["topics, test"]
    assert "STS sample (tr), test" in evaluation_texts([task], ("tr",)).names


def build(
    tmp_path: Path, files: TokenizerSpec, texts: dict[str, list[str]], pairs: list[tuple[str, str]], kept_out: list[str]
) -> Corpus:
    for name, own in texts.items():
        (tmp_path / name).write_text("\n".join(own), encoding="utf-8")
    (tmp_path / "pairs.tsv").write_text("en\ttr\n" + "".join(f"{en}\t{tr}\n" for en, tr in pairs), encoding="utf-8")
    result = build_corpus(
        tmp_path / "corpus",
        [source for name in texts for source in find_sources(str(tmp_path / name), ("tr",), 1)],
        [tmp_path / "pairs.tsv"] if pairs else [],
        targets=("tr",),
        languages=("tr",),
        limits={},
        seed=1,
        tokenizer=files.load(),
        max_tokens=256,
        evaluation=EvaluationTexts([("STS", kept_out[:2]), ("retrieval", kept_out[2:])]),
    )
    return Corpus(tmp_path / "corpus", result)


def test_no_part_of_the_corpus_holds_what_is_measured_on(
    tmp_path: Path, minilm_files: TokenizerSpec, caplog: pytest.LogCaptureFixture
) -> None:
    rows = list(read_table(sample_file("tr-en.tsv")))
    pairs = [(row["en"], row["tr"]) for row in rows[:600]]
    is_long = [min(sum(map(str.isalnum, side)) for side in pair) >= 60 for pair in pairs]
    places = [place for place, long in enumerate(is_long) if long][:4]
    # Turkish and English, as text, and as either side of a pair.
    kept_out = [pairs[places[0]][1], pairs[places[1]][0], pairs[places[2]][1], pairs[places[3]][1]]
    near = f"{kept_out[2]} Sonra eve gittik."
    texts = {"tr.txt": [row["tr"] for row in rows] + [near], "same.txt": [kept_out[0].upper()]}
    with caplog.at_level("INFO", "hub_tools"):
        corpus = build(tmp_path, minilm_files, texts, pairs, kept_out)
    read = {text for split in ("train", "heldout") for text in corpus.texts("tr", split)}
    both = {side for split in ("train", "heldout") for pair in corpus.pairs(split) for side in pair.sides}
    assert not {*kept_out, near} & (read | both)
    result, parallel = corpus.result, corpus.result.parallel
    assert parallel is not None
    assert {name: (c.exact, c.near) for name, c in result.text["tr"].contamination.items()} == {
        "STS": (2, 0),
        "retrieval": (2, 1),
    }
    assert {name: (c.exact, c.near) for name, c in parallel.contamination.items()} == {
        "STS": (2, 0),
        "retrieval": (2, 0),
    }
    assert (result.text["tr"].dropped_contaminated, parallel.dropped_contaminated) == (5, 4)
    assert result.kept_out == ["STS", "retrieval"]
    assert json.loads((tmp_path / "corpus/stats.json").read_text())["parallel"]["contamination"]["STS"]["exact"] == 2
    assert "8 evaluation texts and 1 near copies" in caplog.text
    assert f"{tmp_path / 'same.txt'}: no text is left, because models are measured on 1 of its texts" in caplog.text


def test_a_target_of_which_nothing_is_left_is_refused(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    with pytest.raises(UserError, match=r"No text in tr is left: 20 of its 20 texts are in the data to measure on"):
        build(tmp_path, minilm_files, {"tr.txt": LONG[:20]}, [], LONG[:20])


def test_stages_are_done_again_only_where_the_text_changed(job_options: dict[str, Any], tmp_path: Path) -> None:
    table = "sentence1\tsentence2\tscore\n{}\tBambaşka bir tümce, başka yerden.\t1\nBiri.\tÖteki.\t2\n"
    used = next(text for text in find_sources("sample", ("tr",), 1)[0].open() if len(text) > 40)
    for name, text in (("other.tsv", "Hiçbir yerde geçmeyen bir tümce."), ("same.tsv", used)):
        (tmp_path / name).write_text(table.format(text), encoding="utf-8")

    def log_with(*files: str) -> str:
        options = {**job_options, "evaluate": {"sts": [str(tmp_path / file) for file in files]}}
        log = tmp_path / "run/log.txt"
        before = len(log.read_text(encoding="utf-8")) if log.exists() else 0
        run(RunConfig.from_dict(options), last="tokenizer")
        return log.read_text(encoding="utf-8")[before:]

    log_with()
    said = log_with("other.tsv")
    assert "corpus: done again, because it depends on what changed: tasks" in said
    assert "tokenizer: already done" in said
    assert "tokenizer: done again, because it depends on what changed: corpus" in log_with("other.tsv", "same.tsv")
    assert "tokenizer: done again" in log_with("other.tsv")  # the text is back


def test_what_later_stages_know_a_stage_by(tmp_path: Path) -> None:
    def identity(parts: dict[str, str], content: str, number: int) -> str:
        def work(out: Path) -> dict[str, Any]:
            (out / "text").mkdir(parents=True)
            (out / "text/tr.parquet").write_text(content)
            (out / "stats.json").write_text(str(parts))
            return {}

        task = Work(folder="corpus", title="corpus", parts=parts, options={}, work=work, through_data=("tasks",))
        with RunDir(tmp_path / str(number), "") as run_dir:
            return run_dir.run(task).identity

    first = identity({"seed": "1", "tasks": "a"}, "x", 0)
    assert identity({"seed": "1", "tasks": "b"}, "x", 1) == first
    assert identity({"seed": "1", "tasks": "b"}, "y", 2) != first
    assert identity({"seed": "2", "tasks": "a"}, "x", 3) != first


def test_report_and_card_say_what_was_dropped() -> None:
    values = read_report()
    assert in_words(FullReport.from_dict(values)) is None
    values["corpus"]["kept_out"] = ["STS stsb-tr, test"]
    clean = in_words(FullReport.from_dict(values))
    assert clean == "No evaluation text (STS stsb-tr, test) was in the training text, not even a near copy."
    lang = next(iter(values["corpus"]["text"]))
    values["corpus"]["text"][lang]["contamination"] = {"STS stsb-tr, test": {"exact": 1200, "near": 3}}
    assert "| STS stsb-tr, test | Turkish | 1,200 | 3 |" in str(in_words(FullReport.from_dict(values)))
