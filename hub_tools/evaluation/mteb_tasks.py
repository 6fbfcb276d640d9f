"""Tasks of mteb as rows of the same table: mteb loads the data and scores, the vectors are those of all other tasks."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

from hub_tools.config_evaluate import EvaluateConfig
from hub_tools.core.errors import UserError
from hub_tools.core.files import digest, read_json, write_json
from hub_tools.core.hub_errors import hub_errors
from hub_tools.core.languages import other_codes
from hub_tools.core.logging import log
from hub_tools.evaluation.metrics import Measure, Vectors
from hub_tools.evaluation.mteb_items import column, listen, measure_of
from hub_tools.evaluation.subject import Subject
from hub_tools.evaluation.tasks import READERS, Task, read_tasks

# The value of --mteb that asks for no task of mteb's own.
FILES = "files"
_KINDS = (
    "STS",
    "Retrieval",
    "Reranking",
    "BitextMining",
    "PairClassification",
    "Classification",
    "Clustering",
)
# What a model is trained for with labels of such tasks.
_SKILLS = {"STS": "sts", "Retrieval": "retrieval", "Reranking": "retrieval", "PairClassification": "nli"}
_ENGLISH = "eng"
_NAMED = 8  # most languages that an error names


@dataclass(frozen=True, kw_only=True)
class MtebTask:
    """A task of mteb to measure on, used like `hub_tools.evaluation.tasks.Task`."""

    task: Any  # the task as mteb made it, with the parts that are to be measured
    undefined: str = "mteb gives no number"

    @property
    def name(self) -> str:
        """Its name in the report."""
        return f"mteb {self.task.metadata.name}"

    @property
    def skill(self) -> str:
        """As of `hub_tools.evaluation.tasks.Task`."""
        return _SKILLS.get(self.task.metadata.type, "")

    @property
    def split(self) -> str:
        """The splits that are measured."""
        return ", ".join(self.task.eval_splits)

    @property
    def identity(self) -> str:
        """A hash of all that is measured on, and of the version that measures."""
        import mteb

        dataset, parts = self.task.metadata.dataset, [self.task.hf_subsets, list(self.task.eval_splits)]
        return digest([self.task.metadata.name, dataset, parts, mteb.__version__])

    @property
    def _has_passages(self) -> bool:
        return hasattr(self.task, "k_values")  # AbsTaskRetrieval, and reranking, which is one

    def prompts(self, subject: Subject) -> dict[str, str]:
        """Return what a model puts before the texts of each side."""
        if self._has_passages:
            return {"queries": subject.prompt("query"), "passages": subject.prompt("document")}
        return {"texts": subject.prompt("query")}

    def measure(self, subject: Subject) -> list[Measure]:
        """Return the figure that mteb ranks models by, the mean over the parts of the task."""
        scored = self._scored(subject)
        value = float(_result(scored).get_score())
        counted = sum(self._count(subset, data) for subset, data in self._parts())
        return [measure_of(self.task.metadata.main_score, value, scored["items"], counted)]

    def _count(self, subset: str, data: Any) -> int:
        """Return how many queries, pairs or texts are measured on."""
        if self._has_passages:
            return len(data["queries"])
        return sum(1 for _ in _strings(column(data, _text_columns(self.task, subset)[0])))

    def result(self, subject: Subject) -> Any:
        """Return a model's `mteb.TaskResult`."""
        return _result(self._scored(subject))

    def texts(self) -> Iterator[str]:
        """Yield all texts of the data, those that a classifier learns from too."""
        for subset, data in self._parts(learned_from=True):
            if self._has_passages:
                yield from _strings(list(data["queries"]["text"]))
                for row in data["corpus"]:
                    yield " ".join(filter(None, (row.get("title"), row["text"])))
            else:
                for name in _text_columns(self.task, subset):
                    yield from _strings(column(data, name))

    @property
    def size(self) -> int:
        """About how many texts a model reads."""
        return sum(1 for _ in self.texts())

    def load(self) -> None:
        """Load the data; what mteb or the Hub cannot give is a UserError."""
        name = self.task.metadata.name
        subject, otherwise = f"dataset of the mteb task {name!r}", f"mteb cannot load the data of {name}"
        with _quiet(), hub_errors(subject, otherwise):
            self.task.load_data()
            if self._has_passages:
                self.task.convert_v1_dataset_format_to_v2(num_proc=None)

    def _parts(self, *, learned_from: bool = False) -> Iterator[tuple[str, Any]]:
        """Yield the name of each part of the task, and its data."""
        splits = list(self.task.eval_splits)
        if learned_from and hasattr(self.task, "train_split"):
            splits = list(dict.fromkeys([*splits, self.task.train_split]))
        for subset in self.task.hf_subsets:
            data = self.task.dataset.get(subset, self.task.dataset)
            yield from ((subset, data[split]) for split in splits)

    def _scored(self, subject: Subject) -> dict[str, Any]:
        """Return mteb's result as plain data and, where there are any, figures of single items; kept like vectors."""
        file = subject.kept(["mteb", self.identity, self.prompts(subject)], "json")
        if file is not None and file.exists():
            found: dict[str, Any] = read_json(file)
            return found
        scored = _score(self.task, subject)
        if file is not None:
            write_json(file, scored)
        return scored


