"""The lab: machines, registry, L1, and the proof at the end.

settings  what can be set, read from the environment and the lab's inventory
engine    the Docker engine that carries the lab
images    Debian, the machine, the services, Aztec
network   containers at fixed addresses
names     the DNS server, where machines are reached by name
registry  from which the machines pull by production's names
l1        anvil with Aztec's contracts, and the sequencer
hosts     the machines: make, reach, reboot, try doors
proof     what the rollup contract has accepted
report    the table at the end
"""
