//! What an image costs that is there and is not used: how long the runtime takes to find that out, by its own account.

use super::programs::{Made, Workshop, file_name, write_like};
use super::rounds::Case;
use super::rows::{Program, Row};
use super::statistics::Spread;
use super::thaw::refusal;
use anyhow::{Context, Result};
use fastboot_format::image::{
    HEADER_COPY_LEN, HEADER_LEN, HOME_ALIGN, Header, HeaderPage, IDENTITY_OFFSET, MAGIC, TABLE_LEN,
};
use serde::Serialize;
use std::path::Path;

const EMBEDDED: Program = Program::Fastboot { binary: "strings", flags: &[] };
const SNAPSHOT: Program = Program::Snapshot { binary: "strings", flags: &[] };
const OTHER: Program = Program::Snapshot { binary: "map", flags: &[] };

/// An image that is refused.
#[derive(Serialize)]
pub(crate) struct Refused {
    pub(crate) why: &'static str,
    /// In microseconds.
    pub(crate) time: Spread,
}

/// Measures programs of W1, which then would start cold. They are not asked for anything, so they end without evaluating.
pub(crate) fn refused(workshop: &mut Workshop) -> Result<Vec<Refused>> {
    let embedded = workshop.make(EMBEDDED, "strings")?;
    let snapshot = workshop.make(SNAPSHOT, "strings")?;
    workshop.make(OTHER, "map")?;
    let other = workshop.fresh().join(file_name(OTHER, "map"));
    let own = workshop.fresh().join(file_name(SNAPSHOT, "strings"));
    let folder = workshop.folder.join("refused");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let [lacking, damaged, roots] = ["lacking", "damaged", "roots.snap"].map(|name| folder.join(name));
    forge(&embedded.binary, &lacking, |header| header.cpu = u64::MAX)?;
    forge(&own, &roots, |header| header.root_count += 1)?;
    alter(&embedded.binary, &damaged, |image| image[IDENTITY_OFFSET] ^= 1)?;

    let program = |binary: &Path| Made::elsewhere(binary.to_owned(), None, folder.clone());
    let cases = [
        ("section, `FASTBOOT=off`", "FASTBOOT=off", embedded.clone().with("FASTBOOT", "off".into())),
        ("section, a processor feature is missing", "the processor lacks", program(&lacking)),
        ("section, the header is damaged", "damaged", program(&damaged)),
        ("snapshot of another binary", "of another binary", snapshot.clone().with("FASTBOOT_SNAPSHOT", other)),
        (
            "snapshot with other roots, when it is mapped",
            "image has 2 roots",
            snapshot.with("FASTBOOT_SNAPSHOT", roots),
        ),
    ];
    let mut found = Vec::new();
    for (why, reason, made) in cases {
        let case = Case { made, row: Row::new(why, "strings", SNAPSHOT, 0) };
        let time =
            refusal(&case, reason)?.with_context(|| format!("{why}: it is not refused, or for another reason"))?;
        found.push(Refused { why, time });
    }
    std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    Ok(found)
}

/// Writes a copy of a binary or snapshot whose image has another header, one that is not damaged.
fn forge(from: &Path, to: &Path, change: impl FnOnce(&mut Header)) -> Result<()> {
    let mut header = Ok(());
    alter(from, to, |image| {
        header = HeaderPage::decode(image).map(|page| page.header).map(|mut header| {
            change(&mut header);
            let (first, rest) = image.split_at_mut(HEADER_LEN);
            first.copy_from_slice(&header.encode(&rest[..header.table_count as usize * TABLE_LEN]));
        });
    })?;
    header.with_context(|| format!("{} has no good image", from.display()))
}

/// Writes a copy of a binary or snapshot whose image is changed. Whole and at once, as the tool writes.
fn alter(from: &Path, to: &Path, change: impl FnOnce(&mut [u8])) -> Result<()> {
    let mut bytes = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    let starts = (0..bytes.len()).step_by(HOME_ALIGN as usize);
    let image = starts.rev().find(|start| bytes[*start..].starts_with(&MAGIC));
    let (before, image) = bytes.split_at_mut(image.with_context(|| format!("{} has no image", from.display()))?);
    let copy = (0..before.len()).step_by(8).find(|at| before[*at..].starts_with(&image[..HEADER_COPY_LEN]));
    change(image);
    if let Some(copy) = copy {
        before[copy..][..HEADER_COPY_LEN].copy_from_slice(&image[..HEADER_COPY_LEN]);
    }
    write_like(from, to, &bytes)
}
