"""What a report says of the load and of instances' times."""

from parity_exp.analysis.pages.run_facts import load_sentences
from parity_exp.recordings.reader import Recordings


def test_a_simulated_run_does_not_say_that_instances_sleep() -> None:
    config = {"pool": {"service_time_ms": 20.0}, "load": {}}
    nothing = Recordings({}, {}, None, None)
    said = {"simulate/parity/latency_ms/p99": 1.0}
    assert load_sentences(config, nothing, said) == [
        "A task was taken to need 20 ms in the mean; nothing was computed."
    ]
    own = {**config, "simulate": {"service_time_ms": 5}}
    assert "to need 5 ms" in load_sentences(own, nothing, said)[0]
    assert load_sentences({**config, "simulate": {"calibrate": "a/run"}}, nothing, said) == []


def test_several_frontends_are_told_of() -> None:
    nothing = Recordings({}, {}, None, None)
    said = {"simulate/parity/latency_ms/p99": 1.0}
    assert load_sentences({"frontends": 1}, nothing, said) == []
    (sentence,) = load_sentences({"frontends": 3, "frontend_split": "round_robin"}, nothing, said)
    assert sentence.startswith("The queries were split in turn over 3 frontends, each with a policy")
    (sentence,) = load_sentences({"frontends": 4}, nothing, {"serve/parity/latency_ms/p99": 1.0})
    assert sentence.startswith("The queries were split at random over 4 frontends, each a process with a policy")
