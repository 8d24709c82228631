"""What the numbers of a run say, in sentences: what a code bought, what it cost, and where it lost.

Sentences are made from the numbers alone; a policy is compared with the baseline (the policy that says it
is one where it was served, the first elsewhere), and where it is worse, that is said as plainly as where it is better.
"""

from collections.abc import Collection, Iterator, Mapping

import pandas as pd

from parity_exp.analysis.tables.numbers import number, percent
from parity_exp.analysis.tables.quality import score_name
from parity_exp.recordings.looks import Looks, baseline_among
from parity_exp.recordings.troubles import Trouble
from parity_exp.words import QUERY, counted

NOISE = 0.05
"""Latencies that differ by less than this share are called about the same."""

FEW = 10
"""So many queries or fewer beyond a percentile say little about it."""

LATE_MS = 5.0
LATE_SHARE = 0.001
"""The frontend was kept from its work where more than this share of the queries reached it later than this."""

Metrics = Mapping[str, float]


def accuracy_findings(metrics: Metrics, overall: pd.DataFrame | None = None) -> list[str]:
    """How good reconstructed predictions are; nothing for a run that was not evaluated."""
    available = metrics.get("test/available_accuracy")
    degraded = metrics.get("test/degraded_accuracy")
    if available is None or degraded is None:
        return []
    sentence = (
        f"A prediction of the base model is right in {percent(available)} of the test queries, a reconstructed one in "
        f"{percent(degraded)}: {_points(available - degraded)} less."
    )
    same = metrics.get("test/reconstruction_accuracy")
    if same is not None:
        sentence += f" It agrees with the base model's own in {percent(same)}."
    sentences = [sentence, *_other_findings(metrics)]
    decoded = metrics.get("test/no_loss_accuracy")
    if decoded is not None:
        sentences.append(
            f"The code is not systematic: every prediction is decoded, and right in {percent(decoded)} when all "
            "answers are there."
        )
    elif overall is not None and not overall.empty:
        most = overall.iloc[-1]
        column = next(str(name) for name in overall.columns if str(name).startswith("overall_"))
        quality = column.removeprefix("overall_")
        share, reached = float(most["fraction_unavailable"]), float(most[column])
        unanswered = (1 - share) * metrics.get(f"test/available_{quality}", available)
        sentences.append(
            f"With {100 * share:g} % of the predictions unavailable, overall {score_name(quality)} is "
            f"{percent(reached)}; if they stayed unanswered, it would be {percent(unanswered)}."
        )
    return sentences


def _other_findings(metrics: Metrics) -> Iterator[str]:
    """What else than accuracy the run's task is judged by."""
    for key in metrics:
        score = key.removeprefix("test/available_")
        values = [metrics.get(f"test/{kind}_{score}") for kind in ("available", "degraded", "reconstruction")]
        if score == key or score.startswith("accuracy") or None in values:
            continue
        available, degraded, same = values
        yield (
            f"The base model's mean {score_name(score)} is {available:.3f}, that of reconstructed predictions "
            f"{degraded:.3f}; measured against the base model's own predictions, these reach {same:.3f}."
        )


def serving_findings(policies: Mapping[str, Metrics], looks: Looks | None = None) -> list[str]:
    """What each policy bought against the baseline, what it cost, and who was best."""
    served = {policy: values for policy, values in policies.items() if "latency_ms/p99.9" in values}
    if not served:
        return []
    baseline = baseline_of(served, looks)
    base = served[baseline]
    sentences = [
        f"{baseline} ({_instances(base)}): p50 {_ms(base, 'p50')}, p99 {_ms(base, 'p99')}, p99.9 {_ms(base, 'p99.9')}"
        + (f"; clients got {percent(base['accuracy'])} right." if "accuracy" in base else ".")
    ]
    for policy, values in served.items():
        if policy != baseline:
            sentences.append(" ".join(_against(policy, values, baseline, base)))
    if len(served) > 1:
        sentences.append(_best(served))
    return sentences


