"""What to see in the pictures of reports, and in which order they stand, by their kinds.

A picture's kind is the name of its file as far as it is the same in every run: without the policy that it is of, and
without the score that it is about.
"""

SERVING = (
    "latency_ccdf",
    "accuracy_against_tail",
    "accuracy_against_slo",
    "answer_sources",
    "latency_over_time",
    "instance_timeline",
)
CAPACITY = ("machines_against_slo", "latency_against_machines")
CODE = ("overall", "quality_by_answers", "groups", "degraded_by_class", "learning_curves")
"""Pictures of one run."""

COMPARED_CODES = ("degraded_by_k", "overall_accuracy")
COMPARED_SERVERS = ("server_tails",)
COMPARED_SERVING = (
    "latency_by_utilisation",
    "latency_by_rate",
    "policy_standings",
    "gap_ratio",
    "accuracy_against_latency",
    "gap_by_instances",
    "gap_by_tasks",
    "delivered_accuracy",
)
"""Pictures of many runs."""

CAPTIONS = {
    "machines_against_slo": (
        "What an objective costs: the fewest machines on which each policy keeps it. The lower, the cheaper; a cross "
        "at the top: not on any cluster that was allowed."
    ),
    "latency_against_machines": (
        "The percentile of latency on every cluster that was simulated; dotted: the objectives, and the machines that "
        "the queries alone keep busy. Where a curve levels off, further machines buy nothing. Overloaded clusters are "
        "left out."
    ),
    "latency_ccdf": (
        "Latency of all policies. At height 0.001 a curve is at its p99.9: the further left and the steeper, the "
        "better. A curve that bends to the right has a tail."
    ),
    "accuracy_against_tail": (
        "What clients got: how often it was right, and how late the latest of it came. The best policies are at the "
        "upper left; one that has none there in both respects buys nothing."
    ),
    "accuracy_against_slo": (
        "Accuracy of what clients would have got under other deadlines: an answer later than the deadline counts as "
        "the default answer. A reconstruction that is in time but wrong costs as much as a default."
    ),
    "answer_sources": "What answered: the base model itself, a reconstruction, a backup, the default at the deadline.",
    "latency_over_time": (
        "Every query, by its scheduled arrival. Bursts of late queries belong to slowdowns; a rising floor means that "
        "a policy is overloaded."
    ),
    "instance_timeline": (
        "A few seconds of the run; all policies show the same ones, chosen where the baseline was latest. Above, a "
        "line a query, from its scheduled arrival to its answer; red ones are the policy's slowest hundredth. Below, "
        "what each instance did, what was injected, and who answered the slow queries."
    ),
    "learning_curves": "Training. The best epoch by validation is the one that was kept.",
    "overall": "Quality over all queries when a fraction of the predictions is unavailable.",
    "degraded_by_class": "Quality by class, of the base model and of reconstructions.",
    "quality_by_answers": "Quality of all predictions of a group by how many answers there are; means over which.",
    "groups": (
        "Coding groups of the test split, their parity queries, and what comes back when a prediction is lost; red "
        "where it is not the base model's own. Boxes: the base model's own is solid, the rebuilt one dashed."
    ),
    "degraded_by_k": (
        "Accuracy of reconstructed predictions by k. A dot is a run; a line joins an encoder's best setting at each k, "
        "chosen by validation and shown on the test split, the mean over its seeds. The dashed line is what the base "
        "model itself has right: the nearer a line keeps to it as k grows, the better the code. Few extra instances "
        "(1/k) are bought with what is lost to the right."
    ),
    "overall_accuracy": (
        "Accuracy over all queries when a fraction of the predictions is unavailable and reconstructed, computed from "
        "the test split: A_o = (1 - f_u) A_a + f_u A_d, with each encoder's best setting by validation. The flatter, "
        "the better; the dotted line is what is left where lost predictions stay unanswered."
    ),
    "delivered_accuracy": (
        "Accuracy of what clients really got, by the share of answers that did not come from the base model itself; a "
        "dot is a policy in a run. Dots above the dotted line gained by answering; dots to the left needed to less "
        "often. Few queries make accuracies jump by themselves."
    ),
    "latency_by_utilisation": (
        "Latency by load, as a share of what the base instances can serve: p99.9 solid, p50 dotted, bands from the "
        "least to the greatest of several seeds. A policy is good as far to the right as its solid line stays low; "
        "where both lines turn up together, its instances are overloaded."
    ),
    "latency_by_rate": (
        "Latency by queries a second: p99.9 solid, p50 dotted, bands from the least to the greatest of several seeds. "
        "A policy is good as far to the right as its solid line stays low; where both lines turn up together, its "
        "instances are overloaded."
    ),
    "gap_by_instances": (
        "How far the tail is from the median (p99.9 - p50) by what a policy needs in addition to the base instances. "
        "Lower left is better: predictable latency for few extra instances. Lines join the means of a policy."
    ),
    "gap_by_tasks": (
        "How far the tail is from the median (p99.9 - p50) by the tasks that instances worked at for each query: 1 is "
        "nothing in addition. Lower left is better."
    ),
    "policy_map": (
        "Which policy to take. Each field is a load and a strength of the stragglers; its colour is the cheapest "
        "policy whose latency is about the least. The number says how much lower that is than without redundancy on "
        "the same machines."
    ),
    "policy_standings": (
        "Each policy's latency over that of the best other policy on the same instances, arrivals and stragglers, by "
        "setting and load. 1 or less is best; nobody is measured against a bound, such as the oracle, whose "
        "panel shows how much better than all others one can be who knows everything in advance."
    ),
    "gap_ratio": (
        "How many times smaller than without redundancy on the same machines the gap p99.9 - p50 is, by one number of "
        "the scenario at a time; all others have their most frequent value, which the upright dotted line marks."
    ),
    "server_tails": (
        "Latency of servers that `load` asked, from the scheduled arrival, a line a run. At height 0.001 a line is at "
        "its p99.9. Queries without an answer count as ones that take longer than any other: a line that ends above "
        "the bottom has lost some."
    ),
    "accuracy_against_latency": (
        "What a client gets against how long it may have to wait. Upper left is better. Ringed dots are the Pareto "
        "front: nothing else is both as fast at p99.9 and as accurate. Each dot is the mean over the seeds of a policy "
        "with a code."
    ),
}


def kind_of(name: str) -> str:
    """What a picture of a run shows: ``instance_timeline-parity`` and ``overall_iou`` without policy and score."""
    kind = name.partition("-")[0]
    return "overall" if kind.startswith("overall_") else kind
