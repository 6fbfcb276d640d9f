"""Cards: compared whole with committed ones, and written so that data stays data."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from hub_tools.reporting import cards
from hub_tools.reporting.report import FullReport
from tests.committed_report import DATA, command_of, poisoned

REPOS = {"model": "ada/gemma-tr", "tokenizer": "ada/gemma-tr-tokenizer", "dataset": "ada/gemma-tr-embeddings"}
CARDS = {"model": cards.model_card, "tokenizer": cards.tokenizer_card, "dataset": cards.dataset_card}


def card_of(what: str, report: dict[str, Any], repos: Mapping[str, str] = REPOS) -> str:
    return CARDS[what](FullReport.from_dict(report), repos)


def notice_of(what: str, report: dict[str, Any]) -> str | None:
    return cards.notice(FullReport.from_dict(report), what)


def metadata(card: str) -> dict[str, Any]:
    return dict(yaml.safe_load(card.split("---\n")[1]))


@pytest.mark.parametrize("what", CARDS)
def test_cards_are_as_committed(report: dict[str, Any], what: str) -> None:
    card = card_of(what, report)
    file = DATA / "cards" / f"{what}.md"
    if os.environ.get("WRITE_CARDS"):
        file.write_text(card, encoding="utf-8")
    assert card == file.read_text(encoding="utf-8"), "if the change is wanted: WRITE_CARDS=1 pytest tests/test_cards.py"


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (None, "per language, which the tokenizer may have been learned from."),
        ([], "per language that the tokenizer was not learned from."),
        (["de", "zh"], "not learned from; in German and Chinese on such that it was learned from too, and new"),
        (["en", "de", "zh"], "not learned from; in languages other than Turkish on such that it was learned from too"),
        (["tr", "en", "de", "zh"], "per language that the tokenizer was learned from; new text costs it more."),
    ],
)
def test_cards_say_whether_tokens_were_counted_in_new_text(
    report: dict[str, Any], seen: list[str] | None, said: str
) -> None:
    report["tokenizer"]["seen"] = seen
    assert said in card_of("tokenizer", report)


def test_metadata_is_what_the_hub_reads(report: dict[str, Any]) -> None:
    from huggingface_hub import DatasetCard, ModelCard

    card = ModelCard(card_of("model", report))
    assert card.data.license == "gemma"
    assert card.data.base_model == "google/embeddinggemma-300m"
    assert card.data.datasets == ["ada/gemma-tr-embeddings", "wikimedia/wikipedia"]
    results = {(r.dataset_name, r.metric_type): r.metric_value for r in card.data.eval_results or []}
    assert results["STS stsb-tr", "spearman"] == 0.7336
    assert len(results) == 1  # those of small samples are left out
    assert card.data.widget == [
        {"source_sentence": report["example"]["query"], "sentences": report["example"]["documents"]}
    ]
    dataset = DatasetCard(card_of("dataset", report))
    assert dataset.data.size_categories == ["1K<n<10K"]
    assert dataset.data.license is None  # news.txt.gz has a license that nobody named


@pytest.mark.parametrize("what", CARDS)
def test_python_in_cards_is_python(report: dict[str, Any], what: str) -> None:
    report["example"]["query"] = report["example"]["documents"][0] = 'a "quoted"\n```\nimport os # $id {{ x }}'
    for snippet in re.findall(r"```python\n(.*?)\n```", card_of(what, report), re.DOTALL):
        compile(snippet, what, "exec")


def test_the_gemma_terms_get_their_notice(report: dict[str, Any]) -> None:
    assert "This model is a modification of google/embeddinggemma-300m: its tokenizer" in (
        notice_of("model", report) or ""
    )
    # The tokenizer's repo has no weights, so nothing is said of them.
    said = f"{notice_of('tokenizer', report)}{card_of('tokenizer', report)}"
    assert said.count("3,397 of its tokens were kept and 699 others put beside them") == 2
    assert "ai.google.dev/gemma/terms" in said
    assert "weights" not in said
    assert "ai.google.dev/gemma/terms" in card_of("model", report)
    report["teacher"]["license"] = {"license": "other", "license_name": "own", "license_link": "javascript:alert(1)"}
    assert notice_of("model", report) is None
    card = card_of("model", report)
    assert "gemma/terms" not in card
    assert "](javascript" not in card
    assert metadata(card)["license_name"] == "own"


def test_without_a_known_license_none_is_claimed(report: dict[str, Any]) -> None:
    report["teacher"]["license"] = None
    card = card_of("model", report)
    assert "license" not in metadata(card)
    assert "names no license" in card


def test_known_sources_give_the_dataset_their_license(report: dict[str, Any]) -> None:
    for own in report["corpus"]["text"].values():
        own["sources"] = [s for s in own["sources"] if s.startswith("wikimedia")]
    report["corpus"]["parallel"] = None
    assert metadata(card_of("dataset", report))["license"] == ["cc-by-sa-3.0", "gfdl"]


def test_the_dataset_names_the_languages_of_its_pairs(report: dict[str, Any]) -> None:
    report["corpus"]["text"] = {"tr": report["corpus"]["text"]["tr"]}
    report["corpus"]["parallel"]["languages"] = ["de", "tr"]
    assert metadata(card_of("dataset", report))["language"] == ["tr", "de"]
    report["corpus"]["parallel"]["languages"] = []
    assert metadata(card_of("dataset", report))["language"] == ["tr"]


def test_the_dataset_says_how_many_texts_of_each_language_it_has_at_most(report: dict[str, Any]) -> None:
    report["config"]["embed"]["distill_limit"] = "tr=100000,de=0,*=2000"
    report["corpus"]["text"]["de"] = report["corpus"]["text"]["tr"]
    card = card_of("dataset", report)
    assert "At most 0 monolingual texts of German, 100,000 of Turkish, 2,000 of any other language were" in card
    assert "de" not in metadata(card)["language"]


def test_a_run_without_held_out_text_claims_no_cosine(report: dict[str, Any]) -> None:
    report["distill"] |= {"cosine_before": None, "cosine_after": None, "tokens_per_second": None}
    report["clone"]["cosine_to_teacher"] = None
    report["evaluation"][0]["models"] |= {"clone": None, "student": None}
    report["evaluation"][0]["n"] = None
    card = card_of("model", report)
    assert "in 6 steps (12,240 tokens). No text was held out, so the effect was not measured." in card
    assert "| similarity to the teacher's vectors, cosine (heldout) | 1.000 |  |  |" in card
    assert "| steps | 6 |" in card
    assert "heldout_cosine.png" not in card
    assert "held-out cosine" not in card


def test_a_local_teacher_is_no_base_model_and_no_path_is_shown(report: dict[str, Any]) -> None:
    report["teacher"] |= {"id": "/home/ada/secret/teacher", "revision": None}
    for what in CARDS:
        card = card_of(what, report)
        assert "/home/ada" not in card
        assert "base_model" not in metadata(card)
    assert command_of(report).startswith("hub-distill --teacher PATH/teacher --lang tr")


def test_only_repos_that_are_there_are_linked(report: dict[str, Any]) -> None:
    card = card_of("model", report, {"model": "ada/gemma-tr"})
    assert "gemma-tr-embeddings" not in card
    assert metadata(card)["datasets"] == ["wikimedia/wikipedia"]


def test_the_first_screen_says_what_was_gained_and_nothing_else(report: dict[str, Any]) -> None:
    def benefit() -> str:
        return next(line for line in card_of("model", report).splitlines() if line.startswith("**A Turkish version"))

    gains = "25% fewer tokens for Turkish text, 85% fewer parameters, 1.2 times as fast"
    assert benefit().endswith(f": {gains}.**")
    stsb = next(row for row in report["evaluation"] if row["n"] == 1379)
    stsb["models"]["student"]["differences"]["teacher"] |= {"value": 0.02, "low": 0.01, "high": 0.03}
    assert benefit().endswith(f"{gains}, STS stsb-tr 72.9 → 73.4.**")  # of small samples nothing is said
    report["costs"]["student"]["sentences"]["texts_per_second"] *= 0.92  # 1.06 times: so much it differs by chance
    assert benefit().endswith("85% fewer parameters, STS stsb-tr 72.9 → 73.4.**")
    report["tokenizer"]["measures"]["tr"]["student"]["unknown_text"] = 0.5
    report["student"]["params"], report["costs"] = 999_072, {}
    assert benefit().endswith(": STS stsb-tr 72.9 → 73.4.**")
    stsb["models"]["student"]["differences"] = {}
    assert benefit().endswith("embeddinggemma-300m).**")


def test_held_out_text_of_the_run_is_no_benchmark(report: dict[str, Any]) -> None:
    """Nobody else can measure on it, so it is in the tables alone."""
    found = next(row for row in report["evaluation"] if row["task"] == "translations found")
    found["n"] = 900
    card = card_of("model", report)
    assert "translations found" not in str(metadata(card)["model-index"])
    assert "translations found" not in card.split("\n**A Turkish")[1].split("**")[0]
    report["evaluation"].append({**found, "task": "bitext ntrex128", "split": "as given"})
    (task,) = (r for r in metadata(card_of("model", report))["model-index"][0]["results"] if "bitext" in str(r))
    assert task["dataset"] == {"name": "bitext ntrex128", "type": "bitext-ntrex128"}
    assert [(metric["type"], metric["name"]) for metric in task["metrics"]] == [("accuracy", "accuracy tr-en")]


def test_a_card_advises_nobody_to_train_the_model_again(report: dict[str, Any]) -> None:
    stsb = next(row for row in report["evaluation"] if row["n"] == 1379)
    lost = {"value": -0.02, "low": -0.03, "high": -0.01}
    stsb["models"]["student"]["differences"] = {"teacher": lost, "clone": lost}
    card = card_of("model", report).split("## Reproduce")[0]
    assert "worse at STS stsb-tr (-2.0)" in card
    assert "Keep its teacher where these tasks matter" in card
    assert "> Training made the student worse than the clone at STS stsb-tr (-2.0).\n" in card
    assert "--steps" not in card
    assert "kept beside" not in card
    report["distill"]["kept_trim"] = True
    assert "without learned tokens.\n" in card_of("model", report)


def test_the_models_of_the_tables_are_explained(report: dict[str, Any]) -> None:
    assert "\nClone is the student before training. Scores" in card_of("model", report)
    for row in report["evaluation"]:
        row["models"]["trim"] = row["models"]["teacher"]
    trim = ", trim the teacher with as many of its own tokens and nothing learned. Scores"
    assert trim in card_of("model", report)


def test_a_student_without_learned_tokens_is_called_cut(report: dict[str, Any]) -> None:
    report["tokenizer"] |= {"added": 0, "kept": 4096}
    assert "was cut to 4,096 of its tokens, and none was learned. All other" in card_of("model", report)


def test_languages_with_as_many_tokens_as_before_do_not_need_more(report: dict[str, Any]) -> None:
    report["tokenizer"]["fertility"]["de"]["student"] = 1.004 * report["tokenizer"]["fertility"]["de"]["teacher"]
    assert "- 1 of 3 measured languages need more tokens" in card_of("model", report)


def test_it_is_said_which_prompt_is_for_texts_that_are_alike(report: dict[str, Any]) -> None:
    said = "Texts to compare, cluster or classify were measured with `prompt_name="
    assert said not in card_of("model", report)
    query = report["embeddings"]["prompts"]["query"]
    report["evaluation"][-1]["prompts"] = {"student": {"first": query, "second": query}}
    assert f'{said}"query"`.' in card_of("model", report)
    report["embeddings"]["default_prompt_name"] = "query"
    assert said not in card_of("model", report)


def test_the_example_shows_what_the_run_printed(report: dict[str, Any]) -> None:
    printed, teacher = "# tensor([[0.5774, 0.0754, 0.2197]])", "the teacher gives 0.5695, 0.6214, 0.4794"
    assert printed in (card := card_of("model", report))
    assert teacher in card
    report["example"] = None  # a language without bundled text
    card = card_of("model", report)
    assert "tensor" not in card
    assert "widget" not in metadata(card)
    assert 'query = "a question"' in card


def test_shorter_vectors_are_offered_where_they_were_trained(report: dict[str, Any]) -> None:
    assert "truncate_dim=8)" in card_of("model", report)
    report["config"]["distill"]["matryoshka"] = []
    assert "truncate_dim" not in card_of("model", report)


def test_a_student_with_code_says_so(report: dict[str, Any]) -> None:
    assert "trust_remote_code" not in card_of("model", report)
    report["student"]["code"] = ["own.py"]
    card = card_of("model", report)
    assert 'SentenceTransformer("ada/gemma-tr", trust_remote_code=True)' in card
    assert "It runs Python code that came with the teacher: `own.py`." in card


def test_a_student_without_a_longest_input_has_a_card(report: dict[str, Any]) -> None:
    report["student"]["max_seq_length"] = None
    card = card_of("model", report)
    assert "| longest input | no limit |" in card
    assert "**Not for** Chinese, which its tokenizer cannot read; languages" in card


def test_vectors_of_others_are_not_called_the_teachers(report: dict[str, Any]) -> None:
    report["embeddings"]["taken_from"] = {"name": "ada/vectors", "revision": "abc"}
    row = next(row for row in report["evaluation"] if row["metric"] == "cosine")
    row["models"]["teacher"] = None
    card = card_of("model", report)
    assert "Then the student learned the vectors of `ada/vectors` at `abc` in" in card
    assert f"|  | {row['models']['clone']['value']:.3f} |" in card


def test_how_the_vectors_were_pooled_is_said(report: dict[str, Any]) -> None:
    assert "the teacher's vector of `text` |" in card_of("dataset", report)
    report["embeddings"]["text_pooling"] = True
    pooled = "the teacher's vector of `text`, pooled from its own tokens, rare ones counting more |"
    assert pooled in card_of("dataset", report)
    assert "| pooling | mean of the text's own tokens, rare ones counting more |" in card_of("dataset", report)


def test_what_decided_is_said(report: dict[str, Any]) -> None:
    chose = "and the translations that the teacher finds (they chose the text to train on) influenced the run"
    assert chose in card_of("model", report)
    report["embeddings"] |= {"teacher_bitext_accuracy": None, "left_out": []}
    card = card_of("model", report)
    assert chose not in card
    said = "Only the similarity to the teacher's vectors (it chose the checkpoint) influenced the run; all other"
    assert said in card
    agreement = {"cosine": 0.9, "ranks": 0.8, "neighbours": 0.5, "spread": 1.0}
    report["distill"]["trim_agreement"] = agreement
    assert "(it chose the checkpoint, and between student and trim) influenced" in card_of("model", report)


def test_the_arithmetic_of_each_figure_is_said(report: dict[str, Any]) -> None:
    assert "All models ran on cpu in fp32 with the same code." in card_of("model", report)
    report["distill"] |= {"device": "cuda", "precision": "bf16"}
    said = "ran on cpu in fp32 with the same code, but for the cosine to the teacher: on cuda in bf16."
    assert said in card_of("model", report)


def test_a_tokenizer_that_was_taken_is_not_claimed(report: dict[str, Any]) -> None:
    report["config"]["tokenizer"] = {"use": "/home/ada/theirs"}
    report["tokenizer"]["added_reachable"] = None
    card, model = card_of("tokenizer", report), card_of("model", report)
    assert "taken from `PATH/theirs` unchanged" in card
    assert not {"license", "base_model"} & metadata(card).keys()
    assert "gemma/terms" not in card
    assert "learned from Turkish text" not in model
    assert "produced by some text" not in card + model


@pytest.mark.parametrize("what", CARDS)
def test_data_stays_data(report: dict[str, Any], what: str) -> None:
    clean, card = card_of(what, report), card_of(what, poisoned(report))
    assert metadata(card).get("license") != "mit"
    outside = re.sub(r"(`{3,})\w*\n.*?\n\1\n", "", card.split("---\n", 2)[2], flags=re.DOTALL)
    inline = re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "", outside)
    assert "<script>" not in inline.replace(r"\<script\>", "")
    assert "](javascript" not in inline.replace(r"\]", "")
    headings = [line for line in outside.splitlines() if line.startswith("#")]
    assert headings == [
        line for line in re.sub(r"```.*?```", "", clean, flags=re.DOTALL).splitlines() if line[:1] == "#"
    ]
    for table in re.findall(r"(?:^\|.*\|\n)+", outside, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table
