"""What a guest boots: the distribution's kernel, and a first file system of a few modules and one shell script.

The guest's root is this machine's own, over 9p and read-only, so what is installed here is there too; `/run` is memory,
and one folder is shared for writing. Nothing is coldplugged: without hardware acceleration that alone takes a minute.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

MODULES = ("virtio_pci", "virtio_net", "9pnet_virtio", "9p", "crc32_generic", "rdma_rxe")
SHARE = Path("/run/share")
_INIT = f"""#!/bin/busybox sh
export PATH=/bin
/bin/busybox mkdir -p /proc && /bin/busybox mount -t proc proc /proc
while read module; do /bin/busybox insmod /modules/$module || echo "no module $module"; done < /modules/order
over=trans=virtio,version=9p2000.L,msize=512000
/bin/busybox mount -t 9p -o $over,ro,cache=loose root /root
/bin/busybox mount -t proc proc /root/proc
/bin/busybox mount -t sysfs sys /root/sys
/bin/busybox mount -t devtmpfs dev /root/dev
/bin/busybox mkdir -p /root/dev/shm && /bin/busybox mount -t tmpfs shm /root/dev/shm
/bin/busybox mount -t tmpfs run /root/run
/bin/busybox mkdir -p /root{SHARE} /root/run/tmp && /bin/busybox mount -t 9p -o $over share /root{SHARE}
/bin/busybox ifconfig lo 127.0.0.1
guest=$(/bin/busybox sed 's/.*guest=//; s/ .*//' /proc/cmdline)
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/run/tmp HOME=/run/tmp
/bin/busybox chroot /root /bin/bash {SHARE}/$guest/main > /root{SHARE}/$guest/output 2>&1
/bin/busybox poweroff -f
"""


@dataclass(frozen=True, slots=True)
class Image:
    """A kernel and the file system it starts with."""

    kernel: Path
    initramfs: Path


class CannotBoot(Exception):
    """Guests cannot be had on this machine; says why."""


def kernel_release() -> str:
    """The newest kernel under /boot that has soft-RoCE.

    Raises:
        CannotBoot: there is none.
    """
    kernels = sorted(Path("/boot").glob("vmlinuz-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for kernel in kernels:
        release = kernel.name.removeprefix("vmlinuz-")
        if any(Path(f"/lib/modules/{release}").glob("kernel/drivers/infiniband/sw/rxe/*")):
            return release
    raise CannotBoot("no kernel with soft-RoCE (rdma_rxe) is installed: apt-get install linux-image-amd64")


def make_image(directory: Path) -> Image:
    """Write an initramfs into the directory. About half a second.

    Raises:
        CannotBoot: something it is made of is not installed.
    """
    busybox = shutil.which("busybox")
    if busybox is None:
        raise CannotBoot("busybox is not installed: apt-get install busybox-static")
    release = kernel_release()
    root = directory / "initramfs"
    for name in ("bin", "modules", "root"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin" / "busybox")
    order = [path for module in MODULES for path in _with_dependencies(release, module)]
    for path in order:
        shutil.copy(path, root / "modules")
    names = dict.fromkeys(path.name for path in order)
    (root / "modules" / "order").write_text("".join(f"{name}\n" for name in names))
    (root / "init").write_text(_INIT)
    (root / "init").chmod(0o755)
    target = directory / "initramfs.cpio"
    files = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    with target.open("wb") as out:
        command = [busybox, "cpio", "-o", "-H", "newc"]
        subprocess.run(command, input=files.encode(), cwd=root, stdout=out, stderr=subprocess.DEVNULL, check=True)
    return Image(Path(f"/boot/vmlinuz-{release}"), target)


def _with_dependencies(release: str, module: str) -> list[Path]:
    """In the order they are to be loaded."""
    command = ["/sbin/modprobe", "--set-version", release, "--show-depends", "--ignore-install", module]
    try:
        lines = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotBoot(
            f"the kernel module {module} cannot be found: apt-get install kmod linux-image-amd64"
        ) from error
    return [Path(line.split()[1]) for line in lines if line.startswith("insmod ")]
