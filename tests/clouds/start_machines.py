"""Create machines in moto's EC2, with the given private addresses and without public ones.

start_machines.py URL MACHINES NETWORK

MACHINES is JSON: a list of objects with `name`, `address` and `tags`. NETWORK is their subnet.
"""

from __future__ import annotations

import json
import sys

import boto3

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "eu-central-1"}


def main(url: str, machines: str, network: str) -> None:
    client = boto3.client("ec2", endpoint_url=url, **KEYS)
    vpc = client.create_vpc(CidrBlock=network)["Vpc"]["VpcId"]
    subnet = client.create_subnet(VpcId=vpc, CidrBlock=network)["Subnet"]["SubnetId"]
    image = client.describe_images()["Images"][0]["ImageId"]
    for machine in json.loads(machines):
        tags = {"Name": machine["name"], **machine["tags"]}
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        client.run_instances(
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet,
            PrivateIpAddress=machine["address"],
            TagSpecifications=[{"ResourceType": "instance", "Tags": pairs}],
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
