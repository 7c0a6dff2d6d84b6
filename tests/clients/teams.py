"""Webhooks of Microsoft Teams, with pymsteams (a connector) and Apprise (a workflow)."""

from urllib.parse import urlsplit

import requests
from apprise.plugins.workflows import NotifyWorkflows
from pymsteams import connectorcard

from report import SETTINGS, apprise_notify, attempt


def card(text, title=None):
    card = connectorcard(SETTINGS["connector"])
    if title:
        card.title(title)
    card.text(text)
    return card


def answered(card):
    card.send()
    return card.last_http_response.text


attempt("card", lambda: answered(card("容器 **BackOff**", "Pod web")))
attempt("long", lambda: answered(card("a" * 27900)))
# It takes any answer with HTTP 200 for a success.
attempt("too long", lambda: answered(card("a" * 28000)))
attempt("nothing", lambda: answered(card("")))

# It speaks https only.
send = requests.post
requests.post = lambda url, **options: send(url.replace("https://", "http://", 1), **options)
address = urlsplit(SETTINGS["address"])


def workflow(signature):
    host, port = address.hostname, address.port
    return NotifyWorkflows(SETTINGS["id"], signature, host=host, port=port)


plugin = workflow(SETTINGS["sig"])
text = "容器 **BackOff** <at>29:1</at>"
apprise_notify("workflow", plugin, text, "Pod web", markdown=True)
apprise_notify("workflow, too long", plugin, "a" * 28000)
apprise_notify("workflow, wrong signature", workflow("another"), "a")
