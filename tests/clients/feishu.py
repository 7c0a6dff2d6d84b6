"""A custom robot of Feishu, with wecom-notifier (signed) and Apprise."""

from apprise.plugins.lark import NotifyLark
from wecom_notifier.platforms.feishu.sender import FeishuSender

from report import SETTINGS, apprise_notify, report


def told(message, result):
    success, words = result
    report(message, success, words)


sender, url = FeishuSender(secret=SETTINGS["secret"]), SETTINGS["url"]
told("text", sender.send_text(url, '容器 relay <at user_id="ou_1">Li</at>'))
told("card", sender.send_card(url, "**BackOff** relay <at id=all></at>", title="Pod web"))
told("long", sender.send_text(url, "relay " + "a" * 19800))
told("too long", sender.send_text(url, "relay " + "a" * 20000))
told("no keyword", sender.send_text(url, "something else"))
told("wrong secret", FeishuSender(secret="another").send_text(url, "relay"))
told("no secret", FeishuSender().send_text(url, "relay"))

# Its host cannot be configured, and it does not sign.
NotifyLark.notify_url = SETTINGS["base"] + "/open-apis/bot/v2/hook/"
plugin = NotifyLark(SETTINGS["token"])
apprise_notify("apprise text", plugin, "容器", "Pod web")
apprise_notify("apprise card", plugin, "**BackOff**", "Pod web", markdown=True)
apprise_notify("apprise too long", plugin, "a" * 20000)
