"""Whether the repos may be written: asked before any work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hub_tools.config import PublishConfig
from hub_tools.core.errors import UserError
from hub_tools.core.hub_errors import hub_errors
from hub_tools.hub.repos import Repo

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def check_access(options: PublishConfig, repo_ids: dict[str, str]) -> None:
    """Make sure that repos (kind -> id) may be written, before any work.

    Raises:
        UserError: not logged in, no right to write or to create, or a public repo where a private one was asked for.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.constants import is_offline_mode
    from huggingface_hub.errors import RepositoryNotFoundError

    if is_offline_mode():
        raise UserError("HF_HUB_OFFLINE is set, and publishing needs the Hub. Unset it.")
    api = HfApi()
    with hub_errors("the Hub", writing=True):
        token = get_token()
    if token is None:
        raise UserError("Not logged in, and publishing needs it. Run `hf auth login` first, or set HF_TOKEN.")
    missing = []
    for repo in (Repo(kind=kind, id=repo_id) for kind, repo_id in repo_ids.items()):
        with hub_errors(str(repo), writing=True):
            try:
                api.auth_check(repo.id, repo_type=repo.type, write=True)
                check_private(api, repo, options)
            except RepositoryNotFoundError:
                missing.append(repo)
    if missing:
        with hub_errors(str(missing[0]), writing=True):
            _check_may_create(api.whoami(), missing[0])


def _check_may_create(user: dict[str, Any], repo: Repo) -> None:
    namespace = repo.id.partition("/")[0]
    token = user.get("auth", {}).get("accessToken", {})
    # A member of an organization may have no role but to read.
    writable = {user["name"], *(org["name"] for org in user.get("orgs", []) if org.get("roleInOrg") != "read")}
    if namespace not in writable:
        raise UserError(
            f"You are logged in as {user['name']!r}, who may not create repos of {namespace!r}. Give --push-to-hub one "
            f"of: {', '.join(sorted(writable))}."
        )
    scopes = token.get("fineGrained", {}).get("scoped", [])
    granted = any(s["entity"].get("name") == namespace and "repo.write" in s["permissions"] for s in scopes)
    if token.get("role") == "read" or (token.get("role") == "fineGrained" and not granted):
        raise UserError(
            f"Your token may not create the {repo}. Use a token with write access to {namespace!r}, or create the repo "
            "first and use a token that may write to it: https://huggingface.co/settings/tokens."
        )


def check_private(api: HfApi, repo: Repo, options: PublishConfig) -> None:
    """Raise a UserError for a public repo where private ones were asked for."""
    if options.private and not api.repo_info(repo.id, repo_type=repo.type).private:
        raise UserError(
            f"The {repo} is public, and --private was asked for. Make it private in its settings on the Hub, or choose "
            "another --name."
        )
