"""Threads, locks, queues, timers and signals."""
import queue
import signal
import threading

results = queue.Queue()
barrier = threading.Barrier(8)


def work(number):
    barrier.wait()
    results.put(sum(range(number)))


threads = [threading.Thread(target=work, args=(n * 1000,)) for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(results.get() for _ in threads))

fired = threading.Event()
threading.Timer(0.01, fired.set).start()
fired.wait()

caught = []
signal.signal(signal.SIGALRM, lambda number, frame: caught.append(number))
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)  # again and again: one may come before the pause
while not caught:
    signal.pause()
signal.setitimer(signal.ITIMER_REAL, 0)
print("alarm")
