"""Certificates for tests, by the `openssl` command: an authority, and what it signs."""
import os
import subprocess

CA_CONF = """[ca]
default_ca = own
[own]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""


def openssl(*args):
    done = subprocess.run(["openssl", *map(str, args)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"openssl {' '.join(map(str, args))}: {done.stderr}")
    return done.stdout


class Authority:
    """One that signs. `certificate` is the path of its own certificate."""

    def __init__(self, folder, name="test authority"):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.certificate = os.path.join(folder, "ca.pem")
        self.key = os.path.join(folder, "ca.key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self.key, "-out", self.certificate, "-days", 30, "-subj", "/CN=" + name)
        with open(os.path.join(folder, "ca.conf"), "w", encoding="utf-8") as file:
            file.write(CA_CONF.format(folder=folder))
        open(os.path.join(folder, "index.txt"), "w", encoding="utf-8").close()
        with open(os.path.join(folder, "serial"), "w", encoding="utf-8") as file:
            file.write("1000\n")

    def sign(self, name, hosts, begins=None, ends=None, days=30):
        """Makes a key and a certificate for addresses and names; (certificate, key). `begins` and
        `ends` are "YYYYMMDDHHMMSSZ"."""
        base = os.path.join(self.folder, name)
        alternatives = ",".join(("IP:" if h.replace(".", "").isdigit() or ":" in h else "DNS:") + h
                                for h in hosts)
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", base + ".key", "-out", base + ".csr", "-subj", "/CN=" + name,
                "-addext", "subjectAltName=" + alternatives)
        times = ["-startdate", begins] if begins else []
        times += ["-enddate", ends] if ends else ["-days", days]
        openssl("ca", "-batch", "-notext", "-config", os.path.join(self.folder, "ca.conf"),
                "-cert", self.certificate, "-keyfile", self.key, "-in", base + ".csr",
                "-out", base + ".pem", *times)
        os.chmod(base + ".key", 0o600)
        return base + ".pem", base + ".key"
