"""What a code needs is the code's to say: policies decode as soon as that is there, and not before."""

import pytest

from parity_exp.coding import BestDecoder, PlacesDecoder, ResidualDecoder, SubtractionDecoder
from parity_exp.policies import CheckedParity, CheckedSharedParity, Parity, SharedParity, VotedParity
from parity_exp.policies.needs import Needs
from parity_exp.policies.policy import TRIES, AnswerSource, Policy
from tests.policies.desk_driver import Driver

OWN, RECONSTRUCTED, ERROR = AnswerSource.OWN, AnswerSource.RECONSTRUCTED, AnswerSource.ERROR


def apart(policy: Policy) -> Policy:
    """A policy whose code keeps places apart."""
    policy.decodes_by(PlacesDecoder.needs_of(policy.k, policy.r))
    return policy


def test_decoders_declare_what_they_need() -> None:
    assert SubtractionDecoder.needs_of(4, 2) == Needs(4, (4, 3, 2)) == Needs.one_for_one(4, 2)
    assert PlacesDecoder.needs_of(4, 2) == Needs(4, (4, 0, 0))
    assert PlacesDecoder(2, 1, (3,)).needs == Needs(2, (2, 0))
    assert BestDecoder.needs_of(2, 1, apart=True) == Needs(2, (2, 0))
    assert BestDecoder.needs_of(2, 1, apart=True, extra_outputs=3) == ResidualDecoder.needs_of(2, 1) == Needs(2, (2, 1))


def test_a_declaration_answers_for_counts() -> None:
    needs = Needs(4, (4, 3, 1))
    assert (needs.r, needs.most_losses) == (2, 3)
    assert [[needs.suffice(own, parities) for own in range(5)] for parities in range(3)] == [
        [False, False, False, False, True],
        [False, False, False, True, True],
        [False, True, True, True, True],
    ]


def test_who_has_more_parity_outputs_than_are_of_use_may_leave_some_aside() -> None:
    assert Needs.of(3, 2, lambda lost, there: lost == 0 or (lost <= 2 and there == 1)) == Needs(3, (3, 1, 1))


@pytest.mark.parametrize("members", [(), (3, 1), (2, 1, 2), (2, -1)])
def test_counts_that_cannot_be_are_refused(members: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="members="):
        Needs(2, members)


@pytest.mark.parametrize(("k", "r", "name"), [(3, 1, "k"), (2, 2, "r")])
def test_a_code_for_other_counts_is_refused(k: int, r: int, name: str) -> None:
    with pytest.raises(ValueError, match=f"it has {name}="):
        Parity(2, 1).decodes_by(Needs.one_for_one(k, r))


@pytest.mark.parametrize("k", [2, 3, 5])
def test_with_places_apart_one_parity_output_answers_everybody_at_once(k: int) -> None:
    driver = Driver(apart(Parity(k, 1)), k)
    driver.arrive(k)
    (parity,) = driver.parities()
    driver.until(0.5)
    driver.finish(parity)
    assert driver.sources(range(k)) == [RECONSTRUCTED] * k
    assert {(response.own, response.parities, response.work) for response in driver.responses} == {
        ((None,) * k, (parity,), parity)
    }
    assert [response.place for response in driver.responses] == list(range(k))
    assert {at_s for _, at_s in driver.answers.values()} == {0.5}
    for task in driver.on_instances():
        driver.finish(task)
    assert len(driver.responses) == k


def test_with_places_apart_the_first_of_several_parity_outputs_is_enough() -> None:
    driver = Driver(apart(Parity(3, 2)), 6)
    driver.arrive(3)
    first, second = driver.parities()
    driver.finish(driver.task_of(1))
    driver.finish(second)
    assert driver.sources(range(3)) == [RECONSTRUCTED, OWN, RECONSTRUCTED]
    assert driver.responses[-1].parities == (None, second)
    driver.finish(first)


def test_with_places_apart_all_tasks_of_a_group_may_be_lost_for_good() -> None:
    driver = Driver(apart(Parity(2, 1)), 2)
    driver.arrive(2)
    for _ in range(TRIES):
        for task in driver.on_instances():
            if task.batch is not None:
                driver.fail(task)
    assert driver.answers == {}, "the parity output may still come"
    driver.finish(driver.parities()[0])
    assert driver.sources(range(2)) == [RECONSTRUCTED] * 2


def test_with_places_apart_who_lost_the_parity_output_as_well_is_told() -> None:
    driver = Driver(apart(Parity(3, 1)), 3)
    driver.arrive(3)
    for _ in range(TRIES):
        for task in driver.on_instances():
            if task.batch is None or task.batch.queries != (2,):
                driver.fail(task)
    assert driver.sources(range(2)) == [ERROR] * 2
    driver.finish(driver.task_of(2))
    assert driver.sources([2]) == [OWN]


