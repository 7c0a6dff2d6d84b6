//! Templates as kube-eventer's users write them, compared with what Go prints.

use super::*;
use proptest::prelude::*;
use serde_json::json;

use super::value::Value;

fn event() -> Json {
    json!({
        "metadata": {"name": "web.17a3", "namespace": "shop", "uid": "u-1",
            "labels": {"team": "a", "app": "web"}, "finalizers": ["f1", "f2"]},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web", "apiVersion": "v1"},
        "reason": "BackOff",
        "message": "say \"hi\"\n\\",
        "source": {"component": "kubelet", "host": "node-1"},
        "firstTimestamp": null,
        "lastTimestamp": "2024-05-01T02:00:00Z",
        "count": 3,
        "type": "Warning"
    })
}

fn rendered(template: &str, event: &Json) -> Result<String, String> {
    let zone = TimeZone::get("Asia/Shanghai").expect("a time zone");
    Template::compile(template, Escaping::Json)
        .and_then(|template| template.render(event, &zone))
        .map(|rendered| rendered.text)
        .map_err(|error| error.to_string())
}

fn render(template: &str) -> String {
    rendered(template, &event()).expect("a template that works")
}

fn refusal(template: &str) -> String {
    rendered(template, &event()).expect_err("a template that does not work")
}

#[test]
fn prints_fields_by_their_go_names() {
    let cases = [
        ("{{ .Type }} {{.Reason}} {{ .InvolvedObject.Name }}", "Warning BackOff web"),
        (
            "{{ .Name }} {{ .Namespace }} {{ .ObjectMeta.UID }} {{ .GetName }}",
            "web.17a3 shop u-1 web.17a3",
        ),
        ("{{ .Count }} {{ .Source.Component }}", "3 kubelet"),
        (
            "{{ .Labels }} {{ .Labels.app }} {{ index .Labels \"team\" }}",
            "map[app:web team:a] web a",
        ),
        ("{{ .LastTimestamp }}", "2024-05-01 10:00:00 +0800 CST"),
        ("{{ .LastTimestamp.Format \"2006-01-02 15:04:05\" }}", "2024-05-01 10:00:00"),
        ("{{ .LastTimestamp.UTC.Format `15:04` }}", "02:00"),
        ("{{ (.LastTimestamp.Add 3600000000000).Format \"15:04\" }}", "11:00"),
        ("{{ .LastTimestamp.Time.Unix }}", "1714528800"),
        ("{{ .Finalizers }}", "[f1 f2]"),
        (
            "{{ .Source }}{{ .InvolvedObject }}",
            "&EventSource{Component:kubelet,Host:node-1,}&ObjectReference{Kind:Pod,Namespace:shop,\
             Name:web,UID:,APIVersion:v1,ResourceVersion:,FieldPath:,}",
        ),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template), expected, "{template}");
    }
}

#[test]
fn what_is_missing_reads_as_the_zero_value_of_go() {
    let cases = [
        ("[{{ .Action }}]", "[]"),
        ("{{ .FirstTimestamp }}", "0001-01-01 00:00:00 +0000 UTC"),
        ("{{ .FirstTimestamp.IsZero }} {{ .LastTimestamp.IsZero }}", "true false"),
        ("{{ .Series }} {{ .Related }} {{ .DeletionTimestamp }}", "<nil> <nil> <nil>"),
        ("{{ .Series.Count }}", "0"),
        ("{{ .Labels.none }} [{{ index .Labels \"none\" }}]", "<no value> []"),
        ("{{ .Annotations }} {{ .OwnerReferences }}", "map[] []"),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template), expected, "{template}");
        rendered(template, &json!({})).expect("an empty event is fine");
        rendered(template, &json!({"count": "x", "type": 5, "series": [], "metadata": 1}))
            .expect("an odd event is fine");
    }
}

#[test]
fn controls_go_as_in_go() {
    let cases = [
        ("{{ if eq .Type \"Warning\" }}W{{ else }}N{{ end }}", "W"),
        ("{{ if eq .Type \"a\" }}1{{ else if eq .Count 2 3 }}2{{ else }}3{{ end }}", "2"),
        ("{{ if and .Count (ne .Reason \"x\") }}y{{ end }}", "y"),
        ("{{ if or .Action .Series }}y{{ else }}n{{ end }}", "n"),
        ("{{ if not .Action }}y{{ end }}", "y"),
        ("{{ with .Labels }}{{ .app }}{{ end }}", "web"),
        ("{{ with .Series }}{{ .Count }}{{ else }}none{{ end }}", "none"),
        ("{{ with .Action }}a{{ else with .Reason }}{{ . }}{{ end }}", "BackOff"),
        ("{{ range $k, $v := .Labels }}{{ $k }}={{ $v }};{{ end }}", "app=web;team=a;"),
        ("{{ range .Finalizers }}{{ . }}{{ $.Count }},{{ end }}", "f13,f23,"),
        ("{{ range $i, $f := .Finalizers }}{{ if $i }}{{ break }}{{ end }}{{ $f }}{{ end }}", "f1"),
        (
            "{{ range .Finalizers }}{{ if eq . \"f1\" }}{{ continue }}{{ end }}{{ . }}{{ end }}",
            "f2",
        ),
        ("{{ range .OwnerReferences }}x{{ else }}none{{ end }}", "none"),
        ("{{ range 3 }}{{ . }}{{ end }}", "012"),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $x := 9 }}{{ end }}{{ $x }}", "2"),
        ("{{ with $r := .Reason }}{{ $r | len }}{{ end }}", "7"),
        ("a \n {{- /* note */ -}} \n b", "ab"),
        ("a {{- 3 -}} b {{-3}}", "a3b -3"),
        ("{{ \"}}\" }}{{ `{{` }}{{ 'a' }}", "}}{{97"),
        ("{{ and 1 0 2 }}{{ or 0 \"x\" }}", "0x"),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template), expected, "{template}");
    }
}

