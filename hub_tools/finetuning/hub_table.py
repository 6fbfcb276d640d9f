"""Datasets of the Hub as local tables: fetched once, and then read like any other file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_tools.core.files import digest, replacing
from hub_tools.core.hub_errors import hub_errors
from hub_tools.corpus.sources import dataset_revision, is_dataset_id, names_file, open_dataset


@dataclass(frozen=True, kw_only=True)
class HubTable:
    """A table to train on: `spec` is what the readers of local files take, the name begins with that of a dataset."""

    spec: str
    name: str
    license: str | None = None
    revision: str | None = None


def is_hub_table(spec: str) -> bool:
    """Return whether a value is owner/name[@revision][:config[:split]] of the Hub, and no file or folder here."""
    return "," not in spec and not names_file(spec) and is_dataset_id(spec.partition(":")[0].partition("@")[0])


def load_table(option: str, spec: str) -> HubTable:
    """Fetch a split of a dataset (`train` where none is named) into a parquet file in the cache of `datasets`.

    Raises:
        UserError: there is no such dataset or split, or it holds other things than plain tables.
    """
    import datasets

    dataset, config, split = (*spec.split(":"), "", "")[:3]
    name, _, branch = dataset.partition("@")
    commit = dataset_revision(name, branch)
    key = digest([name, config, split, commit or branch])
    file = Path(datasets.config.HF_DATASETS_CACHE) / "hub-tools" / f"{key}.parquet"
    if not file.exists():
        with hub_errors(f"dataset {name!r}", f"{option} {spec}: `datasets` cannot read it"):
            builder = open_dataset(name, config, revision=commit or branch or None)
            builder.download_and_prepare()
            table: Any = builder.as_dataset(split=split or "train")
        with replacing(file) as partial:
            table.to_parquet(str(partial))
    parts = ":".join(filter(None, (name, config, split)))
    return HubTable(spec=str(file), name=parts, license=_license(name, commit), revision=commit)


def _license(name: str, commit: str | None) -> str | None:
    """Return the license that the card of a dataset names; None where there is none, or nobody can tell."""
    from huggingface_hub import DatasetCard, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        card = hf_hub_download(name, "README.md", repo_type="dataset", revision=commit)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError):
        return None
    found = DatasetCard.load(card, ignore_metadata_errors=True).data.to_dict().get("license")
    return ", ".join(map(str, found)) if isinstance(found, list) else found and str(found)
