"""A client made with websockets: it says each line of its input, if there is anything in it, and prints one answer to
each.   usage: websockets_client.py URL [CA TOKEN]"""
import asyncio, ssl, sys
import websockets

url, ca, token = (sys.argv[1:] + [None, None])[:3]
options = {"ssl": ssl.create_default_context(cafile=ca), "subprotocols": ["fieldgate.v1.json"],
           "extra_headers": {"Authorization": "Bearer " + token}} if token else {}

async def main():
    async with websockets.connect(url, **options) as ws:
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip():
                await ws.send(line.strip())
            print(await ws.recv(), flush=True)

asyncio.run(main())
