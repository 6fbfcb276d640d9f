"""The files of a Space's repo: a README with the Hub's metadata, app.py, pinned requirements, and what it shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub_tools.core.files import json_text
from hub_tools.core.languages import names_of
from hub_tools.core.names import BUNDLED_ID
from hub_tools.core.plain import to_plain
from hub_tools.core.versions import versions
from hub_tools.reporting.cards import teacher_name
from hub_tools.reporting.link_picture import draw_link_picture, gains
from hub_tools.reporting.markdown import escape, render, yaml
from hub_tools.reporting.redact import redact_report
from hub_tools.reporting.report import FullReport
from hub_tools.reporting.space_settings import SETTINGS_FILE, SpaceSettings

APP = '''"""A page that shows what tokenizer surgery did; all of it is in the package hub_tools."""

from pathlib import Path

from hub_tools.cli.space import open_space

if __name__ == "__main__":
    open_space(Path(__file__).parent)
'''

# What a Space reads models with. The project's own makes its student itself, with these versions.
_LIBRARIES = {"torch": "2.13.0", "transformers": "5.23.0", "sentence-transformers": "6.2.0"}


# What the Hub shows of a link to the Space.
THUMBNAIL = "thumbnail.png"
_TITLE = "Tokenizer surgery"
_PROMISES = (
    "an embedding model that knows your language",
    "tokens, search and similarity beside its teacher",
    "any language, on a laptop",
)


def demo_files() -> dict[str, bytes]:
    """Return the Space of the project itself, spaces/demo: it makes the sample's student when it first starts."""
    about = (
        "The demo of hub_tools: a Turkish student of all-MiniLM-L6-v2, made from the small bundled sample when the "
        "Space first starts, which takes a few minutes. The sample is far too small for a useful model: the demo shows "
        "how the tool works."
    )
    return _plain(_TITLE, about, {"models": [BUNDLED_ID], "startup_duration_timeout": "1h"})


def run_files(report: FullReport, repos: Mapping[str, str]) -> dict[str, bytes]:
    """Return the Space of a published run, without its figures; `repos` are the ids of those that exist, by kind."""
    # Nobody else has a folder of this machine.
    teacher = report.teacher.spec if report.teacher.hub_id else None
    model, dataset = repos["model"], repos.get("dataset")
    settings = SpaceSettings(student=model, teacher=teacher, tokenizer=repos.get("tokenizer"), dataset=dataset)
    models = list(filter(None, [model, report.teacher.hub_id]))
    preloaded = models if report.teacher.revision else [model]
    title = f"A {names_of(report.targets)} student of {teacher_name(report)}"
    about = (
        f"[{escape(model)}](https://huggingface.co/{model}) beside its teacher: how they tokenize a text, what they "
        "retrieve, which sentences they consider similar, and how they score."
    )
    if teacher is None:
        about += " The teacher was a local folder, so only the student is here."
    metadata: dict[str, Any] = {
        "models": models,
        "preload_from_hub": preloaded,
        "datasets": [dataset] if dataset else None,
    }
    if "space" in repos:
        # The Hub wants an address; scripts/sync_space.sh writes that of the project's own Space.
        metadata["thumbnail"] = f"https://huggingface.co/spaces/{repos['space']}/resolve/main/{THUMBNAIL}"
    return {
        **_plain(title, about, metadata, libraries=report.versions),
        SETTINGS_FILE: json_text(to_plain(settings)).encode("utf-8"),
        THUMBNAIL: draw_link_picture(title, gains(report)),
        "report.json": json_text(redact_report(report).to_dict()).encode("utf-8"),
    }


def _plain(
    title: str, about: str, metadata: dict[str, Any], libraries: Mapping[str, str] = _LIBRARIES
) -> dict[str, bytes]:
    pins = [_pin(name, libraries.get(name, "")) for name in _LIBRARIES]
    head = {"title_metadata": yaml({"title": title[:100]}), "metadata": yaml(metadata)}
    files = {
        "README.md": render("space.md", **head, title=escape(title), about=about),
        "app.py": APP,
        # The Hub installs gradio by the README's sdk_version.
        "requirements.txt": render("requirements.txt", libraries="\n".join(pins), version=versions()["hub-tools"]),
    }
    return {name: content.encode("utf-8") for name, content in files.items()}


def _pin(name: str, version: str) -> str:
    """Return a requirement of a release: 2.13.0 of 2.13.0+cu130, which the index for CPUs does not have."""
    release = re.match(r"\d+(\.\d+)*", version)
    return f"{name}=={release[0]}" if release else name


if __name__ == "__main__":
    # Brings spaces/demo up to date.
    for name, content in demo_files().items():
        (Path("spaces/demo") / name).write_bytes(content)
    (Path("spaces/demo") / THUMBNAIL).write_bytes(draw_link_picture(_TITLE, _PROMISES))
