"""Budgets: how many further copies a policy may send, whatever is late."""

from collections import deque

TOKEN_RATIO = 0.1
"""Unless a policy is told otherwise: tokens that a success gives back (the example of gRPC's proposal A6)."""

LIFETIME_S = 30.0
"""What a query deposits for copies is good for so long."""

SLICES = 10
"""The lifetime is counted in so many steps."""


class Budget:
    """Says whether a copy may be sent.

    Two rules, each of which may be left out; with both, both must allow a copy:

    - A share of extra load (Finagle's ``maxExtraLoad`` of backup requests): each batch that arrives deposits
      ``max_extra``, which is good for :data:`LIFETIME_S`, and each copy takes 1.
    - Tokens (gRPC's ``retryThrottling``, proposal A6): a failure takes one, a success gives ``token_ratio`` back, up to
      ``tokens``. With half of the tokens or less there are no copies. So failures throttle it, and slowness does not.

    Args:
        max_extra: copies over batches; None: any.
        tokens: how many there are at most; None: copies whatever fails.
        token_ratio: tokens that a success gives back.

    Raises:
        ValueError: a value outside its range.
    """

    def __init__(
        self, max_extra: float | None = None, tokens: float | None = None, token_ratio: float = TOKEN_RATIO
    ) -> None:
        if max_extra is not None and not 0 <= max_extra <= 1:
            raise ValueError(f"max_extra={max_extra}: expected a share from 0 to 1, or null for any number of copies")
        if tokens is not None and not tokens > 0:
            raise ValueError(f"tokens={tokens}: expected a number above 0, or null for copies whatever fails")
        if not token_ratio > 0:
            raise ValueError(f"token_ratio={token_ratio}: expected a number above 0")
        self.max_extra = max_extra
        self.tokens = tokens
        self.token_ratio = token_ratio
        self.start()

    def start(self) -> None:
        """Begin a run: nothing is saved, and all tokens are there."""
        self._saved: deque[list[float]] = deque()  # until when what was deposited in a step is good, and what is left
        self._sum = 0.0
        self._left = self.tokens

    def arrived(self, now_s: float) -> None:
        """A batch has arrived."""
        if self.max_extra is None:
            return
        self._expire(now_s)
        self._sum += self.max_extra
        step_s = LIFETIME_S / SLICES
        good_until_s = (now_s // step_s + 1) * step_s + LIFETIME_S
        if self._saved and self._saved[-1][0] == good_until_s:
            self._saved[-1][1] += self.max_extra
        else:
            self._saved.append([good_until_s, self.max_extra])

    def succeeded(self) -> None:
        """A piece of work is done."""
        if self.tokens is not None and self._left is not None:
            self._left = min(self._left + self.token_ratio, self.tokens)

    def failed(self) -> None:
        """A piece of work has failed."""
        if self._left is not None:
            self._left = max(self._left - 1, 0.0)

    def allows(self, now_s: float) -> bool:
        """Whether one more copy may be sent."""
        if self.tokens is not None and self._left is not None and self._left <= self.tokens / 2:
            return False
        if self.max_extra is None:
            return True
        self._expire(now_s)
        return self._sum >= 1 - 1e-9  # sums of shares such as 0.1 are a little off

    def spend(self) -> None:
        """A copy is sent: what will expire first pays for it."""
        if self.max_extra is None:
            return
        price = 1.0
        while price > 0 and self._saved:
            step = self._saved[0]
            paid = min(step[1], price)
            step[1] -= paid
            price -= paid
            if step[1] <= 0:
                self._saved.popleft()
        self._sum = max(self._sum - 1, 0.0)

    def _expire(self, now_s: float) -> None:
        while self._saved and self._saved[0][0] <= now_s:
            self._sum = max(self._sum - self._saved.popleft()[1], 0.0)
