//! Remedy: what to write where, so that a finding is none any more.

use std::borrow::Cow;

/// A name as an argument on a command line: what a shell takes for something else is quoted.
pub(crate) fn argument(name: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_:.,/+-".contains(&byte);
    match name.bytes().all(is_plain) {
        true => name.into(),
        false => format!("'{}'", name.replace('\'', r"'\''")).into(),
    }
}

/// How to put a name into a list: the flag, and the key of the manifest.
pub(crate) fn listed(list: &str, name: &str) -> String {
    format!("`--{list} {}`, or `{list} = [{name:?}]` in [package.metadata.fastboot]", argument(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_understand_is_quoted() {
        assert_eq!(argument("app::tables::WORDS"), "app::tables::WORDS");
        assert_eq!(
            argument("<a::B as core::default::Default>::default::N"),
            "'<a::B as core::default::Default>::default::N'"
        );
        assert_eq!(argument("it's"), r"'it'\''s'");
        assert_eq!(listed("skip", "a::B"), "`--skip a::B`, or `skip = [\"a::B\"]` in [package.metadata.fastboot]");
    }
}
