"""What every non-systematic code is: n coded queries for copies of the base model, and any n - S answers tell all.

No query is sent as it is, no model is trained, and every prediction is approximate: a group's k queries are points of
a curve, its n coded queries other points of the same curve, and the base model's answers are points of another curve,
from which the k predictions are read. Encoding is one matrix ``(n, k)``; decoding is one matrix ``(k, n)`` for each
pattern of answers, with zeros at those that are missing, and is computed once.

To write your own, subclass :class:`NonSystematicCode` and implement :meth:`NonSystematicCode.encoding_matrix` and
:meth:`NonSystematicCode.decoding_matrix`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor, nn

from parity_exp.coding.error_location import locate_errors
from parity_exp.coding.points import first_kind, second_kind
from parity_exp.coding.precision import at_least_single
from parity_exp.ranges import Few, SomeOrNone

T = TypeVar("T")


class NonSystematicCode(nn.Module, ABC):
    """Base class of codes over copies of the base model.

    The k queries stand at ``alpha_j = cos((2j + 1) pi / (2k))``, the n coded ones at ``beta_i = cos(i pi / (n - 1))``
    (ApproxIFER, AAAI 2022, arXiv 2109.09868, section 3).

    Args:
        k: queries in a group.
        stragglers: S, answers that may be missing.
        byzantine: E, answers that may be wrong; they are searched for and left out.
        workers: n, coded queries of a group; None takes ApproxIFER's number, ``k + S`` where E = 0 and otherwise
            ``2 (k + E) + S``.
        last: the S coded queries to send last; None while nobody has chosen them. Where instances are equally quick
            theirs are the answers that nobody waits for, and which ones are missing matters much more than that S are.

    Attributes:
        n: coded queries of a group.
        needed: answers that decoding waits for, ``n - S``.
        alpha: ``(k,)``, the queries' points, double.
        beta: ``(n,)``, the coded queries' points, double.
        order: all n in the order in which to send them.

    Raises:
        ValueError: numbers that cannot be.
    """

    systematic = False

    def __init__(
        self,
        k: int,
        stragglers: SomeOrNone = 1,
        byzantine: SomeOrNone = 0,
        workers: Few | None = None,
        last: Sequence[SomeOrNone] | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("stragglers", stragglers), ("byzantine", byzantine)):
            if value < 0:
                raise ValueError(f"{name}={value}: expected a number of answers, 0 or more")
        least = k + stragglers if byzantine == 0 else 2 * (k + byzantine) + stragglers
        if workers is not None and workers < least:
            raise ValueError(
                f"workers={workers}: k={k}, stragglers={stragglers} and byzantine={byzantine} need {least} or more; "
                "null takes that number"
            )
        if stragglers == 0 and byzantine == 0:
            raise ValueError(
                "stragglers=0 and byzantine=0: expected 1 or more of either; with neither there is nothing to code for"
            )
        self.k = k
        self.stragglers = stragglers
        self.byzantine = byzantine
        self.n = workers or least
        self.needed = self.n - stragglers
        if last is not None and (len(set(last)) != stragglers or not set(last) <= set(range(self.n))):
            raise ValueError(
                f"last={list(last)}: expected the numbers of {stragglers} of the coded queries 0 to {self.n - 1}"
            )
        self.last = None if last is None else tuple(last)
        self.order = (*(row for row in range(self.n) if row not in (last or ())), *(last or ()))
        self.alpha = first_kind(k)
        self.beta = second_kind(self.n)
        self._decoding: dict[tuple[bool, ...], Tensor] = {}
        self._for_groups: dict[tuple[bool, ...], Tensor] = {}

    @abstractmethod
    def encoding_matrix(self) -> Tensor:
        """Coded queries as weighted sums of the queries, ``(n, k)`` in double precision."""

    @abstractmethod
    def decoding_matrix(self, answered: Sequence[int]) -> Tensor:
        """Predictions as weighted sums of answers, ``(k, len(answered))`` in double precision.

        Args:
            answered: numbers of the coded queries whose answers are there, ascending, one or more.
        """

    def open_settings(self) -> dict[str, tuple[float, ...]]:
        """Settings that nobody has chosen, by their names in ``__init__``, with the values to choose from.

        Validation data decide. Until then encoding or decoding may raise; the default is that there are none.
        """
        return {}

    # ---- batches of groups

    def coded_shape(self, query_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of a coded query: a query's own."""
        return tuple(query_shape)

    def encode(self, queries: Tensor) -> Tensor:
        """``(B, k, *query) -> (B, n, *query)``."""
        return torch.einsum("nk,bk...->bn...", self.encoding.to(queries), queries)

    def decode(self, answers: Tensor, answered: Tensor) -> Tensor:
        """All predictions of each group, from whatever answers are there.

        With E > 0, E answers of each group that has the needed number are taken for wrong and left out.

        Args:
            answers: ``(B, n, *out)``; what stands at missing places is ignored and may be NaN.
            answered: ``(B, n)``, true where an answer has arrived.

        Returns:
            ``(B, k, *out)``, in single precision at least; NaN where a group has no answer at all.
        """
        answers = at_least_single(answers)
        used = answered & ~self.wrong(answers, answered)
        known = torch.where(used.view(*used.shape, *[1] * (answers.dim() - 2)), answers, 0)
        patterns, which = torch.unique(used, dim=0, return_inverse=True)
        decoding = torch.stack([self.decoding(tuple(pattern)) for pattern in patterns.tolist()]).to(known)
        if len(decoding) == 1:
            return torch.einsum("kn,bn...->bk...", decoding[0], known)
        return torch.einsum("bkn,bn...->bk...", decoding[which], known)

    def wrong(self, answers: Tensor, answered: Tensor) -> Tensor:
        """Which answers are taken for wrong, ``(B, n)``: E of each group that has the needed number, and no others.

        Args:
            answers: ``(B, n, *out)``.
            answered: ``(B, n)``, true where an answer has arrived.
        """
        wrong = torch.zeros_like(answered)
        if self.byzantine:
            for pattern in torch.unique(answered, dim=0):
                if int(pattern.sum()) >= self.needed:
                    groups = (answered == pattern).all(1).nonzero()[:, 0]
                    arrived = pattern.nonzero()[:, 0]
                    at = self.beta[arrived.cpu()]
                    found = locate_errors(at, answers[groups][:, arrived].flatten(2), self.k, self.byzantine)
                    wrong[groups[:, None], arrived[None]] = found
        return wrong

    # ---- one group at a time, as serving does

    @torch.inference_mode()
    def encode_group(self, queries: Sequence[Tensor], row: int, out: Tensor) -> None:
        """Encode one coded query of one group: no batch dimension, no memory of its own.

        Args:
            queries: k queries ``(*query_shape)``.
            row: which of the n coded queries.
            out: takes it, ``(*query_shape)``.
        """
        weights = self._weights[row]
        torch.mul(queries[0], weights[0], out=out)
        for query, weight in zip(queries[1:], weights[1:], strict=True):
            if weight:
                out.add_(query, alpha=weight)

    @torch.inference_mode()
    def decode_group(self, answers: Sequence[Tensor | None]) -> Tensor:
        """All predictions of one group, ``(k, *out)``.

        Args:
            answers: n answers ``(*out)``, None where missing; one at least has to be there.
        """
        arrived = [at_least_single(answer) for answer in answers if answer is not None]
        pattern = tuple(answer is not None for answer in answers)
        stacked = torch.stack(arrived)
        if self.byzantine and len(arrived) >= self.needed:
            rows = [row for row, there in enumerate(pattern) if there]
            wrong = locate_errors(self.beta[rows], stacked.flatten(1)[None], self.k, self.byzantine)[0]
            left = [row for row, is_wrong in zip(rows, wrong.tolist(), strict=True) if not is_wrong]
            stacked = stacked[~wrong]
            pattern = tuple(row in left for row in range(self.n))
        decoding = self._compact(pattern).to(stacked.device)
        return (decoding @ stacked.flatten(1)).unflatten(1, stacked.shape[1:])

    # ---- matrices, computed once

    @cached_property
    def encoding(self) -> Tensor:
        """:meth:`encoding_matrix`, computed once."""
        return self.encoding_matrix()

    def decoding(self, answered: tuple[bool, ...]) -> Tensor:
        """The decoding matrix of a pattern of answers, ``(k, n)`` in double precision, computed once.

        NaN where nothing has arrived.
        """
        known = self._decoding.get(answered)
        if known is None:
            arrived = [row for row, there in enumerate(answered) if there]
            known = torch.zeros(self.k, self.n, dtype=torch.float64)
            if arrived:
                known[:, arrived] = self.decoding_matrix(arrived)
            else:
                known.fill_(torch.nan)
            self._decoding[answered] = known
        return known

    def _compact(self, answered: tuple[bool, ...]) -> Tensor:
        """The decoding matrix of a pattern without the columns of missing answers, single precision."""
        known = self._for_groups.get(answered)
        if known is None:
            known = self._for_groups[answered] = self.decoding(answered)[:, list(answered)].float()
        return known

    @cached_property
    def _weights(self) -> list[list[float]]:
        weights: list[list[float]] = self.encoding.tolist()
        return weights


def chosen(name: str, value: T | None) -> T:
    """The value of a setting that may be open.

    Raises:
        ValueError: nobody has chosen it.
    """
    if value is None:
        raise ValueError(f"{name} has not been chosen")
    return value
