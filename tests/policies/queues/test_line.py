"""A line is what a plain list would be, from which whoever leaves is removed."""

from hypothesis import given
from hypothesis import strategies as st

from parity_exp.policies.queues.line import COMPACT, Line

STEPS = st.lists(st.tuples(st.sampled_from(["come", "first", "leave", "first_but"]), st.integers(0, 9)), max_size=80)


@given(STEPS)
def test_it_does_what_a_list_does(steps: list[tuple[str, int]]) -> None:
    line, plain = Line(), list[int]()
    for step, instance in steps:
        if step == "come" and instance not in plain:
            line.append(instance)
            plain.append(instance)
        elif step == "leave" and instance in plain:
            line.leave(instance)
            plain.remove(instance)
        elif step == "first" and plain:
            assert line.first() == plain.pop(0)
        elif step == "first_but":
            busy = {instance, instance + 1}
            found = next((one for one in plain if one not in busy), None)
            assert line.first_but(busy) == found
            if found is not None:
                plain.remove(found)
        assert line.size == len(plain)
        assert bool(line) == bool(plain)
    assert [line.first() for _ in range(len(plain))] == plain


def test_those_who_have_left_do_not_pile_up_behind_one_who_stays() -> None:
    line = Line()
    for instance in range(10):
        line.append(instance)
    for _ in range(1_000):
        line.leave(5)
        line.append(5)
    assert len(line) <= 10 + 2 * (COMPACT + 1)
    assert [line.first() for _ in range(line.size)] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 5]
