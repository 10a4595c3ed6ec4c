#!/usr/bin/env python3
r"""Commands for many users, run in bivy on whichever host is free: one Celery worker a host, one Redis for all. The
hosts share nothing but a SeaweedFS mount and that Redis. Debian: python3-celery python3-redis redis-server.

On every host, as root:
    FLEET_REDIS=redis://queue.example/0 \
    FLEET_BIVY='bivy run --workspace-root /mnt/workspaces --require-fs fuse.seaweedfs' \
        celery -A fleet worker --pool threads --concurrency 8
Whoever asks:
    from fleet import answer, run, run_again
    print(answer(run.delay("ada", ["sh", "-c", "ls"]), 60))

A command is started once at the most: a worker claims it in Redis first, and a message that comes a second time (its
acknowledgement was lost with its host) finds the claim. run_again is for commands that are safe to repeat: they are
acknowledged when they are done, and start again elsewhere when their host is gone for longer than FLEET_REDELIVER
seconds, which must be more than the longest run takes (workers look every 100 s). Every answer is a bivy record, or
says that the command is lost, and where: lost on None was never started, and never will be.

A host whose mount is dead would answer every command at once, with a record that says so in workspace.error: let the
worker's unit be BindsTo= the mount's. A worker that was cut off from Redis has to be started again: what it could not
acknowledge occupies its places (Celery 5.2). One that does not reach Redis at once when it starts ends, so let its
unit have Restart=always: Celery 5.2 would try again, call itself ready and listen to nothing (see OneTry).

One user's commands may run on two hosts at the same time, and flock(2) is not seen from one mount to the other: whoever
counts on locks waits for an answer before the next command.
"""
import json
import os
import socket
import subprocess
import tempfile

import celery
import celery.app.amqp
import kombu
import redis

URL = os.environ.get("FLEET_REDIS", "redis://localhost/0")
BIVY = os.environ.get("FLEET_BIVY", "bivy run").split()
HOST = os.environ.get("FLEET_HOST", socket.gethostname())
PATIENCE = {"socket_timeout": 10, "socket_connect_timeout": 5}  # a queue that is cut off is an error, not a wait
DAY = 86400  # what is claimed is remembered for longer than any message


class OneTry(kombu.Connection):
    """Connects at the first try or not at all. An attempt that failed leaves a channel to the garbage collector, and
    where that takes it after a second one has succeeded, kombu 5.2 lets go of its event loop: nothing is read any more."""

    def connect(self):
        return self._ensure_connection(max_retries=0, reraise_as_library_errors=False)


class Queues(celery.app.amqp.AMQP):
    Connection = OneTry


claims = redis.Redis.from_url(URL, **PATIENCE)
app = celery.Celery("fleet", broker=URL, backend=URL, amqp=Queues)
app.conf.update(
    broker_connection_retry=False,  # see above
    worker_prefetch_multiplier=1,  # a busy host keeps few from the others
    broker_transport_options={**PATIENCE, "visibility_timeout": int(os.environ.get("FLEET_REDELIVER", "3600"))},
    redis_socket_timeout=10, redis_socket_connect_timeout=5, result_expires=DAY)


def claim(command_id, host, again=False):
    """May host start it? Only the first that asks; one that is safe to repeat also later, unless it was given up."""
    name = "fleet-claim-" + command_id
    return bool(claims.set(name, host, nx=True, ex=DAY)) or (again and claims.get(name) != b"")


def in_bivy(task, user, command, timeout):
    if not claim(task.request.id, HOST, task.acks_late):
        raise celery.exceptions.Ignore()
    with tempfile.TemporaryFile() as report:
        done = subprocess.run(
            [*BIVY, f"--user-id={user}", f"--timeout={timeout}s", f"--report=fd:{report.fileno()}", "--", *command],
            pass_fds=[report.fileno()], stdin=subprocess.DEVNULL, capture_output=True)
        report.seek(0)
        return {"host": HOST, "lost": False, "record": json.load(report),
                "stdout": done.stdout.decode(errors="replace"), "stderr": done.stderr.decode(errors="replace")}


@app.task(bind=True)
def run(task, user, command, timeout=30):
    return in_bivy(task, user, command, timeout)


@app.task(bind=True, acks_late=True)
def run_again(task, user, command, timeout=30):
    return in_bivy(task, user, command, timeout)


def answer(result, seconds):
    """What became of run.delay(...): waits that long. Asked once for each command."""
    try:
        got = result.get(timeout=seconds, propagate=False)
    except celery.exceptions.TimeoutError:
        got = None
    if isinstance(got, dict):  # else the worker failed, which says nothing of the command
        return got
    result.backend.remove_pending_result(result)
    claim(result.id, "")  # nobody starts it from now on
    return {"host": claims.get("fleet-claim-" + result.id).decode() or None, "lost": True, "record": None}
