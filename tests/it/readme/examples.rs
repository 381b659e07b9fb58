//! What a document shows to be typed: its blocks of shell, and commands within its sentences.

use std::path::Path;

/// One command of a block.
#[derive(Debug)]
pub struct Example {
    /// Where it begins, for whoever mends it.
    pub line: usize,
    /// Number of its block, from 0 on.
    pub block: usize,
    /// As it stands there, its comment left out.
    pub command: String,
    /// What stands behind its `#`.
    pub comment: String,
}

/// A file of the project.
pub fn read(document: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap()
}

/// The commands of all blocks that begin with ```` ```sh ````, in their order.
pub fn of_blocks(text: &str) -> Vec<Example> {
    let (mut found, mut block, mut within) = (Vec::new(), 0, false);
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if line.starts_with("```") {
            block += usize::from(within);
            within = !within && line.trim() == "```sh";
            continue;
        }
        if !within || line.trim().is_empty() {
            continue;
        }
        let (command, comment) = line.split_once(" # ").unwrap_or((line, ""));
        let mut command = command.trim().to_owned();
        while command.ends_with('\\') {
            command.push('\n');
            command.push_str(lines.next().expect("a line goes on").1);
        }
        if let Some((_, end)) = command.clone().split_once("<<") {
            for (_, line) in lines.by_ref() {
                command.push('\n');
                command.push_str(line);
                if line == end.trim_matches(['\'', '"']) {
                    break;
                }
            }
        }
        found.push(Example { line: at + 1, block, command, comment: comment.trim().to_owned() });
    }
    found
}

/// Commands of one of these programs that stand in sentences, between backquotes. What is no whole command has dots in it, or is a
/// program's name alone.
pub fn of_sentences(text: &str, programs: &[&str]) -> Vec<String> {
    let mut sentences = String::new();
    let mut within = false;
    for line in text.lines() {
        within ^= line.trim_start().starts_with("```");
        if !within && !line.trim_start().starts_with("```") {
            sentences.push_str(line.trim());
            sentences.push(' ');
        }
    }
    let spans = sentences.split('`').skip(1).step_by(2);
    let is_command = |span: &&str| {
        span.split_once(' ').is_some_and(|(program, _)| programs.contains(&program)) && !span.contains('…')
    };
    spans.filter(is_command).map(str::to_owned).collect()
}

/// Whether what was printed has this in it, whatever stands in the places of its dots (`…`).
pub fn shows(printed: &str, pattern: &str) -> bool {
    let mut rest = printed;
    pattern.split('…').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

#[test]
fn blocks_are_read_as_a_shell_reads_them() {
    let text = "a\n```sh\nmake demo    # builds\n\ncurl -H 'a: #1' \\\n  -o x\ncat > f <<'END'\nat 5s # now\nEND\n```\n\
                ```toml\nx = 1\n```\n```sh\nls\n```\n";
    let found = of_blocks(text);
    let told: Vec<_> =
        found.iter().map(|e| (e.line, e.block, e.command.as_str(), e.comment.as_str())).collect();
    assert_eq!(
        told,
        [
            (3, 0, "make demo", "builds"),
            (5, 0, "curl -H 'a: #1' \\\n  -o x", ""),
            (7, 0, "cat > f <<'END'\nat 5s # now\nEND", ""),
            (15, 1, "ls", ""),
        ]
    );
    let text = "Say `starling node --name\na`, `starling`, `starling lab …`, `ls x` or\n```\n`starling no`\n```\n`netem show`.";
    assert_eq!(of_sentences(text, &["starling", "netem"]), ["starling node --name a", "netem show"]);
    assert!(shows("{\"id\":\"7-node1\",\"x\":1}", "{\"id\":\"…-node1\", …}".replace(", ", ",").as_str()));
    assert!(!shows("{\"id\":\"7-node2\",\"x\":1}", "{\"id\":\"…-node1\""));
}