def wrong_answer_findings(policies: Mapping[str, Metrics]) -> list[str]:
    """How many corrupted answers clients got, and which policies noticed; nothing where there were none."""
    met = {policy: values for policy, values in policies.items() if values.get("fraction/corrupted")}
    if not met:
        return []
    parts = [
        f"{policy} {percent(values['fraction/corrupted'])} ({percent(values['fraction/unnoticed'])} unnoticed)"
        if values["fraction/flagged"]
        else f"{policy} {percent(values['fraction/corrupted'])}"
        for policy, values in met.items()
    ]
    sentences = [f"Corrupted answers that clients got: {_listed(parts)}."]
    blind = [policy for policy, values in met.items() if "checks" not in values]
    if blind:
        sentences.append(f"{_listed(blind)} {'has' if len(blind) == 1 else 'have'} no way to notice.")
    return sentences


def baseline_of(policies: Collection[str], looks: Looks | None = None) -> str:
    """The policy that others are compared with: one that says so, or the first."""
    return baseline_among(policies, looks) or next(iter(policies))


def warnings(policies: Mapping[str, Metrics], queries: int | None = None) -> list[str]:
    """What a reader must know before believing anything else.

    Args:
        policies: metrics by policy.
        queries: measured queries that the config asks for, if it does.
    """
    lines = []
    for policy, values in policies.items():
        measured = int(values["queries"])
        if queries is not None and measured < queries:
            lines.append(f"{policy}: {measured:,} of {counted(queries, *QUERY)} measured; the run ended before.")
        lost = values.get("lost") or 0
        if lost:
            lines.append(f"{policy}: {counted(lost, *QUERY)} {'was' if lost == 1 else 'were'} sent and never answered.")
        if values.get("duplicates"):
            lines.append(f"{policy}: {counted(values['duplicates'], 'answer')} too many. This is a defect.")
        if values.get("fraction/error"):
            lines.append(f"{policy}: {percent(values['fraction/error'])} of the clients got an error.")
        if values.get("fraction/not_finite"):
            lines.append(
                f"{policy}: {percent(values['fraction/not_finite'])} of the answers come from outputs that are NaN or "
                "infinite, and mean nothing."
            )
        if values.get("fraction/default", 0) > NOISE:
            lines.append(
                f"{policy}: {percent(values['fraction/default'])} of the answers came too late and were replaced by "
                "the default; latencies stop at the deadline, so they look better than they are." + _hanging(values)
            )
    few = min((int(values["queries"]) for values in policies.values()), default=0)
    if policies and few < 1000 * FEW:
        lines.append(
            f"p99.9 of {counted(few, *QUERY)} rests on the slowest {max(1, few // 1000)}; serve more (load.queries) "
            "before reading much into it."
        )
    return lines


def _hanging(values: Metrics) -> str:
    """That instances hung, where they did: it may be why answers came too late."""
    hangs = values.get("hangs", 0)
    return f" Instances hung {counted(hangs, 'time')} meanwhile; see what went wrong." if hangs else ""


def error_warnings(errors: pd.DataFrame) -> list[str]:
    """What went wrong with instances and their models, a line each.

    Args:
        errors: a row a distinct error, as ``errors-<policy>.csv`` has them.
    """
    lines = []
    for row in errors.to_dict("records"):
        instances = {int(number) for number in str(row["instances"]).split()}
        trouble = Trouble(str(row["what"]), str(row["model"]), str(row["error"]), int(row["times"]), instances)
        lines.append(f"{row['policy']}: {trouble.sentence()}.")
    return lines


def frontend_warnings(queries: Mapping[str, pd.DataFrame]) -> list[str]:
    """Where the machine, not the policy, made queries late: the frontend itself did not get the processor.

    Args:
        queries: for each policy a row a query.
    """
    lines = []
    for policy, table in queries.items():
        late_ms = (table["sent_s"] - table["scheduled_s"]) * 1000
        share = float((late_ms > LATE_MS).mean())
        if share > LATE_SHARE:
            lines.append(
                f"{policy}: {percent(share)} of the queries reached the frontend more than {LATE_MS:g} ms late, up to "
                f"{number(float(late_ms.max()))} ms. The machine was busy with other things, and the tail is partly "
                "its doing."
            )
    return lines


