"""The bars of the surgery's benchmark."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from benchmarks import surgery, surgery_document, teachers


def test_a_missed_bar_is_written_and_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written: list[str] = []
    monkeypatch.setattr(surgery_document, "write_section", lambda *parts: written.append(parts[-1]))
    arguments = ["surgery", "--data", "nowhere", "--only", "none", "--work", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    (tmp_path / "identity.json").write_text('{"tekken": 0, "mistral": 0}')
    surgery.main()
    assert "Every bar measured was reached." in written.pop()
    (tmp_path / "identity.json").write_text('{"tekken": 0, "mistral": 2}')
    with pytest.raises(SystemExit, match="identity: texts read otherwise 2, wanted at most 0"):
        surgery.main()
    assert "Bars missed: identity: texts read otherwise 2, wanted at most 0." in written.pop()


def test_the_stage_is_timed_in_few_and_many_languages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pair_texts: dict[str, list[str]]
) -> None:
    written: list[str] = []
    monkeypatch.setattr(surgery_document, "write_section", lambda *parts: written.extend(parts[-1]))
    (tmp_path / "text").mkdir()
    for lang, lines in {**pair_texts, "de": pair_texts["en"]}.items():
        with gzip.open(tmp_path / "text" / f"{lang}.txt.gz", "wt", encoding="utf-8") as file:
            file.write("\n".join(lines[:200]))
    teachers.unigram(pair_texts["en"], 1000).write(tmp_path / "teacher")
    given = {"--data": tmp_path, "--teacher": tmp_path / "teacher", "--work": tmp_path / "work", "--only": "languages"}
    arguments = ["surgery", *(str(part) for pair in given.items() for part in pair)]
    monkeypatch.setattr("sys.argv", [*arguments, "--here"])
    surgery.main()
    found = json.loads((tmp_path / "work" / "languages.json").read_text())
    assert [found[name][:2] for name in ("two", "all")] == [[2, 400], [3, 600]]
    surgery_document.document(tmp_path / "work")
    (line,) = [line for line in written if line.startswith("The stage for")]
    assert "the 1,000 tokens of teacher, nothing learned: 2 languages (400 texts, 0 MB) in" in line
