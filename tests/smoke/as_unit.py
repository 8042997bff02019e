#!/usr/bin/python3
"""as_unit.py UNIT COMMAND...: run a command with the user, the capabilities and the system calls that
a systemd unit leaves its service, where no systemd runs.  Called by unit.sh."""
import ctypes
import errno
import os
import re
import subprocess
import sys

ALLOW, ERRNO = 0x7FFF0000, 0x00050000  # seccomp(2)


def settings(unit, key):
    """All values of one setting, as words; later lines add to earlier ones."""
    with open(unit, encoding="utf-8") as lines:
        values = [line.split("=", 1)[1].split() for line in lines if line.startswith(key + "=")]
    return [word for value in values for word in value]


def expand(name):
    """The system calls of a name: itself, or a group such as @file-system."""
    if not name.startswith("@"):
        return {name}
    listed = subprocess.run(["systemd-analyze", "syscall-filter", name], text=True, check=True,
                            stdout=subprocess.PIPE).stdout.splitlines()
    words = [line.strip() for line in listed[1:] if re.match(r"\s+[@a-z]", line)]
    return set().union(*map(expand, words))


def system_calls(unit):
    """What SystemCallFilter= comes to: lines that begin with ~ take away."""
    allowed = set()
    with open(unit, encoding="utf-8") as lines:
        for line in lines:
            if not line.startswith("SystemCallFilter="):
                continue
            value = line.split("=", 1)[1].strip()
            calls = set().union(*map(expand, value.lstrip("~").split()))
            allowed = allowed - calls if value.startswith("~") else allowed | calls
    return allowed


def install(calls):
    """A filter that answers EPERM to all else."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ERRNO | errno.EPERM))
    for name in calls | {"execve"}:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number != -1:
            library.seccomp_rule_add(context, ALLOW, number, 0)
    if library.seccomp_load(context) != 0:
        sys.exit("as_unit.py: no filter")


def capabilities(unit, key):
    """These and no others, as setpriv wants it."""
    return ",".join(["-all"] + [word.replace("CAP_", "+").lower() for word in settings(unit, key)])


def main(unit, command):
    """Become the user, then take the filter on, then be the command."""
    if os.environ.get("AS_UNIT") == "confined":
        install(system_calls(unit))
        os.execvp(command[0], command)
    os.environ["AS_UNIT"] = "confined"
    user = settings(unit, "User")[0]
    os.execvp("setpriv", ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups",
                          "--inh-caps=" + capabilities(unit, "AmbientCapabilities"),
                          "--ambient-caps=" + capabilities(unit, "AmbientCapabilities"),
                          "--bounding-set=" + capabilities(unit, "CapabilityBoundingSet"),
                          "--no-new-privs", sys.executable, os.path.abspath(__file__), unit, *command])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
