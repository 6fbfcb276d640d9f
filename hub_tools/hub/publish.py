"""Stage `publish`: model, tokenizer and the teacher's vectors on the Hub. The only module that writes there.

A repo gets one commit with everything in it or none: large files are uploaded first, one by one, and a commit
makes them visible. A push that was cut off leaves `main` as it was, and the next one skips what is uploaded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from hub_tools.config import REPOS, EmbedConfig, PublishConfig, RunConfig, short_name
from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.files import read_json
from hub_tools.core.hub_errors import explain_push
from hub_tools.core.logging import log
from hub_tools.core.run_dir import check_finished, locked
from hub_tools.core.versions import versions
from hub_tools.reporting.cards import Names, dataset_card, model_card, notice, teacher_name, tokenizer_card
from hub_tools.reporting.text import Report

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

# Suffix of the repo's name, and its type on the Hub.
RepoType = Literal["model", "dataset", "space"]
_KINDS: dict[str, tuple[str, RepoType]] = {
    "model": ("", "model"),
    "tokenizer": ("-tokenizer", "model"),
    "dataset": ("-embeddings", "dataset"),
    "space": ("-demo", "space"),
}
# Files of an earlier push, in folders of this one, that would be read together with the new ones.
_REPLACED = {
    "dataset": ["train-*.parquet", "validation-*.parquet"],
    "model": ["model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json"],
}
# Uploaded one by one, so that a push that was cut off loses no more than one.
_LARGE = (".parquet", ".safetensors")
_NOT_PUBLISHED = (".*", "training.json", "tensorboard", "__pycache__", "*.pyc")
_POSSIBLE_NAME = re.compile(r"(?=.{1,96}$)(?!.*(--|\.\.))[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class Repo:
    """A repo to publish.

    Attributes:
        what: model, tokenizer, dataset or space.
        id: its id on the Hub.
        files: path in the repo -> a file here, or its bytes.
    """

    what: str
    id: str
    files: dict[str, Path | bytes]

    @property
    def type(self) -> RepoType:
        """The type of the repo on the Hub."""
        return _KINDS[self.what][1]

    def __str__(self) -> str:
        return f"{self.what} repo {self.id!r}"


def repo_ids(config: RunConfig) -> dict[str, str]:
    """What -> id of the repos of a run.

    Raises:
        UsageError: there is no namespace, or a name that the Hub does not allow.
    """
    return _ids(config.publish, config.publish.name or _default_name(config))


def _ids(options: PublishConfig, name: str) -> dict[str, str]:
    if not options.namespace:
        raise UsageError("Missing --push-to-hub NAMESPACE (your user name on the Hub, or an organization).")
    ids = {what: f"{options.namespace}/{name}{suffix}" for what, (suffix, _) in _KINDS.items()}
    if not all(_POSSIBLE_NAME.fullmatch(part) for part in (options.namespace, ids["dataset"].partition("/")[2])):
        raise UsageError(
            f"{options.namespace}/{name} cannot be a repo on the Hub. Expected a namespace and a name of letters, "
            "digits and single '-', '_' or '.' between them, not too long."
        )
    return ids


def _default_name(config: RunConfig) -> str:
    # A folder may be called anything; the Hub wants letters, digits and single signs between them.
    plain = re.sub(r"[^A-Za-z0-9._-]+|(?<=[-.])[-.]+", "-", short_name(config.teacher))
    return f"{re.sub('-+', '-', plain).strip('-._')}-{config.target}"


def chosen_repos(options: PublishConfig, embed: EmbedConfig) -> tuple[str, ...]:
    """What is published: model, tokenizer and dataset or some of them, and the Space where asked for.

    Vectors that were taken from others are theirs to publish.
    """
    own = [what for what in options.only or REPOS if what != "dataset" or embed.use is None]
    return (*own, *(["space"] if options.space else []))


def chosen_ids(config: RunConfig) -> dict[str, str]:
    """What -> id of the repos that are published."""
    ids = repo_ids(config)
    return {what: ids[what] for what in chosen_repos(config.publish, config.embed)}


def check_access(options: PublishConfig, repos: dict[str, str]) -> None:
    """Make sure that the repos may be written, before any work.

    Args:
        options: whether they are private.
        repos: what -> id of those that are to be written.

    Raises:
        UserError: not logged in, no right to write or to create, or a public repo where a private one was asked for.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.constants import is_offline_mode
    from huggingface_hub.errors import RepositoryNotFoundError

    if is_offline_mode():
        raise UserError("HF_HUB_OFFLINE is set, and publishing needs the Hub. Unset it.")
    api = HfApi()
    with _explained("the Hub"):
        token = get_token()
    if token is None:
        raise UserError("Not logged in, and publishing needs it. Run `hf auth login` first, or set HF_TOKEN.")
    missing = []
    for what, name in repos.items():
        repo = Repo(what=what, id=name, files={})
        with _explained(str(repo)):
            try:
                api.auth_check(repo.id, repo_type=repo.type, write=True)
                _check_private(api, repo, options)
            except RepositoryNotFoundError:
                missing.append(repo)
    if missing:
        with _explained(str(missing[0])):
            _check_may_create(api.whoami(), missing[0])


