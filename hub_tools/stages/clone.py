"""Stage `clone`: the teacher's weights and new embedding rows, a student that already works."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from hub_tools.cloning.clone import clone
from hub_tools.cloning.layers import choose_layers, find_stack, measure_influence
from hub_tools.cloning.static import write_static
from hub_tools.config_clone import Init
from hub_tools.core.files import read_as
from hub_tools.core.hardware import Hardware
from hub_tools.core.logging import log
from hub_tools.corpus.build import Corpus
from hub_tools.evaluation.frontier import Goals, choose, heldout_goals
from hub_tools.evaluation.subject import Subject
from hub_tools.models.loading import load_model
from hub_tools.models.sizes import with_model_sizes
from hub_tools.models.teacher import LICENSE, Teacher
from hub_tools.results import CloneResult, Split, TokenizerResult, VocabularySize
from hub_tools.stages.base import Finished, Stage, neutral
from hub_tools.stages.job import HashedFile
from hub_tools.stages.tokenizer import STATS
from hub_tools.tokenization.adapt import TRIM

# Where clones are that a choice is made from.
_CANDIDATE = ".candidate"
# Held-out texts of each target and of English that show what the layers do.
_TEXTS = 200
# Texts of each in which a static student's tokens are counted.
_COUNTED = 5000


@dataclass(frozen=True, kw_only=True)
class CloneStage(Stage):
    """Give the teacher the student's tokenizer; `prompts` are those that the teacher's files do not name.

    Where tokens were learned, as many are taken as leave the clone near to its goal (`hub_tools.evaluation.frontier`),
    and the folder trim/ in that of the clone has the plain trim, with which the student is compared.
    """

    name, folder, other_sections = "clone", "clone", ("embed",)
    leftovers = (_CANDIDATE,)

    teacher: Teacher
    legal_files: tuple[HashedFile, ...]
    teacher_license: dict[str, str] | None  # kept in the record
    tokenizer: Finished
    corpus: Finished
    init: Init
    layers: tuple[int, ...]  # how many, or which
    static: bool
    prompts: dict[str, str]
    targets: tuple[str, ...]
    chooses_split: bool
    hardware: Hardware = neutral()

    def work(self, out: Path) -> CloneResult:
        trim, taken, influence = self.tokenizer.path / TRIM, *self._layers()
        splits = self._splits(out) if self.chooses_split and trim.is_dir() else {}
        chosen = choose(splits, TRIM) if splits else ""
        result = self._student(chosen, out, taken)
        if trim.is_dir() and chosen != TRIM:
            result = replace(result, trim=self._student(TRIM, out / TRIM, taken))
        for file in self.legal_files:
            (out / LICENSE).mkdir(exist_ok=True)
            shutil.copyfile(file.path, out / LICENSE / file.path.name)
        return replace(result, tokenizer=chosen, splits=list(splits.values()), influence=influence, sizes=self._sizes())

    def _sizes(self) -> list[VocabularySize]:
        """Return the sizes that the tokenizer was chosen from, and of the student with each; a ready one has none."""
        if not (self.tokenizer.path / STATS).exists():
            return []
        return with_model_sizes(self._tokenizers()[""].sizes, self.teacher, self.layers, static=self.static)

    def _layers(self) -> tuple[tuple[int, ...], list[float]]:
        """Return which of the teacher's layers to take, none for all, and what each does where it was measured."""
        if len(self.layers) != 1:
            return self.layers, []
        stack, corpus = find_stack(self.teacher), Corpus(self.corpus.path)
        texts = [text for lang in self._languages(corpus) for text in corpus.texts(lang, "heldout", _TEXTS)]
        influence = measure_influence(self._subject(self.teacher.path).model, stack, texts, self.hardware)
        taken = choose_layers(influence, stack.kinds, *self.layers)
        log.info("  layers %s of %d", ", ".join(map(str, taken)), len(stack))
        return taken, [round(float(value), 4) for value in influence]

    def _splits(self, out: Path) -> dict[str, Split]:
        """Return what is known of clones with each tokenizer; nothing where no text was held out."""
        corpus = Corpus(self.corpus.path)
        goals = heldout_goals(self._subject(self.teacher.path), corpus, self.targets)
        return {name: self._split(name, goals, out / _CANDIDATE) for name in self._tokenizers()} if goals else {}

    def _split(self, name: str, goals: Goals, folder: Path) -> Split:
        shutil.rmtree(folder, ignore_errors=True)
        self._clone(name, folder)
        measured = self._tokenizers()[name]
        counts = {lang: row["student"] for lang, row in measured.fertility.items()}
        words = {lang: counts[lang] for lang in dict.fromkeys((*self.targets, "en")) if lang in counts}
        found = goals.reached_by(self._subject(folder))
        shutil.rmtree(folder)
        return Split(tokenizer=name, learned=measured.added, tokens_per_word=words, agreement=found)

    def _tokenizers(self) -> dict[str, TokenizerResult]:
        """Return what was measured of each tokenizer, by its folder in that of the stage."""
        made = read_as(TokenizerResult, self.tokenizer.path / STATS)
        return {"": made, **made.others}

    def _subject(self, folder: Path) -> Subject:
        load = partial(load_model, folder, device=self.hardware.device, policy=self.teacher.policy)
        return Subject(load, self.hardware)

    def _languages(self, corpus: Corpus) -> list[str]:
        return [lang for lang in dict.fromkeys((*self.targets, "en")) if lang in corpus.languages]

    def _student(self, tokenizer: str, out: Path, layers: tuple[int, ...]) -> CloneResult:
        """Make what is trained: a clone, or a static model of one."""
        if not self.static:
            return self._clone(tokenizer, out, layers)
        corpus, whole = Corpus(self.corpus.path), out / _CANDIDATE
        shutil.rmtree(whole, ignore_errors=True)
        result = self._clone(tokenizer, whole)
        languages = dict.fromkeys((*self.targets, "en"))
        # Of the pairs too: a corpus may have nothing else.
        texts = (text for lang in languages for text in islice(corpus.all_texts(lang, self.targets), _COUNTED))
        write_static(whole, texts, out, self.hardware.exact, self.teacher.policy)
        shutil.rmtree(whole)
        return replace(result, is_static=True)

    def _clone(self, tokenizer: str, out: Path, layers: tuple[int, ...] = ()) -> CloneResult:
        """Make a clone; all rows of the trim are the teacher's, and without `layers` it has all of them."""
        return clone(
            self.teacher,
            self.tokenizer.path / tokenizer,
            Corpus(self.corpus.path),
            out,
            init="mean" if tokenizer == TRIM else self.init,
            targets=self.targets,
            prompts=self.prompts,
            layers=layers,
            hardware=self.hardware,
        )

    def outcome(self, result: CloneResult) -> str:
        layers = f"{len(result.layers)} layers, " if result.layers else "static, " if result.is_static else ""
        made = result.composed + result.byte
        return f"{layers}{result.exact:,} embedding rows of the teacher's, {made:,} made for new tokens"
