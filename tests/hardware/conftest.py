"""The two hosts of the RDMA tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hardware.far import REASON, Far, Hosts, hosts


@pytest.fixture
def pair_of_hosts() -> Hosts:
    found = hosts()
    if found is None:
        pytest.skip(REASON)
    return found


@pytest.fixture
def far(pair_of_hosts: Hosts) -> Iterator[Far]:
    """The far host; what a test started there has ended afterwards."""
    one = Far(pair_of_hosts.peer)
    yield one
    one.close()
