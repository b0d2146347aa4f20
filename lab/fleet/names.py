"""The lab's DNS server, for machines that the inventory addresses by name."""

from __future__ import annotations

import docker

from lab.fleet.network import serve
from lab.fleet.settings import Machine, Settings, ip_version


def records(machines: tuple[Machine, ...]) -> list[str]:
    """Return dnsmasq's option for each machine that ssh addresses by name: A, AAAA, or both."""
    return [
        "--host-record=" + ",".join(filter(None, (machine.ssh_name, machine.address, machine.address6)))
        for machine in machines
        if ip_version(machine.ssh_name) is None
    ]


def start_dns(client: docker.DockerClient, settings: Settings, image: str) -> None:
    """Start the DNS server if the inventory gives it an address, and write a resolv.conf for it."""
    if settings.dns_address is None:
        return
    command = ["dnsmasq", "--keep-in-foreground", "--log-facility=-", "--no-hosts", *records(settings.machines)]
    serve(client, "dns", image, settings.dns_address, Cmd=command, host={"Init": True})
    settings.resolv_conf.write_text(f"nameserver {settings.dns_address}\n")
