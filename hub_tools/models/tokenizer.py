"""A model's tokenizer as the model uses it: tokenizer.json together with what the model's other files change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tokenizers import Tokenizer

from hub_tools.core.errors import UserError
from hub_tools.core.logging import log
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.models.loading import library_errors
from hub_tools.models.teacher import STATIC, Teacher, read_settings
from hub_tools.tokenization.tokenizer_json import TOKENIZER_FILES, TokenizerSpec, flat_steps, read_model_vocab

# Besides the bundled sample in 40 languages: cases, marks, spaces, what no vocabulary has, and no text at all.
_PROBE = ("I İ ı i ẞ ß ﬁ ŞĞ", "cafe\u0301 naïve", " a  b\t c\r\n d ", "don't 3,14 (x)!", "👩‍👩‍👧 \U0010fffd \ue000", "")
# Characters of a text that is compared: a sentence says as much as a page.
_COMPARED = 300
_TEXTS_OF_A_LANGUAGE = 20
_NO_CORPUS = Corpus.empty()


def read_model_tokenizer(folder: Path) -> TokenizerSpec:
    """Read the tokenizer.json in the folder of a model's first module, as the model uses it.

    That is with the Lowercase that sentence-transformers puts before it where `do_lower_case` is set, and without added
    tokens that the model has no embedding row for.
    """
    return _as_used(TokenizerSpec.read(folder), folder, read_settings(folder / "config.json").get("vocab_size"))


def read_teacher_tokenizer(teacher: Teacher, corpus: Corpus = _NO_CORPUS) -> TokenizerSpec:
    """Read a teacher's tokenizer as the teacher uses it.

    A StaticEmbedding reads tokenizer.json alone, a Transformer what AutoTokenizer makes of all its files. Where the two
    give the bundled sample, or texts of the corpus, other ids, the tokenizer is AutoTokenizer's. Names of special
    tokens that only its class has are added to the settings.

    Raises:
        UserError: a file is damaged, the tokenizer cannot read every text, or tokens share ids or have no row.
    """
    folder = teacher.input_folder
    own, auto = _read_both(folder, teacher.identity, code=teacher.policy.code, auto=_uses_transformers(teacher))
    texts = chain.from_iterable(corpus.texts(lang, limit=_TEXTS_OF_A_LANGUAGE) for lang in corpus.languages)
    spec = _choose(own, auto, folder, texts)
    rows = teacher.text_settings.get("vocab_size")
    _check_rows(spec, folder, rows)
    spec = _as_used(spec, folder, rows)
    _check_template(spec, folder)
    return spec


def read_tokenizer(folder: Path) -> TokenizerSpec:
    """Read a tokenizer that belongs to no model here, as AutoTokenizer does where it knows the class.

    Only `TOKENIZER_FILES` of the folder count, whatever else a shared folder holds.

    Raises:
        UserError: as `read_teacher_tokenizer`.
    """
    own = _library_form(TokenizerSpec.read(folder), folder)
    with TemporaryDirectory() as alone:
        for name in TOKENIZER_FILES:
            if (folder / name).exists():
                shutil.copyfile(folder / name, Path(alone) / name)
        try:
            auto: TokenizerSpec | None = _read_auto(Path(alone), own, code=False)
        except UserError:  # without tokenizer_config.json nothing says which class it is
            auto = None
    tokenizer = _choose(own, auto, folder, ())
    _check_template(tokenizer, folder)
    return tokenizer


def read_ready_tokenizer(folder: Path, teacher: Teacher) -> TokenizerSpec:
    """Read a ready tokenizer for the student of a teacher; where it is the teacher's, as the teacher uses it.

    Raises:
        UserError: as `read_teacher_tokenizer`; or ids are missing, or the padding token.
    """
    ready = TokenizerSpec.read(folder)
    if ready.spec == TokenizerSpec.read(teacher.input_folder).spec:
        model = read_teacher_tokenizer(teacher)
        ready = replace(ready, spec=model.spec, settings={**model.settings, **ready.settings})
    else:
        ready = read_tokenizer(folder)
    _check_complete(ready, folder)
    if teacher.input_type != STATIC and ready.pad_token_id is None:
        raise UserError(
            f"{folder} has no padding token: texts of different lengths could not be read together. Expected a "
            "pad_token in its tokenizer_config.json."
        )
    return ready


def _uses_transformers(teacher: Teacher) -> bool:
    return bool(teacher.modules_json) and teacher.input_type != STATIC


@lru_cache(maxsize=1)
def _read_both(folder: Path, identity: str, *, code: bool, auto: bool) -> tuple[TokenizerSpec, TokenizerSpec | None]:
    """Return tokenizer.json as it is, and what AutoTokenizer makes of it; `identity` stands for all files' content."""
    own = _library_form(TokenizerSpec.read(folder), folder)
    read = _read_auto(folder, own, code=code) if auto else None
    return own, read if read is None or read.spec != own.spec else replace(read, spec=own.spec)  # held once


