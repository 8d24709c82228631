"""Boxes: overlap against values worked out by hand and against torchvision's."""

from math import inf, nan

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou

from parity_exp.tasks import Localization
from parity_exp.tasks.localization import intersection_over_union

WHOLE = [-1.0, -1.0, 2.0, 2.0]

box = st.tuples(*[st.floats(-1, 1, width=32)] * 2, *[st.floats(0.0625, 2, width=32)] * 2)


def iou(first: list[float], second: list[float]) -> float:
    return intersection_over_union(torch.tensor(first), torch.tensor(second)).item()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (WHOLE, WHOLE, 1.0),
        (WHOLE, [-1.0, -1.0, 1.0, 2.0], 0.5),  # the left half
        ([0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5], 0.0),  # corner to corner
        ([-1.0, -1.0, 1.0, 1.0], [-0.5, -1.0, 1.0, 1.0], 1 / 3),  # moved by half: 0.5 shared of 1.5
        ([0.5, 0.5, 5.0, 5.0], [0.5, 0.5, 0.5, 0.5], 1.0),  # what lies outside of the image does not count
        ([-3.0, -1.0, 3.0, 2.0], [-1.0, -1.0, 1.0, 2.0], 1.0),
        ([5.0, 5.0, 1.0, 1.0], WHOLE, 0.0),
        ([0.0, 0.0, -1.0, 1.0], WHOLE, 0.0),  # of negative width
        ([0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], 0.0),
        ([-1.0, -1.0, inf, inf], WHOLE, 1.0),
        ([nan, 0.0, 1.0, 1.0], WHOLE, 0.0),
        ([0.0, 0.0, nan, nan], WHOLE, 0.0),
        ([-inf, 0.0, inf, 1.0], WHOLE, 0.0),
    ],
)
def test_overlaps_worked_out_by_hand(first: list[float], second: list[float], expected: float) -> None:
    assert iou(first, second) == pytest.approx(expected)
    assert iou(second, first) == pytest.approx(expected)


@given(st.lists(box, min_size=1, max_size=5), st.lists(box, min_size=1, max_size=5))
def test_overlaps_are_torchvisions_of_the_clipped_boxes(first: list[tuple[float]], second: list[tuple[float]]) -> None:
    one, other = torch.tensor(first), torch.tensor(second)
    corners = [torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1).clamp(-1, 1) for boxes in (one, other)]
    expected = box_iou(*corners).nan_to_num(0)
    torch.testing.assert_close(intersection_over_union(one[:, None], other[None]), expected, rtol=1e-4, atol=1e-5)


def test_a_box_is_right_from_three_quarters_on() -> None:
    heights = torch.tensor([2.0, 1.52, 1.48, 0.0])
    boxes = torch.tensor([WHOLE] * 4).index_copy(1, torch.tensor([3]), heights[:, None])
    scores = Localization().scores(boxes, torch.tensor([WHOLE] * 4))
    assert scores["iou"].tolist() == pytest.approx([1, 0.76, 0.74, 0])
    assert scores["accuracy"].tolist() == [1, 1, 0, 0]
    assert next(iter(scores)) == Localization.quality


def test_no_answer_is_never_right() -> None:
    task = Localization()
    scores = task.answer_scores(torch.tensor(task.no_answer), torch.tensor(WHOLE))
    assert (scores["iou"], scores["accuracy"]) == (0, 0)


def test_the_default_and_the_centre_are_the_mean_box() -> None:
    labels = torch.tensor([WHOLE, [0.0, 0.0, 1.0, 1.0]])
    for mean in (Localization().default(labels), Localization().centre(labels)):
        assert mean.tolist() == [-0.5, -0.5, 1.5, 1.5]


def test_a_box_is_outlined_where_it_is_in_the_image() -> None:
    assert Localization().outline(torch.tensor(WHOLE)) == (0, 0, 1, 1)
    assert Localization().outline(torch.tensor([0.0, -0.5, 0.5, 1.0])) == (0.5, 0.25, 0.25, 0.5)
