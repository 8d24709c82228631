"""What ``load`` says of itself."""

from parity_exp.experiment.usage import Usage

USAGE = Usage(
    "Sends queries to any server of the Open Inference Protocol v2 when a load says, whatever became of those before; "
    "latency counts from the scheduled arrival. Queries are the test split of run= or dataset=, with accuracy, or "
    "random numbers by the model's metadata. Writes what serve writes.",
    {
        "url=http://127.0.0.1:8000": "the server, or grpc://; always needed",
        "run=outputs/train/DATE/TIME": "queries and labels of this run",
        "name=triton": "what tables and figures call the server",
        "model=base": "its model; otherwise the only one",
        "load.rate_qps=200": "arrivals a second",
        "load.queries=20000": "queries measured",
        "load.slo_ms=200": "then a query counts as having got the default prediction",
        "client.batch=4": "queries in a request",
        "client.deadline_ms=100": "request parameter for servers of this package",
        "client.token_file=token.txt": "a bearer token to send",
    },
    ("load", "tracker"),
    {
        "load url=http://127.0.0.1:8000 load.rate_qps=200": "random numbers, by REST",
        "load url=grpc://localhost run=outputs/train/DATE/TIME load.rate_qps=200": "by gRPC, with accuracy",
        "load -m url=http://127.0.0.1:8000 name=triton load.rate_qps=100,200": "latency over load",
    },
)
