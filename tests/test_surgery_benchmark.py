"""The bars of the surgery's benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import surgery


def test_a_missed_bar_is_written_and_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written: list[str] = []
    monkeypatch.setattr(surgery, "write_section", lambda *parts: written.append(parts[-1]))
    arguments = ["surgery", "--data", "nowhere", "--only", "none", "--work", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    (tmp_path / "identity.json").write_text('{"tekken": 0, "mistral": 0}')
    surgery.main()
    assert "Every bar measured was reached." in written.pop()
    (tmp_path / "identity.json").write_text('{"tekken": 0, "mistral": 2}')
    with pytest.raises(SystemExit, match="identity: texts read otherwise 2, wanted at most 0"):
        surgery.main()
    assert "Bars missed: identity: texts read otherwise 2, wanted at most 0." in written.pop()