def _against(policy: str, values: Metrics, baseline: str, base: Metrics) -> Iterator[str]:
    """What a policy bought, what it cost, and where it lost, a sentence each."""
    gap, base_gap = values["gap_ms"], base["gap_ms"]
    yield (
        f"{policy} ({_instances(values)}): p99.9 {_ms(values, 'p99.9')}, "
        f"{_ratio(values['latency_ms/p99.9'], base['latency_ms/p99.9'], 'lower', 'higher')}; "
        f"gap p99.9 - p50 {number(gap)} ms, {_ratio(gap, base_gap, 'smaller', 'larger')}; "
        f"p99 {_ms(values, 'p99')}, {_ratio(values['latency_ms/p99'], base['latency_ms/p99'], 'lower', 'higher')}."
    )
    yield _cost(values, base)
    losses = [
        f"{name} ({number(values[key])} against {number(base[key])} ms)"
        for name, key in (
            ("the median", "latency_ms/p50"),
            ("p90", "latency_ms/p90"),
            ("p99", "latency_ms/p99"),
            ("p99.9", "latency_ms/p99.9"),
        )
        if values[key] > base[key] * (1 + NOISE)
    ]
    if losses:
        yield f"It loses to {baseline} at {_listed(losses)}."
    if values.get("instances", 0) != base.get("instances", 0):
        more = values.get("instances", 0) - base.get("instances", 0)
        yield f"It has {abs(more):.0f} instance{'s' * (abs(more) != 1)} {'more' if more > 0 else 'fewer'}."


def _cost(values: Metrics, base: Metrics) -> str:
    parts = [
        f"{percent(values[key])} {words}"
        for key, words in (
            ("fraction/reconstructed", "reconstructed"),
            ("fraction/backup", "from the backup model"),
            ("fraction/default", "defaults"),
        )
        if values.get(key)
    ]
    if "accuracy" not in values or "accuracy" not in base:
        return f"Of the answers {_listed(parts)}." if parts else "All answers are the base model's own."
    change = values["accuracy"] - base["accuracy"]
    against = "the same" if abs(change) < 0.0005 else f"{_points(abs(change))} {'more' if change > 0 else 'fewer'}"
    shares = f" ({', '.join(parts)})" if parts else ""
    return f"Clients got {percent(values['accuracy'])} right, {against}{shares}."


def _best(served: Mapping[str, Metrics]) -> str:
    places = {"p50": "latency_ms/p50", "p99": "latency_ms/p99", "p99.9": "latency_ms/p99.9"}
    winners: dict[str, list[str]] = {}
    for name, key in places.items():
        winners.setdefault(min(served, key=lambda policy: served[policy][key]), []).append(name)
    fastest = "; ".join(f"at {_listed(names)} {policy}" for policy, names in winners.items())
    if not all("accuracy" in values for values in served.values()):
        return f"Best of all: {fastest}."
    accurate = max(served, key=lambda policy: served[policy]["accuracy"])
    return f"Best of all: {fastest}; in accuracy {accurate}."


def _ratio(value: float, base: float, better: str, worse: str) -> str:
    """How many times better or worse; both are positive."""
    if base <= 0 or value <= 0 or abs(value / base - 1) < NOISE:
        return "about the same"
    if value < base:
        return f"{base / value:.2g} times {better}" if base / value >= 2 else f"{percent(1 - value / base)} {better}"
    return f"{value / base:.2g} times {worse}" if value / base >= 2 else f"{percent(value / base - 1)} {worse}"


def _instances(values: Metrics) -> str:
    count = values.get("instances")
    return "instances unknown" if count is None else counted(count, "instance")


def _ms(values: Metrics, name: str) -> str:
    return f"{number(values[f'latency_ms/{name}'])} ms"


def _points(difference: float) -> str:
    return f"{100 * difference:.2g} points" if abs(difference) < 0.001 else f"{100 * difference:.1f} points"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
