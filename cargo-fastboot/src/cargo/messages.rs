//! Messages: what cargo prints while it builds, read, and passed on if the user asked for it.

use super::select::Selected;
use crate::say::shell::Shell;
use anyhow::{Context, Result};
use cargo_metadata::{Message, PackageId};
use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::path::PathBuf;

/// Cargo's messages on standard output, when the user asked for them.
#[derive(Debug)]
pub(crate) struct Messages {
    /// The value of `--message-format` for cargo.
    pub(super) format: String,
    /// Whether the user reads them.
    forwarded: bool,
}

impl Messages {
    /// Cargo is always asked for JSON; what the user asked for decides how, and whether it is passed on.
    pub(crate) fn new(formats: &[String], shell: &Shell) -> Self {
        if formats.iter().any(|format| format.starts_with("json")) {
            return Self { format: formats.join(","), forwarded: true };
        }
        let mut format = "json-render-diagnostics".to_owned();
        if formats.iter().any(|format| format == "short") {
            format.push_str(",json-diagnostic-short");
        } else if shell.has_colors() {
            format.push_str(",json-diagnostic-rendered-ansi");
        }
        Self { format, forwarded: false }
    }

    /// Tells a reader that all is done: cargo says so after each binary, before it is frozen, so that is held back.
    pub(crate) fn finish(&self, success: bool) {
        if self.forwarded {
            print_line(serde_json::json!({ "reason": "build-finished", "success": success }).to_string().as_bytes());
        }
    }
}

/// What the messages of one build said.
#[derive(Default)]
pub(super) struct Artifacts {
    /// Packages that link a library.
    pub(super) binding: Vec<PackageId>,
    /// Path and contents.
    pub(super) executable: Option<(PathBuf, Vec<u8>)>,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) libraries: Vec<PathBuf>,
}

/// Reads cargo's messages to the end, passing on those that the user asked for.
pub(super) fn read_messages(
    mut stream: impl BufRead,
    selected: Selected<'_>,
    messages: &Messages,
) -> Result<Artifacts> {
    let mut seen = Artifacts::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).context("cannot read cargo's messages")? == 0 {
            return Ok(seen);
        }
        let text = line.trim_ascii_end();
        let message = serde_json::from_slice::<Message>(text);
        match &message {
            Ok(Message::CompilerArtifact(artifact))
                if is_selected(selected, &artifact.package_id, &artifact.target) =>
            {
                if let Some(path) = &artifact.executable {
                    let bytes =
                        std::fs::read(path).with_context(|| format!("cannot read {path}, which cargo built"))?;
                    seen.executable = Some((path.clone().into(), bytes));
                }
            }
            Ok(Message::BuildScriptExecuted(script)) => {
                if !script.linked_libs.is_empty() {
                    seen.binding.push(script.package_id.clone());
                }
                // `KIND=PATH`, or a path alone.
                let folders = script.linked_paths.iter().map(|path| path.as_str());
                seen.libraries
                    .extend(folders.map(|path| PathBuf::from(path.split_once('=').map_or(path, |(_, path)| path))));
                if script.package_id == selected.package.id {
                    seen.environment.extend(script.env.iter().map(|(name, value)| (name.into(), value.into())));
                    seen.environment.push(("OUT_DIR".into(), script.out_dir.clone().into_os_string()));
                }
            }
            _ => {}
        }
        // Lines that are no messages come from compiler plugins and the like.
        let held_back = matches!(message, Ok(Message::BuildFinished(_)));
        if (messages.forwarded || message.is_err() && !text.starts_with(b"{\"reason\"")) && !held_back {
            print_line(text);
        }
    }
}

fn is_selected(selected: Selected<'_>, package: &PackageId, target: &cargo_metadata::Target) -> bool {
    selected.package.id == *package && selected.target.name == target.name && selected.target.kind == target.kind
}

/// Writes a line to standard output. That nobody reads it is no reason to stop.
fn print_line(text: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_formats() {
        let shell = Shell::new(crate::say::shell::Verbosity::Normal, anstream::ColorChoice::Never);
        let of = |formats: &[&str]| {
            let formats: Vec<String> = formats.iter().map(ToString::to_string).collect();
            let messages = Messages::new(&formats, &shell);
            (messages.format, messages.forwarded)
        };
        assert_eq!(of(&[]), ("json-render-diagnostics".into(), false));
        assert_eq!(of(&["short"]), ("json-render-diagnostics,json-diagnostic-short".into(), false));
        assert_eq!(of(&["json", "json-diagnostic-short"]), ("json,json-diagnostic-short".into(), true));
    }
}
