"""A plain TCP balancer for tests: connections go to the nodes in turn, and nodes that do not take
one are passed over. HTTP clients keep their connection and would stay at one node, so each request
is asked to be its connection's last ("Connection: close"): every request of a client comes to
another node than the one before. Standard library only."""
import asyncio
import contextlib
import threading

HEAD_MAX = 64 * 1024
PIECE = 64 * 1024


async def _pipe(reader, writer):
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class RoundRobin:
    """with RoundRobin(["127.0.0.1:5001", ...]) as balancer: balancer.address is its host:port."""

    def __init__(self, nodes):
        self.nodes = [node.rsplit(":", 1) for node in nodes]
        self.used = [0] * len(nodes)  # Connections that each node took.
        self.turn = 0
        self.address = None
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.server = None
        self.serving = set()  # The loop itself holds tasks only weakly.

    def __enter__(self):
        self.thread.start()
        self.server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD_MAX))
        self.address = "127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exception):
        self._run(self._stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def _stop(self):
        self.server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self):
        for _ in self.nodes:
            number = self.turn % len(self.nodes)
            self.turn += 1
            host, port = self.nodes[number]
            with contextlib.suppress(OSError):
                streams = await asyncio.open_connection(host, int(port))
                self.used[number] += 1
                return streams
        raise ConnectionError("no node takes connections")

    async def _serve(self, reader, writer):
        upstream = None
        self.serving.add(asyncio.current_task())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            from_node, upstream = await self._connect()
            upstream.write(head[:-2] + b"Connection: close\r\n\r\n")
            going = asyncio.create_task(_pipe(reader, upstream))
            await _pipe(from_node, writer)
            going.cancel()  # The answer is over, whatever the client holds open.
            await asyncio.gather(going, return_exceptions=True)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self.serving.discard(asyncio.current_task())
            for one in filter(None, (writer, upstream)):
                one.close()
