//! Man: the manual pages, made from the command line's definition.
//!
//! A subcommand, because whoever packages the published crate has this binary and nothing else of the repository;
//! hidden, because `cargo install` has no place for manual pages, so that users have no use for it.

use crate::cli::Cli;
use crate::say::output;
use crate::say::shell::Shell;
use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_mangen::Man;
use std::path::Path;

/// Writes `cargo-fastboot.1`, and a page for each subcommand that is shown, into `folder`.
pub(crate) fn write(folder: &Path, shell: &Shell) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}; name a folder that you may write into", folder.display()))?;
    let mut tool = Cli::command().disable_help_subcommand(true);
    tool.build();
    let subcommands = tool.get_subcommands().filter(|command| !command.is_hide_set());
    let mut count = 0;
    for command in std::iter::once(&tool).chain(subcommands) {
        let page = Man::new(command.clone()).manual("Cargo Fastboot Manual");
        output::replace(&folder.join(page.get_filename()), None, |file| Ok(page.render(file)?))?;
        count += 1;
    }
    shell.status("Finished", format_args!("{count} manual pages, in {}", folder.display()));
    Ok(())
}
