"""What ``endpoint`` says of itself."""

from parity_exp.experiment.usage import Usage

USAGE = Usage(
    "Serves a trained run's checkpoints to clients of the Open Inference Protocol v2, over REST and gRPC, under one "
    "redundancy policy. Says where each answer came from, drains on SIGTERM, shows metrics at /metrics and a page at "
    "/, and writes the latest queries and tasks, figures and a page into a run directory when it ends.",
    {
        "run=outputs/train/DATE/TIME": "the run to serve; always needed",
        "redundancy=adaptive": "the policy",
        "port=8000": "of REST; 0: any that is free",
        "grpc_port=8001": "of gRPC; null: none",
        "endpoint.host=127.0.0.1": "where to listen",
        "endpoint.queue=1000": "queries that wait at most",
        "endpoint.deadline_ms=100": "then a query gets the default prediction",
        "endpoint.token_file=token.txt": "what clients have to bring",
        "pool.instances=4": "base instances; the policy adds to them",
        "straggler=[shuffle]": "what slows or stops instances, to see what it does",
    },
    ("redundancy", "straggler", "pool", "queue", "tracker"),
    {
        "endpoint run=outputs/train/DATE/TIME": "until Ctrl-C",
        "endpoint run=outputs/train/DATE/TIME port=0 grpc_port=null": "REST alone, at a free port",
        "endpoint run=outputs/train/DATE/TIME redundancy=hedged straggler=crash": "with instances that die",
    },
    assumed=("redundancy=adaptive", "straggler=none", "pool.service_time_ms=0"),
)
