"""A client at a fixed rate that shares nothing with loadtest but the idea: what latencies does it see of the same server?

Usage: open_loop.py PORT PATH AUTHORIZATION RATE SECONDS. Each request has an intended time, a connection of its own from a pool
that grows as needed, and a latency from that time to the last byte. Prints p50 and p99 in seconds.
"""

import asyncio
import sys

CONNECTIONS_MAX = 512


async def exchange(reader, writer, request):
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise ValueError(head.split(b"\r\n")[0])
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))


async def main(port, path, authorization, rate, seconds):
    request = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: {authorization}\r\n\r\n".encode()
    loop, idle, latencies = asyncio.get_running_loop(), [], []
    room = asyncio.Semaphore(CONNECTIONS_MAX)

    async def one(intended):
        async with room:
            reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
            await exchange(reader, writer, request)
            latencies.append(loop.time() - intended)
            idle.append((reader, writer))

    start, tasks = loop.time() + 0.1, []
    for number in range(int(rate * seconds)):
        intended = start + number / rate
        await asyncio.sleep(max(0.0, intended - loop.time()))
        tasks.append(asyncio.create_task(one(intended)))
    await asyncio.gather(*tasks)
    latencies.sort()
    print(*(latencies[int(len(latencies) * share)] for share in (0.5, 0.99)))


asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]), float(sys.argv[5])))
