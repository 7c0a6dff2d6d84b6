//! Keys of a role that the pod's service account may assume (IRSA, IAM Roles for Service Accounts).
//!
//! Source: "`AssumeRoleWithWebIdentity`" and "Common Errors" of the API reference of AWS STS. The request has no
//! signature: the token says who asks.

use std::path::PathBuf;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Request, Url};

use crate::sink::Outcome;
use crate::sink::http::{Conflict, Redaction, Reply, cause_of, exchange_unheard};
use crate::sink::keys::{Keys, identity_token};
use crate::sink::signing::{FORM, form};

/// A role, and what it takes to assume it.
pub(super) struct WebIdentity {
    pub(super) role: String,
    pub(super) token_file: PathBuf,
    /// The Security Token Service.
    pub(super) sts: Url,
}

/// What the session of the role is called in the cloud's audit log.
const SESSION: &str = "kube-event-relay";

/// The service of a region ("AWS STS endpoints and quotas" of the general reference).
pub(super) fn endpoint(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://sts.{region}.{suffix}")
}

impl WebIdentity {
    /// Keys of the role, for an hour.
    pub(super) async fn keys(&self, client: &Client) -> Result<Keys, Outcome> {
        let mut redaction = Redaction::default();
        let token = identity_token(&self.token_file, &mut redaction)?;
        let request = self.request(client, &token)?;
        let reply = exchange_unheard(client, request).await.map_err(named)?;
        if !reply.status.is_success() {
            return Err(self.refusal(&reply, &redaction));
        }
        let answer = String::from_utf8_lossy(&reply.body);
        keys_of(&answer).ok_or_else(|| Outcome::Hold {
            cause: "STS: there are no keys in its answer; check the option `sigv4.sts`".to_owned(),
        })
    }

    fn request(&self, client: &Client, token: &str) -> Result<Request, Outcome> {
        let body = form(&[
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", &self.role),
            ("RoleSessionName", SESSION),
            ("WebIdentityToken", token),
        ]);
        let request = client.post(self.sts.clone());
        let request = request.header(CONTENT_TYPE, HeaderValue::from_static(FORM)).body(body);
        let hold = |error| Outcome::Hold { cause: format!("sigv4.sts: {}", cause_of(error)) };
        request.build().map_err(hold)
    }

    /// What the service says instead of keys. Nothing is refused for it: no record has been sent.
    fn refusal(&self, reply: &Reply, redaction: &Redaction) -> Outcome {
        let answer = String::from_utf8_lossy(&reply.body);
        let code = element(&answer, "Code").unwrap_or_default();
        let said = format!("STS: {}", reply.explain(redaction));
        // They come with HTTP 400, too.
        if code.starts_with("Throttling") || code == "IDPCommunicationError" {
            return Outcome::Retry { after: reply.retry_after, cause: said };
        }
        match reply.outcome(Conflict::Rejected, redaction) {
            Outcome::Retry { after, .. } => Outcome::Retry { after, cause: said },
            _ => Outcome::Hold { cause: format!("{said}; {}", self.remedy(code)) },
        }
    }

    fn remedy(&self, code: &str) -> String {
        match code {
            "ExpiredTokenException" => {
                format!("{} is out of date: does kubelet renew it?", self.token_file.display())
            }
            "InvalidIdentityToken" => {
                "mount the token for the audience sts.amazonaws.com, and make the cluster's issuer an identity \
                 provider of the account"
                    .to_owned()
            }
            "AccessDenied" | "IDPRejectedClaim" => {
                format!("allow the service account in the trust policy of {}", self.role)
            }
            "RegionDisabledException" => "switch STS on for the region".to_owned(),
            _ => "check the options `sigv4`".to_owned(),
        }
    }
}

/// Says whose answer is missing.
fn named(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Retry { after, cause } => Outcome::Retry { after, cause: format!("STS: {cause}") },
        outcome => outcome,
    }
}

/// The keys in an answer.
fn keys_of(answer: &str) -> Option<Keys> {
    let credentials = between(answer, "Credentials")?;
    let text = |name| unescaped(element(credentials, name)?);
    Some(Keys {
        id: text("AccessKeyId")?,
        secret: text("SecretAccessKey")?,
        token: Some(text("SessionToken")?),
        expires: Some(element(credentials, "Expiration")?.parse::<Timestamp>().ok()?),
    })
}

/// What stands between the tags of the first element of this name. The service's elements have no attributes.
fn between<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content)
}

/// The text of the first element of this name, which has no elements in it.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    between(xml, name).map(str::trim).filter(|text| !text.is_empty() && !text.contains('<'))
}

/// Text without its references; `None` where one is unknown.
fn unescaped(text: &str) -> Option<String> {
    let mut pieces = text.split('&');
    let mut plain = pieces.next()?.to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once(';')?;
        plain.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => return None,
        });
        plain.push_str(rest);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As in the API reference.
    const ANSWER: &str =
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>system:serviceaccount:ops:relay</SubjectFromWebIdentityToken>
    <Credentials>
      <SessionToken>AQoDYXdzEE0a8ANXXXXXXXXNO1ewxE5TijQyp+IEXAMPLE&amp;==</SessionToken>
      <SecretAccessKey>wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY</SecretAccessKey>
      <Expiration>2014-10-24T23:00:23Z</Expiration>
      <AccessKeyId>ASgeIAIOSFODNN7EXAMPLE</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>";

    #[test]
    fn keys_are_read_from_an_answer() {
        let keys = keys_of(ANSWER).expect("keys");
        assert_eq!(keys.id, "ASgeIAIOSFODNN7EXAMPLE");
        assert_eq!(keys.secret, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY");
        assert_eq!(
            keys.token.as_deref(),
            Some("AQoDYXdzEE0a8ANXXXXXXXXNO1ewxE5TijQyp+IEXAMPLE&==")
        );
        assert_eq!(keys.expires, Some("2014-10-24T23:00:23Z".parse().expect("a time")));
    }

    #[test]
    fn an_answer_that_is_not_whole_has_no_keys() {
        for (from, to) in [
            ("<AccessKeyId>", "<AccessKey>"),
            ("ASgeIAIOSFODNN7EXAMPLE", ""),
            ("ASgeIAIOSFODNN7EXAMPLE", "<b>x</b>"),
            ("&amp;", "&what;"),
            ("2014-10-24T23:00:23Z", "soon"),
            ("</Credentials>", ""),
        ] {
            assert!(keys_of(&ANSWER.replace(from, to)).is_none(), "{from} {to}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(text in ".{0,80}", at in 0..700_usize) {
            let cut: String = ANSWER.chars().take(at).collect();
            let _read = (keys_of(&text).is_some(), keys_of(&(cut + &text)).is_some(), unescaped(&text));
        }
    }
}
