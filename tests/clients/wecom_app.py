"""Application messages of WeCom, with wechatpy."""

from wechatpy.enterprise import WeChatClient

from report import SETTINGS, attempt

ENDPOINT = SETTINGS["base"] + "/cgi-bin/"


class Client(WeChatClient):
    """Its host cannot be configured: in two places."""

    API_BASE_URL = ENDPOINT

    def fetch_access_token(self):
        params = {"corpid": self.corp_id, "corpsecret": self.secret}
        return self._fetch_access_token(url=ENDPOINT + "gettoken", params=params)


def client(secret=SETTINGS["secret"], token=None):
    return Client(SETTINGS["corp"], secret, access_token=token)


agent, known = SETTINGS["agent"], client()
attempt("text", lambda: known.message.send_text(agent, ["li", "zhang"], "容器 web <重启>"))
attempt("everyone", lambda: known.message.send_text(agent, "@all", "Pod web"))
attempt("some", lambda: known.message.send_text(agent, ["li", "nobody"], "Pod web")["invaliduser"])
attempt("long", lambda: known.message.send_text(agent, ["li"], "é" * 2000))
attempt("markdown", lambda: known.message.send_markdown(agent, ["li"], "**BackOff**"))
attempt("nobody", lambda: known.message.send_text(agent, ["nobody"], "Pod web"))
attempt("empty", lambda: known.message.send_text(agent, ["li"], ""))
attempt("wrong agent", lambda: known.message.send_text(1, ["li"], "Pod web"))
# It asks for a new token when it is told that its own is invalid.
attempt("old token", lambda: client(token="old").message.send_text(agent, ["li"], "Pod db"))
attempt("wrong secret", lambda: client(secret="another").message.send_text(agent, ["li"], "a"))
