//! Inspect: says what is in a cold binary, an embedded one, a snapshot, or a deferred file.

use crate::cli::InspectFlags;
use crate::inspect::found::Found;
use crate::inspect::{defer, html, text};
use crate::say::output;
use crate::say::shell::Shell;
use anyhow::{Context, Result, bail};
use std::io::{BufWriter, Write};

/// Shows what a file is and holds: for people, as JSON, or as a page in a file of its own. With `verify`, reads all of
/// a deferred file.
pub(crate) fn inspect(flags: &InspectFlags, shell: &Shell) -> Result<()> {
    let path = &flags.path;
    if defer::is_deferred(path).with_context(|| format!("cannot read {}", path.display()))? {
        if flags.html.is_some() {
            bail!("--html is for images, and {} is a deferred file; leave it out, or use --json", path.display());
        }
        return defer::inspect(path, flags.json, flags.verify);
    }
    let found = Found::look(path)?;
    if flags.verify {
        bail!(
            "--verify is for deferred files, and {} is none: `inspect` alone checks an image's header and tables, and \
             `cargo fastboot verify` its values",
            path.display()
        );
    }
    if let Some(page) = &flags.html {
        let Some(image) = &found.image else {
            bail!("{} is a cold binary: it has no image to show; build it with `cargo fastboot build`", path.display());
        };
        let text = html::page(&found, image);
        output::replace(page, None, |file| Ok(file.write_all(text.as_bytes())?))?;
        shell.status("Finished", format_args!("wrote {}", page.display()));
        return Ok(());
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    let written = if flags.json {
        serde_json::to_writer_pretty(&mut out, &found).map_err(std::io::Error::from).and_then(|()| writeln!(out))
    } else {
        text::print(&mut out, &found)
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
