"""Publish a run: model, tokenizer and the teacher's vectors on the Hub. The only module that writes there.

What is published, and how, comes from the record of the run, so no later command can change what is said of it.
A repo gets one commit with everything in it or none: large files are uploaded first, one by one, and a commit
makes them visible. A push that was cut off leaves `main` as it was, and the next one skips what is uploaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatch
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from hub_tools.config import PublishConfig, RunConfig
from hub_tools.core.errors import UsageError, UserError
from hub_tools.core.hub_errors import hub_errors
from hub_tools.core.languages import names_of
from hub_tools.core.logging import log
from hub_tools.core.plain import changed
from hub_tools.core.run_dir import locked
from hub_tools.core.run_record import RECORD, RunRecord, check_single, read_record, write_record
from hub_tools.core.versions import versions
from hub_tools.hub.access import check_access, check_private
from hub_tools.hub.contents import collect
from hub_tools.hub.repos import Repo, chosen, chosen_ids, named_ids, repo_ids
from hub_tools.reporting.cards import teacher_name
from hub_tools.reporting.report import FullReport, read_report, run_config

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoFile

# Files of an earlier push, in folders of this one, that would be read together with the new ones.
_REPLACED = {
    "dataset": ["train-*.parquet", "validation-*.parquet"],
    "model": ["model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json"],
}
_LARGE = (".parquet", ".safetensors")  # uploaded one by one, so that a push that was cut off loses no more than one


def publish(run: Path, changes: Mapping[str, Any]) -> list[str]:
    """Publish a finished run, and a collection when all of its repos are published; return their addresses.

    `changes` are fields of `PublishConfig` that differ from the run's record; None for one that does not. What was
    private once stays private.

    Raises:
        UserError: the run is not finished, no access, or the Hub refused.
        UsageError: no namespace or an impossible name.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    if not (run / RECORD).is_file():  # a lock would make the folder
        raise UserError(f"{run} is no run folder: it has no {RECORD}. Expected the --output of a hub-distill run.")
    with locked(run):
        report = _read(run, changes)
        options, ids, published = report.config.publish, repo_ids(report.config), chosen_ids(report.config)
        if options.private:
            write_record(run, read_record(run).with_publish({"private": True}))
        check_access(options, published)
        with hub_errors("the Hub", writing=True):
            others = [Repo(kind=kind, id=ids[kind]) for kind in ids.keys() - published.keys()]
            existing = {repo.kind: repo.id for repo in others if api.repo_exists(repo.id, repo_type=repo.type)}
        repos = collect(run, report, published, published | existing)
        for repo in repos:
            with hub_errors(str(repo), writing=True):
                _push(api, repo, options)
    urls = [f"{api.endpoint}/{repo.path}" for repo in repos]
    if published == chosen_ids(replace(report.config, publish=replace(options, only=()))):
        with hub_errors("collection", writing=True):
            urls += _add_to_collection(api, repos, report)
    return urls


def plan_push(run: Path, changes: Mapping[str, Any]) -> str:
    """List what `publish` would upload, every file with its size, without asking the Hub; arguments as `publish`."""
    report = _read(run, changes)
    published = chosen_ids(report.config)
    private = " (private)" if report.config.publish.private else ""
    lines = []
    for repo in collect(run, report, published, published):
        sizes = {
            path: len(content) if isinstance(content, bytes) else content.stat().st_size
            for path, content in repo.files.items()
        }
        lines.append(f"{repo.kind:9}  {repo.id}{private}, {sum(sizes.values()):,} bytes")
        lines += [f"  {size:>15,}  {path}" for path, size in sizes.items()]
    return "\n".join(lines)


def check(run: Path, changes: Mapping[str, Any]) -> list[str]:
    """Return the repos that may be written for a run, which need not exist yet; arguments as for `publish`.

    Raises:
        UserError: as `check_access`.
        UsageError: there is no run, and no name for the repos either.
    """
    record = read_record(run)
    check_single(run, record)
    options = _options(record, changes)
    if record.stages:
        repos = chosen_ids(replace(run_config(record, run), publish=options))
    elif options.name is not None:
        repos = chosen(named_ids(options, options.name), options, own_vectors=True)
    else:
        raise UsageError(f"There is no run in {run} yet, so --check needs --name, the name of the model repo.")
    check_access(options, repos)
    return list(repos.values())


