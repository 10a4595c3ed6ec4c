"""asyncio: a server and clients over a Unix socket and over loopback, subprocesses, executors, signals."""
import asyncio
import os
import signal
import socket
import tempfile


async def echo(reader, writer):
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()


async def ask(opened):
    reader, writer = await opened
    writer.write(b"hello\n")
    answer = await reader.readline()
    writer.close()
    return answer.decode().strip()


async def main():
    path = os.path.join(tempfile.mkdtemp(), "socket")
    async with await asyncio.start_unix_server(echo, path):
        print(await asyncio.gather(*(ask(asyncio.open_unix_connection(path)) for _ in range(3))))
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        print(await ask(asyncio.open_connection("127.0.0.1", port)))
        print(await ask(asyncio.open_connection("localhost", port)))
    process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    print(await process.communicate(b"through"), process.returncode)
    print(await asyncio.get_running_loop().run_in_executor(None, sum, range(10)))
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, stopped.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await stopped.wait()
    try:
        await asyncio.wait_for(asyncio.sleep(60), 0.01)
    except asyncio.TimeoutError:
        print("timeout")


asyncio.run(main())
left, right = socket.socketpair()
left.sendall(b"pair")
print(right.recv(10), right.family.name)
datagram, peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagram.bind(("127.0.0.1", 0))
peer.sendto(b"datagram", datagram.getsockname())
print(datagram.recv(10))
