"""Python loads this ahead of any program that has its folder in PYTHONPATH.

It keeps a copy of each file before the program removes or renames it or hands it to another program, and the
arguments of those: so a test can look for what was in a file for a moment only. It also removes the modules that
WITNESS_WITHOUT names, as if they were not installed.
"""

import os
import shutil
import sys
import threading

KEPT = os.environ["WITNESS_KEPT"]
BUSY = threading.local()


def keep(path: object) -> None:
    """Copy a file. Its name contains the process and the thread."""
    path = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
    if os.path.isfile(path) and not os.path.islink(path):
        name = f"{os.getpid()}-{threading.get_ident()}-{len(os.listdir(KEPT))}-{os.path.basename(path)}"
        shutil.copyfile(path, os.path.join(KEPT, name))


def watch(event: str, arguments: tuple) -> None:
    """Use what Python tells of what its program is about to do."""
    if event not in ("os.remove", "os.rename", "os.truncate", "subprocess.Popen") or getattr(BUSY, "now", False):
        return
    BUSY.now = True
    try:
        if event == "subprocess.Popen":
            words = [os.fsdecode(word) for word in arguments[1] if isinstance(word, (str, bytes, os.PathLike))]
            with open(os.path.join(KEPT, "arguments"), "a", encoding="utf-8", errors="surrogateescape") as file:
                file.write(" ".join(words) + "\n")
            for word in words:
                keep(word)
        else:
            keep(arguments[0])
    finally:
        BUSY.now = False


sys.addaudithook(watch)
for gone in os.environ.get("WITNESS_WITHOUT", "").split():
    sys.modules[gone] = None