def test_work_of_a_group_that_is_still_queued_goes_with_its_reconstruction() -> None:
    driver = Driver(apart(Parity(4, 1)), 1)
    driver.arrive(4)
    driver.finish(driver.parities()[0])
    assert driver.sources(range(4)) == [RECONSTRUCTED] * 4
    driver.finish(driver.on_instances()[0])
    assert driver.on_instances() == []


def test_groups_are_compared_though_one_parity_output_has_answered_all() -> None:
    driver = Driver(apart(CheckedParity(2, 1)), 2)
    driver.arrive(2)
    driver.finish(driver.parities()[0])
    assert driver.sources(range(2)) == [RECONSTRUCTED] * 2
    group = driver.responses[0].batch.group
    assert group is not None and not group.over
    for query in range(2):
        driver.finish(driver.task_of(query))
    assert group.over


@pytest.mark.parametrize("places_apart", [True, False])
def test_what_is_not_late_keeps_its_chance_of_an_exact_answer(places_apart: bool) -> None:
    policy = Parity(2, 1, reconstruct="late", delay_ms=30)
    driver = Driver(apart(policy) if places_apart else policy, 2)
    driver.arrive(2)
    driver.until(0.010)
    driver.finish(driver.parities()[0])
    assert driver.answers == {}
    driver.finish(driver.task_of(0))
    driver.until(0.029)
    assert driver.sources([0]) == [OWN] and 1 not in driver.answers
    driver.until(0.031)
    assert driver.sources([1]) == [RECONSTRUCTED]
    assert driver.answers[1][1] == pytest.approx(0.030)


def test_what_is_late_before_the_parity_output_comes_is_answered_by_it_at_once() -> None:
    driver = Driver(apart(Parity(2, 1, reconstruct="late", delay_ms=30)), 2)
    driver.arrive(1)
    driver.until(0.020)
    driver.arrive(1)
    driver.until(0.040)
    driver.finish(driver.parities()[0])
    assert driver.sources([0]) == [RECONSTRUCTED] and 1 not in driver.answers
    assert driver.answers[0][1] == pytest.approx(0.040)
    driver.until(0.060)
    assert driver.answers[1] == (RECONSTRUCTED, pytest.approx(0.050))


def test_a_task_that_has_failed_is_not_waited_for() -> None:
    driver = Driver(apart(Parity(2, 1, reconstruct="late", delay_ms=30)), 2)
    driver.arrive(2)
    driver.finish(driver.parities()[0])
    driver.fail(driver.task_of(1))
    assert driver.sources([1]) == [RECONSTRUCTED] and 0 not in driver.answers
    driver.finish(driver.task_of(0))
    assert driver.sources([0]) == [OWN]


def test_as_long_as_nothing_is_known_of_lateness_the_first_answer_counts() -> None:
    driver = Driver(apart(Parity(2, 1, reconstruct="late")), 2)
    driver.arrive(2)
    driver.finish(driver.parities()[0])
    assert driver.sources(range(2)) == [RECONSTRUCTED] * 2


def test_on_a_shared_pool_a_late_query_is_reconstructed_where_the_parity_output_is_there_and_not_sent_again() -> None:
    policy = SharedParity(2, 1, delay_ms=30, load_limit=10, reserve=0, reconstruct="late")
    driver = Driver(apart(policy), 4)
    driver.arrive(2)
    driver.finish(driver.parities()[0])
    assert driver.answers == {}
    driver.until(0.031)
    assert driver.sources(range(2)) == [RECONSTRUCTED] * 2
    copies = [task for task in driver.placed if task.batch is not None and not task.low]
    assert len(copies) == 2, "nothing was hedged in earnest"


@pytest.mark.parametrize("policy", [CheckedParity, CheckedSharedParity, VotedParity])
def test_a_code_whose_outputs_cannot_be_compared_is_refused(policy: type[Policy]) -> None:
    for needs in (Needs.one_for_one(3, 2), Needs(3, (3, 0, 0))):
        policy(3, 2).decodes_by(needs)
    with pytest.raises(ValueError, match="takes a code that gives 1 of 3 predictions back from 1 parity outputs"):
        policy(3, 2).decodes_by(Needs(3, (3, 3, 0)))


def test_what_is_no_choice_of_what_to_reconstruct_is_refused() -> None:
    with pytest.raises(ValueError, match="reconstruct=never: expected first or late"):
        Parity(2, 1, reconstruct="never")  # type: ignore[arg-type]
