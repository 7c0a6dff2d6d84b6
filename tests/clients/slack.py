"""An incoming webhook of Slack, with slack_sdk and Apprise."""

from apprise.plugins.slack import NotifySlack
from slack_sdk.models.blocks import DividerBlock, HeaderBlock, SectionBlock
from slack_sdk.webhook import WebhookClient

from report import SETTINGS, apprise_notify, report


def told(message, response):
    report(message, response.status_code == 200 and response.body == "ok", response.body)


client = WebhookClient(SETTINGS["url"])
told("text", client.send(text="容器 &lt;web&gt; &amp; <!channel>"))
blocks = [HeaderBlock(text="Pod web"), DividerBlock(), SectionBlock(text="*BackOff* &amp; more")]
told("blocks", client.send(text="Pod web", blocks=blocks))
told("long", client.send(text="a" * 40000))
told("nothing", client.send(text=""))
many = [DividerBlock() for _ in range(51)]
told("too many blocks", client.send(text="Pod web", blocks=many))
told("wrong token", WebhookClient(SETTINGS["url"] + "0").send(text="a"))
# It is not told to try again.
slow = WebhookClient(SETTINGS["slow"])
told("first", slow.send(text="a"))
second = slow.send(text="b")
told("second", second)
report("retry after", True, {k.lower(): v for k, v in second.headers.items()}["retry-after"])

# Its host cannot be configured.
NotifySlack.webhook_url = SETTINGS["base"] + "/services"
team, hook, token = SETTINGS["url"].split("/")[-3:]
plugin = NotifySlack(token_a=team, token_b=hook, token_c=token)
apprise_notify("apprise", plugin, "a <b> & c", "Pod web")
