# SPDX-License-Identifier: Apache-2.0
"""A machine as the packages leave it, for the commands that look at fixed places: /run and /etc of a mount namespace, which the machine itself never sees."""

# /run is empty; /etc is a copy, with the user of the packages' services.
_SETUP = """
mkdir -p "$0" && mount -t tmpfs tmpfs /run
cp -a /etc "$0" && mount --bind "$0/etc" /etc
grep -q ^_nvo3: /etc/passwd || echo _nvo3:x:64653:64653::/nonexistent:/usr/sbin/nologin >>/etc/passwd
grep -q ^_nvo3: /etc/group || echo _nvo3:x:64653: >>/etc/group
rm -f /etc/systemd/system/multi-user.target.wants/nvo3-*
"""


def packaged(directory, script=""):
    """The beginning of a command line that runs there, after the shell commands `script`; `directory` is for the copy."""
    return ["unshare", "--mount", "sh", "-euc", f'{_SETUP}{script}\nexec "$@"', str(directory)]
