//! Templates: what they show, what is refused, and that no event stops one.

use super::*;
use crate::sink::chat::compose::compose;
use crate::sink::chat::testing::{Plain, look, notice};
use proptest::prelude::*;

/// Marks as unlike plain text as can be.
const MARKUP: Markup = Markup {
    line: "<br>",
    escape: |text| text.replace('&', "&amp;").replace('<', "&lt;").into(),
    ..Markup::PLAIN
};

fn templates(single: &str, digest: &str) -> Result<Templates, SinkError> {
    let source = |text: &str| TemplateSource::Text(text.to_owned());
    let zone = TimeZone::get("Asia/Shanghai").expect("a zone");
    let look = Look { labels: vec!["<prod>".into(), "eu".into()], markup: MARKUP, zone };
    let of = |text: &str| (!text.is_empty()).then(|| source(text));
    Templates::new(of(single).as_ref(), of(digest).as_ref(), &look)
}

fn rendered(template: &str, notice: &Notice) -> String {
    templates(template, "").expect(template).single(notice, usize::MAX).expect(template)
}

fn refused(template: &str) -> String {
    templates(template, "").expect_err(template).to_string()
}

#[test]
fn every_variable_is_there() {
    let template = "{{ level }} {{ reason }} {{ kind }} {{ namespace }} {{ name }} {{ object }}\n\
        {{ event_namespace }}/{{ event_name }} {{ node }} {{ component }} {{ count }}\n\
        {{ time }} {{ time_utc }} {{ labels|join(',') }}\n\
        {{ message }} {{ event.involvedObject.name }} {{ event.metadata.resourceVersion }}";
    assert_eq!(
        rendered(template, &notice("web", "BackOff", "why")),
        "Warning BackOff Pod shop web shop/Pod/web\nshop/web.17a3 cn-hangzhou.10.0.0.7 kubelet 3\n\
         2024-05-01 10:00:00 2024-05-01T02:00:00Z &lt;prod>,eu\nwhy web 7"
    );
}

#[test]
fn a_digest_has_a_line_for_each_group() {
    let template = "{{ title }} in {{ labels[1] }}, {{ records }} in all\n\
        {% for group in groups %}\n\
        {{ loop.index }}. {{ group.level }} {{ group.object }} {{ group.reason }} \
        {{ group.records }} {{ group.first[11:] }} {{ group.last }} {{ group.message }}\n\
        {% endfor %}\n";
    let templates = templates("", template).expect("valid");
    let storm = [notice("a", "BackOff", "one"), notice("b", "Killing", "<x>")];
    let storm = [storm[0].clone(), storm[1].clone(), storm[0].clone()];
    assert_eq!(
        templates.digest(&Digest::of(&storm), 4).expect("a text"),
        "3 events about 2 things, all warnings in eu, 3 in all\n\
         1. Warning shop/Pod/a BackOff 2 10:00:00 2024-05-01 10:00:00 one\n\
         2. Warning shop/Pod/b Killing 1 10:00:00 2024-05-01 10:00:00 &lt;x>"
    );
    assert_eq!(templates.single(&storm[0], 9), None, "without a template the usual message");
}

#[test]
fn what_is_inserted_is_escaped_and_what_a_template_says_is_not() {
    let odd = notice("web", "BackOff", "a <b> & c\n\u{1b}[31mred\u{202e}");
    assert_eq!(rendered("<i>{{ message }}</i>", &odd), "<i>a &lt;b> &amp; c<br>red</i>");
    assert_eq!(rendered("{{ message|safe }}", &odd), "a <b> & c\nred");
    assert_eq!(rendered("{{ message|upper|e }}", &odd), "A &lt;B> &amp; C<br>RED");
    assert_eq!(rendered("{{ event.message|lower }}", &odd), "a &lt;b> &amp; c<br>red");
    let raw = "{% autoescape false %}{{ message }}{% endautoescape %}";
    assert_eq!(rendered(raw, &odd), "a <b> & c\nred");
}

