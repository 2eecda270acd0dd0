"""Fuzzes a running server by its own /openapi.json, with schemathesis: no 5xx, answers as the document says.

usage: python benchmarks/serve/fuzz.py TINYMOOD [EXAMPLES]

Needs schemathesis in the Python that runs this.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]


def main(binary, examples="40"):
    limits = ["--max-texts", "8", "--max-characters", "200", "--max-body-bytes", "100000"]
    command = [binary, "serve", "--port", "0", "--quiet", *limits]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = re.search(r"http://\S+", server.stdout.readline())[0]
        schemathesis = pathlib.Path(sys.executable).absolute().with_name("schemathesis")
        command = [schemathesis, "run", f"{url}/openapi.json", "--max-examples", examples, "--seed", "1"]
        with tempfile.TemporaryDirectory() as folder:  # where it keeps what it found
            ran = subprocess.run([*command, "--checks", ",".join(CHECKS), "--no-color"], cwd=folder)
        assert server.poll() is None, "the server has ended"
    finally:
        server.terminate()
        assert server.wait() == 0
    sys.exit(ran.returncode)


main(*sys.argv[1:])
