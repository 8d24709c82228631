"""Puts a trained run behind an endpoint and kills its instances from outside while clients ask; what do they notice?

    python examples/endpoint_under_fire.py outputs/train/DATE/TIME --requests 20000

Once a second an instance, drawn at random, gets ``kill -9`` or ``kill -STOP``, in turn. Meanwhile clients of
tritonclient ask over HTTP, over gRPC and over a stream of gRPC, each request with a number of its own. In the end every
number must have been answered, once, with its own query's prediction where the base model gave it; the page of the run
directory has the tail. Further words are overrides of ``endpoint``: ``redundancy=hedged pool.instances=4``.
Needs ``pip install 'tritonclient[all]'`` and Linux.
"""

import argparse
import json
import os
import queue
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import tritonclient.grpc
import tritonclient.http

KINDS = 64
"""So many different queries are asked; which the base model answers how is asked before the fire begins."""

PATIENCE_S = 300


class Endpoint:
    """The server, as a process of its own."""

    def __init__(self, run: str, overrides: list[str]) -> None:
        self.began_s = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "parity_exp", "endpoint", f"run={run}", "port=0", "grpc_port=0", *overrides],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self.addresses: dict[str, str] = {}
        self._listens = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        self._listens.wait(PATIENCE_S)
        if len(self.addresses) < 2:
            self.process.kill()
            sys.exit("".join(self.lines) + "the endpoint does not listen")

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.append(line)
            self.addresses.update(re.findall(r"listening: (\w+)://(\S+)", line))
            if len(self.addresses) == 2:
                self._listens.set()
        self._listens.set()

    def instances(self) -> list[int]:
        """Processes of its instances, as ``ps`` shows them: they are called ``instance-0`` and so on."""
        parents, names = {}, {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    head, _, tail = (entry / "stat").read_text().rpartition(") ")
                except OSError:
                    continue  # it has ended meanwhile
                names[int(entry.name)] = head.partition("(")[2]
                parents[int(entry.name)] = int(tail.split()[1])
        ours = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
            ours |= more
        return sorted(pid for pid in ours if names.get(pid, "").startswith("instance-"))

    def end(self) -> Path:
        """End it as whoever keeps servers running would, and say where its run directory is."""
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(PATIENCE_S) != 0:
            sys.exit("".join(self.lines) + "the endpoint failed")
        time.sleep(0.1)  # for its last words
        (found,) = re.findall(r"^run directory: (.*)$", "".join(self.lines), re.MULTILINE)
        return Path(found)


class Fire(threading.Thread):
    """Kills an instance or stops it, every so many seconds."""

    def __init__(self, endpoint: Endpoint, every_s: float, seed: int) -> None:
        super().__init__(daemon=True)
        self.endpoint, self.every_s, self.chance = endpoint, every_s, random.Random(seed)
        self.strikes: Counter[str] = Counter()
        self.over = threading.Event()

    def run(self) -> None:
        number = signal.SIGKILL
        while not self.over.wait(self.every_s):
            there = self.endpoint.instances()
            if there:
                try:
                    os.kill(self.chance.choice(there), number)
                except ProcessLookupError:
                    continue  # it has ended by itself meanwhile
                self.strikes[number.name] += 1
                number = signal.SIGSTOP if number is signal.SIGKILL else signal.SIGKILL


class Clients:
    """Ask at a steady rate, and keep account of what they get."""

    def __init__(self, endpoint: Endpoint, requests: int, rate: float, seed: int) -> None:
        self.addresses, self.requests, self.rate = endpoint.addresses, requests, rate
        about = tritonclient.http.InferenceServerClient(self.addresses["http"]).get_model_metadata("base")
        shape = [int(size) for size in about["inputs"][0]["shape"]][1:]
        self.queries = np.random.default_rng(seed).random((KINDS, 1, *shape), dtype=np.float32)
        ask = unary(tritonclient.http, self.addresses["http"])
        self.wanted = [ask(query, "before", {"exact": True})[1] for query in self.queries]
        self.answers: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.errors: list[str] = []
        self.wrong: list[str] = []
        self.latencies_s: list[float] = []
        self.began_s = 0.0
        self._next = iter(range(requests))
        self._lock = threading.Lock()

    def ask(self, many: int) -> None:
        """Ask everything: half of so many clients over HTTP, the others over gRPC, one of them by a stream."""
        self.began_s = time.monotonic()
        kinds = [stream, *(unary,) * (many - 1)]
        protocols = [(tritonclient.grpc, "grpc") if n % 2 == 0 else (tritonclient.http, "http") for n in range(many)]
        threads = [
            threading.Thread(target=self._client, args=(kind(protocol, self.addresses[name]),), daemon=True)
            for kind, (protocol, name) in zip(kinds, protocols, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _client(self, ask) -> None:
        while True:
            with self._lock:
                number = next(self._next, None)
            if number is None:
                return
            due_s = self.began_s + number / self.rate
            time.sleep(max(0.0, due_s - time.monotonic()))
            try:
                answered, prediction, source = ask(self.queries[number % KINDS], str(number), {})
            except Exception as error:
                self.errors.append(f"{number}: {type(error).__name__} {error}")
                continue
            with self._lock:
                self.latencies_s.append(time.monotonic() - due_s)
                self.answers.update(answered)
                self.sources[source] += 1
                if source == "own" and not np.allclose(prediction, self.wanted[number % KINDS], atol=1e-4):
                    self.wrong.append(str(number))


def request(protocol, query):
    """The inputs of a request."""
    made = protocol.InferInput("input", list(query.shape), "FP32")
    made.set_data_from_numpy(query)
    return [made]


def told(response, name):
    """A parameter of an answer."""
    found = response["parameters"][name] if isinstance(response, dict) else response.parameters[name].string_param
    return str(found)


def unary(protocol, address):
    """A client: what it is given comes back as the numbers that were answered, the prediction, and its source."""
    more = {"network_timeout": PATIENCE_S, "connection_timeout": PATIENCE_S} if protocol is tritonclient.http else {}
    client = protocol.InferenceServerClient(address, **more)

    def ask(query, number, parameters):
        answer = client.infer("base", request(protocol, query), request_id=number, parameters=parameters)
        response = answer.get_response()
        answered = response["id"] if isinstance(response, dict) else response.id
        return [answered], answer.as_numpy("output"), told(response, "source")

    return ask


def stream(protocol, address):
    """The same over a stream, where a second answer to a request would be seen as well."""
    client = protocol.InferenceServerClient(address)
    heard = queue.Queue()
    client.start_stream(lambda result, error: heard.put((result, error)))

    def ask(query, number, parameters):
        client.async_stream_infer("base", request(protocol, query), request_id=number, parameters=parameters)
        answer, error = heard.get(timeout=PATIENCE_S)
        if error is not None:
            raise error
        answered = [answer.get_response().id]
        while not heard.empty():
            answered.append(heard.get()[0].get_response().id)
        return answered, answer.as_numpy("output"), told(answer.get_response(), "source")

    return ask


def main() -> int:
    """Run it; 0 where nothing was lost, wrong, or answered twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a trained run directory")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--every-s", type=float, default=1.0, help="seconds between strikes")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("overrides", nargs="*", help="of the endpoint: redundancy=hedged pool.instances=6")
    given = parser.parse_intermixed_args()
    chosen = {word.partition("=")[0].lstrip("+") for word in given.overrides}
    defaults = [word for word in ("redundancy=adaptive", "tracker=none") if word.partition("=")[0] not in chosen]
    endpoint = Endpoint(given.run, [*defaults, *given.overrides])
    try:
        clients = Clients(endpoint, given.requests, given.rate, given.seed)
        fire = Fire(endpoint, given.every_s, given.seed)
        fire.start()
        clients.ask(given.clients)
        fire.over.set()
        fire.join()
        folder = endpoint.end()
    finally:
        endpoint.process.kill()
    metrics = json.loads((folder / "metrics.json").read_text())
    served = {key.partition("/")[2].partition("/")[2]: value for key, value in metrics.items() if "serve/" in key}
    numbers = [str(number) for number in range(given.requests)]
    lost = [number for number in numbers if clients.answers[number] == 0]
    twice = [number for number in numbers if clients.answers[number] > 1]
    latencies_ms = np.array(clients.latencies_s) * 1e3
    tail = ", ".join(f"p{share:g} {np.percentile(latencies_ms, share):.1f}" for share in (50, 99, 99.9, 100))
    print(f"{given.requests} requests in {time.monotonic() - clients.began_s:.0f} s, strikes: {dict(fire.strikes)}")
    print(f"lost: {len(lost)}, answered twice: {len(twice)}, wrong: {len(clients.wrong)}, errors: {clients.errors[:3]}")
    print(f"answers: {dict(clients.sources)}")
    print(f"clients, ms: {tail}")
    print(f"server, ms: p50 {served['latency_ms/p50']:.1f}, p99.9 {served['latency_ms/p99.9']:.1f}")
    print(f"server: lost {served['lost']:.0f}, answered twice {served['duplicates']:.0f}")
    print(f"report: {folder / 'report.html'}")
    return int(bool(lost or twice or clients.wrong or clients.errors or served["lost"] or served["duplicates"]))


if __name__ == "__main__":
    sys.exit(main())
