#!/usr/bin/env python3
"""A film of half an hour as a job, while nodes are killed: the one that transcodes it, then the one that took it.

usage: scripts/film.py [--binary target/release/starling] [--minutes 30] [--keep FOLDER]

Makes a film of 1080p with ffmpeg, starts four nodes on loopback, and gives it to the first one until another one transcodes it. That node is
killed (SIGKILL) when a tenth is done, and the node that took the job when a tenth is done again. In the end each node that is left is asked
for the job, and the result is looked at by ffprobe. Takes about as long as two transcodes; exits 1 if anything is not as it must be.
"""
import argparse
import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--binary", default="target/release/starling")
parser.add_argument("--minutes", type=float, default=30)
parser.add_argument("--keep", metavar="FOLDER", help="where the film, the data and the logs stay")
asked = parser.parse_args()

RATE = 25
PIECE_SECONDS = 12
PATIENCE_S = 7200
began = time.monotonic()


def say(text):
    print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-y", *arguments], check=True)


def film(folder):
    """A test card with a tone, made once and repeated: as long as any film, and quick to transcode."""
    piece, whole = os.path.join(folder, "piece.mp4"), os.path.join(folder, "film.mp4")
    ffmpeg("-f", "lavfi", "-i", f"smptehdbars=size=1920x1080:rate={RATE}:duration={PIECE_SECONDS}", "-f", "lavfi", "-i",
           f"sine=frequency=440:sample_rate=48000:duration={PIECE_SECONDS}", "-c:v", "libx264", "-preset", "veryfast", "-crf", "30",
           "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest", piece)
    ffmpeg("-stream_loop", "-1", "-i", piece, "-t", str(asked.minutes * 60), "-c", "copy", "-movflags", "+faststart", whole)
    return whole


def streams_of(path):
    """Packets and seconds of a film's picture and sound."""
    probed = subprocess.run(["ffprobe", "-v", "error", "-count_packets", "-show_entries",
                             "stream=codec_type,nb_read_packets,duration,width,height", "-of", "json", path],
                            check=True, capture_output=True, text=True).stdout
    streams = {stream["codec_type"]: stream for stream in json.loads(probed)["streams"]}
    return streams["video"], streams["audio"]


class Node:
    def __init__(self, number, folder, join):
        self.name = f"film{number}"
        self.log = os.path.join(folder, f"{self.name}.log")
        command = [asked.binary, "node", f"--name={self.name}", "--zone=z", "--gossip=127.0.0.1:0", "--http=127.0.0.1:0", "--workers=1",
                   "--policy=random", "--log=json", f"--data-dir={os.path.join(folder, self.name)}"]
        command += [f"--join={join}"] if join else []
        with open(self.log, "w") as errors:
            self.process = subprocess.Popen(command, stderr=errors, env={**os.environ, "RUST_LOG": "info"})
        started = None
        while started is None:
            if self.process.poll() is not None:
                sys.exit(f"{self.name} ended: {open(self.log).read()}")
            time.sleep(0.1)
            lines = [json.loads(line) for line in open(self.log) if line.endswith("\n")]
            started = next((line for line in lines if line.get("message") == "node started"), None)
        self.gossip, self.http = started["gossip"], started["http"]

    def ask(self, method, path, body=None, headers=None):
        host, port = self.http.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=120)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def job(self, path):
        status, _, body = self.ask("GET", path)
        assert status == 200, (self.name, status, body[:300])
        return json.loads(body)

    def transcodes(self):
        """Whether an ffmpeg runs below it."""
        ours = {self.process.pid}
        processes = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    fields = open(f"/proc/{entry}/stat").read()
                except OSError:
                    continue
                name, rest = fields[fields.index("(") + 1:fields.rindex(")")], fields[fields.rindex(")") + 2:].split()
                processes.append((int(entry), int(rest[1]), name))
        for pid, parent, name in sorted(processes):
            if parent in ours:
                ours.add(pid)
                if name == "ffmpeg":
                    return True
        return False

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def wait(what, seconds, is_so):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = is_so()
        if found:
            return found
        time.sleep(0.5)
    sys.exit(f"still not so after {seconds} s: {what}")


def doer(nodes):
    return next((node for node in nodes if node.process.poll() is None and node.transcodes()), None)


