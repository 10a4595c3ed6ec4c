"""mmap, memfd, locks, fast copies, epoll, renames and links."""
import fcntl
import mmap
import os
import select
import shutil
import tempfile

where = tempfile.mkdtemp(dir=".")
path = os.path.join(where, "file")
with open(path, "wb") as file:
    file.truncate(1 << 20)
with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
    mapped[4096:4101] = b"pages"
    mapped.flush()
    mapped.madvise(mmap.MADV_DONTNEED)
    print(mapped.find(b"pages"))
with mmap.mmap(-1, 1 << 16) as anonymous:
    anonymous[0] = 7
    print(anonymous[0])
for copy in (shutil.copyfile, shutil.copy2, shutil.copy):
    print(os.path.getsize(copy(path, path + ".copy")))
with open(path, "rb") as source, open(path + ".range", "wb") as target:
    print(os.copy_file_range(source.fileno(), target.fileno(), 8192, 4096))
with open(path) as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    fcntl.lockf(open(path, "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB)
memory = os.memfd_create("memory")
print(os.write(memory, b"x" * 100))
os.posix_fallocate(memory, 0, 8192)
print(os.fstat(memory).st_size)
read, write = os.pipe2(os.O_NONBLOCK)
poll = select.epoll()
poll.register(write, select.EPOLLOUT)
print(len(poll.poll(1)))
os.rename(path, path + ".renamed")
os.replace(path + ".copy", path)
os.symlink("file", os.path.join(where, "link"))
os.link(path, path + ".hard")
print(sorted(os.listdir(where)), os.stat(path).st_nlink)
print(len(os.urandom(16)), os.cpu_count() >= 1, len(os.sched_getaffinity(0)) >= 1)
shutil.rmtree(where)
