"""The words that the surgery counts are those that the tokenizer's model meets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from benchmarks import teachers
from hub_tools.models.tokenizer import read_model_tokenizer
from hub_tools.tokenization import pretokenization
from hub_tools.tokenization.pretokenization import WordCounts, Words, count_words
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

LINES = ["Ev güzel.", "Nerede? Burada.", "ev", "Ev  var", "a\nb\t c", ""]


@pytest.fixture(scope="module")
def tokenizers(minilm_files: TokenizerSpec) -> dict[str, Tokenizer]:
    gemma = teachers.gemma_shaped(LINES * 3, 500)
    merges = [tuple(merge) for merge in gemma.spec["model"]["merges"]]
    unigram = Tokenizer(models.Unigram())
    unigram.normalizer = normalizers.NFKC()
    unigram.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    return {
        "byte-level": teachers.byte_level(LINES, 400).load(),
        "gemma": gemma.load(),
        "llama": teachers.byte_fallback(gemma.model_vocab, merges, prepend=True).load(),
        "unigram": unigram,
        "wordpiece": minilm_files.load(),
    }


def as_counter(table: WordCounts) -> Counter[str]:
    return Counter(dict(zip(table.words, table.counts.tolist(), strict=True)))


@pytest.mark.parametrize("name", ["byte-level", "gemma", "llama", "unigram", "wordpiece"])
def test_a_text_is_counted_as_it_is_read_alone(name: str, tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers[name]
    alone = Counter[str]()
    for line in LINES:
        alone += as_counter(count_words(tokenizer, [line]))
    assert as_counter(count_words(tokenizer, LINES)) == alone


def test_the_first_word_of_every_text_has_its_space_mark(tokenizers: dict[str, Tokenizer]) -> None:
    found = as_counter(count_words(tokenizers["llama"], ["ev", "ev", "bir ev"]))
    assert found == {"▁ev": 3, "▁bir": 1}


def test_no_line_break_is_counted_that_the_text_does_not_have(tokenizers: dict[str, Tokenizer]) -> None:
    assert not any("Ċ" in word for word in count_words(tokenizers["byte-level"], ["Ev.", "Nerede?", "Bu."]).words)


def test_line_breaks_of_the_text_are_counted(tokenizers: dict[str, Tokenizer]) -> None:
    assert "a\nb" in count_words(tokenizers["gemma"], ["a\nb"]).words


def test_the_table_is_bounded_and_stays_a_fair_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    texts = [f"sık clause{number:05}" for number in range(4000)]
    whole = count_words(tokenizer, texts)
    monkeypatch.setattr(pretokenization, "_MOST_CHARACTERS", 5000)
    monkeypatch.setattr(pretokenization, "_LOOK", 1700)
    bounded = count_words(tokenizer, texts)
    assert sum(map(len, bounded.words)) <= 5000
    assert bounded.counts.sum() == pytest.approx(whole.counts.sum(), rel=0.02)
    assert as_counter(bounded)["sık"] == as_counter(whole)["sık"] == 4000
    # From all of the text, not from its beginning or end.
    places = {word: int(word.removeprefix("clause")) for word in bounded.words if word != "sık"}
    middle = sum(places[word] * count for word, count in as_counter(bounded).items() if word in places) / 4000
    assert middle == pytest.approx(2000, rel=0.05)


def test_words_are_held_as_they_are() -> None:
    words = ["ev", "", "ağaç", "语言", "🙂", "\ud800"]
    held = Words.of(words)
    assert len(held) == 6 and list(held) == words
    assert (held[0], held[-1], held[1:4], held[4:99]) == ("ev", "\ud800", words[1:4], words[4:])
    assert list(Words.of([])) == []


def test_text_is_lower_cased_where_sentence_transformers_does_it(tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Transformer
    from transformers import ModernBertConfig, ModernBertModel

    files = teachers.byte_level([*LINES, "EV VAR"], 400)
    files.write(tmp_path)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    roles = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0)
    config = ModernBertConfig(vocab_size=len(files.vocab), **sizes, **roles)
    ModernBertModel(config).save_pretrained(tmp_path)
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 16, "do_lower_case": true}')
    read = read_model_tokenizer(tmp_path)
    theirs = Transformer.load(str(tmp_path)).tokenizer
    for text in (*LINES, "EV Var", "İSTANBUL"):
        assert read.load().encode(text).ids == theirs(text)["input_ids"]
    assert "ev" in count_words(read.load(), ["EV"]).words
    read.write(tmp_path)  # and is not twice
    assert read_model_tokenizer(tmp_path).spec["normalizer"] == read.spec["normalizer"]
    assert TokenizerSpec.read(tmp_path) == read