def _check_may_create(me: dict[str, Any], repo: Repo) -> None:
    namespace = repo.id.partition("/")[0]
    token = me.get("auth", {}).get("accessToken", {})
    # A member of an organization may be there only to read.
    mine = {me["name"], *(org["name"] for org in me.get("orgs", []) if org.get("roleInOrg") != "read")}
    scopes = token.get("fineGrained", {}).get("scoped", [])
    granted = any(s["entity"].get("name") == namespace and "repo.write" in s["permissions"] for s in scopes)
    if namespace not in mine:
        raise UserError(
            f"You are logged in as {me['name']!r}, who may not create repos of {namespace!r}. Give --push-to-hub one "
            f"of: {', '.join(sorted(mine))}."
        )
    if token.get("role") == "read" or (token.get("role") == "fineGrained" and not granted):
        raise UserError(
            f"Your token may not create the {repo}. Use a token with write access to {namespace!r}, or create the repo "
            "first and use a token that may write to it: https://huggingface.co/settings/tokens."
        )


def _check_private(api: HfApi, repo: Repo, options: PublishConfig) -> None:
    if options.private and not api.repo_info(repo.id, repo_type=repo.type).private:
        raise UserError(
            f"The {repo} is public, and --private was asked for. Make it private in its settings on the Hub, or choose "
            "another --name."
        )


def read_run(run: Path, options: dict[str, Any]) -> RunConfig:
    """The configuration of a run folder, with other [publish] options where they are given.

    Args:
        run: the folder.
        options: keys of `PublishConfig`; None means as the run has it.

    Raises:
        UserError: the folder holds no run.
    """
    if not (run / "config.toml").is_file():
        raise UserError(f"{run} is no run folder: it has no config.toml. Expected the --output of a hub-distill run.")
    return RunConfig.from_toml(run / "config.toml", {"output": str(run), "publish": _given(options)})


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def check(run: Path, options: dict[str, Any]) -> list[str]:
    """Make sure that a run, which need not be there yet, may be published; arguments as for `publish`.

    Returns:
        The repos that may be written.

    Raises:
        UserError: as `check_access`.
        UsageError: there is no run, and no name for the repos either.
    """
    if (run / "config.toml").is_file():
        config = read_run(run, options)
        publish_options, repos = config.publish, chosen_ids(config)
    else:
        publish_options = PublishConfig(**_given(options))
        if publish_options.name is None:
            raise UsageError(f"There is no run in {run} yet, so --check needs --name, the name of the model repo.")
        ids = _ids(publish_options, publish_options.name)
        repos = {what: ids[what] for what in chosen_repos(publish_options, EmbedConfig())}
    check_access(publish_options, repos)
    return list(repos.values())


def collect(config: RunConfig, linked: Names) -> list[Repo]:
    """The repos of a finished run with all their files.

    Args:
        config: the run.
        linked: repos that the cards may link to.

    Raises:
        UserError: the run is not finished, or its parts do not belong together.
    """
    run, ids, chosen = config.output, repo_ids(config), chosen_repos(config.publish, config.embed)
    check_finished(run)
    report: Report = read_json(run / "report.json")
    contents: dict[str, dict[str, Path | bytes]] = {}
    if "model" in chosen:
        contents["model"] = {
            **_files(run / "student"),
            **_pictures(run),
            "README.md": _bytes(model_card(report, linked)),
        }
    if "tokenizer" in chosen:
        card = _bytes(tokenizer_card(report, linked))
        contents["tokenizer"] = {**_files(run / "tokenizer"), "README.md": card}
    if "dataset" in chosen:
        contents["dataset"] = {**_files(run / "embeddings"), "README.md": _bytes(dataset_card(report, linked))}
    # A tokenizer that was only taken is not made from the teacher's.
    derived = ("model", "tokenizer") if config.tokenizer.use is None else ("model",)
    for what in derived:
        if what in contents:
            contents[what] |= _legal(run, report, what)
    if "space" in chosen:
        from hub_tools.hub.space_repo import run_files

        # The Space loads the model from the Hub, so it is there or is published along.
        contents["space"] = run_files(run, report, replace(linked, model=ids["model"]))
    return [Repo(what=what, id=ids[what], files=dict(sorted(files.items()))) for what, files in contents.items()]


