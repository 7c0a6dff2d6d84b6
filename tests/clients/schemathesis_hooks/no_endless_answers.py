"""What schemathesis must not ask."""

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    """With `follow` an answer never ends; tests/log_commands.rs asks for that."""
    query = case.query or {}
    if str(query.get("follow")).lower() == "true":
        query["follow"] = "false"
