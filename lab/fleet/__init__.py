"""The lab: machines, registry, L1, and the proof at the end.

settings  settings from the environment and the lab's inventory
engine    the Docker engine that runs the lab
images    Debian, the machine, the services, Aztec
network   containers with fixed addresses
names     the DNS server for machines that are addressed by name
registry  the registry from which the machines pull, with the image names of production
l1        anvil with Aztec's contracts, and the sequencer
hosts     the machines: create, run commands, reboot, try connections
proof     the proofs that the rollup contract accepted
report    the closing table
"""