AnyTask = Task | MtebTask


def find_mteb_tasks(names: Iterable[str], languages: Sequence[str], *, load: bool = True) -> list[MtebTask]:
    """Return the tasks that --mteb names, each once, with their data; without `load` nothing is fetched.

    A name is that of a task, of which the parts in `languages` count, or of a language, whose tasks all count; `files`
    names none.

    Raises:
        UserError: mteb is not installed, knows no such task or language, or its data cannot be fetched.
    """
    names = list(names)
    if names and find_spec("mteb") is None:
        raise UserError("--mteb needs the package mteb. Run: pip install 'hub-tools[eval]'")
    found: dict[str, MtebTask] = {}
    for name in names:
        if name != FILES:
            found |= {task.metadata.name: MtebTask(task=task) for task in _tasks_of(name, languages)}
    if load:
        for task in found.values():
            log.info("  mteb: %s", task.task.metadata.name)
            task.load()
    return list(found.values())


def chosen_tasks(config: EvaluateConfig, languages: tuple[str, ...], *, load: bool = True) -> list[AnyTask]:
    """Return all tasks that options name: those of files, then those of mteb; errors as of the two readers."""
    files = [task for kind in READERS for task in read_tasks(kind, getattr(config, kind), languages)]
    return [*files, *find_mteb_tasks(config.mteb, languages, load=load)]


def language_codes(code: str) -> set[str]:
    """Return the codes of three letters by which mteb knows a language; none if it is no language's code."""
    from mteb.languages.iso_mappings import ISO_TO_LANGUAGE, _get_iso1_to_iso3

    codes = {_get_iso1_to_iso3().get(code, code), *other_codes(code)}
    return codes & set(ISO_TO_LANGUAGE)


def _tasks_of(name: str, languages: Sequence[str]) -> list[Any]:
    import mteb

    with _quiet():
        if codes := language_codes(name):
            filters: dict[str, Any] = {"task_types": _KINDS, "modalities": ["text"], "exclusive_modality_filter": True}
            found = mteb.get_tasks(languages=sorted(codes), exclude_aggregate=True, **filters)
            if not (tasks := [task for task in found if _choose_parts(task, codes)]):
                raise UserError(f"--mteb {name}: mteb has no text tasks in this language.")
            return tasks
        try:
            task = mteb.get_task(name)
        except KeyError as error:
            near = re.search(r"Did you mean: '(.+?)'", str(error.args[0]))
            hint = f"; did you mean {near[1]}?" if near else ", e.g. STS22.v2 or tur."
            raise UserError(f"--mteb {name}: mteb knows no such task. Expected a task or a language{hint}") from error
    metadata = task.metadata
    if metadata.type not in _KINDS or metadata.modalities != ["text"] or task.is_aggregate:
        kind = "several tasks in one" if task.is_aggregate else f"{metadata.type} of {', '.join(metadata.modalities)}"
        raise UserError(f"--mteb {name} is {kind}. Expected a task with text of one of these: {', '.join(_KINDS)}.")
    codes = {code for lang in languages for code in language_codes(lang)}
    if metadata.is_multilingual and not _choose_parts(task, codes):
        some = ", ".join(metadata.languages[:_NAMED]) + (", ..." if len(metadata.languages) > _NAMED else "")
        raise UserError(f"--mteb {name} has no part in {', '.join(languages)} of --lang. It has {some}.")
    return [task]