def check_before(config: RunConfig) -> None:
    """Make sure, before any work, that what a configuration publishes may be written; errors as for `check_access`."""
    config = with_record(config)
    check_access(config.publish, chosen_ids(config))


def with_record(config: RunConfig) -> RunConfig:
    """Return a configuration with the options that its run is published with: what was private stays private."""
    return replace(config, publish=_options(read_record(config.output), changed(config.publish)))


def _read(run: Path, changes: Mapping[str, Any]) -> FullReport:
    """Read the report of a run with the options that it is published with."""
    report = read_report(run)
    return replace(report, config=replace(report.config, publish=_options(read_record(run), changes)))


def _options(record: RunRecord, changes: Mapping[str, Any]) -> PublishConfig:
    """Return the options to publish with: those of the record but for the changes."""
    changed_options = {key: value for key, value in changes.items() if value is not None}
    return PublishConfig.from_dict(record.with_publish(changed_options).publish)


def _push(api: HfApi, repo: Repo, options: PublishConfig) -> None:
    """Bring a repo to the state of `repo.files` in one commit, or in none when it has that state."""
    sdk = "gradio" if repo.type == "space" else None
    api.create_repo(repo.id, repo_type=repo.type, private=options.private or None, exist_ok=True, space_sdk=sdk)
    check_private(api, repo, options)
    head = str(api.repo_info(repo.id, repo_type=repo.type).sha)
    additions, deletions = _changes(api, repo, head)
    if options.tag is not None:
        tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(repo.id, repo_type=repo.type).tags}
        if options.tag in tags and (additions or deletions or tags[options.tag] != head):
            raise UserError(
                f"The {repo} has a tag {options.tag!r} with other files. A release does not change: choose a new --tag."
            )
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


def _changes(api: HfApi, repo: Repo, revision: str) -> tuple[list[CommitOperationAdd], list[CommitOperationDelete]]:
    """Return what differs from the Hub: a commit finds that only while it is made, too late for the check of a tag."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, RepoFile

    entries = api.list_repo_tree(repo.id, recursive=True, revision=revision, repo_type=repo.type)
    on_hub = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
    additions = [CommitOperationAdd(path_in_repo=path, path_or_fileobj=content) for path, content in repo.files.items()]
    folders = {PurePosixPath(path).parent for path in repo.files}
    stale = [
        CommitOperationDelete(path_in_repo=str(path))
        for path in map(PurePosixPath, on_hub)
        if str(path) not in repo.files
        and path.parent in folders
        and any(fnmatch(path.name, pattern) for pattern in _REPLACED.get(repo.kind, []))
    ]
    return [new for new in additions if not _is_same(new, on_hub.get(new.path_in_repo))], stale


def _is_same(addition: CommitOperationAdd, entry: RepoFile | None) -> bool:
    """Return whether the Hub has these bytes: by sha256 for large files, by git's hash for others."""
    from huggingface_hub.utils.sha import git_hash

    if entry is None or addition.upload_info.size != entry.size:
        return False
    if entry.lfs is not None:
        return addition.upload_info.sha256.hex() == entry.lfs.sha256
    with addition.as_file() as file:
        return git_hash(file.read()) == entry.blob_id


def _add_to_collection(api: HfApi, repos: list[Repo], report: FullReport) -> list[str]:
    """Return the address of the collection; nothing where the token may write repos only, for these are what counts."""
    from huggingface_hub.errors import HfHubHTTPError

    namespace, name = repo_ids(report.config)["model"].split("/")
    description = (
        f"A {names_of(report.targets)} student of {teacher_name(report)}, its tokenizer and its training data."[:150]
    )
    private = report.config.publish.private
    try:
        collection = api.create_collection(
            title=name, namespace=namespace, description=description, private=private, exists_ok=True
        )
        items = {(item.item_type, item.item_id) for item in collection.items}
        for repo in repos:
            if (repo.type, repo.id) not in items:
                api.add_collection_item(collection.slug, repo.id, repo.type, exists_ok=True)
    except HfHubHTTPError as error:
        if error.response.status_code != HTTPStatus.FORBIDDEN:
            raise
        log.warning("The repos are published. Your token may make no collection of them: that needs collection.write.")
        return []
    return [str(collection.url)]
