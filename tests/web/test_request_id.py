"""Every answer names its request."""

import httpx
import pytest


@pytest.mark.parametrize(
    "sent", ["abc-123", "0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a01", "Root=1-67891233-abcdef", "x" * 128]
)
async def test_a_sane_request_id_is_kept(api: httpx.AsyncClient, sent: str) -> None:
    for path in ("/healthz", "/nothing", "/api/providers"):
        assert (await api.get(path, headers={"X-Request-ID": sent})).headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "two words", "<script>", "line\tbreak", "ann@example.com", "ünïcode"])
async def test_another_is_replaced(api: httpx.AsyncClient, sent: str) -> None:
    given = (await api.get("/healthz", headers={b"X-Request-ID": sent.encode()})).headers["x-request-id"]
    assert given != sent
    assert len(given) == 36


async def test_each_request_without_one_gets_its_own(api: httpx.AsyncClient) -> None:
    ids = {(await api.get("/healthz")).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