def _choose_parts(task: Any, codes: set[str]) -> bool:
    """Keep the parts of a task in languages, alone or with English; return whether there are any."""
    parts = []
    for subset, langs in task.metadata.hf_subsets_to_langscripts.items():
        own = {lang.partition("-")[0] for lang in langs}
        if own & codes and own <= codes | {_ENGLISH}:
            parts.append(subset)
    task.hf_subsets = parts
    return bool(parts)


def _text_columns(task: Any, subset: str) -> list[str]:
    """Return the columns of a task's data that hold its texts, all kinds but retrieval."""
    if hasattr(task, "parallel_subsets"):
        return subset.split("-") if task.parallel_subsets else ["sentence1", "sentence2"]
    if hasattr(task, "column_names"):
        return list(task.column_names)
    names = ("input_column_name", "input1_column_name", "input2_column_name")
    return [getattr(task, name) for name in names if hasattr(task, name)]


def _strings(value: Any) -> Iterator[str]:
    """Yield all texts in a value: that of a row may be a list of them, or a talk of several turns."""
    if isinstance(value, str):
        yield value
        return
    for item in value.values() if isinstance(value, dict) else value:
        yield from _strings(item)


def _score(task: Any, subject: Subject) -> dict[str, Any]:
    import mteb

    task = copy(task)
    # Some tasks draw texts: all models get the same ones, as if each were the first.
    task.rng_state, task.np_rng = deepcopy((task.rng_state, task.np_rng))
    encoder: Any = _Encoder(subject)
    options: Any = {"batch_size": 512, "show_progress_bar": False}
    with TemporaryDirectory() as folder, _quiet(), _without_bars():
        items = listen(task, folder)
        scored = mteb.evaluate(
            encoder,
            task,
            cache=None,
            co2_tracker=False,
            show_progress_bar=False,
            encode_kwargs=options,
            prediction_folder=folder,
        )
        (result,) = scored.task_results
        plain = json.loads(json.dumps(result.model_dump(), default=str))  # a date as text
        return {"result": plain, "items": items(result)}


def _result(scored: dict[str, Any]) -> Any:
    from mteb import TaskResult

    return TaskResult.model_validate(scored["result"])


class _Encoder:
    """A model as mteb asks it (`mteb.EncoderProtocol`).

    Passages of retrieval are documents; all that mteb gives no role is read as a query, as it is everywhere here.
    """

    def __init__(self, subject: Subject) -> None:
        from mteb.models.model_meta import ModelMeta

        self._subject = subject
        self.mteb_model_meta = ModelMeta.create_empty()

    def encode(self, inputs: Any, *, task_metadata: Any, prompt_type: Any = None, **_: Any) -> Vectors:
        """Return the vectors of texts, rows of length one, shape (texts, dim)."""
        texts = [text for batch in inputs for text in batch["text"]]
        role: Any = "document" if prompt_type == "document" else "query"
        return self._subject.encode(texts, role, f"{task_metadata.name}, {role}")

    def similarity(self, first: Any, second: Any) -> Any:
        """Return the cosines of all pairs, shape (first, second)."""
        from mteb.similarity_functions import cos_sim

        return cos_sim(first, second)

    def similarity_pairwise(self, first: Any, second: Any) -> Any:
        """Return the cosine of each pair, shape (pairs,)."""
        from mteb.similarity_functions import pairwise_cos_sim

        return pairwise_cos_sim(first, second)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep mteb's notes and warnings out of the messages."""
    logger = logging.getLogger("mteb")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep away the bars that datasets and mteb show for each small step; vectors have a bar of their own."""
    import datasets

    disabled = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not disabled:
            datasets.enable_progress_bars()
