"""Two guests with soft-RoCE: what each of them runs, as shell scripts. Pure.

    dpu     eth0 10.77.0.1 -- the link, which tests cut --  eth0 10.77.0.2  worker
            eth1 10.78.0.1 -- the tests' own talk --------  eth1 10.78.0.2
            eth2 10.79.0.1 --.
            eth3 10.80.0.1 --'  one wire from the guest to itself, for the contract suite: both ends in one process

The last two would be short-circuited inside the kernel (their addresses are local), so the local table is asked after
two routes that send each to the other over the wire. The card's packet counter shows that they go there.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from scripts.vm.image import SHARE

PEER_PORT = 7400
NEAR, FAR = "10.77.0.1", "10.77.0.2"
_MTU = 4400
"""Room for RoCE's largest, 4096 bytes: fewer packets, which is what costs without hardware acceleration."""

_NETWORK = """
set -e
card() { ip address add $2/24 dev $1; ip link set $1 mtu %(mtu)d up; }
roce() { rdma link add rxe_$1 type rxe netdev $1; }
card eth0 %(link)s; card eth1 %(talk)s; roce eth0
ulimit -l unlimited
mkdir -p /run/python; ln -s %(pyverbs)s /run/python/pyverbs
export PYTHONPATH=/run/python PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_STORAGE_DIRECTORY=/run/hypothesis OMP_NUM_THREADS=1
export PATH=%(bin)s:$PATH
cd %(root)s
"""
_TO_ITSELF = """
card eth2 10.79.0.1; card eth3 10.80.0.1; roce eth2; roce eth3
for one in eth2 eth3; do sysctl -qw net.ipv4.conf.$one.accept_local=1 net.ipv4.conf.$one.arp_ignore=1; done
ip rule add preference 10 lookup local; ip rule delete preference 0
ip route add 10.80.0.1 dev eth2 src 10.79.0.1 table 101; ip rule add preference 5 to 10.80.0.1 iif lo lookup 101
ip route add 10.79.0.1 dev eth3 src 10.80.0.1 table 102; ip rule add preference 5 to 10.79.0.1 iif lo lookup 102
"""
_WORKER = """
export FRAMEGATE_PEER_LOGS=%(share)s/worker
exec python -m tests.hardware.peer 10.78.0.2 %(port)d eth0
"""
_DPU = """
sent() { cat /sys/class/net/eth2/statistics/tx_bytes; }
before=$(sent)
export FRAMEGATE_RDMA=10.80.0.1 FRAMEGATE_RDMA_CLIP=%(share)s/clip FRAMEGATE_RDMA_RESULTS=%(share)s/results
export FRAMEGATE_RDMA_ROUNDS=%(rounds)d FRAMEGATE_RDMA_PAIR=%(near)s,%(far)s,10.78.0.2:%(port)d
python -m pytest -v --no-header -p no:cacheprovider -p no:xdist --durations=12 --junitxml=%(share)s/tests.xml \\
  -k "%(only)s" tests/contracts/test_lane.py tests/hardware || true
echo $(($(sent) - before)) > %(share)s/wire_bytes
"""
_ALL = "rdma and not rdma_vm"


def worker_script(root: Path, python: Path, pyverbs: Path) -> str:
    """The far host."""
    return _filled(_NETWORK + _WORKER, root, python, pyverbs, FAR, "10.78.0.2")


def dpu_script(root: Path, python: Path, pyverbs: Path, only: str = "", rounds: int = 1) -> str:
    """The near host: it runs the tests, or those that pytest's -k would choose with `only`.

    rounds: of each measurement of speed.
    """
    chosen = f"{_ALL} and ({only})" if only else _ALL
    return _filled(_NETWORK + _TO_ITSELF + _DPU, root, python, pyverbs, NEAR, "10.78.0.1", chosen, rounds)


def _filled(
    text: str, root: Path, python: Path, pyverbs: Path, link: str, talk: str, only: str = "", rounds: int = 1
) -> str:
    return "#!/bin/bash" + text % {
        "mtu": _MTU,
        "link": link,
        "talk": talk,
        "near": NEAR,
        "far": FAR,
        "port": PEER_PORT,
        "share": SHARE,
        "bin": shlex.quote(str(python.parent)),
        "root": shlex.quote(str(root)),
        "pyverbs": shlex.quote(str(pyverbs)),
        "only": only,
        "rounds": rounds,
    }
