"""Search and map on the page: what is right is marked, misses are shown, and the page says while it prepares."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hub_tools.space import map_html, search_html, similarity
from hub_tools.space.content import SpaceContent
from hub_tools.space.documents import Documents
from hub_tools.space.search import Question, pick_examples, sample_documents
from hub_tools.space.service import Service

QUESTIONS = [Question(f"Soru {number}?", f"Question {number}?", number) for number in range(4)]
# Places of the right passage: only the student finds the first and the second, nobody the third, both the fourth.
RANKS = {"teacher": [9, 33, 40, 1], "student": [1, 1, 5, 1]}
TITLES = {"teacher": "T", "student": "S"}


def shown(html: str) -> str:
    return re.sub(r"<[^>]+>", "", html)


def test_places_of_right_passages_are_those_of_a_search(service: Service) -> None:
    ranks = service.ranks(0, "float32")
    assert ranks.keys() == service.content.models.keys()
    question = service.sample.questions[4]
    answers = service.search(question.text, service.corpora["passages"], dimension=0, precision="float32", top=20)
    for name, found in answers["models"].items():
        rows = [hit["document"] for hit in found["hits"]]
        place = rows.index(question.passage) + 1 if question.passage in rows else 21
        assert min(ranks[name][4], 21) == place
    assert service.sample.find(f" {question.text}\n") == 4
    assert service.sample.find("another") is None
    assert all(1 <= place <= 120 for place in service.ranks(8, "binary")["student"])


def test_examples_begin_with_one_that_works_and_hold_misses() -> None:
    # The teacher does not find the second at all, so it shows more than the first.
    assert pick_examples(RANKS) == [1, 0, 3, 2]
    worse = {"teacher": [1, 7], "student": [4, 3]}
    assert set(pick_examples(worse)) == {0, 1}
    assert pick_examples(worse)[0] == 1  # nothing is first, so the nearest
    assert pick_examples({"student": [3, 1]}) == [1, 0]


def test_the_proof_counts_hits_and_marks_them_for_both_models() -> None:
    proof = search_html.proof(QUESTIONS, RANKS, 1, "en")
    assert "Right passage first: teacher 1 of 4, student 3 of 4." in shown(proof)
    chip = re.search(r'<button[^>]*data-query="Soru 2\?".*?</button>', proof)
    assert chip is not None
    assert "Question 2? teacher ✗ student ✗" in shown(chip[0])
    assert 'title="right passage: not in the first 20"' in chip[0]
    assert shown(proof).startswith("Question 1?")  # what the Turkish query means
    turkish = search_html.proof(QUESTIONS, RANKS, 1, "tr")
    assert "öğretmen 4 soruda 1, öğrenci 4 soruda 3" in shown(turkish)
    assert "Question" not in turkish


def answers(**scores: float) -> dict[str, Any]:
    costs = {"encode_ms": 1.0, "search_ms": 0.1, "index_bytes": 8, "full_bytes": 8, "agreement": 1.0}
    hits = [
        {"document": 1, "score": 0.9, "text": "Bal tatlıdır."},
        {"document": 0, "score": 0.8, "text": "Tren gitti."},
    ]
    models = {name: {"hits": hits, "dimension": 2, **costs, **scores} for name in TITLES}
    return {"documents": 2, "models": models}


def test_the_right_answer_is_marked_and_texts_are_in_english_too() -> None:
    texts = Documents(
        ("Tren gitti.", "Bal tatlıdır."), languages=("tr", "tr"), english=("The train left.", "Honey is sweet.")
    )
    html = search_html.answers(answers(), texts, TITLES, (1, {"teacher": 25, "student": 1}), "en")
    assert html.count("✓ answers the question") == 2
    assert html.index("✓ answers") < html.index("Bal tatlıdır.") < html.index("Tren gitti.")
    assert "right passage: not in the first 20" in html
    assert "right passage: #1" in html
    assert '<span dir="auto" lang="tr">Bal tatlıdır.</span><span class="ht-en" lang="en">Honey is sweet.</span>' in html
    assert "cannot be compared" in html
    turkish = search_html.answers(answers(), texts, TITLES, None, "tr")
    assert "Honey" not in turkish
    assert "doğru paragraf" not in turkish


def test_memory_and_agreement_are_shown_where_vectors_are_smaller() -> None:
    texts = Documents(("Tren gitti.", "Bal tatlıdır."))
    full = shown(search_html.answers(answers(), texts, TITLES, None, "en"))
    assert "memory" not in full
    assert "100%" not in full
    small = shown(search_html.answers(answers(index_bytes=2, agreement=0.5), texts, TITLES, None, "en"))
    assert "2 B (25%)" in small
    assert "50%" in small


def test_one_model_alone_needs_no_switch() -> None:
    both = answers()
    texts = Documents(("Tren gitti.", "Bal tatlıdır."))
    alone = {**both, "models": {"student": both["models"]["student"]}}
    assert "radio" in search_html.answers(both, texts, TITLES, None, "en")
    assert "radio" not in search_html.answers(alone, texts, TITLES, None, "en")


def test_bundled_texts_are_all_in_english_too() -> None:
    corpora = sample_documents()
    passages = corpora["passages"]
    assert set(passages.languages) == {"tr"}
    assert all(english and english != text for english, text in zip(passages.english, passages.texts, strict=True))
    assert len(set(passages.english)) == 120
    assert all(len(set(names)) == 24 for names in passages.topics.values())
    many = corpora["languages"]
    row = many.texts.index(next(text for text, lang in zip(many.texts, many.languages, strict=True) if lang == "de"))
    assert many.english[row] == many.texts[many.languages.index("en")]


def test_the_page_says_how_far_it_is_with_its_own_documents(content: SpaceContent) -> None:
    service = Service(content)
    passages = service.corpora["passages"]
    assert service.prepared(passages) == 0
    assert service.prepared(Documents(("a visitor's",))) is None
    seen = []
    encode = passages.encoding

    class Watched:
        """Looks how many are done whenever the lock is given back."""

        def acquire(self, **options: float) -> bool:
            return encode.acquire(**options)

        def release(self) -> None:
            seen.append(service.prepared(service.corpora["passages"]))
            encode.release()

    service.corpora = {"passages": replace(passages, encoding=Watched())}
    service.warm_up()
    assert seen == [0, None]  # one model knows them, then both
    assert service.prepared(service.corpora["passages"]) is None
    assert "Preparing 812 of 1,600 documents." in shown(search_html.preparing(812, 1600, "en"))


def test_nobody_waits_for_a_corpus_that_cannot_be_prepared(
    content: SpaceContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(content)
    monkeypatch.setattr(service.cache, "get", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        service.warm_up()
    assert service.prepared(service.corpora["languages"]) is None


def test_maps_name_groups_and_nearest_texts() -> None:
    texts = Documents(("a", "b", "c"), languages=("tr", "tr", "en"), topics={"en": ("Bees", "Trains", "Bees")})
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1]], dtype=np.float32)
    assert similarity.nearest(vectors, 5) == [[1, 2], [0, 2], [1, 0]]
    found = {
        "rows": [0, 1, 2],
        "texts": list(texts.texts),
        "models": {"student": np.zeros((3, 2))},
        "nearest": {"student": similarity.nearest(vectors, 1)},
    }
    html = map_html.maps(found, texts, TITLES, "en")
    assert re.findall(r"</svg>(\w+)</li>", html) == ["Bees", "Trains"]
    assert re.findall(r'data-nearest="(\d*)"', html) == ["1", "0", "1"]
    assert html.count('tabindex="0"') == 1
    assert "Neighbours matter, distances and directions do not" in " ".join(html.split())
    plain = map_html.maps(found, Documents(texts.texts), TITLES, "en")
    assert "ht-groups" not in plain
