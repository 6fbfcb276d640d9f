"""An example of what a student does, on bundled text, for its card."""

from __future__ import annotations

from collections.abc import Mapping

from hub_tools.corpus.readers import column_names, read_table, sample_file
from hub_tools.evaluation.subject import Subject
from hub_tools.evaluation.tasks import SAMPLE_LANGUAGE
from hub_tools.results import Example

_DOCUMENTS = 3


def example_of(subjects: Mapping[str, Subject], target: str) -> Example | None:
    """Return a sentence, three others, of which the first says the same, and the cosines of teacher and student.

    In Turkish all are the bundled sentence pairs', which nothing is trained on; in other languages the first is the
    English of a sentence. None for a language without bundled text, for English, and for models
    that compare by something else than cosines.
    """
    same = target == SAMPLE_LANGUAGE
    file = sample_file("sts.tsv" if same else "languages.tsv")
    if not same and (target == "en" or target not in column_names(file)):
        return None
    if subjects["student"].model.similarity_fn_name != "cosine":  # the card shows what `similarity` prints
        return None
    rows = [row for row, _ in zip(read_table(file), range(_DOCUMENTS), strict=False)]
    query = str(rows[0]["sentence1" if same else "en"])
    documents = [str(row["sentence2" if same else target]) for row in rows]
    similarities = {}
    for name in ("teacher", "student"):
        vector = subjects[name].encode([query], "query", "example")[0]
        found = subjects[name].encode(documents, "document", "example") @ vector
        similarities[name] = [round(float(cosine), 4) for cosine in found]
    return Example(query=query, documents=documents, similarities=similarities)
