"""Real apt, with the verifiers of Debian 12 (gpgv) and 13 (sqv), and a second key next to the one that is trusted.

The second key is hidden in forms of armor that a verifier reads. With what the role docker_engine writes, apt must not
accept what the second key has signed, whatever the fetched text was.
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from ansible_collections.aztec_ops.prover.plugins.plugin_utils.docker_engine.openpgp import (
    BEGIN,
    END,
    armor,
    checked_key,
    packet,
    packets,
)

from lab.fleet.images import Images
from lab.fleet.settings import load
from lab.fleet.system import need

OWNERS = ("right", "second")
SUITE = "stable"
# One run of apt for each line `key repository` of /shared/cases; prints `key status`.
SCRIPT = """
printf 'Dir::State::Lists "/apt/lists";
Dir::State::Status "/apt/status";
Dir::Cache "/apt/cache";
Dir::Etc::SourceList "/apt/sources.list";
Dir::Etc::SourceParts "-";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
' >/apt.conf
export APT_CONFIG=/apt.conf
while read -r key repository; do
  rm -rf /apt
  mkdir -p /apt/lists/partial /apt/cache/archives/partial
  : >/apt/status
  cp "/shared/keys/$key" /apt/key.asc
  echo "deb [signed-by=/apt/key.asc] file:/shared/$repository stable main" >/apt/sources.list
  status=0
  apt-get update >/apt/output 2>&1 || status=$?
  echo "$key $status"