def _library_form(tokenizer: TokenizerSpec, folder: Path) -> TokenizerSpec:
    """Return a tokenizer as its library writes it: with all that old files leave out, and the ids that it gives."""
    _check_ids(tokenizer, folder)
    with library_errors(f"{folder / 'tokenizer.json'} cannot be read by the tokenizers library"):
        return replace(tokenizer, spec=_content(Tokenizer.from_str(json.dumps(tokenizer.spec))))


def _content(tokenizer: Tokenizer) -> dict[str, Any]:
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return dict(json.loads(tokenizer.to_str()))


def _read_auto(folder: Path, own: TokenizerSpec, *, code: bool) -> TokenizerSpec:
    """Return what AutoTokenizer makes of a folder, with the special tokens and sides that its class says."""
    from transformers import AutoTokenizer

    with library_errors(f"{folder} has no tokenizer that transformers can load"):
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=code)
        spec = _content(tokenizer.backend_tokenizer)
        named = {name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
        sides = {side: getattr(tokenizer, side) for side in ("padding_side", "truncation_side")}
    settings = own.settings
    named = {name: token for name, token in named.items() if not own.named_token(name)}
    sides = {side: value for side, value in sides.items() if value != settings.get(side, "right")}
    return replace(own, spec=spec, settings={**settings, **named, **sides})


def _choose(own: TokenizerSpec, auto: TokenizerSpec | None, folder: Path, texts: Iterable[str]) -> TokenizerSpec:
    """Return the tokenizer that AutoTokenizer is, as tokenizer.json has it where that reads everything alike."""
    lines = chain.from_iterable(row.values() for row in read_table(sample_file("languages.tsv")))
    probe = [text[:_COMPARED] for text in (*_PROBE, *lines, *texts)]
    chosen = own if auto is None else replace(auto, spec=own.spec)
    if auto is not None and auto.spec != own.spec:
        other = next((token for token, number in own.vocab.items() if auto.vocab.get(token) != number), None)
        if other is not None:
            raise UserError(
                f"{folder}: AutoTokenizer gives the token {other!r} another id than tokenizer.json. Expected files "
                "that belong together: save the tokenizer again, or fetch it."
            )
        try:
            differs = _ids(own, folder, probe) != _ids(auto, folder, probe)
        except UserError:
            differs = True
        if differs:
            log.info("  AutoTokenizer gives other ids than tokenizer.json alone: the student follows AutoTokenizer")
            chosen = auto
    _ids(chosen, folder, probe)
    return chosen


def _ids(tokenizer: TokenizerSpec, folder: Path, texts: list[str]) -> list[list[int]]:
    backend, ids = tokenizer.load(), []
    for text in texts:  # one by one: a batch would try a hopeless pattern on all of them
        with library_errors(f"The tokenizer in {folder} cannot read {text[:40]!r}"):
            ids.append(backend.encode(text).ids)
    return ids


def _check_ids(tokenizer: TokenizerSpec, folder: Path) -> None:
    """Refuse two tokens with one id, of which the library would forget one."""
    model = tokenizer.spec.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    token_of: dict[str, str] = {}
    for token, number in vocab.items() if isinstance(vocab, dict) else ():
        other = token_of.setdefault(str(number), token)
        if other != token:
            raise UserError(
                f"{folder / 'tokenizer.json'} gives the tokens {other!r} and {token!r} one id, {str(number)[:50]}. "
                "Expected an id of its own for each token: fetch the model again."
            )


def _check_rows(tokenizer: TokenizerSpec, folder: Path, rows: int | None) -> None:
    """Refuse tokens behind the last embedding row that ordinary text can give."""
    special = set(tokenizer.special_tokens) - tokenizer.model_vocab.keys()
    behind = [token for token, number in tokenizer.vocab.items() if rows is not None and number >= rows]
    if behind := [token for token in behind if token not in special]:
        raise UserError(
            f"The model in {folder} has {rows:,} embedding rows, and none for {len(behind):,} tokens of its tokenizer, "
            f"such as {behind[0]!r}: it fails on text with them. Expected a row for each token; if they were added "
            "later, call resize_token_embeddings and save the model again."
        )


def _check_template(tokenizer: TokenizerSpec, folder: Path) -> None:
    """Refuse a template whose tokens have other ids than its vocabulary gives them, or no row."""
    pairs: list[tuple[list[str], list[int]]] = []
    for step in flat_steps(tokenizer.spec["post_processor"], "processors"):
        pairs += [([step[name][0]], [step[name][1]]) for name in ("sep", "cls") if name in step]
        pairs += [(special["tokens"], special["ids"]) for special in step.get("special_tokens", {}).values()]
    vocab = tokenizer.vocab
    if wrong := next((pair for pair in pairs if [vocab.get(token) for token in pair[0]] != pair[1]), None):
        tokens, ids = (", ".join(map(str, part)) for part in wrong)
        raise UserError(
            f"The tokenizer in {folder} puts {tokens} into every text as the id {ids}, which its vocabulary does not "
            "have for it. Expected tokens with a row, each with its own id: fetch the model again."
        )


def _check_complete(tokenizer: TokenizerSpec, folder: Path) -> None:
    """Refuse ids that no token has: the student has a row for each token, and no others."""
    ids, size = set(tokenizer.model_vocab.values()), len(tokenizer.spec["model"]["vocab"])
    if missing := set(range(size)) - ids:
        raise UserError(
            f"The tokenizer in {folder} has {size:,} tokens, and none with the id {min(missing)}. Expected the ids 0 "
            f"to {size - 1:,}, each once: give another tokenizer, or let this one be adapted."
        )


def _as_used(tokenizer: TokenizerSpec, folder: Path, rows: int | None) -> TokenizerSpec:
    lowercases = any(read_settings(file).get("do_lower_case") for file in folder.glob("sentence_*_config.json"))
    spec = _with_lowercase(tokenizer.spec) if lowercases else tokenizer.spec
    return replace(tokenizer, spec=spec if rows is None else _without_rowless_tokens(spec, rows))


def _with_lowercase(spec: dict[str, Any]) -> dict[str, Any]:
    normalizer = spec["normalizer"]
    if _has_lowercase(normalizer):
        return spec
    steps = [] if normalizer is None else normalizer.get("normalizers", [normalizer])
    return {**spec, "normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *steps]}}


def _has_lowercase(normalizer: dict[str, Any] | None) -> bool:
    if normalizer is None:
        return False
    if normalizer["type"] == "Sequence":
        return any(map(_has_lowercase, normalizer["normalizers"]))
    return normalizer["type"] == "Lowercase" or bool(normalizer.get("lowercase"))


def _without_rowless_tokens(spec: dict[str, Any], rows: int) -> dict[str, Any]:
    """Leave out added tokens behind the last row: EmbeddingGemma inherits an image token, but no row for it."""
    vocab = read_model_vocab(spec["model"])
    return {**spec, "added_tokens": [t for t in spec["added_tokens"] if t["id"] < rows or t["content"] in vocab]}