def _files(folder: Path) -> dict[str, Path | bytes]:
    found: dict[str, Path | bytes] = {}
    for file in sorted(folder.rglob("*")):
        path = file.relative_to(folder)
        hidden = any(fnmatch(part, pattern) for part in path.parts for pattern in _NOT_PUBLISHED)
        if file.is_file() and not hidden:
            found[path.as_posix()] = file
    return found


def _pictures(run: Path) -> dict[str, Path | bytes]:
    return {f"figures/{file.name}": file for file in sorted((run / "figures").glob("*.png"))}


def _legal(run: Path, report: Report, what: str) -> dict[str, Path | bytes]:
    """The teacher's license files, and the notice that its license asks for."""
    files = _files(run / "license") if (run / "license").is_dir() else {}
    asked = notice(report, what)
    if asked is None:
        return files
    theirs = run / "license" / "NOTICE"
    kept = theirs.read_bytes().rstrip() + b"\n\n" if theirs.exists() else b""
    return {**files, "NOTICE": kept + _bytes(asked)}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8")


def list_files(repos: list[Repo], *, private: bool) -> str:
    """What would be published: every repo with every file and its size."""
    lines = []
    for repo in repos:
        sizes = {path: _size(content) for path, content in repo.files.items()}
        lines.append(f"{repo.what:9}  {repo.id}{' (private)' if private else ''}, {sum(sizes.values()):,} bytes")
        lines += [f"  {size:>15,}  {path}" for path, size in sizes.items()]
    return "\n".join(lines)


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def plan_push(run: Path, options: dict[str, Any]) -> str:
    """What `publish` would upload, without asking the Hub anything; arguments as for `publish`."""
    config = read_run(run, options)
    repos = collect(config, _names(repo_ids(config), chosen_repos(config.publish, config.embed)))
    return list_files(repos, private=config.publish.private)


def publish(run: Path, options: dict[str, Any]) -> list[str]:
    """Publish a finished run: the repos, and when all of them, a collection.

    Args:
        run: the run folder.
        options: keys of `PublishConfig` that differ from the run's.

    Returns:
        Addresses of what was published.

    Raises:
        UserError: the run is not finished, no access, or the Hub refused.
        UsageError: no namespace or an impossible name.
    """
    from huggingface_hub import HfApi

    config, api = read_run(run, options), HfApi()
    chosen, ids = chosen_repos(config.publish, config.embed), repo_ids(config)
    with locked(run):
        check_finished(run)
        check_access(config.publish, {what: ids[what] for what in chosen})
        repos = collect(config, _names(ids, _linkable(api, ids, chosen)))
        for repo in repos:
            with _explained(str(repo)):
                _push(api, repo, config.publish)
    urls = [f"{api.endpoint}/{'' if repo.type == 'model' else repo.type + 's/'}{repo.id}" for repo in repos]
    if set(chosen_repos(PublishConfig(), config.embed)) <= set(chosen):
        with _explained("collection"):
            urls += _collect_in_collection(api, repos, config, read_json(run / "report.json"))
    return urls


def _linkable(api: HfApi, ids: dict[str, str], chosen: tuple[str, ...]) -> tuple[str, ...]:
    """The repos that are published now or are there already: a card links to no other."""
    with _explained("the Hub"):
        return tuple(w for w in ids if w in chosen or api.repo_exists(ids[w], repo_type=_KINDS[w][1]))


def _names(ids: dict[str, str], there: tuple[str, ...]) -> Names:
    return Names(**{what: repo_id for what, repo_id in ids.items() if what in there})


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (UserError, UsageError):
        raise
    except Exception as error:
        message = explain_push(error, what)
        if message is None:
            raise
        raise UserError(message) from error