#[test]
fn functions_print_what_go_prints() {
    let cases = [
        (
            "{{ printf \"%s-%d-%05d|%-4s|%4s|%.2s\" .Reason 7 42 \"a\" \"b\" \"héé\" }}",
            "BackOff-7-00042|a   |   b|hé",
        ),
        (
            "{{ printf \"%v %t %q %x %X %c %%\" .Count true \"a\\\"b\" 255 \"hi\" 65 }}",
            "3 true \"a\\\"b\" ff 6869 A %",
        ),
        ("{{ printf \"%.2f %e %g %+d\" 1.5 1234.5 0.5 3 }}", "1.50 1.234500e+03 0.5 +3"),
        ("{{ printf \"%d %s\" \"x\" }}", "%!d(string=x) %!s(MISSING)"),
        ("{{ printf \"a\" 1 }}", "a%!(EXTRA int=1)"),
        ("{{ print 1 2 \"x\" 3 }}|{{ println 1 \"x\" }}", "1 2x3|1 x\n"),
        ("{{ len .Message }} {{ slice .Reason 4 }} {{ slice .Reason 0 4 }}", "10 Off Back"),
        ("{{ index .Finalizers 1 }}", "f2"),
        ("{{ .Message | html }}", "say &#34;hi&#34;\n\\"),
        ("{{ \"it's <a>\\n\" | js }}", "it\\u0027s \\u003Ca\\u003E\\u000A"),
        ("{{ urlquery \"a b&ü\" }}", "a+b%26%C3%BC"),
        ("{{ .Reason | printf \"%s:%s\" .Type }}", "Warning:BackOff"),
        (
            "{{ lt 1 2 }} {{ ge \"b\" \"a\" }} {{ eq .Series nil }} {{ eq true false }}",
            "true true true false",
        ),
        ("{{ \"\\x41\\u00e9\\101\" }}{{ 0x1F }}{{ 1_000 }}{{ 010 }}", "AéA3110008"),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template), expected, "{template}");
    }
}

const HARD_MESSAGES: [&str; 7] = [
    "a \"quoted\" word",
    "two\nlines\r\nand\ta tab",
    "C:\\path\\n and a trailing \\",
    "control \u{1}\u{7}\u{1f}\u{7f} and \u{2028}",
    "emoji 🎉 and الرسالة",
    "</script> & {{ .Type }}",
    "\",\"injected\":\"",
];

#[test]
fn a_json_body_stays_json_whatever_the_message_says() {
    let bodies = [
        r#"{"msgtype":"text","text":{"content":"{{ .Message }}"}}"#,
        r#"{"text":{"content":"{{ .Message | js }}"}}"#,
        r#"{"text":{"content":{{ printf "%q" .Message }}}}"#,
        "\n[{\"text\":{\"content\":\n\t\"{{ with .Message }}{{ . }}{{ end }}\"}}]",
    ];
    for body in bodies {
        for message in HARD_MESSAGES {
            let text = rendered(body, &json!({"message": message})).expect("it renders");
            let value: Json =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            let value = value.get(0).unwrap_or(&value);
            assert_eq!(value["text"]["content"], message, "{body}");
        }
    }
}

