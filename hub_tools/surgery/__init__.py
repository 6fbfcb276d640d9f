"""Stage `tokenizer`: the teacher's tokenizer, pruned and taught the target language.

One module per tokenizer family stands behind `make_tokenizer`. Nothing in here needs torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from hub_tools.corpus import Corpus
from hub_tools.errors import UserError
from hub_tools.progress import bar
from hub_tools.run_folder import write_json, write_text
from hub_tools.surgery.normalizer import NormalizerChange, adapt_normalizer
from hub_tools.surgery.vocabulary import Counts, Plan, make_plan, reachable
from hub_tools.surgery.wordpiece import count_words, learn_tokens

_NAMED_SPECIALS = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "bos_token", "eos_token")
_BERT_INPUTS = ["input_ids", "token_type_ids", "attention_mask"]
_SETTINGS = ("padding_side", "truncation_side", "clean_up_tokenization_spaces", "chat_template")


@dataclass(frozen=True, kw_only=True)
class TokenizerFiles:
    """A fast tokenizer as plain data.

    Attributes:
        spec: the content of tokenizer.json.
        settings: the content of tokenizer_config.json, with special_tokens_map.json where that is older.
    """

    spec: dict[str, Any]
    settings: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> TokenizerFiles:
        """Read the tokenizer of a model folder."""
        settings: dict[str, Any] = {}
        for name in ("special_tokens_map.json", "tokenizer_config.json"):
            if (folder / name).exists():
                settings |= _read_json(folder / name)
        return cls(spec=_read_json(folder / "tokenizer.json"), settings=settings)

    def write(self, folder: Path) -> None:
        """Write the two files that transformers and tokenizers read."""
        write_text(folder / "tokenizer.json", json.dumps(self.spec, ensure_ascii=False))
        write_json(folder / "tokenizer_config.json", self.settings)

    def load(self) -> Tokenizer:
        """The tokenizer without truncation and padding."""
        return Tokenizer.from_str(json.dumps({**self.spec, "truncation": None, "padding": None}))

    @property
    def family(self) -> str:
        """Kind of model: WordPiece, BPE, Unigram or WordLevel."""
        return str(self.spec["model"]["type"])


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, OSError) as error:
        raise UserError(f"{file} is damaged or missing: expected a tokenizer's JSON. Fetch the model again.") from error


def default_vocab_size(teacher_size: int) -> int:
    """Half of the teacher's vocabulary, rounded up to a multiple of 64 (262,144 -> 131,072)."""
    return -(-teacher_size // 2 // 64) * 64


def make_tokenizer(
    teacher: TokenizerFiles, corpus: Corpus, out: Path, *, target: str, vocab_size: int | None, max_seq_length: int
) -> dict[str, Any]:
    """Make the student's tokenizer and write it to a folder.

    Args:
        teacher: the teacher's tokenizer.
        corpus: text in all languages.
        out: folder for tokenizer.json and tokenizer_config.json.
        target: the language the student is made for.
        vocab_size: V, or None for `default_vocab_size`.
        max_seq_length: the teacher's longest input in tokens, written into the settings.

    Returns:
        The `tokenizer` section of the report, without fertility.

    Raises:
        UserError: the family is not supported, or V is impossible.
    """
    if teacher.family != "WordPiece":
        raise UserError(
            f"The teacher's tokenizer is a {teacher.family} model; tokenizer surgery handles WordPiece (BERT, MiniLM, "
            "LaBSE) so far. Pass --tokenizer with a ready tokenizer to use this teacher."
        )
    original = teacher.load()
    change = adapt_normalizer(original.normalizer, teacher.spec["normalizer"], target, corpus.all_texts(target, target))
    student = teacher.load()
    if change.normalizer is not None:
        student.normalizer = change.normalizer
    plan = _plan(teacher, student, corpus, target=target, vocab_size=vocab_size, letters=change.letters)
    files = _assemble(teacher, student, plan, max_seq_length)
    files.write(out)
    return _summary(teacher, files, plan, change)


def take_tokenizer(teacher: TokenizerFiles, ready: Path, out: Path, *, max_seq_length: int) -> dict[str, Any]:
    """Use a ready tokenizer as the student's.

    Args:
        teacher: the teacher's tokenizer.
        ready: folder of the tokenizer to use.
        out: folder for its files.
        max_seq_length: the teacher's longest input in tokens, written into the settings.

    Returns:
        The `tokenizer` section of the report, without fertility.
    """
    files = TokenizerFiles.read(ready)
    settings = {**files.settings, "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": max_seq_length}
    if files.family == "WordPiece":
        settings.setdefault("model_input_names", _BERT_INPUTS)
    TokenizerFiles(spec={**files.spec, "truncation": None, "padding": None}, settings=settings).write(out)
    ours, theirs = (f.load().get_vocab(with_added_tokens=True) for f in (files, teacher))
    kept = len(ours.keys() & theirs.keys())
    specials = [token["content"] for token in teacher.spec["added_tokens"] if token["special"]]
    return {
        "family": files.family,
        "vocab_size": len(ours),
        "kept": kept,
        "added": len(ours) - kept,
        "added_reachable": None,
        "specials_kept": sum(token in ours for token in specials),
    }


def _plan(
    teacher: TokenizerFiles,
    student: Tokenizer,
    corpus: Corpus,
    *,
    target: str,
    vocab_size: int | None,
    letters: tuple[str, ...],
) -> Plan:
    languages = list(dict.fromkeys((*corpus.languages, *([target] if corpus.has_pairs else []))))
    tables = {}
    with bar("counting words", len(languages), " languages") as progress:
        for lang in languages:
            tables[lang] = count_words(student, corpus.all_texts(lang, target))
            progress.update()
    vocabulary = teacher.load().get_vocab(with_added_tokens=True)
    return make_plan(
        Counts(teacher=vocabulary, unknown=teacher.spec["model"]["unk_token"], tables=tables, target=target),
        specials=[token["content"] for token in teacher.spec["added_tokens"]],
        vocab_size=vocab_size or default_vocab_size(len(vocabulary)),
        letters=letters,
        learn=lambda size: learn_tokens(
            student, corpus.all_texts(target, target), size, chain.from_iterable(tables[target].words)
        ),
    )


def _assemble(teacher: TokenizerFiles, student: Tokenizer, plan: Plan, max_seq_length: int) -> TokenizerFiles:
    """The student's files: the teacher's with another vocabulary, normalizer and ids."""
    ids = {token: index for index, token in enumerate(plan.tokens)}
    spec = json.loads(json.dumps(teacher.spec))
    spec["truncation"] = spec["padding"] = None
    spec["normalizer"] = json.loads(student.to_str())["normalizer"]
    spec["model"]["vocab"] = ids
    spec["added_tokens"] = sorted(
        ({**token, "id": ids[token["content"]]} for token in spec["added_tokens"]), key=lambda token: token["id"]
    )
    spec["post_processor"] = _renumber(spec["post_processor"], ids)
    specials = {name: _content(teacher.settings[name]) for name in _NAMED_SPECIALS if teacher.settings.get(name)}
    settings = {
        # Any class named after an architecture rebuilds its own normalizer and would undo the surgery.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_seq_length,
        "model_input_names": teacher.settings.get("model_input_names", _BERT_INPUTS),
        **{name: teacher.settings[name] for name in _SETTINGS if name in teacher.settings},
        **specials,
    }
    return TokenizerFiles(spec=spec, settings=settings)


def _renumber(processor: dict[str, Any] | None, ids: dict[str, int]) -> dict[str, Any] | None:
    if processor is None:
        return None
    if processor["type"] == "Sequence":
        return {**processor, "processors": [_renumber(p, ids) for p in processor["processors"]]}
    if processor["type"] == "TemplateProcessing":
        specials = {
            name: {**special, "ids": [ids[token] for token in special["tokens"]]}
            for name, special in processor["special_tokens"].items()
        }
        return {**processor, "special_tokens": specials}
    # BertProcessing and RobertaProcessing name their two tokens as [text, id].
    pairs: dict[str, Any] = {
        name: [processor[name][0], ids[processor[name][0]]] for name in ("sep", "cls") if name in processor
    }
    return {**processor, **pairs}


def _content(token: str | dict[str, Any]) -> str:
    return token if isinstance(token, str) else str(token["content"])


def _summary(teacher: TokenizerFiles, student: TokenizerFiles, plan: Plan, change: NormalizerChange) -> dict[str, Any]:
    vocabulary = student.spec["model"]["vocab"]
    specials = [token["content"] for token in teacher.spec["added_tokens"]]
    return {
        "family": teacher.family,
        "vocab_size": len(vocabulary),
        "kept": plan.kept,
        "added": len(plan.added),
        "added_reachable": reachable(plan.added, vocabulary, teacher.spec["model"]["unk_token"]),
        "specials_kept": sum(token in vocabulary for token in specials),
        "new_characters": plan.characters,
        "split": plan.split,
        "objective": plan.objective,
        "normalizer_changes": list(change.notes),
    }