#[test]
fn a_wrong_template_is_refused_with_its_line() {
    for (template, expected) in [
        ("a\n{{ reason", "option template: line 2: syntax error"),
        ("{{ reason|uper }}", "line 1: unknown filter"),
        (
            "a\n\n{{ level }} {{ nmae }}",
            "line 3: there is no variable `nmae`; did you mean `name`?",
        ),
        ("{{ reason }}\n{% if false %}{{ zzz }}{% endif %}", "line 2: there is no variable `zzz`"),
        (
            "{{ zzz }}",
            "variables: level, reason, kind, namespace, name, object, message, event_name",
        ),
        ("{{ event.reasn }}", "line 1: undefined value"),
        ("{{ event.metadata.labels.team }}", "event.metadata.labels.team"),
        ("{% if false %}x{% endif %}", "it makes no text"),
        ("{% include 'x' %}", "line 1"),
        ("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}", "fuel"),
    ] {
        let reason = refused(template);
        assert!(reason.contains(expected), "{template:?}: {reason}");
        assert!(!reason.contains('\n'), "{reason}");
    }
    let reason = templates("", "{% for group in groups %}\n{{ group.nmae }}{% endfor %}");
    let reason = reason.expect_err("no such thing").to_string();
    assert!(reason.starts_with("option digestTemplate: line 2: undefined value"), "{reason}");
}

#[test]
fn a_file_is_read_at_the_start_and_named_in_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("chat.j2");
    let source = TemplateSource::File { file: file.clone() };
    let refused = || Templates::new(Some(&source), None, &look()).expect_err("wrong").to_string();
    let missing = refused();
    assert!(missing.contains("template: cannot read") && missing.contains("chat.j2"), "{missing}");
    std::fs::write(&file, "\n{{ }}").expect("written");
    assert!(refused().contains("chat.j2, line 2: syntax error"), "{}", refused());
    std::fs::write(&file, "{{ reason }}\n").expect("written");
    let templates = Templates::new(Some(&source), None, &look()).expect("right");
    assert_eq!(templates.single(&notice("web", "BackOff", ""), 9).expect("a text"), "BackOff");
}

#[test]
fn what_an_event_lacks_is_nothing_and_what_fails_leaves_the_usual_message() {
    let event = notice("web", "BackOff", "why");
    let lacking =
        "{{ reason }}{{ event.series.count }}{{ event.metadata.labels.team|default('-') }}";
    assert_eq!(rendered(lacking, &event), "BackOff-");
    for failing in
        ["{{ 1 // (count - 3) }}", "{{ 'x' if reason == 'Sample' else '' }}{{ event.action }}"]
    {
        let templates = templates(failing, "").expect("it fails for this event only");
        assert_eq!(templates.single(&event, 9), None, "{failing}");
        assert!(templates.warned.load(Ordering::Relaxed));
        let plain = Plain { templates };
        let text = compose(&plain, std::slice::from_ref(&event), 400).message.text;
        assert!(text.contains("why"), "{text}");
    }
}

#[test]
fn a_message_makes_room_and_then_the_text_is_cut() {
    let event = notice("web", "BackOff", &"é".repeat(100_000));
    let composed = |template: &str| {
        let templates = templates(template, "").expect("valid");
        compose(&Plain { templates }, std::slice::from_ref(&event), 400).message
    };
    let message = composed("{{ message }} of {{ name }}");
    assert!(message.text.ends_with("é… of web"), "{}", message.text);
    let message = composed(&format!("{}{{{{ message }}}}", "日".repeat(1_000)));
    assert!(message.text.ends_with("日…") && message.text.len() > 300, "{}", message.text);
}

fn tiny() -> impl Strategy<Value = String> {
    let parts = [
        "{{ ",
        " }}",
        "{% ",
        " %}",
        "for g in groups",
        "endfor",
        "g.name",
        "message",
        "|",
        "e",
        "if ",
        "endif",
        "label",
        "s",
        "[0]",
        "(",
        ")",
        "\"",
        "~",
        "set x = ",
        "x",
        "1",
        "{#",
        "#}",
        "\n",
        "é",
    ];
    prop::collection::vec(prop::sample::select(parts.to_vec()), 0..12)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_message_is_rendered_within_the_limit(message in any::<String>(), limit in 200usize..900) {
        let event = notice("web", "BackOff", &message);
        let templates = templates("{{ reason }}: {{ message }}\n{{ event.message }}", "").expect("valid");
        prop_assert!(templates.single(&event, usize::MAX).is_some());
        let plain = Plain { templates };
        let composed = compose(&plain, std::slice::from_ref(&event), limit);
        prop_assert!(plain.size(&composed.message) <= limit);
        prop_assert!(composed.message.text.starts_with("BackOff"));
    }

    #[test]
    fn no_template_panics(text in prop_oneof![tiny(), any::<String>()]) {
        if let Ok(templates) = templates(&text, &text) {
            let event = notice("web", "BackOff", "why");
            let _text = templates.single(&event, 9);
            let _text = templates.digest(&Digest::of(&[event]), 9);
        }
    }
}
