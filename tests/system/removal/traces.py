"""What a machine has in addition to an earlier state: files, units, interfaces, accounts, tables of the firewall."""

from __future__ import annotations

from tests.system.fleet import Fleet

# Where the kernel, the package manager and programs that run anyway keep their own state.
IGNORED = (
    "/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/log", "/var/cache", "/var/lib/apt", "/var/lib/dpkg",
    "/var/lib/systemd", "/root", "/usr",
    # Of Ansible's and sudo's own, and of packages that remain.
    "/home/*/.ansible", "/home/*/.sudo_as_admin_successful", "/etc/alternatives",
)
# The table of the engine outside, for the DNS server of the machine, which is a container.
OUTSIDE = {"table ip nat"}


def traces(fleet: Fleet, name: str) -> dict[str, set[str]]:
    """Return the traces of a machine by kind. Files of installed packages are not included."""

    def lines(command: str) -> set[str]:
        return set(fleet.execute(name, ["sh", "-c", command]).out.splitlines())

    ignored = " ".join(f"-path '{path}' -prune -o" for path in IGNORED)
    files = lines(f"find / -xdev {ignored} -print") - lines("cat /var/lib/dpkg/info/*.list")
    units = lines("find /etc/systemd /usr/lib/systemd -type f -o -type l") - lines("cat /var/lib/dpkg/info/*.list")
    return {
        "files": files,
        "units": units,
        "interfaces": lines("ls /sys/class/net"),
        "users": lines("cut -d: -f1 /etc/passwd"),
        "groups": lines("cut -d: -f1 /etc/group"),
        "tables": lines("if command -v nft > /dev/null; then nft list tables; fi") - OUTSIDE,
    }


def added(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, list[str]]:
    """Return what a machine has in addition, by kind, without the kinds where there is nothing."""
    found = {kind: sorted(after[kind] - before[kind]) for kind in before}
    return {kind: names for kind, names in found.items() if names}
