"""The user's repository: what it is, and whether Ringmaster can work on it. It is only looked at here."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.workspace.git import GitError, GitResult, run_git
from ringmaster.workspace.refs import read_ref, target_ref

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "glusterfs", "lustre", "beegfs"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.ceph"}
)


class UserRepository(msgspec.Struct, frozen=True):
    """A user's repository as inspected.

    path: the top of the work tree, or of the bare repository. git_dir: of that work tree.
    common_dir: what all its work trees share. head: the branch HEAD is on, None when detached.
    target: the branch landings go to; target_commit: where it was.
    """

    path: Path
    git_dir: Path
    common_dir: Path
    is_bare: bool
    is_shallow: bool
    head: str | None
    target: str
    target_commit: str


async def inspect_user_repository(path: Path, target: str | None = None) -> UserRepository:
    """Look at the repository at `path` and refuse in one line what cannot be worked on.

    target: the branch to land on; by default the one HEAD is on, else `main` or `master`.
    Raises `RingmasterError` (refused, or not_found for a missing path or branch). Changes nothing.
    """
    path = path.absolute()
    if not path.is_dir():
        raise RingmasterError(ErrorKind.NOT_FOUND, f"{path} is not a directory", "give the path of a git repository")
    top, git_dir, common_dir, is_bare, is_shallow = await _locate(path)
    refuse_network_file_system(common_dir)
    if not (await _ask("rev-list", "-n1", "--all", git_dir=git_dir)).text:
        raise RingmasterError(
            ErrorKind.REFUSED,
            f"{path} has no commits",
            f"make a first commit: git -C {path} commit --allow-empty -m start",
        )
    await _refuse_partial_clone(top, git_dir, common_dir)
    head = (await _ask("symbolic-ref", "--quiet", "--short", "HEAD", git_dir=git_dir, ok=(0, 1))).text or None
    chosen = target or await _default_target(top, git_dir, head)
    commit = await read_ref(git_dir, f"{target_ref(chosen)}^{{commit}}", is_user=True)
    if commit is None:
        raise target_missing(top, chosen)
    await _refuse_unsupported_content(top, git_dir, commit)
    return UserRepository(
        path=top,
        git_dir=git_dir,
        common_dir=common_dir,
        is_bare=is_bare,
        is_shallow=is_shallow,
        head=head,
        target=chosen,
        target_commit=commit,
    )


def target_missing(path: Path, target: str) -> RingmasterError:
    """The error for a target branch that is not, or no longer, there."""
    return RingmasterError(
        ErrorKind.NOT_FOUND,
        f"{path} has no branch '{target}'",
        f"create it, or name another target; branches there: git -C {path} branch",
    )


def refuse_network_file_system(path: Path, mounts: str | None = None) -> None:
    """Raise `RingmasterError` where `path` lies on a network file system: locks and renames fail there.

    mounts: the text of /proc/mounts; read when None, and taken as local where it cannot be.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(errors="replace")
        except OSError:
            return
    kind = file_system_type(path.resolve(), mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise RingmasterError(
            ErrorKind.REFUSED, f"{path} is on a network file system ({kind})", "use a clone on a local disk"
        )


def file_system_type(path: Path, mounts: str) -> str | None:
    """The type of the file system that holds `path`, by the longest mount point above it."""
    found: tuple[int, str | None] = (-1, None)
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        # A later line over the same point hides the earlier one, hence >=.
        if (path == point or point in path.parents) and len(point.parts) >= found[0]:
            found = (len(point.parts), fields[2])
    return found[1]


async def _ask(*args: str, git_dir: Path, ok: tuple[int, ...] = (0,)) -> GitResult:
    return await run_git(*args, git_dir=git_dir, is_user=True, ok=ok)


async def _locate(path: Path) -> tuple[Path, Path, Path, bool, bool]:
    try:
        result = await run_git(
            "rev-parse",
            "--path-format=absolute",
            "--git-dir",
            "--git-common-dir",
            "--is-bare-repository",
            "--is-shallow-repository",
            "--is-inside-work-tree",
            cwd=path,
            is_user=True,
        )
    except GitError as error:
        if "not a git repository" in error.message:
            raise RingmasterError(
                ErrorKind.REFUSED, f"{path} is not a git repository", f"make it one: git -C {path} init"
            ) from error
        if "dubious ownership" in error.message:
            raise RingmasterError(
                ErrorKind.PERMISSION,
                f"{path} belongs to another user, and git does not work in it",
                "start the daemon as its owner, or take a clone of your own",
            ) from error
        raise GitError(f"{path}: {error.message}", error.hint, status=error.status, kind=ErrorKind.REFUSED) from error
    git_dir, common_dir, bare, shallow, inside = result.text.split("\n")
    top = Path(git_dir)
    if inside == "true":
        top = Path((await run_git("rev-parse", "--show-toplevel", cwd=path, is_user=True)).text)
    elif bare == "false" and top.name == ".git":
        top = top.parent
    return top, Path(git_dir), Path(common_dir), bare == "true", shallow == "true"


async def _refuse_partial_clone(path: Path, git_dir: Path, common_dir: Path) -> None:
    promisors = await _ask(
        "config", "--get-regexp", r"^(extensions\.partialclone|remote\..*\.promisor)$", git_dir=git_dir, ok=(0, 1)
    )
    if promisors.text or any((common_dir / "objects" / "pack").glob("*.promisor")):
        raise RingmasterError(
            ErrorKind.REFUSED, f"{path} is a partial clone, which is not supported yet", "use a full clone"
        )


async def _default_target(path: Path, git_dir: Path, head: str | None) -> str:
    if head is not None:
        return head
    for name in ("main", "master"):
        if await read_ref(git_dir, target_ref(name), is_user=True):
            return name
    raise RingmasterError(
        ErrorKind.REFUSED, f"HEAD of {path} is detached, so there is no branch to land on", "name the target branch"
    )


async def _refuse_unsupported_content(path: Path, git_dir: Path, commit: str) -> None:
    modules = await _ask("ls-tree", "--name-only", commit, "--", ".gitmodules", git_dir=git_dir)
    # A gitlink without .gitmodules is as unsupported as one with it.
    listing = await _ask("ls-tree", "-r", "-z", "--format=%(objectmode) %(path)", commit, git_dir=git_dir)
    links = [record[7:] for record in listing.records if record.startswith("160000 ")]
    if modules.text or links:
        named = f" ({links[0]})" if links else ""
        raise RingmasterError(
            ErrorKind.REFUSED,
            f"{path} has submodules{named}, which are not supported yet",
            "use a repository without them",
        )
    large = await _ask(
        "grep", "-l", "-I", "-e", "filter=lfs", commit, "--", ":(glob)**/.gitattributes", git_dir=git_dir, ok=(0, 1)
    )
    if large.text:
        raise RingmasterError(
            ErrorKind.REFUSED, f"{path} uses Git LFS, which is not supported yet", "use a repository without it"
        )
