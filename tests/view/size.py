import concurrent.futures
import multiprocessing
import os

if __name__ == "__main__":
    with multiprocessing.Pool() as pool:
        workers = len(multiprocessing.active_children())
        done = sum(pool.map(abs, range(100)))
    threads = concurrent.futures.ThreadPoolExecutor()._max_workers
    print(os.cpu_count(), len(os.sched_getaffinity(0)), os.sysconf("SC_NPROCESSORS_ONLN"), workers, threads, done)
