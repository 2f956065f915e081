# SPDX-License-Identifier: Apache-2.0
"""Certificates as Istio's agent would bring them, and broken ones, by openssl(1)."""

import datetime
import os
import ssl
from pathlib import Path

from .process import run

CA_CONFIG = """\
[ca]
default_ca = this
[this]
dir = {directory}
database = {directory}/index.txt
new_certs_dir = {directory}/issued
certificate = {directory}/ca.pem
private_key = {directory}/ca.key
rand_serial = yes
unique_subject = no
default_md = sha256
policy = anything
copy_extensions = none
[anything]
commonName = optional
organizationName = optional
"""

KEYS = {
    "p256": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "rsa": ["-newkey", "rsa:2048"],
}


def spiffe(account, namespace="shop", domain="cluster.local"):
    return f"spiffe://{domain}/ns/{namespace}/sa/{account}"


def _time(seconds_from_now):
    moment = datetime.datetime.now(datetime.timezone.utc)
    return (moment + datetime.timedelta(seconds=seconds_from_now)).strftime("%Y%m%d%H%M%SZ")


class Credential:
    """A certificate chain with its key, and the bundle that its holder believes."""

    def __init__(self, chain, key, bundle):
        self.chain, self.key, self.bundle = Path(chain), Path(key), Path(bundle)

    def serial(self):
        return run(["openssl", "x509", "-in", self.chain, "-noout", "-serial"]) \
            .stdout.strip().split("=")[1]

    def replace_by(self, other):
        """As a rotating agent does it: each file is renamed into place, the key first."""
        for mine, theirs in ((self.key, other.key), (self.chain, other.chain)):
            fresh = mine.with_suffix(mine.suffix + ".new")
            fresh.write_bytes(theirs.read_bytes())
            fresh.chmod(0o600)
            os.replace(fresh, mine)


class Authority:
    """A certificate authority in a folder of its own."""

    def __init__(self, directory, name="Mesh CA"):
        self.directory = Path(directory)
        (self.directory / "issued").mkdir(parents=True)
        (self.directory / "index.txt").write_text("")
        self.bundle = self.directory / "ca.pem"
        config = self.directory / "ca.cnf"
        config.write_text(CA_CONFIG.format(directory=self.directory))
        run(["openssl", "req", "-x509", *KEYS["p256"], "-nodes", "-days", "30",
             "-subj", f"/O=Portcullis/CN={name}", "-keyout", self.directory / "ca.key",
             "-out", self.bundle, "-addext", "keyUsage=critical,keyCertSign,cRLSign"])

    def issue(self, name, uris=(), dns=(), ips=(), start=-3600, end=86400, key="p256",
              authority=False, common_name=None):
        """A leaf called `name`; `start` and `end` in seconds from now. Same name, new files'
        content: issue under another name and Credential.replace_by() to rotate."""
        chain, private = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        request, extensions = self.directory / f"{name}.csr", self.directory / f"{name}.ext"
        run(["openssl", "req", "-new", *KEYS[key], "-nodes", "-keyout", private, "-out", request,
             "-subj", f"/O=Portcullis/CN={common_name or name}"])
        usage = "digitalSignature" + (",keyCertSign" if authority else "") + \
            (",keyEncipherment" if key == "rsa" else "")
        names = [f"URI:{u}" for u in uris] + [f"DNS:{d}" for d in dns] + [f"IP:{i}" for i in ips]
        extensions.write_text("\n".join(
            [f"basicConstraints=critical,CA:{'TRUE' if authority else 'FALSE'}",
             f"keyUsage=critical,{usage}", "extendedKeyUsage=serverAuth,clientAuth"]
            + (["subjectAltName=" + ",".join(names)] if names else [])) + "\n")
        run(["openssl", "ca", "-batch", "-notext", "-config", self.directory / "ca.cnf",
             "-startdate", _time(start), "-enddate", _time(end),
             "-extfile", extensions, "-in", request, "-out", chain])
        return Credential(chain, private, self.bundle)

    def svid(self, account, name=None, **options):
        """The certificate of a service account, as Istio's agent gets it."""
        domain = options.pop("domain", "cluster.local")
        return self.issue(name or account, uris=[spiffe(account, domain=domain)], **options)


def client_context(credential=None, bundle=None, alpn=(), version=None):
    """For a TLS client that checks the server's chain but leaves its names to the caller."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    bundle = bundle or (credential and credential.bundle)
    if bundle:
        context.load_verify_locations(bundle)
    else:
        context.verify_mode = ssl.CERT_NONE
    return _finish(context, credential, alpn, version)


def server_context(credential, bundle=None, alpn=(), version=None):
    """For a TLS server; with `bundle` it insists on a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if bundle:
        context.load_verify_locations(bundle)
        context.verify_mode = ssl.CERT_REQUIRED
    return _finish(context, credential, alpn, version)


def _finish(context, credential, alpn, version):
    if credential:
        context.load_cert_chain(credential.chain, credential.key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if version:
        context.minimum_version = context.maximum_version = version
    return context
