"""Fixtures: a small real teacher, made in-process, and small real corpora. Nothing needs a network."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from hub_tools.config import RunConfig, TokenizerConfig
from hub_tools.core.files import write_json
from hub_tools.core.plain import to_plain
from hub_tools.corpus.build import Corpus
from hub_tools.corpus.readers import read_table, sample_file
from hub_tools.models.resolve import bundled_teacher
from hub_tools.results import CloneResult
from hub_tools.tokenization.adapt import Adaptation
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from tests.commands import CANARY
from tests.committed_report import DATA
from tests.fake_hub import FakeHub, HubServer, User
from tests.tiny_teacher import write_tiny_teacher

if TYPE_CHECKING:
    from hub_tools.space.content import SpaceContent
    from hub_tools.space.service import Service

# The libraries read their environment when they are imported: one Hub for all tests of this process, and a home in
# which no token and no cache of the user is found. Assigned, since a worker of pytest-xdist inherits another one's.
assert "huggingface_hub" not in sys.modules
HUB_SERVER = HubServer()
HF_HOME = tempfile.mkdtemp(prefix="hub-tools-tests-")
atexit.register(shutil.rmtree, HF_HOME, ignore_errors=True)
os.environ |= {
    "HF_ENDPOINT": HUB_SERVER.endpoint,
    "HF_HOME": HF_HOME,
    "HF_MODULES_CACHE": f"{HF_HOME}/modules",
    "MTEB_CACHE": f"{HF_HOME}/mteb",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
}
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
if "PYTEST_XDIST_WORKER" in os.environ:
    # A core for each worker: threads of torch that wait for their turn on a core keep it busy meanwhile.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

RELATIONAL = {"loss": "relational", "similarity_weight": 1.0}


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The real all-MiniLM-L6-v2."""
    return bundled_teacher()


@pytest.fixture(scope="session")
def minilm_files(minilm: Path) -> TokenizerSpec:
    return TokenizerSpec.read(minilm)


