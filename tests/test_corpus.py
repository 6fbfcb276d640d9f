"""Text in any format becomes a corpus: cleaned, without duplicates, split, limited and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hub_tools.core.errors import UserError
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.clean import chunks, clean
from hub_tools.corpus.pairs import HubPairs, Pair, find_hub_pairs
from hub_tools.corpus.readers import read_table, read_texts
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from tests.commands import environment
from tests.corpora import SENTENCES, build, kept_of_each, write
from tests.fake_hub import FakeHub

PLAIN = [".txt", ".tsv", ".csv", ".jsonl"]


@pytest.mark.parametrize("ending", [*PLAIN, *(f"{plain}.gz" for plain in PLAIN), ".parquet"])
def test_all_formats_give_the_same_texts(tmp_path: Path, ending: str) -> None:
    texts = ["Bir cümle.", 'Tırnaklı "cümle", virgüllü', "Üçüncü"]
    assert list(read_texts(write(tmp_path / f"x{ending}", texts), "tr")) == texts


def test_a_long_parquet_file_is_read_in_the_memory_of_one_of_its_groups(tmp_path: Path) -> None:
    long, group = "x" * 1000, 1000
    with pq.ParquetWriter(tmp_path / "tr.parquet", pa.schema([("text", pa.string())]), compression="none") as file:
        for start in range(0, 60 * group, group):
            file.write_table(pa.table({"text": [f"{n} {long}" for n in range(start, start + group)]}))
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in read_table(tmp_path / "tr.parquet")]
    assert len(held) == 60 * group
    assert max(held) < 4 * group * len(long)


def test_what_a_long_file_says_of_itself_stays_short(
    tmp_path: Path, minilm_files: TokenizerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"_BATCH": 8, "_BATCH_TIMES": 3}.items():
        monkeypatch.setattr(f"hub_tools.corpus.build.{name}", value)
    corpus = build(tmp_path, minilm_files, str(write(tmp_path / "tr.txt", SENTENCES)))
    about = pq.read_metadata(corpus.path / "text/tr.parquet")
    sizes = [about.row_group(number).num_rows for number in range(about.num_row_groups)]
    assert sizes == [*[8] * 3, *[16] * 3, *[32] * 3, *[64] * 2, 4]
    assert corpus.result.text["tr"].kept == 300


def test_text_is_cleaned_deduplicated_split_and_counted(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    raw = ["  Aynı\tcümle.  ", "Aynı cümle.", "", "Caf\u0065\u0301", *SENTENCES]
    corpus = build(tmp_path, minilm_files, str(write(tmp_path / "tr.txt", raw)))
    stats = corpus.result.text["tr"]
    assert stats.read == 304
    assert (stats.dropped_duplicate, stats.dropped_empty, stats.kept) == (1, 1, 302)
    train, heldout = list(corpus.texts("tr")), list(corpus.texts("tr", "heldout"))
    assert len(train) + len(heldout) == 302
    assert heldout
    assert not set(train) & set(heldout)
    assert {"Aynı cümle.", "Café"} <= {*train, *heldout}


def test_the_split_depends_on_the_text_alone(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    first = build(tmp_path / "a", minilm_files, str(write(tmp_path / "a.txt", SENTENCES)))
    second = build(tmp_path / "b", minilm_files, str(write(tmp_path / "b.txt", SENTENCES[::-1])))
    assert set(first.texts("tr", "heldout")) == set(second.texts("tr", "heldout"))


def test_texts_of_heldout_pairs_are_not_trained_on(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    pairs = tmp_path / "pairs.tsv"
    rows = "".join(f"x\tSentence number {i}.\t{text}\n" for i, text in enumerate(SENTENCES))
    pairs.write_text("source\ten\ttr\n" + rows, encoding="utf-8")
    corpus = build(tmp_path, minilm_files, str(write(tmp_path / "tr.txt", SENTENCES)), parallel=[pairs])
    heldout = {pair.target for pair in corpus.pairs("heldout")}
    assert heldout
    assert not heldout & set(corpus.texts("tr"))
    assert corpus.result.text["tr"].dropped_in_heldout_pairs == len(heldout)
    # Tokenizers are measured on these, which none of them was learned from.
    assert corpus.unseen("tr", "tr") == [*corpus.texts("tr", "heldout"), *(p.target for p in corpus.pairs("heldout"))]
    assert corpus.unseen("en", "tr") == [pair.source for pair in corpus.pairs("heldout")]
    assert corpus.unseen("de", "tr") == []


def test_no_text_of_a_pair_is_both_trained_on_and_held_out(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    pairs = tmp_path / "pairs.tsv"
    # Three sources share each target, and the targets are monolingual text too.
    rows = "".join(f"Source {i}.\t{SENTENCES[i // 3]}\n" for i in range(900))
    pairs.write_text("en\ttr\n" + rows, encoding="utf-8")
    corpus = build(tmp_path, minilm_files, str(write(tmp_path / "tr.txt", SENTENCES)), parallel=[pairs])
    texts = {
        split: {text for pair in corpus.pairs(split) for text in (pair.source, pair.target)}
        | set(corpus.texts("tr", split))
        for split in ("train", "heldout")
    }
    assert texts["heldout"]
    assert not texts["train"] & texts["heldout"]
    assert corpus.result.parallel is not None and corpus.result.parallel.dropped_in_heldout_pairs > 0


def test_the_limit_counts_kept_texts(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    corpus = build(tmp_path, minilm_files, str(write(tmp_path / "tr.txt", ["", *SENTENCES])), limit=200)
    assert corpus.result.text["tr"].kept == 200


def test_sources_take_turns_under_a_limit_and_only_those_that_gave_text_are_named(
    tmp_path: Path, minilm_files: TokenizerSpec
) -> None:
    names = ("first.txt", "second.jsonl", "same.txt")
    texts = (SENTENCES[:200], SENTENCES[200:], SENTENCES[:200])
    files = [str(write(tmp_path / name, own)) for name, own in zip(names, texts, strict=True)]
    corpus = build(tmp_path, minilm_files, *files, limit=120)
    kept = {*corpus.texts("tr"), *corpus.texts("tr", "heldout")}
    assert kept == {*SENTENCES[:60], *SENTENCES[200:260]}
    assert corpus.result.text["tr"].sources == files[:2]


def test_other_languages_get_a_tenth_of_what_the_target_has(
    tmp_path: Path, minilm_files: TokenizerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for lang, texts in {"tr": SENTENCES, "en": SENTENCES, "de": SENTENCES, "fr": SENTENCES[:12]}.items():
        write(tmp_path / f"{lang}.txt", texts)
    options: dict[str, Any] = {"languages": ("tr", "en", "de", "fr")}
    spec = str(tmp_path / "{lang}.txt")
    assert set(kept_of_each(build(tmp_path / "little", minilm_files, spec, **options)).values()) == {300, 12}
    monkeypatch.setattr("hub_tools.corpus.build.LEAST_OTHER", 20)
    usual = kept_of_each(build(tmp_path / "usual", minilm_files, spec, **options))
    assert usual == {"tr": 300, "en": 300, "de": 30, "fr": 12}
    # What was read before is used again: the tenth is the same.
    (tmp_path / "usual/corpus/text/de.json").unlink()
    assert kept_of_each(build(tmp_path / "usual", minilm_files, spec, **options)) == usual
    asked = kept_of_each(build(tmp_path / "asked", minilm_files, spec, limit="tr=100,de=250", **options))
    assert asked == {"tr": 100, "en": 300, "de": 250, "fr": 12}
    alike = kept_of_each(build(tmp_path / "alike", minilm_files, spec, limit=200, **options))
    assert alike == {"tr": 200, "en": 200, "de": 200, "fr": 12}


def test_the_tenth_counts_the_targets_side_of_pairs(
    tmp_path: Path, minilm_files: TokenizerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_tools.corpus.build.LEAST_OTHER", 20)
    rows = "".join(f"Sentence {i}.\t{text}\n" for i, text in enumerate(SENTENCES))
    (tmp_path / "pairs.tsv").write_text(f"en\ttr\n{rows}", encoding="utf-8")
    for lang in ("tr", "de"):
        write(tmp_path / f"{lang}.txt", [f"{text} ({lang})" for text in SENTENCES])
    options: dict[str, Any] = {"languages": ("tr", "en", "de"), "parallel": [tmp_path / "pairs.tsv"]}
    corpus = build(tmp_path, minilm_files, str(tmp_path / "{lang}.txt"), **options)
    assert kept_of_each(corpus) == {"tr": 300, "de": 60}


def test_sources_are_read_in_their_order_without_a_limit(tmp_path: Path, minilm_files: TokenizerSpec) -> None:
    files = [str(write(tmp_path / f"{n}.txt", SENTENCES[start::2])) for n, start in enumerate((0, 1))]
    kept = list(build(tmp_path, minilm_files, *files).texts("tr"))
    in_order = [text for start in (0, 1) for text in SENTENCES[start::2]]
    assert kept == [text for text in in_order if text in set(kept)]


def test_the_usual_limit_of_a_dataset_leaves_room_for_the_next_source(
    tmp_path: Path, minilm_files: TokenizerSpec, monkeypatch: pytest.MonkeyPatch, hub: FakeHub, online: dict[str, str]
) -> None:
    monkeypatch.setattr("hub_tools.corpus.build.HUB_LIMIT_MAIN", 160)
    (tmp_path / "set").mkdir()
    write(tmp_path / "set/rows.jsonl", SENTENCES[:200])
    hub.add("dataset", "org/set", tmp_path / "set")
    with environment(**online):
        corpus = build(tmp_path, minilm_files, "org/set:default", str(write(tmp_path / "more.txt", SENTENCES[200:])))
    assert corpus.result.text["tr"].sources == ["org/set:default", str(tmp_path / "more.txt")]
    assert sum(text in SENTENCES[200:] for text in corpus.texts("tr")) > 40


def test_the_language_of_a_pair_is_said_only_where_the_columns_name_it(
    tmp_path: Path, minilm_files: TokenizerSpec
) -> None:
    files: list[Path | HubPairs] = []
    for name, header in (("coded.tsv", "en\ttr"), ("plain.tsv", "source\ttarget")):
        rows = "".join(f"{name} {i}\t{text}\n" for i, text in enumerate(SENTENCES))
        (tmp_path / name).write_text(f"{header}\n{rows}", encoding="utf-8")
        files.append(tmp_path / name)
    both = build(tmp_path / "both", minilm_files, "sample", parallel=files)
    assert {(pair.origin, pair.lang) for pair in both.pairs()} == {("coded.tsv", "en"), ("plain.tsv", "und")}
    assert both.result.parallel is not None and both.result.parallel.languages == ("en", "tr")
    plain = build(tmp_path / "plain", minilm_files, "sample", parallel=files[1:])
    assert plain.result.parallel is not None and plain.result.parallel.languages == ("tr",)


def test_pairs_are_read_from_a_dataset_of_the_hub_with_the_columns_of_files(
    tmp_path: Path, minilm_files: TokenizerSpec, monkeypatch: pytest.MonkeyPatch, hub: FakeHub, online: dict[str, str]
) -> None:
    monkeypatch.setattr("hub_tools.corpus.build.HUB_LIMIT_MAIN", 250)
    (tmp_path / "set").mkdir()
    card = (
        "---\nconfigs:\n- config_name: en-tr\n  data_files: t.jsonl\n- config_name: wrong\n  data_files: w.jsonl\n---\n"
    )
    (tmp_path / "set/README.md").write_text(card, encoding="utf-8")
    rows = [{"translation": {"en": f"This is sentence {i}.", "tr": text}} for i, text in enumerate(SENTENCES)]
    (tmp_path / "set/t.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "set/w.jsonl").write_text(json.dumps({"de": "Hallo.", "id": 3}), encoding="utf-8")
    hub.add("dataset", "org/pairs", tmp_path / "set")
    with environment(**online):
        found = find_hub_pairs("org/pairs:en-tr:train")
        assert found is not None
        corpus = build(tmp_path, minilm_files, "sample", parallel=[found])
        pairs = list(corpus.pairs())
        assert {(pair.lang, pair.origin) for pair in pairs} == {("en", "org/pairs:en-tr")}
        assert Pair("This is sentence 7.", SENTENCES[7], "en", "org/pairs:en-tr") in pairs
        result = corpus.result.parallel
        assert result is not None
        assert (result.read, result.languages, result.files) == (250, ("en", "tr"), ["org/pairs:en-tr"])
        # The report knows the commit, and a run is another one when it changes.
        assert corpus.result.revisions == {"org/pairs": found.revision}
        assert found.revision in found.identity
        assert found.revision
        wrong = find_hub_pairs("org/pairs:wrong")
        assert wrong is not None
        with pytest.raises(UserError, match="--parallel org/pairs:wrong has the columns de, id; expected en and tr"):
            build(tmp_path / "wrong", minilm_files, "sample", parallel=[wrong])
        with pytest.raises(UserError, match="org/none"):
            find_hub_pairs("org/none")
    # Files stay files, here or not.
    assert not any(map(find_hub_pairs, (str(tmp_path / "set"), "org/none.tsv", "pairs", "org/*.tsv.gz")))


def test_an_empty_corpus_needs_no_folder() -> None:
    corpus = Corpus.empty()
    assert not corpus.has_pairs and not list(corpus.pairs())
    assert corpus.sample("tr") == list(corpus.all_texts("tr", ("tr",))) == []


def test_long_texts_are_cut_to_the_teachers_length_and_lose_nothing(minilm_files: TokenizerSpec) -> None:
    tokenizer = minilm_files.load()
    text = clean(" ".join(SENTENCES[:60]) + " uzun" * 90 + "x" * 400)
    pieces = list(chunks(text, tokenizer, 64))
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(len(tokenizer.encode(piece).ids) <= 64 for piece in pieces)
    assert pieces[0].endswith(".")
