"""A client made with websocket-client: it says each line of its input, if there is anything in it, and prints one
answer to each.   usage: websocket_client.py URL [CA TOKEN]"""
import sys
import websocket

url, ca, token = (sys.argv[1:] + [None, None])[:3]
options = {"sslopt": {"ca_certs": ca}, "subprotocols": ["fieldgate.v1.json"], "header": ["Authorization: Bearer " + token]} if token else {}
ws = websocket.create_connection(url, timeout=20, **options)
for line in sys.stdin:
    if line.strip():
        ws.send(line.strip())
    print(ws.recv(), flush=True)
ws.close()
