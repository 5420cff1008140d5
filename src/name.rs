//! The rules for names of peers, systems, resources and kinds of messages, and nothing else.

use crate::error::{Error, Result};

/// The longest name, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 255;

const FORBIDDEN: &[char] = &['*', '$', '#', '?', '@'];

/// Checks the name of a peer or of a system.
pub(crate) fn check_peer(name: &str) -> Result<()> {
    check_length(name)?;
    if is_plain(name) {
        return Ok(());
    }
    check_no_control(name)?;
    check_characters(name)?;
    if name.contains('/') {
        return Err(invalid(name, "it has a '/', which only names of resources may have"));
    }
    Ok(())
}

/// Checks the name of a resource: as a peer's, but `/` may divide it into parts that are not empty.
pub(crate) fn check_resource(name: &str) -> Result<()> {
    check_length(name)?;
    if is_plain(name) {
        return Ok(());
    }
    check_no_control(name)?;
    check_characters(name)?;
    if name.split('/').any(str::is_empty) {
        return Err(invalid(name, "a part between '/' is empty"));
    }
    Ok(())
}

/// Checks the kind of a message: any text of the right length without control characters.
pub(crate) fn check_kind(kind: &str) -> Result<()> {
    check_length(kind)?;
    check_no_control(kind)
}

fn check_length(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(invalid(name, "it is empty"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(invalid(name, &format!("it has {} bytes, more than {NAME_BYTES_MAX}", name.len())));
    }
    Ok(())
}

/// Most names have nothing but these, so that one look at each byte says that they break no rule for characters.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'-' | b'.' | b'_'))
}

fn check_no_control(name: &str) -> Result<()> {
    if name.chars().any(char::is_control) {
        return Err(invalid(name, "it has a control character"));
    }
    Ok(())
}

fn check_characters(name: &str) -> Result<()> {
    match name.chars().find(|c| FORBIDDEN.contains(c)) {
        Some(c) => Err(invalid(name, &format!("it has a {c:?}"))),
        None => Ok(()),
    }
}

fn invalid(name: &str, reason: &str) -> Error {
    Error::InvalidName { name: name.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_peers() {
        let longest = "a".repeat(255);
        for good in ["ada", "peer 1", "Jürgen", ".", longest.as_str()] {
            assert_eq!(check_peer(good), Ok(()), "{good}");
        }
        let too_long = "a".repeat(256);
        for bad in ["", "a/b", "a*", "$a", "a#b", "a?", "ada@laptop", "a\nb", "a\0b", "\u{85}", too_long.as_str()] {
            assert!(matches!(check_peer(bad), Err(Error::InvalidName { .. })), "{bad}");
        }
    }

    #[test]
    fn names_of_resources_may_have_parts() {
        for good in ["soup", "photos/cat.jpg", "a/b/c"] {
            assert_eq!(check_resource(good), Ok(()), "{good}");
        }
        for bad in ["/a", "a/", "a//b", "/", "", "a*b"] {
            assert!(matches!(check_resource(bad), Err(Error::InvalidName { .. })), "{bad}");
        }
    }
}
