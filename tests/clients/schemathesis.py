"""Asks a running relay whatever its OpenAPI document allows, and what it does not allow.

Settings: {"url": "http://127.0.0.1:1", "token": "..." or null, "report": "FILE", "checks": [...]}
Prints what schemathesis says; ends with its exit code.
"""

import json
import subprocess
import sys

settings = json.loads(sys.argv[1])
command = [
    sys.executable, "-m", "schemathesis.cli", "run", settings["url"] + "/api/v1/openapi.json",
    "--checks", ",".join(settings["checks"]),
    "--phases", "examples,coverage,fuzzing",
    "--max-examples", "25",
    "--seed", "1",
    "--generation-database", "none",
    "--report", "har", "--report-har-path", settings["report"],
    "--no-color",
]
if settings["token"]:
    command += ["--header", "Authorization: Bearer " + settings["token"]]
sys.exit(subprocess.run(command).returncode)
