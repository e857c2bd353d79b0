"""A cloud for one fieldgate gateway (PROTOCOL.md, section 15). All that it holds is a file of JSON lines.
usage: python3 example_cloud.py HOST PORT CERT KEY TOKEN_FILE FILE.ndjson   (Debian: apt-get install python3-websockets)"""
import asyncio, datetime, hmac, http, json, os, ssl, sys, time, websockets
host, port, cert, key, token_file, path = sys.argv[1:]
token, protocol = open(token_file).read().strip(), "fieldgate.v1.json"
epochs, events, current = {}, {("0" * 32, 0): 1}, None  # epochs: id -> (upto, done); events: names, the newest last

def note(line):  # what a line on the disk says
    if "kind" in line: events[line["epoch"], line["seq"]] = 1
    else: epochs[line["epoch"]] = max(epochs.get(line["epoch"], (0, 0))[0], line.get("last", line.get("seq"))), "end" in line

def store(lines):  # on the disk when it returns; after a failure only a restart can tell what is
    try: file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines)), file.flush(), os.fsync(file.fileno())
    except OSError as e: print(f"cannot write {path}: {e}", file=sys.stderr), os._exit(1)
    for line in lines: note(line)

def update(m):
    epoch, first, last, (upto, done) = m["epoch"], m["first"], m["first"] + m["n"] - 1, epochs.get(m["epoch"], (0, False))
    if first > upto + 1:  # a hole: the gateway goes on where we are
        return {"type": "nack", "epoch": epoch, "first": first, "n": m["n"], "code": "seq", "retry": True, "expected": upto + 1}
    lines = [{"epoch": epoch, "seq": first + i, **row} for i, row in enumerate(m.get("readings", [])) if first + i > upto]
    lines += [{"epoch": epoch, "first": first, "last": last, "from": upto + 1, kind: m[kind]}  # one line for many;
              for kind in ("gap", "thinned_rows") if kind in m and last > upto]  # those before "from" are here already
    if "end" in m and (lines or not done): lines.append({"epoch": epoch, "last": last, "end": m["end"]})
    store(lines)
    return {"type": "ack", "epochs": [[epoch, *epochs[epoch]]]}

async def serve(ws):
    global current
    hello, now = json.loads(await ws.recv()), datetime.datetime.utcnow().isoformat(timespec="milliseconds") + "Z"
    if hello["gateway_id"] != token[4:].rpartition("_")[0]: return await ws.close(4403)
    old, current = current, ws  # the newest wins
    if old: asyncio.create_task(old.close(4409))
    await ws.send(json.dumps({"type": "welcome", "session": os.urandom(8).hex(), "gen": time.time_ns(), "time": now, "level": "fsynced",
        "epochs": [[e[0], *epochs.get(e[0], (0, False))] for e in hello["epochs"]], "events": list(events)[-1], "retain_s": 600}))
    async for text in ws:
        m, us, answer = json.loads(text), time.time_ns() // 1000, None  # no answer: status, result, reported, the future
        if ws is not current: return
        if m["type"] == "ping": answer = {"type": "pong", "t0": m["t0"], "t1": us, "t2": us}
        if m["type"] == "event":
            if (m["epoch"], m["seq"]) not in events: store([m])
            answer = {"type": "ack", "epochs": [], "events": [m["epoch"], m["seq"]]}
        if m["type"] == "update" and "epoch" in m: answer = update(m)
        if answer: await ws.send(json.dumps(answer))

async def check(address, headers):  # before the upgrade
    if not hmac.compare_digest(headers.get("Authorization", ""), "Bearer " + token): return http.HTTPStatus.UNAUTHORIZED, [], b"no\n"
    if protocol not in headers.get("Sec-WebSocket-Protocol", ""): return http.HTTPStatus.BAD_REQUEST, [], protocol.encode() + b"\n"

async def main():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    async with websockets.serve(serve, host, int(port), ssl=tls, subprotocols=[protocol], process_request=check, compression=None):
        await asyncio.Future()

with open(path, "a+b") as file:
    whole = [line for line in (file.seek(0), *file)[1:] if line.endswith(b"\n")]
    for line in whole: note(json.loads(line))
    file.truncate(sum(map(len, whole)))  # a line that a power cut left in two was never acknowledged
    asyncio.run(main())
