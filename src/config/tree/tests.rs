use super::*;

/// The tree as text: scalars in brackets where they are not plain, spans left out.
fn show(node: &Node) -> String {
    match &node.data {
        Data::Scalar(scalar) if scalar.plain => scalar.text.clone(),
        Data::Scalar(scalar) => format!("<{}>", scalar.text),
        Data::List(items) => format!("[{}]", items.iter().map(|item| show(item)).collect::<Vec<_>>().join(", ")),
        Data::Map(entries) => {
            let entries: Vec<_> = entries.iter().map(|entry| format!("{}: {}", entry.key.text, show(&entry.value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

fn read(text: &str) -> (Result<Tree, Box<Fault>>, Vec<Fault>) {
    let mut faults = Vec::new();
    (parse(text, &mut faults), faults)
}

fn message(text: &str) -> String {
    match read(text) {
        (Err(fault), _) => fault.message,
        (Ok(_), faults) => faults.first().map(|fault| fault.message.clone()).unwrap_or_default(),
    }
}

#[test]
fn merge_keys_add_what_is_not_there() {
    let text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [*a, {z: 4, x: 5}]}\n";
    let (tree, faults) = read(text);
    assert_eq!(show(&tree.unwrap().root), "{a: {x: 1, y: 2}, b: {x: 1, y: 3}, c: {x: 1, y: 2, z: 4}}");
    assert_eq!(faults, []);
}

#[test]
fn a_key_given_twice_names_both_places() {
    let (_, faults) = read("a: 1\nb: 2\na: 3\n");
    let fault = faults.first().unwrap();
    assert_eq!((fault.message.as_str(), fault.span.clone()), ("`a` is given twice", 10..11));
    assert_eq!(fault.other.as_ref().unwrap().span, 0..1);
}

#[test]
fn a_bomb_of_aliases_ends_early() {
    let level = |level: usize| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", "));
    let text: String = std::iter::once("a0: &a0 [x, x, x]\n".to_owned()).chain((1..40).map(level)).collect();
    assert_eq!(message(&text), "the file stands for more than 2000000 values");
    let level = |level: usize| format!("a{level}: &a{level} {{x: *a{}, y: *a{}}}\n", level - 1, level - 1);
    let text: String = std::iter::once("a0: &a0 {a: 1, b: 2}\n".to_owned()).chain((1..40).map(level)).collect();
    assert_eq!(message(&text), "the file stands for more than 2000000 values");
}

#[test]
fn what_is_too_deep_is_refused_however_it_is_written() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(message(&nested(64)), "");
    assert_eq!(message(&nested(65)), "nested deeper than 64 levels");
    assert_eq!(message(&nested(100_000)), "nested deeper than 64 levels");
    assert_eq!(message(&"- ".repeat(100_000)), "nested deeper than 64 levels");
    assert_eq!(message(&format!("a: &a {}\nb: {}", nested(40), nested(40).replace("[]", "[*a]"))), "nested deeper than 64 levels");
}

#[test]
fn what_yaml_allows_and_a_configuration_does_not_need_is_refused() {
    for (text, expected) in [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("a: 1\n---\nb: 2\n", "a second document begins here"),
        ("a: !!str 1\n", "the tag `!!str` means nothing here"),
        ("? [a, b]\n: c\n", "a key has to be a name, and this is a list"),
        ("a: &a [*a]\n", "an alias cannot stand inside what it stands for"),
        ("<<: 1\n", "`<<` merges tables, and this is a single value"),
        ("%YAML 1.2\n---\na: 1\n", "not readable as YAML: YAML directives are disallowed"),
    ] {
        assert_eq!(message(text), expected, "{text:?}");
    }
}

#[test]
fn common_slips_get_a_hint() {
    for (text, expected) in [
        ("a: */5 * * * *\n", "text that begins with `*` needs quotes"),
        ("a: @start\n", "text that begins with `@` needs quotes"),
        ("a:\n  - @start\n", "text that begins with `@` needs quotes"),
        ("a:\n\tb: 1\n", "indent with spaces"),
        ("a:\n  b: c\n\td: 1\n", "indent with spaces"),
        ("a:\n  b:\n    c: 1\n   d: 1\n", "keys of one table have the same indentation"),
        ("a:\n  b:\u{3000}\n    c: 1\n", "a full-width space (U+3000) stands here or in the line before; write ordinary ones"),
        ("a: b: c\n", "a text with `: ` in it needs quotes, and keys of one table the same indentation"),
    ] {
        let (tree, _) = read(text);
        assert_eq!(tree.unwrap_err().hint.as_deref(), Some(expected), "{text:?}");
    }
}

#[test]
fn byte_order_mark_and_carriage_returns_are_no_content() {
    let (tree, faults) = read("\u{feff}a: b\r\nc:\r\n  - d\r\n");
    assert_eq!(show(&tree.unwrap().root), "{a: b, c: [d]}");
    assert_eq!(faults, []);
}

#[test]
fn every_node_knows_its_bytes() {
    let text = "ü: 'x'\nlist:\n  - one\n  - {k: \"v\"}\ntable:\n  a: b\n\nlast: 1\n";
    let (tree, _) = read(text);
    let tree = tree.unwrap();
    let Data::Map(entries) = &tree.root.data else { panic!("a table") };
    let values: Vec<_> = entries.iter().map(|entry| text.get(entry.value.span.clone()).unwrap()).collect();
    assert_eq!(values, ["'x'", "- one\n  - {k: \"v\"}", "a: b", "1"]);
    assert_eq!(tree.key_path(text.find("\"v\"").unwrap()), "list[1].k");
    assert_eq!(tree.key_path(text.find("b\n\nlast").unwrap()), "table.a");
    assert_eq!(tree.key_path(text.find("table").unwrap()), "table");
}
