"""Checks the documents of this folder as far as this machine can: the unit by systemd-analyze where there
is one, the Dockerfile by what it copies and whom it runs as.

usage: python deploy/check.py
"""

import pathlib
import re
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
INSTRUCTIONS = "ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM RUN STOPSIGNAL USER WORKDIR".split()


def check_unit():
    if not shutil.which("systemd-analyze"):
        return print("tinymood.service: not checked, there is no systemd-analyze")
    with tempfile.TemporaryDirectory() as folder:
        unit = pathlib.Path(folder) / "tinymood.service"
        # The binary need not be installed here; any that is there stands for it.
        text = (HERE / "tinymood.service").read_text()
        unit.write_text(text.replace("/usr/local/bin/tinymood", "/bin/true"))
        command = ["systemd-analyze", "verify", "--man=no", str(unit)]
        ran = subprocess.run(command, capture_output=True, text=True)
        said = [line for line in (ran.stdout + ran.stderr).splitlines() if "tinymood.service" in line]
        assert ran.returncode == 0 and not said, ran.stdout + ran.stderr
    print("tinymood.service: systemd-analyze has nothing to say")


def check_dockerfile():
    text = re.sub(r"^\s*#.*\n", "", (HERE / "Dockerfile").read_text(), flags=re.M)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line.strip()]
    unknown = [name for name, _ in steps if name not in INSTRUCTIONS]
    assert not unknown, unknown
    allowed = {line[1:] for line in (HERE / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    for name, rest in steps:
        if name == "COPY" and not rest.startswith("--from="):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), f"{source} is not there"
                assert source in allowed, f"{source} is kept from the build by Dockerfile.dockerignore"
    last = [name for name, _ in steps][::-1].index("FROM")
    final = dict(steps[len(steps) - last :])
    assert final["USER"].split(":")[0] not in ("0", "root"), "it runs as root"
    assert final["ENTRYPOINT"] == '["tinymood"]' and final["STOPSIGNAL"] == "SIGTERM"
    print(f"Dockerfile: {len(steps)} instructions, sources are there, not root")


check_unit()
check_dockerfile()
