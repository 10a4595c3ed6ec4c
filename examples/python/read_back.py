#!/usr/bin/env python3
"""How an orchestrator reads a file back from a workspace. The command chose every name, link and type in there, may have left
them for a later reader on purpose, and may still be changing them in another run: so the path is walked by the kernel, below
the workspace, through no symbolic link; nothing waits (a FIFO without a writer); only a regular file is read, and no more of
it than was agreed. Only the standard library is used; openat2(2) is called by its number.

    read_back.py WORKSPACE PATH [MOST-BYTES]     prints the file; 1 and one line on stderr when it is refused
"""
import ctypes
import errno
import os
import stat
import sys

OPENAT2 = 437  # on every architecture
NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH = 0x01, 0x02, 0x04, 0x08  # linux/openat2.h


class OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def open_beneath(directory, path):
    """A descriptor of path, which lies below the open directory whatever the links and mounts in there say."""
    how = OpenHow(flags=os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC,
                  resolve=BENEATH | NO_SYMLINKS | NO_MAGICLINKS | NO_XDEV)
    for _ in range(64):
        fd = libc.syscall(ctypes.c_long(OPENAT2), ctypes.c_int(directory), os.fsencode(path), ctypes.byref(how),
                          ctypes.c_size_t(ctypes.sizeof(how)))
        if fd >= 0:
            return fd
        if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):  # a rename raced with the walk, or a signal came
            break
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


def read_back(workspace, path, most=1 << 20):
    """The bytes of a regular file below workspace, at most `most` of them. Raises OSError; EFBIG: there are more."""
    directory = os.open(workspace, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fd = open_beneath(directory, path)
    finally:
        os.close(directory)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        data = bytearray()
        while len(data) <= most:  # counted as read: st_size is whatever the last writer made it
            part = os.read(fd, min(65536, most + 1 - len(data)))
            if not part:
                return bytes(data)
            data += part
    finally:
        os.close(fd)
    raise OSError(errno.EFBIG, f"longer than {most} bytes", path)


if __name__ == "__main__":
    try:
        sys.stdout.buffer.write(read_back(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:4])))
    except OSError as error:
        sys.exit(f"{error.filename!r}: {error.strerror}")
