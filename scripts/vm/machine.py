"""One guest: a QEMU process, its network cards, the folder that all guests share with us."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.vm.image import CannotBoot, Image

_KERNEL = "console=ttyS0 quiet loglevel=4 mitigations=off net.ifnames=0 panic=-1 random.trust_cpu=on"
"""mitigations=off: a guest without hardware acceleration pays dearly for them, and has nobody to be guarded from."""


@dataclass(slots=True)
class Guest:
    """One virtual machine that runs one shell script and ends."""

    name: str
    script: str
    netdevs: Sequence[str]
    """QEMU's -netdev options, one for each card (eth0, eth1, ...), each without its id."""
    wires: Sequence[socket.socket] = ()
    """Ends of socket pairs that some of the cards are on: theirs is `socket,fd=` and the descriptor's number."""
    memory_mb: int = 1536
    cores: int = 1
    """One: of two that take turns on a busy host, one waits for a lock that the other holds."""
    directory: Path = field(default_factory=Path)
    process: subprocess.Popen[bytes] | None = None

    def start(self, directory: Path, image: Image) -> None:
        """Boot. `directory`/share is the guest's /run/share; what the script says goes to share/NAME/output.

        Raises:
            CannotBoot: QEMU is not installed.
        """
        qemu = shutil.which("qemu-system-x86_64")
        if qemu is None:
            raise CannotBoot("QEMU is not installed: apt-get install qemu-system-x86")
        self.directory = directory
        own = directory / "share" / self.name
        own.mkdir(parents=True)
        (own / "main").write_text(self.script)
        with (directory / f"{self.name}.qemu").open("wb") as log:
            self.process = subprocess.Popen(
                [qemu, *self._options(directory, image)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[wire.fileno() for wire in self.wires],
            )

    def wait(self, timeout_s: float) -> bool:
        """True when it has ended by itself; else it is stopped."""
        assert self.process is not None
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.stop()
            return False
        return True

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def output(self) -> str:
        """All it has written so far."""
        path = self.directory / "share" / self.name / "output"
        return path.read_text(errors="replace") if path.exists() else ""

    def _options(self, directory: Path, image: Image) -> list[str]:
        accelerator = "kvm" if kvm_works() else "tcg,thread=multi,tb-size=512"
        options = ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
        options += [
            "-M",
            "pc",
            "-cpu",
            "max",
            "-accel",
            accelerator,
            "-smp",
            str(self.cores),
            "-m",
            f"{self.memory_mb}M",
        ]
        options += ["-serial", f"file:{directory / self.name}.console"]
        options += ["-append", f"{_KERNEL} guest={self.name}"]
        options += ["-kernel", str(image.kernel), "-initrd", str(image.initramfs)]
        options += ["-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"]
        options += ["-fsdev", f"local,id=share,path={directory}/share,security_model=none"]
        for tag in ("root", "share"):
            options += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        for number, netdev in enumerate(self.netdevs):
            mac = f"52:54:00:77:{sum(self.name.encode()) % 256:02x}:{number:02x}"
            options += ["-netdev", f"{netdev},id=net{number}"]
            options += ["-device", f"virtio-net-pci,netdev=net{number},mac={mac},romfile="]
        return options


def kvm_works() -> bool:
    """The device may be there without a processor that can do it."""
    flags = Path("/proc/cpuinfo").read_text()
    return os.access("/dev/kvm", os.R_OK | os.W_OK) and (" vmx" in flags or " svm" in flags)
