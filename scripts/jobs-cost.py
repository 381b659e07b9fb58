#!/usr/bin/env python3
"""What durable jobs cost one node: the answer 202 beside fsync, a list of many jobs, and memory by finished jobs.

usage: scripts/jobs-cost.py [--binary target/release/starling] [--jobs 10000] [--sync-ms 50]

Starts a node on loopback whose ffmpeg never ends, so that all jobs but one wait. Ratios are of one run on one machine. With --sync-ms each
fsync of the node takes so much longer (a library made by cc, in its LD_PRELOAD): then the time of the answer 202 says how many it waits for,
one after the other, on any disk and however busy the machine is.
"""
import argparse
import http.client
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("--binary", default="target/release/starling")
arguments.add_argument("--jobs", type=int, default=10_000)
arguments.add_argument("--sync-ms", type=int, default=0)
asked = arguments.parse_args()


def video(number):
    """What an AVI begins with, each one another content."""
    return b"RIFF\x10\0\0\0AVI LIST" + f"{number:>64}".encode()


def milliseconds(work, times):
    took = []
    for number in range(times):
        began = time.perf_counter()
        work(number)
        took.append((time.perf_counter() - began) * 1000)
    return took


def told(what, took):
    took = sorted(took)
    print(f"{what}: median {statistics.median(took):.2f} ms, p99 {took[int(len(took) * 0.99)]:.2f} ms")
    return statistics.median(took)


SLOW_SYNC = '''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
static int later(const char *name, int fd) {
    usleep(SYNC_MS * 1000);
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd);
}
int fsync(int fd) { return later("fsync", fd); }
int fdatasync(int fd) { return later("fdatasync", fd); }
'''


def slow_sync(folder):
    """What a node is started with so that each sync takes longer."""
    if not asked.sync_ms:
        return {}
    library = os.path.join(folder, "slow-sync.so")
    command = ["cc", "-shared", "-fPIC", f"-DSYNC_MS={asked.sync_ms}", "-x", "c", "-", "-o", library]
    subprocess.run(command, input=SLOW_SYNC, text=True, check=True)
    return {"LD_PRELOAD": library}


folder = tempfile.mkdtemp(prefix="jobs-cost-")
node = None
try:
    tools = os.path.join(folder, "tools")
    os.mkdir(tools)
    ffmpeg = shutil.which("ffmpeg")
    with open(os.path.join(tools, "ffmpeg"), "w") as script:
        script.write(f'#!/bin/sh\ncase "$1" in -version|-codecs|-filters) exec {ffmpeg} "$@";; esac\nexec sleep 1000000\n')
    with open(os.path.join(tools, "ffprobe"), "w") as script:
        script.write(f'#!/bin/sh\ncase "$1" in -version) exec {shutil.which("ffprobe")} "$@";; esac\nexec sleep 1000000\n')
    for name in ("ffmpeg", "ffprobe"):
        os.chmod(os.path.join(tools, name), 0o755)
    data = os.path.join(folder, "data")
    log = os.path.join(folder, "log")
    with open(log, "w") as errors:
        node = subprocess.Popen(
            [asked.binary, "node", "--name=cost", "--gossip=127.0.0.1:0", "--http=127.0.0.1:0", "--workers=1", "--queue=1",
             "--log=json", f"--data-dir={data}"],
            stderr=errors, env={**os.environ, **slow_sync(folder), "PATH": f"{tools}:{os.environ['PATH']}", "RUST_LOG": "warn,starling::run=info"})
    address = None
    while address is None:
        time.sleep(0.1)
        for line in open(log):
            if line.endswith("\n") and json.loads(line).get("message") == "node started":
                address = json.loads(line)["http"]
    host, port = address.rsplit(":", 1)

    def connect(client):
        return http.client.HTTPConnection(host, int(port), source_address=(client, 0))

    def ask(connection, method, path, body=None, expected=200):
        connection.request(method, path, body, {"Content-Type": "video/x-msvideo"} if body else {})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == expected, (answer.status, text[:300])
        return json.loads(text)

    def memory_mib():
        for line in open(f"/proc/{node.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024

    def synced(number):
        with open(os.path.join(data, "jobs", "probe"), "wb") as file:
            file.write(video(number))
            file.flush()
            os.fsync(file.fileno())

    # One client may have half of all.
    clients = [connect("127.0.0.1"), connect("127.0.0.2")]
    print(f"memory at rest: {memory_mib():.1f} MiB")
    ids = []

    def accept(number):
        ids.append((number % 2, ask(clients[number % 2], "POST", "/jobs", video(number), 202)["id"]))

    first = told("202, the first 200 jobs", milliseconds(accept, 200))
    sync = asked.sync_ms or told("write and fsync of such a video, meanwhile", milliseconds(synced, 200))
    if not asked.sync_ms:
        os.remove(os.path.join(data, "jobs", "probe"))
    print(f"202 takes {first / sync:.1f} such fsyncs")
    # One job may have been begun; what does not fit is refused.
    for number in range(200, asked.jobs - 10):
        accept(number)
    print(f"{len(ids)} jobs wait; memory {memory_mib():.1f} MiB")
    for path in ("/jobs?limit=50", "/jobs?limit=200", "/jobs?limit=50&state=done"):
        told(f"GET {path}", milliseconds(lambda _: ask(clients[0], "GET", path), 50))
    third = len(ids) // 3
    for number, (client, job) in enumerate(ids):
        ask(clients[client], "DELETE", f"/jobs/{job}")
        if (number + 1) % third == 0:
            print(f"{number + 1} of them have come to their end; memory {memory_mib():.1f} MiB")
    for path in ("/jobs?limit=50", "/jobs?limit=200", "/jobs?limit=50&state=done"):
        told(f"GET {path}", milliseconds(lambda _: ask(clients[0], "GET", path), 50))
finally:
    if node:
        node.kill()
        node.wait()
    shutil.rmtree(folder)
