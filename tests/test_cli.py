"""The command line as a user meets it: messages, exit codes, the Hub."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hub_tools.core.errors import explain
from hub_tools.tokenization.tokenizer_json import TokenizerSpec
from tests.commands import PROGRAM, finish, hub_distill, hub_distill_process, refused, succeeded
from tests.fake_hub import FakeHub


@pytest.fixture(autouse=True)
def teachers(request: pytest.FixtureRequest) -> None:
    if "online" in request.fixturenames:
        hub, tiny = request.getfixturevalue("hub"), request.getfixturevalue("tiny_teacher")
        hub.add("model", "org/tiny", tiny)
        hub.add("model", "gated/model", tiny, gated=True)


def test_a_teacher_from_the_hub_is_fetched_once(hub: FakeHub, online: dict[str, str], tmp_path: Path) -> None:
    args = ["corpus", "--teacher", "org/tiny", "--lang", "tr", "--corpus", "sample"]
    done = hub_distill(*args, "--output", "one", cwd=tmp_path, **online)
    succeeded(done)
    assert (tmp_path / "hf/hub/models--org--tiny/snapshots" / hub.repos["model", "org/tiny"].head.oid).is_dir()
    offline = hub_distill(*args, "--output", "two", cwd=tmp_path, **{**online, "HF_HUB_OFFLINE": "1"})
    succeeded(offline)


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        ("org/nothing", ["The Hub knows no teacher 'org/nothing'", "hf auth login"]),
        ("gated/model", ["No access to the gated teacher 'gated/model'", "hf auth login"]),
        ("org/tiny@v9", ["No such revision of teacher 'org/tiny@v9'"]),
        ("not a model!", ["not a model!", "Expected a folder, or an id like org/name"]),
    ],
)
def test_teachers_that_cannot_be_had(online: dict[str, str], tmp_path: Path, teacher: str, words: list[str]) -> None:
    refused(hub_distill("--teacher", teacher, "--lang", "tr", "--corpus", "sample", cwd=tmp_path, **online), *words)
    assert not (tmp_path / "runs").exists()


def test_no_network_for_the_teacher_is_said(online: dict[str, str], tmp_path: Path) -> None:
    closed = {**online, "HF_ENDPOINT": "http://127.0.0.1:9"}  # read when huggingface_hub is imported
    done = hub_distill_process("--teacher", "org/tiny", "--lang", "tr", "--corpus", "sample", cwd=tmp_path, **closed)
    refused(done, "Could not reach the Hub for teacher 'org/tiny'")


def test_no_network_for_the_text_is_said(online: dict[str, str], tiny_teacher: Path, tmp_path: Path) -> None:
    offline = {**online, "HF_HUB_OFFLINE": "1"}
    done = hub_distill("corpus", "--teacher", str(tiny_teacher), "--lang", "tr", cwd=tmp_path, **offline)
    refused(done, "wikimedia/wikipedia:20231101.tr", "Could not reach the Hub")


def test_a_teacher_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    done = hub_distill("--teacher", "photos", "--lang", "tr", "--corpus", "sample", cwd=tmp_path)
    refused(done, "photos is no sentence-transformers model", "modules.json")


def test_exit_codes_reach_the_shell(tmp_path: Path) -> None:
    """A finished command (0) is started by `test_help_is_fast_and_imports_nothing_heavy`."""
    missing = hub_distill_process("publish", "nothing", "--push-to-hub", "ada", "--dry-run", cwd=tmp_path)
    refused(missing, "nothing is no run folder", code=1)
    refused(hub_distill_process("--lang", "tr", cwd=tmp_path), "Missing --teacher", code=2)


def test_ctrl_c_stops_with_one_sentence_and_the_next_run_goes_on(tiny_teacher: Path, tmp_path: Path) -> None:
    args = ["corpus", "--teacher", str(tiny_teacher), "--lang", "tr", "--corpus", "sample", "--output", "run"]
    process = subprocess.Popen([*PROGRAM, *args], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run/corpus.partial").exists():
        assert process.poll() is None, "the run ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert said.endswith("Stopped. Run the same command again to go on.\n")
    assert "Traceback" not in said
    succeeded(hub_distill(*args, cwd=tmp_path))


def test_wrong_usage_is_refused_with_the_reason(tiny_teacher: Path, tmp_path: Path) -> None:
    teacher = ["--teacher", str(tiny_teacher)]
    refused(hub_distill(*teacher, cwd=tmp_path), "Missing --lang", code=2)
    refused(hub_distill("--lang", "tr", cwd=tmp_path), "Missing --teacher", code=2)
    refused(hub_distill(*teacher, "--lang", "tr", "--steps", "0", cwd=tmp_path), "--steps = 0; expected", code=2)
    refused(hub_distill(*teacher, "--lang", "tr", "--frobnicate", cwd=tmp_path), "--frobnicate", code=2)
    refused(hub_distill("--dry-run", "demo", cwd=tmp_path), "Options of demo stand after its name", code=2)
    (tmp_path / "run.toml").write_text('teecher = "x"\n')
    refused(hub_distill("--config", "run.toml", cwd=tmp_path), "Unknown key 'teecher'", "teacher", code=2)


def test_an_unknown_language_is_refused_with_a_suggestion(tiny_teacher: Path, tmp_path: Path) -> None:
    done = hub_distill("--teacher", str(tiny_teacher), "--lang", "turkish", cwd=tmp_path)
    refused(done, "Unknown language code 'turkish'", "did you mean tr (Turkish)", code=2)


def test_vocabulary_sizes_that_cannot_be_made_are_refused(tiny_teacher: Path, tmp_path: Path) -> None:
    base = ["tokenizer", "--teacher", str(tiny_teacher), "--lang", "tr", "--corpus", "sample", "--output", "run"]
    refused(hub_distill(*base, "--vocab-size", "100", cwd=tmp_path), "--vocab-size 100 is too small", "Give at least")
    done = hub_distill(*base, "--vocab-size", "900000", cwd=tmp_path)
    refused(done, "--vocab-size 900000 is larger than what the text supports")


def test_the_command_line_wins_over_the_file(tiny_teacher: Path, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        f'teacher = "{tiny_teacher}"\nlang = ["tr"]\n[corpus]\nsources = ["sample"]\n[tokenizer]\nvocab_size = 5000\n'
    )
    done = hub_distill("--config", "run.toml", "--vocab-size", "6000", "--dry-run", cwd=tmp_path)
    succeeded(done)
    assert "6,000 tokens" in done.stdout
    assert [f.name for f in tmp_path.iterdir()] == ["run.toml"]


def test_fertility_prints_a_table(minilm: Path, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("Merhaba dünya\n", encoding="utf-8")
    done = hub_distill("fertility", "--tokenizer", str(minilm), "--text", "x.txt", "--lang", "tr", cwd=tmp_path)
    succeeded(done)
    assert "30,522" in done.stdout


def test_fertility_of_many_languages_with_parity_and_a_figure(
    minilm: Path, minilm_files: TokenizerSpec, tmp_path: Path
) -> None:
    for lang, text in (("tr", "Kedi uyuyor.\nHava güzel.\n"), ("en", "The cat sleeps.\nFine weather.\n")):
        (tmp_path / f"{lang}.txt").write_text(text, encoding="utf-8")
    # A row that nobody translated has no part in parity.
    pairs = "en\ttr\nThe cat sleeps.\tKedi uyuyor.\nNobody translated this sentence.\t\n"
    (tmp_path / "pairs.tsv").write_text(pairs, encoding="utf-8")
    args = ["--text", "{lang}.txt", "--lang", "tr", "--parallel", "pairs.tsv", "--output", "out"]
    done = hub_distill("fertility", "--tokenizer", str(minilm), *args, cwd=tmp_path)
    succeeded(done)
    assert done.stdout.index("Turkish") < done.stdout.index("English") < done.stdout.index("Parity")
    found = json.loads((tmp_path / "out/fertility.json").read_text(encoding="utf-8"))
    assert found["text"]["en"][str(minilm)]["tokens_per_word"] == pytest.approx(7 / 5)
    tokenizer = minilm_files.load()
    tr, en = (len(tokenizer.encode(t, add_special_tokens=False).ids) for t in ("Kedi uyuyor.", "The cat sleeps."))
    assert found["parity"]["tr"][str(minilm)] == pytest.approx(tr / en, abs=1e-4)
    assert {f.name for f in (tmp_path / "out").iterdir()} == {"fertility.json", "fertility.md", "tokens_per_word.png"}


def test_the_tokenizer_stage_alone_takes_a_folder_with_no_more_than_a_tokenizer(minilm: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "only" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "only" / name).write_bytes((minilm / name).read_bytes())
    options = ["--teacher", "only", "--lang", "tr", "--corpus", "sample", "--vocab-size", "5000", "--output", "run"]
    done = hub_distill("tokenizer", *options, cwd=tmp_path)
    succeeded(done)
    assert "| learned |" in (tmp_path / "run/report.md").read_text(encoding="utf-8")
    assert (tmp_path / "run/figures/tokens_per_word.png").exists()
    refused(hub_distill("clone", *options, cwd=tmp_path), "it has no modules.json")


def test_a_full_disk_is_said_and_nothing_is_lost(tiny_teacher: Path, tmp_path: Path) -> None:
    args = ["corpus", "--teacher", str(tiny_teacher), "--lang", "tr", "--corpus", "sample", "--output", "run"]
    # Files may not grow over 20 kB: the kernel's own refusal, as a full disk gives it.
    limit = "import resource, signal, errno; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); "
    done = finish([sys.executable, "-c", limit + PROGRAM[-1], *args], cwd=tmp_path)
    refused(done, "The disk is full", "run the same command again")
    succeeded(hub_distill(*args, cwd=tmp_path))


def test_only_the_main_process_of_a_launcher_prints(tiny_teacher: Path, tmp_path: Path) -> None:
    args = ["--teacher", str(tiny_teacher), "--lang", "tr", "--corpus", "sample", "--dry-run"]
    plans = [hub_distill(*args, cwd=tmp_path, RANK=rank) for rank in ("0", "1")]
    assert [bool(done.stdout) for done in plans] == [True, False]
    assert [done.returncode for done in plans] == [0, 0]


def test_a_lack_of_memory_or_disk_is_said() -> None:
    for error in (
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA out of memory."),
    ):
        assert "finished stages are kept" in (explain(error) or "")
    assert "disk is full" in (explain(OSError(errno.ENOSPC, "No space left on device", "x")) or "")
    assert explain(RuntimeError("a defect of ours")) is None


def test_help_is_fast_and_imports_nothing_heavy(tmp_path: Path) -> None:
    start = time.perf_counter()
    done = hub_distill_process("--help", cwd=tmp_path)
    succeeded(done)
    assert "hub-distill demo" in done.stdout
    assert time.perf_counter() - start < 3  # half a second on an idle machine; see benchmarks for the figure
    code = "import sys, hub_tools.cli; print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    heavy = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert heavy.stdout.strip() == "[]"


def test_lengths_of_matryoshka_stand_in_one_option(tmp_path: Path) -> None:
    from hub_tools.cli import main
    from hub_tools.cli.base import configure

    words = ["--teacher", "org/model", "--lang", "tr", "--output", str(tmp_path / "run"), "--matryoshka", "384, 128"]
    assert configure(main.make_context("hub-distill", list(words)).params).distill.matryoshka == (384, 128)
    refused(hub_distill(*words[:-1], "many", cwd=tmp_path), "'many'; expected a whole number", code=2)


@pytest.mark.parametrize(
    "command",
    [
        ["publish", "PATH"],
        ["space", "PATH"],
        ["export", "PATH", "--format", "onnx"],
        ["tokenizer", "--teacher", "PATH", "--lang", "tr"],
        ["tokenizer", "--teacher", "TEACHER", "--lang", "tr", "--output", "PATH", "--corpus", "sample"],
        ["tokenizer", "--teacher", "TEACHER", "--lang", "tr", "--tokenizer", "PATH", "--corpus", "sample"],
        ["tokenizer", "--teacher", "TEACHER", "--lang", "tr", "--parallel", "PATH"],
        ["fertility", "--tokenizer", "PATH", "--text", "x.txt"],
        ["fertility", "--tokenizer", "TEACHER", "--text", "PATH"],
        ["demo", "--output", "PATH"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    "path", ["a" * 300, "a/" * 3000, "loop", "not-utf8-\udcff", "text.txt/x"], ids=lambda p: p[:12]
)
def test_paths_that_cannot_be_are_refused(tiny_teacher: Path, tmp_path: Path, command: list[str], path: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "text.txt").write_text("Bir kedi.\n")
    stands_for = {"PATH": path, "TEACHER": str(tiny_teacher)}
    done = hub_distill(*(stands_for.get(word, word) for word in command), cwd=tmp_path)
    assert done.returncode in (1, 2), done
    refused(done, code=done.returncode)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["loop", "text.txt"]


def test_a_comparison_that_cannot_be_written_is_shown(minilm: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Bir kedi.\n")
    done = hub_distill(
        "fertility", "--tokenizer", str(minilm), "--text", "text.txt", "--output", "text.txt/x", cwd=tmp_path
    )
    assert done.returncode == 1
    assert "chars/token" in done.stdout
    assert (
        done.stderr
        == "Error: Could not use text.txt/x: Not a directory. Choose another path or change its permissions.\n"
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EROFS, "Read-only file system", "x"), "Could not use x: Read-only file system."),
        (Exception("No space left on device (os error 28)"), "The disk is full"),
        (Exception("I/O error: Read-only file system (os error 30)"), "Read-only file system"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"), "The disk is full"),
    ],
)
def test_what_libraries_say_of_a_disk_is_explained(error: Exception, words: str) -> None:
    assert words in (explain(error) or "")