def percent(node, path):
    return (node.job(path).get("progress") or {}).get("percent") or 0


folder = asked.keep or tempfile.mkdtemp(prefix="film-")
os.makedirs(folder, exist_ok=True)
nodes = []
try:
    whole = film(folder)
    # A piece's sound is a little longer than its pictures, so the film has some fewer of them than its length says.
    sent = streams_of(whole)
    size = os.path.getsize(whole) / 1e6
    say(f"a film of {asked.minutes:g} minutes, {size:.0f} MB, {sent[0]['nb_read_packets']} pictures of 1080p")
    for number in range(1, 5):
        nodes.append(Node(number, folder, nodes[0].gossip if nodes else None))
    taker = nodes[0]
    wait("four members", 60, lambda: len(json.loads(taker.ask("GET", "/members")[2])["members"]) == 4)
    while True:
        with open(whole, "rb") as body:
            headers = {"Content-Type": "video/mp4", "Content-Length": str(os.path.getsize(whole)), "X-Deadline-Ms": "3600000"}
            status, answered, text = taker.ask("POST", "/jobs", body, headers)
        assert status == 202, (status, text[:500])
        path = answered["location"]
        first = wait("a node transcodes it", 120, lambda: doer(nodes))
        if first is not taker:
            break
        say("the node that took it transcodes it: cancelled, and sent again")
        assert taker.ask("DELETE", path)[0] == 200
        wait("its end", 60, lambda: not doer(nodes))
    job = taker.job(path)
    say(f"{path} is kept at {', '.join(job['kept_at'])}; {first.name} transcodes it")
    seen = []

    def goes_on(target):
        now = percent(taker, path)
        seen.append(now)
        return now >= target

    wait("a tenth", PATIENCE_S, lambda: goes_on(10))
    assert any(0 < value < 10 for value in seen) or asked.minutes < 2, f"progress does not move: {seen[:20]}"
    first.kill()
    say(f"{first.name}, which transcodes it, is killed at {seen[-1]} %")
    left = [node for node in nodes if node is not first]
    second = wait("another node transcodes it", 300, lambda: doer(left))
    say(f"{second.name} transcodes it")
    names = [node.name for node in left]
    kept = wait("two nodes keep it again", 300, lambda: (lambda kept: len(kept) == 2 and set(kept) <= set(names) and kept)(taker.job(path)["kept_at"]))
    say(f"it is kept at {', '.join(kept)}")
    wait("it is begun anew", 60, lambda: percent(taker, path) < seen[-1])
    wait("a tenth again", PATIENCE_S, lambda: percent(taker, path) >= 10)
    taker.kill()
    left = [node for node in left if node is not taker]
    say(f"{taker.name}, which took it, is killed at a tenth of that")
    for node in left:
        found = wait(f"{node.name} answers for it", 60, lambda node=node: node.ask("GET", path)[0] == 200 and node.job(path))
        say(f"{node.name} answers for it: {found['state']}")
    third = wait("a node transcodes it", 300, lambda: doer(left))
    say(f"{third.name} transcodes it")
    done = wait("its end", PATIENCE_S, lambda: (lambda job: job if job["state"] not in ("queued", "running") else None)(left[0].job(path)))
    assert done["state"] == "done", done
    say(f"it is done, {done['outputs'][0]['route']}")
    for node in left:
        status, headers, body = node.ask("GET", f"{path}/output")
        digest = hashlib.sha256(body).hexdigest()
        assert (status, digest) == (200, done["outputs"][0]["sha256"]), (node.name, status, digest)
        say(f"{node.name} gives the result: {len(body) / 1e6:.1f} MB")
    result = os.path.join(folder, "result.mp4")
    with open(result, "wb") as file:
        file.write(body)
    video, audio = streams_of(result)
    say(f"{video['nb_read_packets']} pictures of {video['width']}x{video['height']} in {video['duration']} s, sound of {audio['duration']} s")
    assert video["nb_read_packets"] == sent[0]["nb_read_packets"], (video, sent)
    for here, there in zip((video, audio), sent):
        assert abs(float(here["duration"]) - float(there["duration"])) < 0.1, (here, there)
    say("all as it must be")
finally:
    for node in nodes:
        if node.process.poll() is None:
            node.kill()
    if not asked.keep:
        shutil.rmtree(folder)
