# SPDX-License-Identifier: Apache-2.0
"""A certificate authority of the lab, by nvo3-pki."""

import os
import shutil

from .process import run


class Pki:
    """A CA in `directory`, made when first needed."""

    def __init__(self, programs, directory, trust_domain="sandbox.test"):
        self._programs = programs
        self.directory = str(directory)
        self.trust_domain = trust_domain
        self.ca = f"{self.directory}/ca.crt"
        self.crl = f"{self.directory}/ca.crl"

    def init(self):
        self._pki("init", "--trust-domain", self.trust_domain, self.directory)

    def host(self, name, *options):
        """Makes a certificate; returns (certificate, key). `options` as of nvo3-pki: --role, --start, --end, --renew."""
        self._pki("host", name, "--dir", self.directory, *options)
        return f"{self.directory}/{name}.crt", f"{self.directory}/{name}.key"

    def revoke(self, name):
        self._pki("revoke", name, "--dir", self.directory)

    def give(self, name, directory, *options):
        """Makes a certificate for `name` and moves it with its key, the CA and CRL to a host's directory."""
        os.makedirs(directory, mode=0o700, exist_ok=True)
        for source in self.host(name, *options):
            os.replace(source, os.path.join(directory, os.path.basename(source)))
        self.publish(directory)
        return f"{directory}/{name}.crt", f"{directory}/{name}.key"

    def publish(self, directory):
        """Copies CA and CRL to a host; each appears whole, as an operator's tool would do it."""
        for source in (self.ca, self.crl):
            target = os.path.join(directory, os.path.basename(source))
            shutil.copy(source, target + ".new")
            os.replace(target + ".new", target)

    def _pki(self, *argv):
        run([self._programs.pki, "--quiet", *argv])
