"""The files of a Space's repo: a README with the Hub's metadata, app.py, pinned requirements, and what it shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hub_tools.core.languages import name_of
from hub_tools.core.versions import versions
from hub_tools.demo import PACKAGE
from hub_tools.reporting.cards import Names, teacher_name
from hub_tools.reporting.markdown import fill, text, yaml
from hub_tools.reporting.text import Report
from hub_tools.space.content import BUNDLED, SETTINGS
from hub_tools.space.results import public_report

GRADIO = "6.31.0"
_PYTHON = "3.12"
APP = '''"""A page that shows what tokenizer surgery did; all of it is in the package hub_tools."""

from pathlib import Path

from hub_tools.space.serve import main

if __name__ == "__main__":
    main(Path(__file__).parent)
'''
# Measured together; the Hub installs gradio by the README's sdk_version.
_PINNED = (
    "--extra-index-url https://download.pytorch.org/whl/cpu",
    "torch==2.13.0",
    "transformers==5.23.0",
    "sentence-transformers==6.2.0",
    "faiss-cpu==1.15.1",
    "pypdf==7.1.0",
)


def demo_files() -> dict[str, bytes]:
    """The Space of the project itself, spaces/demo: it makes the sample's student when it first starts."""
    about = (
        "The demo of hub_tools: a Turkish student of all-MiniLM-L6-v2, made from the small bundled sample "
        "when the Space "
        "first starts, which takes some minutes. The sample is far too small for a model that is good for anything: "
        "this shows the tool working."
    )
    metadata = {**_metadata("Tokenizer surgery", []), "startup_duration_timeout": "1h"}
    return _plain(metadata, "Tokenizer surgery", about)


def run_files(run: Path, report: Report, names: Names) -> dict[str, Path | bytes]:
    """The Space of a published run.

    Args:
        run: the run folder.
        report: its report.json.
        names: the repos; `model` is needed.
    """
    target = report["config"]["lang"][0]
    teacher = _teacher(report)
    settings = {"teacher": teacher, "student": names.model, "tokenizer": names.tokenizer, "dataset": names.dataset}
    models = [str(names.model), *([teacher.partition("@")[0]] if teacher and teacher != BUNDLED else [])]
    title = f"A {name_of(target)} student of {teacher_name(report)}"
    about = (
        f"[{text(names.model)}](https://huggingface.co/{names.model}) beside its teacher: how they cut text, "
        f"what they find, "
        "what they hold for similar, and what was measured."
    )
    if teacher is None:
        about += " The teacher was a local folder, so only the student is here."
    metadata = _metadata(title, models, [names.dataset] if names.dataset else [])
    figures: dict[str, Path | bytes] = {
        f"figures/{file.name}": file for file in sorted((run / "figures").glob("*.png"))
    }
    return {
        **_plain(metadata, title, about),
        **figures,
        SETTINGS: _json(settings),
        "report.json": _json(public_report(report)),
    }


def _plain(metadata: dict[str, Any], title: str, about: str) -> dict[str, bytes]:
    version = versions()["hub-tools"]
    readme = fill("space.md", metadata=yaml(metadata), title=text(title), about=about)
    requirements = "\n".join((*_PINNED, f"hub-tools[demo,space]=={version}")) + "\n"
    files = {"README.md": readme, "app.py": APP, "requirements.txt": requirements}
    return {name: content.encode("utf-8") for name, content in files.items()}


def _metadata(title: str, models: list[str], datasets: list[str] | None = None) -> dict[str, Any]:
    return {
        "title": title[:100],
        "emoji": "✂️",
        "colorFrom": "blue",
        "colorTo": "green",
        "sdk": "gradio",
        "sdk_version": GRADIO,
        "python_version": _PYTHON,
        "app_file": "app.py",
        "license": "apache-2.0",
        "short_description": "See what tokenizer surgery does to an embedding model"[:60],
        "tags": ["hub-distill", "tokenizer", "sentence-similarity", "mcp-server"],
        **({"models": models, "preload_from_hub": models} if models else {}),
        **({"datasets": datasets} if datasets else {}),
    }


def _teacher(report: Report) -> str | None:
    """How a Space finds the teacher; None where it lies on somebody's machine alone."""
    teacher = report["teacher"]
    if teacher["revision"]:
        return f"{teacher['id']}@{teacher['revision']}"
    return BUNDLED if Path(teacher["id"]).parent.name == PACKAGE else None


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


if __name__ == "__main__":
    # Brings spaces/demo of a clone up to date.
    for name, content in demo_files().items():
        (Path("spaces/demo") / name).write_bytes(content)
