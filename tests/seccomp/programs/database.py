"""sqlite3 with a write-ahead log, on disk and between two processes."""
import multiprocessing
import os
import sqlite3
import tempfile

path = os.path.join(tempfile.mkdtemp(dir="."), "data.db")


def insert(first):
    with sqlite3.connect(path, timeout=30) as connection:
        connection.executemany("insert into numbers values (?)", [(first + i,) for i in range(100)])


if __name__ == "__main__":
    connection = sqlite3.connect(path)
    print(connection.execute("pragma journal_mode = wal").fetchone())
    connection.execute("create table numbers (n integer primary key)")
    connection.commit()
    children = [multiprocessing.Process(target=insert, args=(n * 1000,)) for n in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    print(connection.execute("select count(*), sum(n) from numbers").fetchone())
    print(connection.execute("pragma wal_checkpoint(truncate)").fetchone())
    print(connection.execute("pragma integrity_check").fetchone())
