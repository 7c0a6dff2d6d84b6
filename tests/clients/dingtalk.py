"""DingTalk, with DingtalkChatbot and Apprise."""

from apprise.plugins.dingtalk import NotifyDingTalk
from dingtalkchatbot.chatbot import ActionCard, CardItem, DingtalkChatbot

from report import SETTINGS, apprise_notify, report


def told(message, result):
    report(message, result["errcode"] == 0, result["errmsg"])


robot = DingtalkChatbot(SETTINGS["url"], secret=SETTINGS["secret"])
told("text", robot.send_text("容器 web <重启> & relay", at_mobiles=["18012345678"]))
told("everyone", robot.send_text("relay", is_at_all=True))
told("markdown", robot.send_markdown(title="Pod web", text="#### Pod web\n\n- **BackOff** relay"))
told("long", robot.send_text("relay " + "a" * 19900))
button = CardItem(title="Open", url="https://example.com/")
told("card", robot.send_action_card(ActionCard(title="Pod web", text="relay", btns=[button])))
told("too long", robot.send_text("relay " + "a" * 20000))
told("no keyword", robot.send_text("something else"))
told("image", robot.send_image("https://example.com/a.png"))
another = DingtalkChatbot(SETTINGS["url"], secret="SECanother")
told("wrong secret", another.send_text("relay"))



def apprise(base, **options):
    # Its host cannot be configured.
    NotifyDingTalk.notify_url = base + "/robot/send?access_token={token}"
    return NotifyDingTalk(SETTINGS["token"], **options)


unsigned = apprise(SETTINGS["unsigned"])
apprise_notify("apprise text", unsigned, "容器", "Pod web")
apprise_notify("apprise markdown", unsigned, "- **BackOff**", "Pod web", markdown=True)
# It encodes its signature twice, and says that it succeeded whatever DingTalk answers.
apprise_notify("apprise signed", apprise(SETTINGS["signed"], secret=SETTINGS["secret"]), "a")
