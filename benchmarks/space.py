"""The Space under load: 20 clients at once, and search in 100,000 documents; writes docs/performance.md.

    python -m benchmarks.space --run RUN [--work DIR] [--clients 20] [--rounds 10]

RUN is a finished run folder, such as demo-run. The documents are pairs of the sample's sentences; their vectors are the
means of the sentences' real ones with a little noise, because encoding them would measure torch and not the search.
"""

from __future__ import annotations

import argparse
import json
import os
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
from hub_tools.space.search import sample_documents

DOCUMENTS, PORT = 100_000, 7997
SETTINGS = ("float32", "int8", "binary")
_SERVER = """
import sys
from pathlib import Path
import numpy as np
from hub_tools.space.app import launch
from hub_tools.space.content import from_run
from hub_tools.space.service import Service
from hub_tools.space.vector_cache import EncodedDocuments
run, work, port = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
service = Service(from_run(run), (work / "documents.txt").read_text(encoding="utf-8").split("\\n"))
for name, model in service.content.models.items():
    vectors = np.load(work / f"{name}.npy")
    service.cache.put(model, service.corpora["documents"], EncodedDocuments(vectors, seconds=0))
launch(service, port=port)
"""


def prepare(run: Path, work: Path) -> None:
    """Write the documents, and their vectors by each model for the page that is measured."""
    sentences = [text for documents in sample_documents().values() for text in documents.texts]
    random = np.random.default_rng(0)
    pairs = random.integers(0, len(sentences), (DOCUMENTS, 2))
    texts = [f"{sentences[a]} {sentences[b]} ({number})" for number, (a, b) in enumerate(pairs)]
    (work / "documents.txt").write_text("\n".join(texts), encoding="utf-8")
    for name, model in from_run(run).models.items():
        vectors = model.encode(sentences, "document", Deadline(3600))
        noise = 0.3 * random.standard_normal((DOCUMENTS, vectors.shape[1])) / vectors.shape[1] ** 0.5
        mixed = unit((vectors[pairs[:, 0]] + vectors[pairs[:, 1]] + noise).astype(np.float32))
        np.save(work / f"{name}.npy", mixed)


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
    questions = [text for text in sample_documents()["sentences"].texts if text.endswith("?")]

    def tokenize(client: Any, number: int) -> Any:
        return client.predict(questions[number % len(questions)], api_name="/compare_tokenizers")

    def search(precision: str) -> Callable[[Any, int], Any]:
        def call(client: Any, number: int) -> Any:
            query = questions[number % len(questions)]
            return client.predict(query, corpus="documents", precision=precision, top=10, api_name="/search_documents")

        return call

    prepare(run, work)
    measured: dict[str, Any] = {}
    command = [sys.executable, "-c", _SERVER, str(run), str(work), str(PORT)]
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
            measured["opened"] = time.perf_counter() - start
            calls = {"tokenize": tokenize, **{f"search {precision}": search(precision) for precision in SETTINGS}}
            for name, call in calls.items():
                many(1, 3, call)  # loads the models and makes the index
                for number in (1, clients):
                    measured[f"{name}_{number}"] = many(number, rounds * (5 if number == 1 else 1), call)
        finally:
            server.terminate()
    for name in [key for key in measured if key.startswith(("tokenize", "search"))]:
        answers = measured[name].pop("answers")
        if name.startswith("search"):
            for part in ("encode", "search"):
                times = [model[f"{part}_ms"] for answer in answers for model in answer["models"].values()]
                measured[name][part] = _percentiles(times)
    return measured


def document(measured: dict[str, Any], clients: int) -> None:
    """Write what was measured."""
    rows = [
        "| what (p50 / p95 in ms) | clients | calls | failed | whole call | search alone | encoding of the query |",
        "|---|---|---|---|---|---|---|",
    ]
    titles = {f"search {precision}": f"100,000 documents in {precision}, by two models" for precision in SETTINGS}
    for name, title in {"tokenize": "a sentence by two tokenizers", **titles}.items():
        for number in (1, clients):
            row = measured[f"{name}_{number}"]
            parts = [f"{row[p]['p50']:.1f} / {row[p]['p95']:.1f}" if p in row else "" for p in ("search", "encode")]
            whole = f"{row['p50']:.0f} / {row['p95']:.0f}"
            rows.append(
                f"| {title} | {number} | {row['calls']} | {row['failed']} | {whole} | {parts[0]} | {parts[1]} |"
            )
    body = [
        f"Written by `python -m benchmarks.space --run RUN` on {time.strftime('%Y-%m-%d')}; two CPU cores.",
        "",
        *rows,
        "",
        f"The page opened in {measured['opened']:.1f} s, with the vectors read before.",
        f"Vectors: 100,000 x {measured['dimension']} a model, all compared.",
        "Documents are pairs of sample sentences, their vectors means of the sentences' real ones with noise.",
        "Search alone is one model's; a whole call has the queue, two encodings, two searches (four below float32,",
        "for the share of results that are the same) and the way to it.",
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
    args.work.mkdir(parents=True, exist_ok=True)
    measured = measure(args.run, args.work, args.clients, args.rounds)
    measured["dimension"] = from_run(args.run).report.student.dim
    (args.work / "space.json").write_text(json.dumps(measured, indent=2), encoding="utf-8")
    document(measured, args.clients)


if __name__ == "__main__":
    main()
