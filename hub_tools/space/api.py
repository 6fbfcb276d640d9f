"""The page as a documented API for gradio_client, HTTP and MCP: callers read the docstrings of the functions."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr
from gradio.events import api

from hub_tools.space import results
from hub_tools.space.documents import from_hub
from hub_tools.space.i18n import translate
from hub_tools.space.limits import RefusedError
from hub_tools.space.sandbox import AT_ONCE
from hub_tools.space.service import Service

log = logging.getLogger(__name__)

# Calls that run the models, from the page, the API and MCP together.
MODELS: dict[str, Any] = {"concurrency_id": "models", "concurrency_limit": 8}
# Calls that may start a process for data from outside, likewise; each may take 4 GiB of memory. They wait in the queue,
# and no thread waits with them; `run_sandboxed` keeps the bound whatever is cancelled meanwhile.
SANDBOXED: dict[str, Any] = {"concurrency_id": "sandboxed", "concurrency_limit": AT_ONCE}


def explain(error: Exception, lang: str) -> str:
    """Return what visitors read of an error; all but refusals are logged here and not shown, they may name folders."""
    if isinstance(error, RefusedError):
        return error.translate(lang)
    log.error("A call failed.", exc_info=error)
    return translate(lang, "error_defect")


def add_api(service: Service) -> None:
    """Add the functions to the page that is being built."""
    for function, limit in _functions(service):
        api(_api_errors(function), api_name=function.__name__, **limit)


def _api_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    kinds = inspect.get_annotations(function)

    @wraps(function)
    def wrapped(*args: Any) -> Any:
        try:
            return function(*(_typed(name, kinds[name], value) for name, value in zip(kinds, args, strict=False)))
        except gr.Error:
            raise
        except Exception as error:
            raise gr.Error(explain(error, "en"), print_exception=False) from error

    return wrapped


def _typed(name: str, kind: str, value: Any) -> Any:
    """Return an argument of a call, or say which one has the wrong type; 3.0 is a whole number."""
    if kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    expected, fits = {
        "str": ("a text", isinstance(value, str)),
        "int": ("a whole number", type(value) is int),
        "list[str]": ("a list of texts", _is_texts(value)),
        "list[str] | None": ("a list of texts or null", value is None or _is_texts(value)),
    }[kind]
    if not fits:
        raise gr.Error(f"{name}: expected {expected}, got {json.dumps(value)[:60]}.", print_exception=False)
    return value


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _functions(service: Service) -> list[tuple[Callable[..., Any], dict[str, Any]]]:
    """Return the functions, each with the types and the text that callers see, and how many calls run at once."""

    def compare_tokenizers(text: str, first: str = "teacher", second: str = "student") -> dict[str, Any]:
        """Tokenize a text by two tokenizers and say which tokens are new, kept or gone.

        Args:
            text: up to 10,000 characters.
            first: teacher, student, or the id of a public model on the Hub.
            second: the same.

        Returns:
            the first 2,000 tokens with ids and places in the text, counts of all, tokens per word and per character of
            both, and the ratio.
        """
        return service.compare(text, first, second)

    def search_documents(
        query: str,
        corpus: str = "passages",
        documents: list[str] | None = None,
        dimension: int = 0,
        precision: str = "float32",
        top: int = 5,
    ) -> dict[str, Any]:
        """Search documents by meaning, with the teacher and with the student.

        Args:
            query: what to look for, up to 1,000 characters.
            corpus: a bundled corpus: passages, sentences or languages.
            documents: up to 1,000 documents of your own, instead of a bundled corpus.
            dimension: numbers of a vector to use (Matryoshka); 0 means all.
            precision: how vectors are stored: float32, int8 or binary.
            top: how many results, up to 20.

        Returns:
            for each model the hits with scores, milliseconds of the query, memory, and agreement with full vectors.
        """
        chosen = service.corpus(corpus, documents)
        return service.search(query, chosen, dimension=dimension, precision=precision, top=top)

    def compare_sentences(sentences: list[str]) -> dict[str, Any]:
        """Return the cosine of every pair of sentences, by the teacher and by the student.

        Args:
            sentences: 2 to 12, in any languages.

        Returns:
            the sentences, and for each model a square table of cosines.
        """
        return service.similarity(sentences)

    def map_corpus(corpus: str = "languages", documents: list[str] | None = None) -> dict[str, Any]:
        """Put the texts of a corpus on a map with two dimensions, by the teacher and by the student.

        Args:
            corpus: a bundled corpus: passages, sentences or languages.
            documents: up to 1,000 documents of your own, instead of a bundled corpus.

        Returns:
            up to 600 texts, and for each model a pair of numbers from -1 to 1 for each text.
        """
        maps = service.map(service.corpus(corpus, documents))
        models = {name: points.round(4).tolist() for name, points in maps["models"].items()}
        return {"texts": maps["texts"], "models": models}

    def read_dataset(dataset: str, config: str = "", split: str = "train", column: str = "") -> list[str]:
        """Read the first texts of a public dataset on the Hub, to search in them.

        Args:
            dataset: its id, such as org/name.
            config: its configuration, where it has several.
            split: such as train.
            column: the column that holds text; empty means the first that does.

        Returns:
            up to 1,000 texts.
        """
        return from_hub(dataset, config, split, column)

    def read_results() -> dict[str, Any]:
        """Return everything that the run behind this page measured: report.json, without folders of the machine.

        Returns:
            teacher, student, corpus, tokenizer, clone, embeddings, distill, evaluation, costs, smaller (vectors),
            versions and timings.
        """
        return service.content.report.to_dict()

    def write_command(teacher: str, language: str, vocabulary: int = 32000) -> str:
        """Write the command that makes a student of a teacher for a language.

        Args:
            teacher: id of a sentence-transformers model on the Hub, or id@revision.
            language: ISO 639-1 code, such as tr.
            vocabulary: how many tokens the student has.

        Returns:
            a command for a shell.
        """
        return results.command(teacher, language, vocabulary)

    return [
        (compare_tokenizers, SANDBOXED),
        (search_documents, MODELS),
        (compare_sentences, MODELS),
        (map_corpus, MODELS),
        (read_dataset, SANDBOXED),
        (read_results, {}),
        (write_command, {}),
    ]
