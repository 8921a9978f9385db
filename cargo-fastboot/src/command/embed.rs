//! Embed: writes a snapshot into the binary that it was frozen from.

use crate::cli::EmbedFlags;
use crate::embed;
use crate::image::Image;
use crate::say::shell::{Shell, megabytes};
use anyhow::{Context, Result};

/// `cargo fastboot embed`.
pub(crate) fn embed(flags: &EmbedFlags, shell: &Shell) -> Result<()> {
    let mut image = Image::load(&flags.snapshot)?;
    flags.image.apply(&mut image);
    shell.status("Embedding", megabytes(image.len()));
    embed::embed(&flags.binary, &mut image, flags.place.place(), &flags.output_path)
        .with_context(|| format!("cannot embed {}", flags.snapshot.display()))?;
    shell.status("Finished", format_args!("embedded, in {}", flags.output_path.display()));
    Ok(())
}
