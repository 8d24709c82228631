"""The page for people: one file, with nothing from anywhere else."""

from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Browsers load nothing but what is in the page, and talk to nobody but this server."""


async def page(_: Request) -> Response:
    """The page, which asks ``/status`` once a second."""
    return HTMLResponse(_content(), headers={"content-security-policy": POLICY, "cache-control": "no-store"})


@cache
def _content() -> str:
    return files("parity_exp.endpoint.transports").joinpath("page.html").read_text()