done </shared/cases
"""


def forms(right: str, second: str) -> dict[str, tuple[str, str]]:
    """Return name -> (text, the verifiers that read the second key in it) of texts that hold both keys."""
    both, gpgv, sqv, none = "gpgv sqv", "gpgv", "sqv", ""
    data = {name: packets(base64.b64decode("".join(text.splitlines()[2:-2]))) for name, text in
            (("right", right), ("second", second))}
    whole = {name: b"".join(packet(tag, body) for tag, body in found) for name, found in data.items()}
    as_subkey = packet(14, data["second"][0][1])
    hidden = {
        "plain": (second, both),
        "CRLF": (second.replace("\n", "\r\n"), sqv),
        "headers": (second.replace("\n\n", "\nVersion: x\n\n").replace(BEGIN, f"{BEGIN} "), both),
        "no blank line": (second.replace("\n\n", "\n").replace(BEGIN, f"{BEGIN} "), sqv),
        "no checksum": (re.sub("\n=....\n", "\n", second).replace(BEGIN, f"{BEGIN} "), both),
        "blank behind dashes": (second.replace(BEGIN, f"{BEGIN} "), both),
        "tab behind dashes": (second.replace(BEGIN, f"{BEGIN}\t"), both),
        "word behind dashes": (second.replace(BEGIN, f"{BEGIN} x"), gpgv),
        "blank before dashes": (second.replace(BEGIN, f" {BEGIN}"), sqv),
        "blank before last dashes": (second.replace(END, f" {END}"), sqv),
        "escaped dashes": (second.replace(BEGIN, f"- {BEGIN}"), none),
        "quoted": (re.sub("^", "> ", second, flags=re.MULTILINE), none),
        "six dashes": (second.replace(BEGIN, f"-{BEGIN}-"), sqv),
        "four dashes": (second.replace(BEGIN, BEGIN[:-1]), both),
        "four last dashes": (second.replace(END, END[:-1]), both),
        "lower case": (second.replace(BEGIN, BEGIN.lower()), none),
        "message": (second.replace("PUBLIC KEY BLOCK", "MESSAGE"), both),
        "signature": (second.replace("PUBLIC KEY BLOCK", "SIGNATURE"), both),
        "private key": (second.replace("PUBLIC", "PRIVATE"), both),
        "other label": (second.replace("PGP PUBLIC KEY BLOCK", "X"), gpgv),
        "other end": (second.replace(END, "-----END X-----"), gpgv),
        "carriage returns": (second.replace("\n", "\r"), sqv),
    }
    found = {}
    for name, (text, readers) in hidden.items():
        found[f"{name}, before"] = (text + right, readers)
        found[f"{name}, after"] = (right + text, sqv if name == "quoted" else readers)
    inner = second.replace(BEGIN, "\n").replace("\n\n\n", "\n \n", 1)
    return {
        **found,
        "no end, before": (f"{second.replace(END, '')}{right}".replace(BEGIN, f"{BEGIN} ", 1), gpgv),
        "nested": (f"{BEGIN}{inner.replace(END, END[:-1])}{right.removeprefix(BEGIN)}", sqv),
        "words before the right key's dashes": (f"x{right}{second.replace(BEGIN, f'{BEGIN} ')}", both),
        "words behind the right key's dashes": (f"{right.rstrip()}x\n{second.replace(BEGIN, f'{BEGIN} ')}", both),
        "two primary keys": (armor(whole["right"] + whole["second"]), both),
        "two primary keys, second first": (armor(whole["second"] + whole["right"]), both),
        "as a subkey": (armor(whole["right"] + as_subkey), none),
        "as a subkey with the right key's signature": (
            armor(whole["right"] + as_subkey + packet(2, dict(data["right"])[2])),
            none,
        ),
        "as a subkey with its own signature": (
            armor(whole["right"] + as_subkey + packet(2, dict(data["second"])[2])),
            none,
        ),
        "in a compressed packet": (armor(whole["right"] + packet(8, b"\0" + whole["second"])), none),
    }


@dataclass(frozen=True)
class Signed:
    """A directory with a repository for each owner of a key, and the armored keys and fingerprints by owner."""

    folder: Path
    keys: dict[str, str]
    fingerprints: dict[str, str]


def gpg(home: Path, *arguments: object, text: str | None = None) -> str:
    """Run GnuPG in a directory of its own and return its output."""
    command = ["gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    return subprocess.run(
        [*map(str, [*command, *arguments])], input=text, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def make_repository(folder: Path, sign) -> None:
    """Write an empty apt repository, whose release is what sign makes of it."""
    index = folder / "dists" / SUITE / "main/binary-amd64/Packages"
    index.parent.mkdir(parents=True)
    index.touch()
    release = (
        f"Suite: {SUITE}\nCodename: {SUITE}\nArchitectures: amd64\nComponents: main\n"
        f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {hashlib.sha256().hexdigest()} 0 main/binary-amd64/Packages\n"
    )
    (folder / "dists" / SUITE / "InRelease").write_text(sign(release))


@pytest.fixture
def signed(tmp_path: Path) -> Iterator[Signed]:
    """Yield two repositories, each signed with a key of its own."""
    need({"gpg": "gpg", "gpg-agent": "gpg-agent"})
    home, folder = tmp_path / "gnupg", tmp_path / "shared"
    home.mkdir(mode=0o700)
    keys, fingerprints = {}, {}
    for owner in OWNERS:
        gpg(home, "--quick-gen-key", owner, "ed25519", "sign", "never")
        keys[owner] = gpg(home, "--armor", "--export", owner)
        listed = gpg(home, "--with-colons", "--list-keys", owner)
        (fingerprints[owner],) = re.findall(r"^fpr:+([0-9A-F]+):", listed, re.MULTILINE)

        def sign(release: str, owner: str = owner) -> str:
            return gpg(home, "--local-user", owner, "--clearsign", text=release)

        make_repository(folder / owner, sign)
    yield Signed(folder, keys, fingerprints)
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)


class Apt:
    """The apt of one Debian suite, queried whether it accepts repositories with given keyrings."""

    def __init__(self, signed: Signed, suite: str) -> None:
        """Make the suite's image if it is not there."""
        self.signed = signed
        self.client = docker.from_env()
        self.image = Images(self.client, load()).base(suite)
        self.verifier = self.run("if [ -e /usr/lib/apt/methods/sqv ]; then echo sqv; else echo gpgv; fi").strip()

    def run(self, script: str) -> str:
        """Run a script in a container without a network and return its output."""
        volumes = [f"{self.signed.folder}:/shared:ro"]
        command = ["sh", "-euc", script]
        output = self.client.containers.run(self.image, command, volumes=volumes, network_mode="none", remove=True)
        return output.decode()

    def accepts(self, owner: str, texts: dict[str, str]) -> set[str]:
        """Return the names of those texts with which apt accepts the repository that the owner's key has signed."""
        keys = self.signed.folder / "keys"
        keys.mkdir(exist_ok=True)
        numbers = {str(number): name for number, name in enumerate(texts)}
        for number, name in numbers.items():
            (keys / number).write_bytes(texts[name].encode())
        (self.signed.folder / "cases").write_text("".join(f"{number} {owner}\n" for number in numbers))
        lines = [line.split() for line in self.run(SCRIPT).splitlines()]
        assert [number for number, _status in lines] == list(numbers)
        return {numbers[number] for number, status in lines if status == "0"}


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_second_key_is_not_trusted(signed: Signed, suite: str) -> None:
    """With what is written apt accepts the right key's repository only; with many texts as fetched, the second's."""
    apt = Apt(signed, suite)
    table = forms(signed.keys["right"], signed.keys["second"])
    fetched = {name: text for name, (text, _readers) in table.items()}
    read = apt.accepts("second", {**fetched, **signed.keys})
    # This shows that the texts do what they were made for.
    assert read == {name for name, (_text, readers) in table.items() if apt.verifier in readers.split()} | {"second"}

    texts = [*fetched.values(), signed.keys["right"]]
    checked = {checked_key(text, signed.fingerprints["right"])["key"] for text in texts} - {""}
    written = {f"written {number}": key for number, key in enumerate(sorted(checked))}
    assert written
    assert apt.accepts("second", written) == set()
    assert apt.accepts("right", written) == set(written)
