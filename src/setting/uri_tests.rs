//! What kube-eventer's own flag parser reads, and the odd corners of Go's `net/url`.

use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<EventerUri, InvalidEventerUri> {
    EventerUri::parse(text, &|name| (name == "TOKEN").then(|| "a&b".to_owned()))
}

fn read(text: &str) -> EventerUri {
    parse(text).expect("a valid URI")
}

fn pairs(uri: &EventerUri) -> Vec<(&str, &str)> {
    uri.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn reads_the_parse_vectors() {
    for text in ["log", "log:"] {
        let uri = read(text);
        assert_eq!((uri.kind.as_str(), uri.raw.as_str()), ("log", ""));
        assert_eq!((&uri.scheme, &uri.host, uri.path.as_str()), (&None, &None, ""));
    }
    let uri = read("influxdb:http://m:8086?k=v&k2=v2");
    assert_eq!(uri.scheme.as_deref(), Some("http"));
    assert_eq!(uri.host.as_deref(), Some("m:8086"));
    assert_eq!(pairs(&uri), [("k", "v"), ("k2", "v2")]);
    let uri = read("sls:?a=b");
    assert_eq!((uri.host.as_deref(), pairs(&uri)), (None, vec![("a", "b")]));
    let uri = read("influxdb:foo");
    assert_eq!((uri.host.as_deref(), uri.path.as_str()), (None, "foo"));
    let uri = read("kubernetes:''");
    assert_eq!((uri.scheme.as_deref(), uri.host.as_deref(), uri.path.as_str()), (None, None, "''"));
}

#[test]
fn refuses_what_kube_eventer_refuses() {
    for text in ["", ":", ":foo"] {
        assert_eq!(parse(text), Err(InvalidEventerUri::MissingKind), "{text:?}");
    }
    let refused = [
        "x:bad/%gh",
        "x:10.0.0.1:80",
        "x::80",
        "x:http://h/a\nb",
        "x:http://h:port/",
        "x:http://[::1/",
        "x:http://a b/",
        "x:http://a%41b/",
        "x:http://us er@h/",
        "x:http://h/#%zz",
    ];
    for text in refused {
        assert!(matches!(parse(text), Err(InvalidEventerUri::Url { .. })), "{text:?}");
    }
}

#[test]
fn accepts_what_kube_eventer_accepts() {
    let opaque = read("x:foo:80");
    assert_eq!((opaque.scheme.as_deref(), opaque.path.as_str()), (Some("foo"), ""));
    let six = read("x:http://[fe80::1%25en0]:80/p");
    assert_eq!(six.host.as_deref(), Some("[fe80::1%en0]:80"));
    let user = read("x:http://me:p%40ss@h/a%20b");
    assert_eq!(user.user_info.as_deref(), Some("me:p@ss"));
    assert_eq!((user.host.as_deref(), user.path.as_str()), (Some("h"), "/a b"));
    assert_eq!(read("kubernetes:HTTPS://h").scheme.as_deref(), Some("https"));
}

#[test]
fn options_are_form_decoded_in_order() {
    let uri = read("x:https://h/p?&token=a+b%2Bc&label=one&label=two&empty=&bare&q=a?b=c");
    assert_eq!(
        pairs(&uri),
        [
            ("token", "a b+c"),
            ("label", "one"),
            ("label", "two"),
            ("empty", ""),
            ("bare", ""),
            ("q", "a?b=c"),
        ]
    );
    assert_eq!(uri.first("label"), Some("one"));
    assert_eq!(uri.all("label").count(), 2);
    assert_eq!(uri.first("Label"), None);
    assert!(uri.warnings.is_empty(), "{:?}", uri.warnings);
}

#[test]
fn variables_are_expanded_before_the_url_is_read() {
    let uri = read("x:https://h/?token=$TOKEN");
    assert_eq!(pairs(&uri), [("token", "a"), ("b", "")]);
    assert_eq!(uri.raw, "https://h/?token=a&b");
    assert_eq!(read("$TOKEN:log").kind, "$TOKEN");
}

#[test]
fn every_trap_gives_a_warning_without_secrets() {
    let cases = [
        ("x:?password=secret#123", "#"),
        ("x:https://h/hook&level=secret", "first `?`"),
        ("x:?password=secret;2", "`password`"),
        ("x:?password=secret%zz", "`password`"),
        ("x:?password=sec$ret", "variable"),
    ];
    for (text, expected) in cases {
        let uri = read(text);
        assert_eq!(uri.warnings.len(), 1, "{text}: {:?}", uri.warnings);
        assert!(uri.warnings[0].contains(expected), "{:?}", uri.warnings);
        assert!(!uri.warnings[0].contains("secret"), "{:?}", uri.warnings);
        assert!(!format!("{uri:?}").contains("secret"));
    }
    assert_eq!(pairs(&read("x:?a=1&b=2;c=3&d=4")), [("a", "1"), ("d", "4")]);
    assert_eq!(pairs(&read("x:?password=xxx#123&b=1")), [("password", "xxx")]);
}

#[test]
fn an_error_shows_nothing_of_the_url() {
    let error = parse("x:https://h/secret%").expect_err("a bad escape");
    assert!(!error.to_string().contains("secret"), "{error}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "x:[a-z:/?#&=;%@\\[\\]$ +0-9é]{0,30}") {
        let _read = parse(&text);
    }

    #[test]
    fn encoded_values_read_back(value in ".{0,20}") {
        let encode = |encoded, byte| format!("{encoded}%{byte:02X}");
        let encoded = value.bytes().fold(String::new(), encode);
        let uri = parse(&format!("x:?v={encoded}")).expect("escapes only");
        prop_assert_eq!(uri.first("v"), Some(value.as_str()));
    }
}
