//! `bytes`: shared buffers, some of static text. They are counted and dropped by functions in a table of theirs.

use bytes::{Bytes, BytesMut};
use crates::{answer, evaluated, text};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static BUFFERS: Vec<Bytes> = evaluated("BUFFERS", || {
        let whole = Bytes::from(text(1000));
        let mut grown = BytesMut::new();
        (0..100).for_each(|number| grown.extend_from_slice(crates::word(number).as_bytes()));
        let half = grown.split().freeze();
        let parts = (0..100).map(|part| whole.slice(part * 50..part * 50 + 60));
        parts.chain([Bytes::from_static(b"text of the program"), half, Bytes::new(), whole.clone()]).collect()
    });
}

fn main() {
    answer("lengths", format_args!("{:?}", BUFFERS.iter().map(Bytes::len).collect::<Vec<_>>()));
    answer("one", format_args!("{:?}", BUFFERS[17]));
    let mut owned: Vec<Bytes> = BUFFERS.clone();
    owned.retain(|buffer| !buffer.starts_with(b"text"));
    let changed = owned.pop().map(|last| {
        let mut changed = BytesMut::from(&last[..]);
        changed.extend_from_slice(b", and more");
        changed.len()
    });
    answer("owned", format_args!("{} {changed:?}", owned.len()));
    crates::sources!(BUFFERS);
}