@pytest.fixture(scope="session")
def tiny_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_teacher(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def little(minilm_files: TokenizerSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher of a few kilobytes; leave it as it is."""
    from tests.little_teacher import write_little_teacher

    return write_little_teacher(minilm_files, tmp_path_factory.mktemp("little"))


@pytest.fixture
def report() -> dict[str, Any]:
    """The committed report of a run; a test may change it."""
    return dict(json.loads((DATA / "report.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def sample_pairs() -> list[dict[str, str]]:
    return list(read_table(sample_file("tr-en.tsv")))


@pytest.fixture(scope="session")
def pair_texts() -> dict[str, list[str]]:
    pairs = list(read_table(sample_file("tr-en.tsv")))[::2]
    return {lang: [pair[lang] for pair in pairs] for lang in ("tr", "en")}


@pytest.fixture(scope="session")
def small_tokenizers(pair_texts: dict[str, list[str]], minilm_files: TokenizerSpec) -> dict[str, TokenizerSpec]:
    from tests.architectures import tokenizers_of

    lines = pair_texts["en"] + pair_texts["tr"][::3]
    return tokenizers_of(lines, minilm_files, 2500)


@pytest.fixture(scope="session")
def small_students(
    small_tokenizers: dict[str, TokenizerSpec], pair_texts: dict[str, list[str]]
) -> dict[str, TokenizerSpec]:
    """Each tokenizer with a quarter of its tokens given up, and Turkish learned."""
    from tests.architectures import LONGEST, PROMPTS

    readers = {lang: partial(iter, own) for lang, own in pair_texts.items()}
    return {
        name: Adaptation(
            files,
            readers,
            targets=("tr",),
            config=TokenizerConfig(vocab_size=2300),
            prompts=PROMPTS.values(),
            max_seq_length=LONGEST,
        )
        .make()
        .student
        for name, files in small_tokenizers.items()
    }


@pytest.fixture(scope="session")
def small_teachers(
    small_tokenizers: dict[str, TokenizerSpec], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    from tests.architectures import ARCHITECTURES, build_teacher

    root = tmp_path_factory.mktemp("teachers")
    return {
        name: build_teacher(kind, small_tokenizers[kind.tokenizer], root / name) for name, kind in ARCHITECTURES.items()
    }


@pytest.fixture(scope="session")
def no_text(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    write_json(folder / "stats.json", {"languages": [], "missing": [], "text": {}})
    return Corpus(folder)


@pytest.fixture(scope="session")
def small_clones(
    small_teachers: dict[str, Path],
    small_students: dict[str, TokenizerSpec],
    no_text: Corpus,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[Path, CloneResult]]:
    """Clones with the students' tokenizers, and what was counted."""
    from hub_tools.cloning.clone import clone
    from hub_tools.models.resolve import find_teacher
    from tests.architectures import ARCHITECTURES

    root = tmp_path_factory.mktemp("clones")
    clones = {}
    for name, kind in ARCHITECTURES.items():
        small_students[kind.tokenizer].write(root / name / "tokenizer")
        result = clone(
            find_teacher(str(small_teachers[name])),
            root / name / "tokenizer",
            no_text,
            root / name / "clone",
            init="align",
        )
        clones[name] = (root / name / "clone", result)
    return clones


def whole_job(teacher: Path, output: Path) -> dict[str, object]:
    """Options of a whole job that takes seconds."""
    return {
        "teacher": str(teacher),
        "lang": "tr",
        "output": str(output),
        "seed": 1,
        "precision": "fp32",
        "device": "cpu",
        "corpus": {"sources": ["sample"], "parallel": [str(sample_file("tr-en.tsv"))]},
        # The balance of this text; without the number the plain trim, to which no short training comes near with a
        # teacher of random weights, would be the student.
        "tokenizer": {"vocab_size": 4096, "learn": 1500},
        "embed": {"distill_limit": 20},
        "distill": {"steps": 6, "batch_tokens": 2048, "eval_steps": 2, "learning_rate": 3e-4, **RELATIONAL},
        "evaluate": {"sts": [str(sample_file("sts.tsv"))]},
    }


@pytest.fixture(scope="session")
def finished(tiny_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, dict[str, Any]]:
    """A whole run and its report as plain data; leave its folder as it is."""
    from hub_tools.pipeline import run

    config = RunConfig.from_dict(whole_job(tiny_teacher, tmp_path_factory.mktemp("finished") / "run"))
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return config, to_plain(run(config))
    # One worker does the work, and the others use a copy of its folder again.
    first = tmp_path_factory.getbasetemp().parent / "finished"
    with FileLock(f"{first}.lock"):
        if first.exists():
            shutil.copytree(first, config.output)
            return config, to_plain(run(config))
        report = to_plain(run(config))
        shutil.copytree(config.output, first)
        return config, report


@pytest.fixture
def run_folder(finished: tuple[RunConfig, dict[str, Any]], tmp_path: Path) -> Path:
    """A copy of the finished run, which remembers what it is published with."""
    return Path(shutil.copytree(finished[0].output, tmp_path / "run"))


@pytest.fixture
def hub(tmp_path: Path) -> FakeHub:
    """An empty Hub with one user, ada, whose token is CANARY."""
    hub = HUB_SERVER.start_over(cas=tmp_path / "cas")
    hub.users[CANARY] = User("ada")
    return hub


@pytest.fixture
def online(hub: FakeHub, tmp_path: Path) -> dict[str, str]:
    """Environment of a command that talks to the Hub, logged in as ada, with plain LFS."""
    return {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": CANARY,
    }


@pytest.fixture
def job_options(tiny_teacher: Path, tmp_path: Path) -> dict[str, object]:
    return whole_job(tiny_teacher, tmp_path / "run")


@pytest.fixture(scope="session")
def content(finished: tuple[RunConfig, Any]) -> SpaceContent:
    """What the page shows of the finished run."""
    from hub_tools.space.content import from_run

    return from_run(finished[0].output)


@pytest.fixture(scope="session")
def service(content: SpaceContent) -> Service:
    """The page's functions, with two documents of its owner."""
    from hub_tools.space.service import Service

    return Service(content, ["one of the owner's", "another"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser; tests that use it are marked `needs_browser`."""
    from tests.page_server import open_browser

    with open_browser() as browser:
        yield browser


@pytest.fixture
def inside() -> Iterator[tuple[str, list[str]]]:
    """A server inside the owner's network: its address, and what was asked of it."""
    from tests.page_server import DIARY

    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"text\n{DIARY}\n".encode())

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
