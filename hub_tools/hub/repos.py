"""The repos of a run: what they are called, and which of them are published."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hub_tools.config import REPOS, PublishConfig, RunConfig
from hub_tools.core.errors import UsageError
from hub_tools.core.names import repo_name
from hub_tools.reporting.space_settings import SPACE_SUFFIX

RepoType = Literal["model", "dataset", "space"]
# Kind -> suffix of the repo's name, and its type on the Hub.
_KINDS: dict[str, tuple[str, RepoType]] = {
    "model": ("", "model"),
    "tokenizer": ("-tokenizer", "model"),
    "dataset": ("-embeddings", "dataset"),
    "space": (SPACE_SUFFIX, "space"),
}
_VALID_NAME = re.compile(r"(?=.{1,96}$)(?!.*(--|\.\.))[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class Repo:
    """A repo to publish."""

    kind: str  # model, tokenizer, dataset or space
    id: str  # on the Hub
    files: dict[str, Path | bytes] = field(default_factory=dict)  # path in the repo -> a file here, or its bytes

    @property
    def type(self) -> RepoType:
        """The type of the repo on the Hub."""
        return _KINDS[self.kind][1]

    @property
    def path(self) -> str:
        """The path of its page on the Hub."""
        return self.id if self.type == "model" else f"{self.type}s/{self.id}"

    def __str__(self) -> str:
        return f"{self.kind} repo {self.id!r}"


def repo_ids(config: RunConfig) -> dict[str, str]:
    """Return the id of each kind of repo of a run.

    Raises:
        UsageError: there is no namespace, or a name that the Hub does not allow.
    """
    return named_ids(config.publish, config.publish.name or repo_name(config.teacher, config.target))


def named_ids(options: PublishConfig, name: str) -> dict[str, str]:
    """Return the id of each kind of repo, made from the name of the model repo; errors as for `repo_ids`."""
    if not options.namespace:
        raise UsageError("Missing --push-to-hub NAMESPACE (your user name on the Hub, or an organization).")
    ids = {kind: f"{options.namespace}/{name}{suffix}" for kind, (suffix, _) in _KINDS.items()}
    if not all(_VALID_NAME.fullmatch(part) for part in (options.namespace, ids["dataset"].partition("/")[2])):
        raise UsageError(
            f"{options.namespace}/{name} cannot be a repo on the Hub. Expected a namespace and a name of letters, "
            "digits and single '-', '_' or '.' between them, not too long."
        )
    return ids


def chosen(ids: Mapping[str, str], options: PublishConfig, *, own_vectors: bool) -> dict[str, str]:
    """Return the repos to publish: all three or `only` some, the Space if asked for, never vectors of another run."""
    kinds = [*(options.only or REPOS), *(["space"] if options.space else [])]
    return {kind: ids[kind] for kind in kinds if own_vectors or kind != "dataset"}


def chosen_ids(config: RunConfig) -> dict[str, str]:
    """Return kind -> id of the repos that a run publishes."""
    return chosen(repo_ids(config), config.publish, own_vectors=config.embed.use is None)
