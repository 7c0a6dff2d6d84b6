"""What every script has in common: settings from the command line, and a line for each message.

A line says what a client was told to send, whether it said that this succeeded, and in which words.
"""

import json
import logging
import sys

SETTINGS = json.loads(sys.argv[1])

# What clients log is for people who look at a test that failed.
logging.basicConfig(stream=sys.stderr)


def report(message, success, words=""):
    print(json.dumps({"message": message, "success": bool(success), "words": str(words)}), flush=True)


def attempt(message, send):
    """Sends with a client that raises when it fails."""
    try:
        report(message, True, send())
    except Exception as error:
        report(message, False, error)


def apprise_notify(message, plugin, body, title="", markdown=False):
    """Sends with Apprise at once: it would wait for seconds between two messages."""
    from apprise import NotifyFormat

    type(plugin).request_rate_per_sec = 0
    kind = NotifyFormat.MARKDOWN if markdown else NotifyFormat.TEXT
    report(message, plugin.notify(body=body, title=title, body_format=kind))
