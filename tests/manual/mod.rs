//! The header as a manual: what it declares, and what its comments say of it.

#![allow(dead_code, reason = "each of the tests that have this module uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};

pub(crate) const HEADER: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/include/potluck.h"));

pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) gives_status: bool,
    pub(crate) parameters: Vec<Parameter>,
    /// Without the asterisks, in one line.
    pub(crate) comment: String,
    /// Of that the last paragraph.
    pub(crate) statuses: String,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// Without `struct`, as `const char *`.
    pub(crate) of_type: String,
    pub(crate) name: String,
}

impl Parameter {
    /// An id, by value.
    pub(crate) fn is_id(&self) -> bool {
        HEADER.contains(&format!("typedef struct {} {{\n", self.of_type))
    }

    /// An id that the caller gets and must release.
    pub(crate) fn is_owned(&self) -> bool {
        ["resource", "message", "list", "pending"].iter().any(|kind| self.of_type == format!("potluck_{kind}_t *"))
    }

    /// A struct of the caller's that begins with its size.
    pub(crate) fn is_sized(&self) -> bool {
        let of = self.of_type.trim_start_matches("const ").trim_end_matches(" *");
        of.len() < self.of_type.len() && HEADER.contains(&format!("typedef struct {of} {{\n")) && {
            let (_, body) = HEADER.split_once(&format!("typedef struct {of} {{\n")).expect("it is there");
            body.split_once('}').is_some_and(|(body, _)| body.contains("size_t struct_size;"))
        }
    }
}

impl Function {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.parameters.iter().any(|parameter| parameter.name == name && !parameter.of_type.ends_with("char *"))
    }

    /// Those of the statuses paragraph, and of the functions that it names. `INTERNAL`, `PANIC` and `FORKED` are everybody's.
    pub(crate) fn documented(&self, all: &[Function]) -> BTreeSet<String> {
        let known = statuses();
        let mut found: BTreeSet<String> =
            words(&self.statuses).filter(|word| known.contains(*word)).map(str::to_owned).collect();
        found.extend(["INTERNAL", "PANIC", "FORKED"].map(str::to_owned));
        // Each refers to one above it, or to none: no circle.
        for other in self.named(all) {
            found.extend(other.documented(all));
        }
        found
    }

    /// The functions that the statuses paragraph names for their statuses.
    fn named<'a>(&self, all: &'a [Function]) -> impl Iterator<Item = &'a Function> {
        let quoted: Vec<&str> = self.statuses.split('`').skip(1).step_by(2).collect();
        let refers = |other: &&Function| {
            let is_reference = |before: &str| {
                ["as ", "as from ", "those of ", "from ", "to "].iter().any(|word| before.ends_with(word))
            };
            let name = format!("`{}`", other.name);
            quoted.contains(&other.name) && self.statuses.split(&name).next().is_some_and(is_reference)
        };
        all.iter().filter(refers).collect::<Vec<_>>().into_iter()
    }
}

/// The words that are written in capitals.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| word.len() > 1 && word.bytes().all(|letter| letter.is_ascii_uppercase() || letter == b'_'))
}

/// The name of each status by its number.
pub(crate) fn numbers() -> BTreeMap<i32, &'static str> {
    let lines = HEADER.lines().filter_map(|line| line.strip_prefix("#define POTLUCK_")?.split_once(' '));
    let known = statuses();
    let named = lines.map(|(name, number)| (name.strip_prefix("E_").unwrap_or(name), number));
    named
        .filter(|(name, _)| known.contains(name))
        .map(|(name, number)| (number.parse().expect("a number"), name))
        .collect()
}

/// The names of all statuses, as comments say them: without POTLUCK_ and E_.
pub(crate) fn statuses() -> BTreeSet<&'static str> {
    let (_, rest) = HEADER.split_once("#define POTLUCK_OK 0").expect("the first status");
    let (all, _) = rest.split_once("#define POTLUCK_ABI ").expect("what follows the statuses");
    let names = all.lines().filter_map(|line| line.strip_prefix("#define POTLUCK_")?.split(' ').next());
    names.map(|name| name.strip_prefix("E_").unwrap_or(name)).chain(["OK"]).collect()
}

/// All that the header declares, in its order.
pub(crate) fn functions() -> Vec<Function> {
    let mut functions = Vec::new();
    for (at, _) in HEADER.match_indices("\n */\n") {
        let after = &HEADER[at + "\n */\n".len()..];
        let gives_status = after.starts_with("potluck_status_t potluck_");
        if !gives_status && !after.starts_with("const char *potluck_") {
            continue;
        }
        let (declaration, _) = after.split_once(");").expect("a declaration ends");
        let (head, parameters) = declaration.split_once('(').expect("it has parameters");
        let (_, comment) = HEADER[..at].rsplit_once("/**\n").expect("the comment begins");
        let lines: Vec<&str> = comment.lines().map(|line| line.trim_start_matches(" *").trim()).collect();
        let paragraphs: Vec<String> = lines.split(|line| line.is_empty()).map(|lines| lines.join(" ")).collect();
        functions.push(Function {
            name: head.split([' ', '*']).next_back().expect("it has a name"),
            gives_status,
            parameters: parameters.split(',').filter_map(parameter).collect(),
            comment: paragraphs.join(" "),
            statuses: paragraphs.last().expect("a comment says something").clone(),
        });
    }
    functions
}

fn parameter(text: &'static str) -> Option<Parameter> {
    let text = text.split_whitespace().filter(|word| *word != "struct").collect::<Vec<_>>().join(" ");
    let at = text.rfind([' ', '*'])? + 1;
    Some(Parameter { of_type: text[..at].trim().to_owned(), name: text[at..].to_owned() })
}
