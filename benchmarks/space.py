"""The Space under load: 20 clients at once, and search in 100,000 documents; writes docs/performance.md.

    python -m benchmarks.space --run RUN [--work DIR] [--clients 20] [--rounds 10]

RUN is a finished run folder, such as demo-run. The documents are pairs of the sample's sentences; their vectors are the
means of the sentences' real ones with a little noise, because encoding them would measure torch and not the search.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.document import write_section
from hub_tools.models.encoder import unit
from hub_tools.space.content import from_run
from hub_tools.space.limits import Deadline
from hub_tools.space.model import Vectors
from hub_tools.space.search import sample_corpora
from hub_tools.space.service import Service
from hub_tools.space.vector_cache import Corpus

DOCUMENTS, PORT = 100_000, 7997
_SERVER = """
import sys
from pathlib import Path
from hub_tools.space.app import launch
from hub_tools.space.service import Service
from hub_tools.space.content import from_run
documents = Path(sys.argv[3]).read_text(encoding="utf-8").splitlines()
launch(Service(from_run(Path(sys.argv[1])), Path(sys.argv[2]), documents), port=int(sys.argv[4]))
"""


def prepare(run: Path, work: Path) -> dict[str, Any]:
    """Write the documents and put their vectors and indices into the cache; returns what was measured on the way."""
    shown = from_run(run)
    sentences = [text for corpus in sample_corpora().values() for text in corpus.texts]
    random = np.random.default_rng(0)
    pairs = random.integers(0, len(sentences), (DOCUMENTS, 2))
    texts = [f"{sentences[a]} {sentences[b]} ({number})" for number, (a, b) in enumerate(pairs)]
    (work / "documents.txt").write_text("\n".join(texts), encoding="utf-8")
    service = Service(shown, work / "cache", texts)
    corpus, base = service.corpora["documents"], Corpus(tuple(sentences))
    found: dict[str, Any] = {}
    for name, model in shown.models.items():
        own = service.store.vectors(model, base, Deadline(3600))
        noise = 0.3 * random.standard_normal((DOCUMENTS, own.shape[1])) / own.shape[1] ** 0.5
        vectors = unit((own[pairs[:, 0]] + own[pairs[:, 1]] + noise).astype(np.float32))
        service.store.put(model, corpus, vectors, 0.0)
        start = time.perf_counter()
        index = service.store.index(model, corpus, model.dimension, "float32", Deadline(3600))
        seconds = time.perf_counter() - start
        found[name] = {"index_seconds": seconds, "recall": _recall(index, vectors, own[:200])}
    service.warm_up()
    return found


def _recall(index: Any, vectors: Vectors, queries: Vectors) -> float:
    """Share of the exact ten best that the index finds."""
    best = np.argpartition(-(queries @ vectors.T), 10, axis=1)[:, :10]
    found = [{row for row, _ in index.search(query, 10)} for query in queries]
    return float(np.mean([len(own & set(map(int, b))) / 10 for own, b in zip(found, best, strict=True)]))


def many(clients: int, rounds: int, call: Callable[[Any, int], Any]) -> dict[str, Any]:
    """Milliseconds of calls by so many clients at once, and how many failed."""
    from gradio_client import Client

    times: list[float] = []
    answers: list[Any] = []
    failed: list[str] = []
    ready = [Client(f"http://127.0.0.1:{PORT}/", verbose=False) for _ in range(clients)]

    def work(place: int) -> None:
        for number in range(rounds):
            start = time.perf_counter()
            try:
                answers.append(call(ready[place], place * rounds + number))
            except Exception as error:
                failed.append(str(error))
            times.append(1000 * (time.perf_counter() - start))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {**_percentiles(times), "calls": len(times), "failed": len(failed), "answers": answers}


def _percentiles(times: list[float]) -> dict[str, float]:
    return {"p50": float(np.percentile(times, 50)), "p95": float(np.percentile(times, 95))}


def measure(run: Path, work: Path, clients: int, rounds: int) -> dict[str, Any]:
    """Open the page and ask it."""
    questions = [text for text in sample_corpora()["sentences"].texts if text.endswith("?")]

    def tokenize(client: Any, number: int) -> Any:
        return client.predict(questions[number % len(questions)], api_name="/compare_tokenizers")

    def search(client: Any, number: int) -> Any:
        query = questions[number % len(questions)]
        return client.predict(query, corpus="documents", top=10, api_name="/search_documents")

    found: dict[str, Any] = {"prepared": prepare(run, work)}
    command = [sys.executable, "-c", _SERVER, str(run), str(work / "cache"), str(work / "documents.txt"), str(PORT)]
    start = time.perf_counter()
    log = work / "server.log"
    with (
        log.open("w") as out,
        subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ}) as server,
    ):
        try:
            while f"http://127.0.0.1:{PORT}" not in log.read_text():
                if server.poll() is not None:
                    sys.exit(log.read_text())
                time.sleep(0.1)
            found["opened"] = time.perf_counter() - start
            many(1, 3, search)  # the models are loaded now
            for name, call in (("tokenize", tokenize), ("search", search)):
                for number in (1, clients):
                    found[f"{name}_{number}"] = many(number, rounds * (5 if number == 1 else 1), call)
        finally:
            server.terminate()
    for name in [key for key in found if key.startswith(("tokenize_", "search_"))]:
        own = found[name].pop("answers")
        if name.startswith("search"):
            for part in ("encode", "search"):
                times = [model[f"{part}_ms"] for answer in own for model in answer["models"].values()]
                found[name][part] = _percentiles(times)
    return found


def document(found: dict[str, Any], clients: int) -> None:
    """Write what was measured."""
    rows = [
        "| what (p50 / p95 in ms) | clients | calls | failed | whole call | search alone | encoding of the query |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, title in (("tokenize", "a sentence by two tokenizers"), ("search", "100,000 documents, by two models")):
        for number in (1, clients):
            own = found[f"{name}_{number}"]
            parts = [f"{own[p]['p50']:.1f} / {own[p]['p95']:.1f}" if p in own else "" for p in ("search", "encode")]
            whole = f"{own['p50']:.0f} / {own['p95']:.0f}"
            rows.append(
                f"| {title} | {number} | {own['calls']} | {own['failed']} | {whole} | {parts[0]} | {parts[1]} |"
            )
    prepared = found["prepared"]
    recall = ", ".join(f"{name} {own['recall']:.1%}" for name, own in prepared.items())
    seconds = ", ".join(f"{name} {own['index_seconds']:.0f} s" for name, own in prepared.items())
    body = [
        f"Written by `python -m benchmarks.space --run RUN` on {time.strftime('%Y-%m-%d')}; two CPU cores.",
        "",
        *rows,
        "",
        f"The page opened in {found['opened']:.1f} s. An index of 100,000 x {found['dimension']} vectors (IVF)",
        f"was made in: {seconds}; of the exact ten best it finds: {recall}.",
        "",
        "Documents are pairs of sample sentences, their vectors means of the sentences' real ones with noise.",
        "Search alone is the index; a whole call has the queue, two encodings, two searches and the way to it.",
        "",
    ]
    write_section("performance.md", "space", body)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("space-benchmark"))
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    shutil.rmtree(args.work / "cache", ignore_errors=True)  # an index that is there already would take no time
    args.work.mkdir(parents=True, exist_ok=True)
    found = measure(args.run, args.work, args.clients, args.rounds)
    found["dimension"] = from_run(args.run).report["student"]["dim"]
    (args.work / "space.json").write_text(json.dumps(found, indent=2), encoding="utf-8")
    document(found, args.clients)


if __name__ == "__main__":
    main()