def _push(api: HfApi, repo: Repo, options: PublishConfig) -> None:
    """Bring a repo to the state of `repo.files` in one commit, or in none when it is there already."""
    sdk = "gradio" if repo.type == "space" else None
    api.create_repo(repo.id, repo_type=repo.type, private=options.private or None, exist_ok=True, space_sdk=sdk)
    _check_private(api, repo, options)
    info = api.repo_info(repo.id, repo_type=repo.type)
    additions, deletions = _changes(api, repo, info.sha)
    head = str(info.sha)
    _check_tag(api, repo, options.tag, head, changed=bool(additions or deletions))
    if additions or deletions:
        for addition in additions:
            if addition.path_in_repo.endswith(_LARGE):
                log.info("  %s, %s bytes", addition.path_in_repo, f"{addition.upload_info.size:,}")
                api.preupload_lfs_files(repo.id, [addition], repo_type=repo.type)
        commit = api.create_commit(
            repo.id,
            [*additions, *deletions],
            commit_message=f"Publish with hub-tools {versions()['hub-tools']}",
            repo_type=repo.type,
            # Somebody else's commit in the meantime must not be overwritten unseen.
            parent_commit=head,
        )
        head = commit.oid
        log.info("%s: published", repo)
    else:
        log.info("%s: nothing changed", repo)
    if options.tag is not None:
        api.create_tag(repo.id, tag=options.tag, revision=head, repo_type=repo.type, exist_ok=True)


def _changes(
    api: HfApi, repo: Repo, revision: str | None
) -> tuple[list[CommitOperationAdd], list[CommitOperationDelete]]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, RepoFile

    entries = api.list_repo_tree(repo.id, recursive=True, revision=revision, repo_type=repo.type)
    there = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
    additions = [
        CommitOperationAdd(path_in_repo=path, path_or_fileobj=content)
        for path, content in repo.files.items()
        if path not in there or not _same(content, there[path])
    ]
    folders = {PurePosixPath(path).parent for path in repo.files}
    stale = [
        CommitOperationDelete(path_in_repo=str(path))
        for path in map(PurePosixPath, there)
        if str(path) not in repo.files
        and path.parent in folders
        and any(fnmatch(path.name, pattern) for pattern in _REPLACED.get(repo.what, []))
    ]
    return additions, stale


def _same(content: Path | bytes, entry: Any) -> bool:
    """Whether the Hub has these bytes: by sha256 for large files, by git's hash for others."""
    if _size(content) != entry.size:
        return False
    if entry.lfs is not None:
        return _hash(content, hashlib.sha256()) == str(entry.lfs.sha256)
    header = b"blob %d\0" % entry.size
    return _hash(content, hashlib.sha1(header, usedforsecurity=False)) == str(entry.blob_id)


def _hash(content: Path | bytes, known: Any) -> str:
    if isinstance(content, bytes):
        known.update(content)
    else:
        with content.open("rb") as file:
            hashlib.file_digest(file, lambda: known)
    return str(known.hexdigest())


def _check_tag(api: HfApi, repo: Repo, tag: str | None, head: str, *, changed: bool) -> None:
    if tag is None:
        return
    tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo.id, repo_type=repo.type).tags}
    if tag in tags and (changed or tags[tag] != head):
        raise UserError(
            f"The {repo} has a tag {tag!r} with other files. A release does not change: choose a new --tag."
        )


def _collect_in_collection(api: HfApi, repos: list[Repo], config: RunConfig, report: Report) -> list[str]:
    """The address of the collection, or nothing where the token may write repos only: those are what counts."""
    from huggingface_hub.errors import HfHubHTTPError

    namespace, name = repo_ids(config)["model"].split("/")
    description = f"A {config.target} student of {teacher_name(report)}, its tokenizer and its training data."[:150]
    try:
        collection = api.create_collection(
            title=name, namespace=namespace, description=description, private=config.publish.private, exists_ok=True
        )
        there = {(item.item_type, item.item_id) for item in collection.items}
        for repo in repos:
            if (repo.type, repo.id) not in there:
                api.add_collection_item(collection.slug, repo.id, repo.type, exists_ok=True)
    except HfHubHTTPError as error:
        if error.response.status_code != HTTPStatus.FORBIDDEN:
            raise
        log.warning("The repos are published. Your token may make no collection of them: that needs collection.write.")
        return []
    return [str(collection.url)]
