"""How messages of gRPC get in: within a time, and within the room that a server has for requests.

What is under way of a message is in gRPC's own hands, which say nothing of it before it is whole. So one that is not
whole in a moment counts as if it were as long as a message may be.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from parity_exp.endpoint.protocol.refused import RefusedError, Why, malformed
from parity_exp.endpoint.room import Held

MOMENT_S = 0.05


async def read(
    context: grpc.aio.ServicerContext[Any, Any],
    parse: Callable[[bytes], Any],
    held: Held,
    longest: int,
    timeout_s: float,
) -> Any:
    """The only message of a call.

    Args:
        context: of the call.
        parse: makes a message of bytes.
        held: counts the bytes.
        longest: bytes of a message at most.
        timeout_s: until it is to be whole.

    Raises:
        RefusedError: it does not come in time, there is no room for it, or it is none.
    """
    refused: list[RefusedError] = []

    def lasts() -> None:
        try:
            held.keep(longest)
            limit.reschedule(until_s)
        except RefusedError as error:
            refused.append(error)
            limit.reschedule(0)

    loop = asyncio.get_running_loop()
    until_s = loop.time() + timeout_s
    moment = loop.call_later(min(MOMENT_S, timeout_s), lasts)
    try:
        async with asyncio.timeout(None) as limit:
            content: Any = await context.read()
    except TimeoutError:
        raise (
            refused[0] if refused else RefusedError(Why.SLOW, f"the message was not whole after {timeout_s:g} s")
        ) from None
    finally:
        moment.cancel()
    if content is grpc.aio.EOF:
        raise malformed("a call without a message")
    held.more(len(content))
    return parsed(parse, content)


def parsed(parse: Callable[[bytes], Any], content: bytes) -> Any:
    """A message.

    Raises:
        RefusedError: the bytes are none.
    """
    try:
        return parse(content)
    except DecodeError:
        raise malformed("the bytes are no message of this method") from None