#[test]
fn only_texts_of_json_are_escaped() {
    assert_eq!(render("{{ .Message }}"), "say \"hi\"\n\\");
    assert_eq!(render("text: {{ .Message }}"), "text: say \"hi\"\n\\");
    assert_eq!(render(r#"{"n":{{ .Count }},"o":"\"{{ .Reason }}"}"#), r#"{"n":3,"o":"\"BackOff"}"#);
    let plain = Template::compile("{\"{{ .Message }}\"}", Escaping::None).expect("a template");
    let plain = plain.render(&event(), &TimeZone::UTC).expect("a body");
    assert_eq!((plain.text.as_str(), plain.is_json), ("{\"say \"hi\"\n\\\"}", false));
}

#[test]
fn mistakes_are_reported_with_line_and_action() {
    let cases = [
        ("a\n\n{{ .Mesage }}", "template line 3, {{ .Mesage }}: ", "did you mean `Message`?"),
        ("{{ .LastTimestamp.Formt \"x\" }}", "template line 1", "has no Formt"),
        ("{{ toJson . }}", "{{ toJson . }}", "there is no function toJson"),
        ("{{ if .Type }}x", "{{ if .Type }}", "{{ end }} is missing"),
        ("x{{ end }}", "{{ end }}", "no if, with or range"),
        ("{{ else }}", "{{ else }}", "no if, with or range"),
        ("{{ if 1 }}{{ else }}{{ else }}{{ end }}", "{{ else }}", "an else before it"),
        ("{{ $x }}", "{{ $x }}", "$x is not defined"),
        ("{{ if 1 }}{{ $y := 1 }}{{ end }}{{ $y }}", "{{ $y }}", "$y is not defined"),
        ("\n{{ .Type", "template line 2, {{ .Type", "not closed"),
        ("{{ \"abc }}", "{{ \"abc }}", "quotation mark is not closed"),
        ("{{ (eq 1 1 }}", "", "a ) is missing"),
        ("{{ }}", "{{ }}", "a value is missing"),
        ("{{ eq 1 \"a\" }}", "", "cannot compare a int with a string"),
        ("{{ 1 | 2 }}", "", "only a function may follow"),
        ("{{ .Type 5 }}", "", "has no Type with these arguments"),
        ("{{ 5 6 }}", "", "takes arguments"),
        ("{{ break }}", "", "inside a range"),
        ("{{ template \"x\" }}", "", "template is not supported"),
        ("{{ range .Type }}{{ end }}", "", "cannot go through a string"),
        ("{{ 'ab' }}", "", "one character"),
        ("{{ \"\\q\" }}", "", "escape"),
        ("{{ 12x }}", "", "12x is not a number"),
        ("{{ a ? b }}", "", "'?' is not expected"),
        ("{{/* x }}", "", "comment is not closed"),
        ("{{ len 5 }}", "", "has no length"),
    ];
    for (template, place, reason) in cases {
        let error = refusal(template);
        assert!(error.contains(place) && error.contains(reason), "{template}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_mistake_of_one_event_is_no_mistake_of_the_template() {
    let template = "{{ if .Finalizers }}{{ index .Finalizers 1 }}{{ end }}";
    assert_eq!(render(template), "f2");
    let error = rendered(template, &json!({"metadata": {"finalizers": ["one"]}}));
    assert!(error.expect_err("no second element").contains("no element 1"));
}

#[test]
fn work_is_bounded() {
    assert!(refusal("{{ range 9000000000 }}{{ . }}{{ end }}").contains("steps"));
    assert!(refusal(&"{{ if 1 }}".repeat(100)).contains("too deep"));
    assert!(refusal(&format!("{{{{ {}1 }}}}", "(".repeat(1000))).contains("too deep"));
    assert_eq!(render("{{ printf \"%99999999d\" 1 }}").len(), 1000);
}

#[test]
fn a_value_that_doubles_again_and_again_is_refused_before_it_fills_the_memory() {
    for growth in ["print $x $x", r#"js $x "\\""#, r#"printf "%q%q" $x $x"#, r#"html $x $x "&""#] {
        let template = format!(
            r#"{{{{ $x := "\\ab" }}}}{{{{ range 99 }}}}{{{{ $x = {growth} }}}}{{{{ end }}}}"#
        );
        assert!(refusal(&template).contains("steps"), "{growth}");
    }
}

#[test]
fn a_long_message_can_be_shown_many_times() {
    let mut event = event();
    event["message"] = "x".repeat(1 << 20).into();
    let body = rendered("{{ range 10 }}{{ $.Message }}{{ end }}", &event).expect("a body");
    assert_eq!(body.len(), 10 << 20);
}

/// Pieces of templates in any order, some of which make sense together.
const PIECES: &str = concat!(
    r"(\{\{(- )?|( -)?\}\}|if |range |end|with |else |\$x|:= ?|, |\| ?|\.[A-Z][a-z]{0,3}",
    r"|\.Message|\.LastTimestamp\.Format|\.Finalizers|\.Labels",
    r#"|"[^"]{0,5}"|`|'|[(){}]|[-+.0-9a-zé% ]|printf |index |slice |len |eq |/\*|\*/|\\){0,25}"#,
);

proptest! {
    #[test]
    fn no_template_and_no_event_makes_it_panic(
        template in PIECES,
        message in ".{0,20}",
    ) {
        let _outcome = rendered(&template, &json!({"message": message}));
    }

    #[test]
    fn no_format_makes_it_panic(format in "[%+0-9.# sdqvxfgetcXTé-]{0,12}") {
        let values = [Value::text("té"), Value::Integer(-7), Value::Float(1.5), Value::Nil];
        let _text = super::printf::printf(&format, &values, &TimeZone::UTC);
    }

    #[test]
    fn any_message_survives_a_json_body(message in ".*") {
        let text = rendered(r#"{"text":"{{ .Message }}"}"#, &json!({"message": message}));
        let value: Json = serde_json::from_str(&text.expect("it renders")).expect("JSON");
        prop_assert_eq!(value["text"].as_str(), Some(message.as_str()));
    }
}
