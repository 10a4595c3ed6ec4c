"""subprocess and multiprocessing, with every start method, a pool, a queue, shared memory and semaphores."""
import math
import multiprocessing
import os
import subprocess
from multiprocessing import shared_memory


def double(block):
    memory = shared_memory.SharedMemory(name=block)
    memory.buf[0] *= 2
    memory.close()


def count(counter, lock):
    for _ in range(100):
        with lock:
            counter.value += 1


if __name__ == "__main__":
    print(subprocess.run(["sh", "-c", "cat; exit 3"], input=b"in", capture_output=True))
    print(subprocess.check_output("echo $((6 * 7))", shell=True, start_new_session=True, text=True).strip())
    pipe = os.popen("echo popen")
    print(pipe.read().strip(), pipe.close())
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            print(method, pool.map(math.factorial, range(6)))
    context = multiprocessing.get_context("fork")
    memory = shared_memory.SharedMemory(create=True, size=64)
    memory.buf[0] = 21
    child = context.Process(target=double, args=(memory.name,))
    child.start()
    child.join()
    print("shared", memory.buf[0], child.exitcode)
    memory.close()
    memory.unlink()
    counter, lock = context.Value("i", 0, lock=False), context.Lock()
    children = [context.Process(target=count, args=(counter, lock)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    print("counted", counter.value)
