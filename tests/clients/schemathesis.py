"""Asks a running relay whatever its OpenAPI document allows, and what it does not allow.

Settings: {"url": "http://127.0.0.1:1", "token": "..." or null, "report": "FILE", "checks": [...]}
Prints what schemathesis says; ends with its exit code.
"""

import json
import os
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
hooks = os.path.join(os.path.dirname(os.path.abspath(__file__)), "schemathesis_hooks")
environment = dict(os.environ, SCHEMATHESIS_HOOKS="no_endless_answers", PYTHONPATH=hooks)
# It leaves files where it runs.
sys.exit(subprocess.run(command, cwd=os.path.dirname(settings["report"]), env=environment).returncode)
