"""Processes that are killed, or refused by the disk, right before the n-th thing that they do to files under a folder.

A child runs Python code behind a seccomp filter that stops it at each system call that makes, writes, renames, links or
deletes a file, whatever thread and whatever library it comes from. Its parent looks whether the call concerns the
folder, counts, and lets it go on, kills the child, or answers with an error in the kernel's place. So every step of
what the child does can be tried, one after the other, without a guess at a time.

It needs Linux on x86-64 or ARM, and no right that an ordinary user lacks. A server process imports what the code needs
once and forks a child for each trial, so that a trial takes little more than the code itself.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import platform
import select
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["Stage", "Trial", "stage"]

PRELOADED = """
import pyarrow, pyarrow.dataset, pyarrow.parquet, deltalake, duckdb, sqlalchemy.dialects.sqlite
import lakemark.capture.workspace, lakemark.tables.checks.guard, lakemark.tables.checks.running
import lakemark.tables.naming.catalog, lakemark.tables.naming.removal, lakemark.tables.pinning.clones
import lakemark.tables.pinning.markers, lakemark.tables.pinning.tags, lakemark.tables.streams, lakemark.tables.table
import lakemark.tables.upkeep.maintenance, lakemark.tables.upkeep.schedule, lakemark.tables.upkeep.vacuum
"""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTIFIED, _ANSWER = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
_GO_ON = 1
_NAMED, _BY_HANDLE, _BETWEEN = "named", "by handle", "between"


@dataclass(frozen=True)
class Call:
    """A system call: its name, and how to see from its arguments which file it is about."""

    name: str
    kind: str
    path_at: int = 0
    folder_at: int | None = None
    flags_at: int | None = None


_CALLS: Mapping[str, Mapping[int, Call]] = {
    "x86_64": {
        1: Call("write", _BY_HANDLE),
        2: Call("open", _NAMED, 0, None, 1),
        18: Call("pwrite", _BY_HANDLE),
        20: Call("writev", _BY_HANDLE),
        40: Call("sendfile", _BY_HANDLE),
        74: Call("fsync", _BY_HANDLE),
        75: Call("fdatasync", _BY_HANDLE),
        76: Call("truncate", _NAMED),
        77: Call("ftruncate", _BY_HANDLE),
        82: Call("rename", _BETWEEN, 1),
        83: Call("mkdir", _NAMED),
        84: Call("rmdir", _NAMED),
        86: Call("link", _BETWEEN, 1),
        87: Call("unlink", _NAMED),
        257: Call("open", _NAMED, 1, 0, 2),
        258: Call("mkdir", _NAMED, 1, 0),
        263: Call("unlink", _NAMED, 1, 0),
        264: Call("rename", _BETWEEN, 3, 2),
        265: Call("link", _BETWEEN, 3, 2),
        316: Call("rename", _BETWEEN, 3, 2),
        326: Call("copy", _BY_HANDLE, 2),
    },
    "aarch64": {
        34: Call("mkdir", _NAMED, 1, 0),
        35: Call("unlink", _NAMED, 1, 0),
        37: Call("link", _BETWEEN, 3, 2),
        38: Call("rename", _BETWEEN, 3, 2),
        45: Call("truncate", _NAMED),
        46: Call("ftruncate", _BY_HANDLE),
        56: Call("open", _NAMED, 1, 0, 2),
        64: Call("write", _BY_HANDLE),
        66: Call("writev", _BY_HANDLE),
        68: Call("pwrite", _BY_HANDLE),
        71: Call("sendfile", _BY_HANDLE),
        82: Call("fsync", _BY_HANDLE),
        83: Call("fdatasync", _BY_HANDLE),
        276: Call("rename", _BETWEEN, 3, 2),
        285: Call("copy", _BY_HANDLE, 2),
    },
}
_ARCHITECTURES = {"x86_64": (0xC000003E, 317), "aarch64": (0xC00000B7, 277)}
_NEEDS_ROOM = frozenset({"write", "pwrite", "writev", "sendfile", "copy", "open", "mkdir", "link"})
_NEEDS_PERMISSION = frozenset({"open", "mkdir", "link", "rename", "unlink", "rmdir", "truncate"})


@dataclass(frozen=True)
class Trial:
    """What a child did.

    Parameters
    ----------
    calls : sequence of str
        What it did to files under the folder, in order, as `name path`, up to where it was killed.
    status : int
        As of `subprocess`: 0, or minus the signal.
    output : str
        What it printed.
    """

    calls: Sequence[str]
    status: int
    output: str

    @property
    def killed(self) -> bool:
        """True if it did not come to its end."""
        return self.status == -signal.SIGKILL


class Stage:
    """Where children are run; one at a time."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def run(
        self,
        code: str,
        *arguments: object,
        under: Path,
        kill_at: int | None = None,
        full_at: int | None = None,
        denied: bool = False,
    ) -> Trial:
        """Run code in a child.

        Parameters
        ----------
        code : str
            Finds its arguments, as text, in `sys.argv[1:]`.
        under : Path
            The folder whose files count.
        kill_at : int, optional
            Kill the child right before its call of this number, from 1.
        full_at : int, optional
            From the call of this number on the disk is full: nothing is made or written, but files can be deleted.
        denied : bool, default False
            Nothing may be made, opened for writing, renamed or deleted.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        request = {
            "code": code,
            "arguments": [str(argument) for argument in arguments],
            "under": str(under.resolve()),
            "kill_at": kill_at,
            "full_at": full_at,
            "denied": denied,
        }
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        reply = self._server.stdout.readline()
        assert reply, "the server of children has ended"
        return Trial(**json.loads(reply))


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """A stage that lives until the tests end."""
    if not sys.platform.startswith("linux") or platform.machine() not in _CALLS:
        pytest.skip("NOT TESTED STEP BY STEP: this needs Linux on x86-64 or ARM")
    command = [sys.executable, str(Path(__file__))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            made = Stage(server)
            tried = made.run("print(1)", under=Path("/nowhere"))
            if tried.output == "no filter\n":
                pytest.skip("NOT TESTED STEP BY STEP: the kernel takes no filter of system calls here")
            assert (tried.status, tried.output) == (0, "1\n"), tried
            yield made
        finally:
            assert server.stdin is not None
            server.stdin.close()  # that is what it waits for


def serve() -> None:
    """Answer requests, a line each, until the standard input ends."""
    exec(PRELOADED, {})  # noqa: S102
    for line in sys.stdin:
        print(json.dumps(play(json.loads(line))), flush=True)


def play(request: Mapping[str, object]) -> Mapping[str, object]:
    """Run one child to its end."""
    ours, theirs = socket.socketpair()
    output = os.memfd_create("output")
    pid = os.fork()
    if pid == 0:
        ours.close()
        perform(str(request["code"]), request["arguments"], theirs, output)  # type: ignore[arg-type]  # from our JSON
    theirs.close()
    _, handles, _, _ = socket.recv_fds(ours, 1, 1)
    calls: list[str] = []
    if handles:
        calls = supervise(handles[0], pid, request)
        os.close(handles[0])
    ours.close()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with os.fdopen(output, "r+b") as file:
        file.seek(0)
        text = file.read().decode()
    return {"calls": calls, "status": status, "output": text}


def perform(code: str, arguments: list[str], parent: socket.socket, output: int) -> None:
    """Be the child: set the filter, and run the code; never returns."""
    status = 1
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        listener = set_filter()
        if listener < 0:
            os.write(1, b"no filter\n")
            return
        socket.send_fds(parent, [b"."], [listener])
        os.close(listener)
        parent.close()
        sys.argv[1:] = arguments
        exec(code, {"__name__": "__main__"})  # noqa: S102
        status = 0
    except BaseException:  # noqa: BLE001  # the edge of a process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def set_filter() -> int:
    """Have the kernel ask about the calls, for this and all later threads; return the handle on which it asks."""
    machine = platform.machine()
    architecture, seccomp = _ARCHITECTURES[machine]
    load, equal, above, has, back = 0x20, 0x15, 0x25, 0x45, 0x06
    allow, ask = 0x7FFF0000, 0x7FC00000
    lines = [(load, 0, 0, 4), (equal, 1, 0, architecture), (back, 0, 0, allow), (load, 0, 0, 0)]
    for number, call in _CALLS[machine].items():
        if call.flags_at is not None:
            test = [(load, 0, 0, 16 + 8 * call.flags_at), (has, 0, 1, _WRITING)]
        elif call.kind == _BY_HANDLE:
            test = [(load, 0, 0, 16 + 8 * call.path_at), (above, 0, 1, 2)]  # not what is printed
        else:
            test = []
        lines += [(equal, 0, len(test) + 1 + bool(test), number), *test, (back, 0, 0, ask)]
        lines += [(back, 0, 0, allow)] if test else []
    lines.append((back, 0, 0, allow))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(lines), ctypes.addressof(code)))
    kernel = ctypes.CDLL(None, use_errno=True)
    kernel.prctl(38, 1, 0, 0, 0)  # gain no rights: without that a filter needs root
    return int(kernel.syscall(seccomp, 1, 8, program))


def supervise(listener: int, pid: int, request: Mapping[str, object]) -> list[str]:
    """Answer the kernel until the child has ended, and return what it did."""
    calls: list[str] = []
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while True:
        [(_, events)] = poll.poll()
        if not events & select.POLLIN:
            return calls
        said = bytearray(_NOTIFIED.size)
        with gone():
            fcntl.ioctl(listener, _RECEIVE, said)
            number, thread, _, call, _, _, *arguments = _NOTIFIED.unpack(said)
            what = seen(_CALLS[platform.machine()][call], thread, arguments, str(request["under"]))
            refused = 0
            if what is not None:
                if len(calls) + 1 == request["kill_at"]:
                    os.kill(pid, signal.SIGKILL)
                    return calls
                calls.append(what)
                refused = refusal(what.partition(" ")[0], len(calls), request)
            fcntl.ioctl(listener, _SEND, bytearray(_ANSWER.pack(number, 0, refused, 0 if refused else _GO_ON)))


def refusal(name: str, step: int, request: Mapping[str, object]) -> int:
    """Return minus the error to answer a call with, 0 for none."""
    full_at = request["full_at"]
    if full_at and step >= int(str(full_at)) and name in _NEEDS_ROOM:
        return -errno.ENOSPC
    return -errno.EACCES if request["denied"] and name in _NEEDS_PERMISSION else 0


@contextmanager
def gone() -> Iterator[None]:
    """Pass over a thread that has ended meanwhile."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESRCH, errno.EINPROGRESS):
            raise


def seen(call: Call, thread: int, arguments: Sequence[int], under: str) -> str | None:
    """Return what a call does, None if to no file under the folder."""
    if call.kind == _BY_HANDLE:
        path = str(Path(f"/proc/{thread}/fd/{arguments[call.path_at]}").readlink())
    else:
        path = text_at(thread, arguments[call.path_at])
        if not path.startswith("/"):
            folder = -100 if call.folder_at is None else ctypes.c_int(arguments[call.folder_at]).value
            base = Path(f"/proc/{thread}/cwd" if folder == -100 else f"/proc/{thread}/fd/{folder}").readlink()
            path = f"{base}/{path}"
    if path != under and not path.startswith(f"{under}/"):
        return None
    return f"{call.name} {path[len(under) + 1 :]}"


def text_at(thread: int, address: int) -> str:
    """Return the text that ends with a zero byte in a thread's memory."""
    with Path(f"/proc/{thread}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        data = memory.read(min(4096, 4096 - address % 4096 or 4096))
        while b"\0" not in data:
            data += memory.read(4096)
    return data.partition(b"\0")[0].decode(errors="surrogateescape")


if __name__ == "__main__":
    serve()
