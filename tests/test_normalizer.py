from __future__ import annotations

import io
import json
import unicodedata
from importlib import import_module

import pytest
from tokenizers import Regex, normalizers

from hub_tools.tokenization.normalizer import NormalizerChange, adapt_normalizer
from hub_tools.tokenization.tokenizer_json import TokenizerSpec

TURKISH = ["Çığ düştü, İstanbul'da ağaç gölgesi şimdi ılık. IŞIK söndü mü?"] * 5


@pytest.fixture(scope="module")
def turkish(minilm_files: TokenizerSpec) -> NormalizerChange:
    return adapt(minilm_files, "tr", TURKISH)


def adapt(files: TokenizerSpec, lang: str, texts: list[str]) -> NormalizerChange:
    return adapt_normalizer(files.load().normalizer, files.spec["normalizer"], {lang: texts})


def normalize(change: NormalizerChange, text: str) -> str:
    assert change.normalizer is not None
    return str(change.normalizer.normalize_str(text))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ÇĞÖŞÜ çğöşü", "çğöşü çğöşü"),
        ("İstanbul", "istanbul"),
        ("IŞIK Işık ışık", "ışık ışık ışık"),
        ("SIĞINAK", "sığınak"),
        ("I am in FIFA II", "i am in fifa ii"),
        ("café naïve", "cafe naive"),
        (unicodedata.normalize("NFD", "Çağrı Şükrü İĞNE"), "çağrı şükrü iğne"),
        ("ǘ", "ü"),
    ],
)
def test_turkish_letters_and_casing_are_kept(turkish: NormalizerChange, text: str, wanted: str) -> None:
    assert normalize(turkish, text) == wanted


def test_every_other_character_is_read_as_the_teacher_does(
    turkish: NormalizerChange, minilm_files: TokenizerSpec
) -> None:
    teacher = minilm_files.load().normalizer
    kept = [unicodedata.normalize("NFD", letter) for letter in "çğşöüÇĞŞÖÜ"]
    differ = []
    for code in [
        *range(0x250),
        *range(0x370, 0x600),
        *range(0x900, 0x980),
        *range(0x1E00, 0x2000),
        *range(0xAC00, 0xAD00),
    ]:
        text = f"a{chr(code)}b"
        has_letter = any(letter in unicodedata.normalize("NFD", text) for letter in kept)
        if not has_letter and normalize(turkish, text) != teacher.normalize_str(text):
            differ.append(text)
    assert differ == []


def test_the_student_strips_every_mark_that_the_teacher_strips(
    turkish: NormalizerChange, minilm_files: TokenizerSpec
) -> None:
    teacher = minilm_files.load().normalizer
    stripped = [
        c
        for c in map(chr, range(0x300, 0x20000))
        if unicodedata.category(c)[0] == "M" and teacher.normalize_str(f"a{c}b") == "ab"
    ]
    assert len(stripped) > 1000
    assert [c for c in stripped if normalize(turkish, f"a{c}b") != "ab"] == []


def test_a_language_that_loses_nothing_keeps_the_teachers_normalizer(minilm_files: TokenizerSpec) -> None:
    change = adapt(minilm_files, "en", ["A plain sentence, as there are many."])
    assert change.letters == ()
    assert isinstance(change.normalizer, normalizers.BertNormalizer)


def test_marks_that_are_letters_of_the_language_are_kept(minilm_files: TokenizerSpec) -> None:
    change = adapt(minilm_files, "hi", ["यह पुस्तक मेरी नहीं है, उसकी है।"] * 5)
    assert normalize(change, "पुस्तक") == unicodedata.normalize("NFD", "पुस्तक")


def test_letters_with_two_marks_are_kept(minilm_files: TokenizerSpec) -> None:
    change = adapt(minilm_files, "vi", ["Tiếng Việt có nhiều dấu, ví dụ như ế và ề."] * 5)
    assert normalize(change, "Tiếng Việt") == "tiếng việt"
    assert normalize(change, "über") == "uber"


@pytest.mark.parametrize(
    "teacher",
    [
        # ALBERT's: strips before it lower-cases.
        normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]),
        normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]),
    ],
)
def test_normalizers_of_other_families_keep_the_letters_too(teacher: normalizers.Normalizer) -> None:
    spec = json.loads(teacher.__getstate__())
    change = adapt_normalizer(teacher, spec, {"tr": TURKISH})
    assert normalize(change, "ÇĞÖŞÜ İstanbul café") == "çğöşü istanbul cafe"
    assert normalize(change, "SIĞINAK FIFA") == "sığınak fifa"
    assert {"ç", "ğ", "ş"} <= set(change.letters)
    kept = adapt_normalizer(teacher, spec, {"de": ["Ein Haus am See."] * 50})
    assert kept.normalizer is teacher


def charsmap(name: str) -> normalizers.Normalizer:
    written = io.BytesIO()
    sentencepiece = pytest.importorskip("sentencepiece")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TURKISH), model_writer=written, vocab_size=40, model_type="bpe",
        normalization_rule_name=name, minloglevel=2,
    )  # fmt: skip
    proto = import_module("sentencepiece.sentencepiece_model_pb2").ModelProto()
    proto.ParseFromString(written.getvalue())
    return normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)


def test_what_a_charsmap_or_a_regex_destroys_is_reported() -> None:
    def notes(teacher: normalizers.Normalizer, lang: str) -> tuple[str, ...]:
        return adapt_normalizer(teacher, json.loads(teacher.__getstate__()), {lang: TURKISH}).notes

    (note,) = notes(charsmap("nmt_nfkc_cf"), "tr")
    assert "Not repaired" in note
    assert "(Precompiled) reads I as i" in note
    assert notes(charsmap("nmt_nfkc"), "tr") == ()
    stripping = normalizers.Sequence([normalizers.NFD(), normalizers.Replace(Regex(r"\p{Mn}"), "")])
    (note,) = notes(stripping, "de")
    assert "(Replace) destroys " in note
    assert "ğ" in note
    assert notes(normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(" {2,}"), " ")]), "tr") == ()


def test_lower_casing_alone_is_changed_for_turkish_only() -> None:
    teacher = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    spec = json.loads(teacher.__getstate__())
    assert normalize(adapt_normalizer(teacher, spec, {"tr": TURKISH}), "IŞIK İYİ café") == "ışık iyi café"
    assert adapt_normalizer(teacher, spec, {"fr": ["Déjà vu."]}).normalizer is teacher
