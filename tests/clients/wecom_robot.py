"""A group robot of WeCom, with wecom-notifier and Apprise."""

from apprise.plugins.wecombot import NotifyWeComBot
from wecom_notifier.platforms.wecom.sender import Sender

from report import SETTINGS, apprise_notify, report


def told(message, result):
    success, words = result
    report(message, success, words)


sender, url = Sender(), SETTINGS["url"]
told("text", sender.send_text(url, "Pod web & <b>", ["zhang", "@all"], ["18012345678"]))
told("markdown", sender.send_markdown(url, "# Pod web\n| a | b |\n| - | - |\n| 1 | 2 |"))
told("long", sender.send_markdown(url, "a" * 4096))
told("too long", sender.send_text(url, "a" * 2049))
told("empty", sender.send_text(url, ""))
told("wrong key", sender.send_text(url + "0", "a"))
# It writes it with escapes, as all clients do that leave JSON to requests.
told("chinese", sender.send_text(url, "容器"))
told("chinese, leniently", sender.send_text(SETTINGS["lenient"], "容器"))

# Its host cannot be configured.
NotifyWeComBot.notify_url = SETTINGS["base"] + "/cgi-bin/webhook/send?key={key}"
apprise_notify("apprise", NotifyWeComBot(SETTINGS["key"]), "Pod web")
