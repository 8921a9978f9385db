//! The map of the page: a block for each root, as large as what is its alone, with parts for the functions that made
//! it.
//!
//! It is laid out here and not by the page, so that it is there without scripts too. A script only shows what lies
//! under the pointer.

use super::found::{Contents, Function, ImageFacts};
use super::treemap::{self, Rectangle};
use crate::say::shell::{grouped, megabytes};
use maud::{Markup, html};
use std::cmp::Reverse;

/// The map, in the units of its view box.
const MAP: Rectangle = Rectangle { x: 0.0, y: 0.0, width: 1160.0, height: 600.0 };
/// Height of a line with a name.
const TITLE: f64 = 20.0;
/// Width of the frame around the parts of a block.
const FRAME: f64 = 3.0;
/// Widths of a letter and of a capital, at most, in the fonts of the map.
const LETTER: f64 = 7.2;
const CAPITAL: f64 = 9.2;
/// Blocks, and parts of a block, that are shown by themselves.
const MOST: usize = 40;
/// Those that take less than one part in this many of the map are too small to be seen.
const TOO_SMALL: u64 = 2000;
/// Hues of roots, in degrees; neighbours are easily told apart.
const HUES: [u32; 12] = [210, 28, 145, 345, 265, 48, 180, 315, 95, 235, 10, 165];
/// Shades of parts.
const SHADES: usize = 6;

/// What one owner, or one reason, takes of the image data.
struct MapBlock {
    name: String,
    what: String,
    bytes: u64,
    /// Hue in degrees; none for what is not a root's.
    hue: Option<u32>,
    /// The largest first; none if nobody knows.
    parts: Vec<MapPart>,
}

struct MapPart {
    name: String,
    what: String,
    bytes: u64,
}

/// The map and its legend.
pub(super) fn map(image: &ImageFacts, contents: &Contents) -> Markup {
    let blocks = blocks(image, contents);
    let sizes: Vec<u64> = blocks.iter().map(|block| block.bytes).collect();
    let total = sizes.iter().sum();
    let Rectangle { width, height, .. } = MAP;
    let square = Rectangle { width: 1.0, height: 1.0, ..Rectangle::default() };
    html! {
        h2 { "Map of the image data, " (megabytes(total)) }
        p.quiet {
            "Each block is a root with what is its alone"
            @if contents.traced {
                "; its parts are the functions that made it."
            } @else {
                ". Freeze with " code { "--trace" } " to see which functions made it."
            }
        }
        svg.map viewBox={ "0 0 " (width) " " (height) } role="img" aria-label="Map of the image by root" {
            @for (block, area) in blocks.iter().zip(treemap::layout(&sizes, MAP)) { (show_block(block, area, total)) }
        }
        ul.legend {
            @for block in &blocks {
                li {
                    svg viewBox="0 0 1 1" { (rectangle(square, block.hue, 0, None)) }
                    (block.name) " "
                    span.quiet { (megabytes(block.bytes)) ", " (percent(block.bytes, total)) }
                }
            }
        }
    }
}

/// The blocks of the map, the largest first, but at the end one for all that are too small.
fn blocks(image: &ImageFacts, contents: &Contents) -> Vec<MapBlock> {
    let of_roots = image.roots_by_size().into_iter().zip(HUES.into_iter().cycle()).map(|(root, hue)| {
        let shares = match root.shares {
            Some(size) if size.objects > 0 => format!("\nshares {} with others", megabytes(size.bytes)),
            _ => String::new(),
        };
        let functions = root.own.as_ref().map_or(&[][..], |own| &own.functions);
        MapBlock {
            name: root.name.clone(),
            what: objects(root.own_size().objects) + &shares,
            bytes: root.own_size().bytes,
            hue: Some(hue),
            parts: parts(functions, root.own_size().bytes),
        }
    });
    let of_others = contents.others().map(|other| MapBlock {
        name: other.name.to_owned(),
        what: other.what.to_owned(),
        bytes: other.size.bytes,
        hue: None,
        parts: parts(other.functions, other.size.bytes),
    });
    let mut blocks: Vec<MapBlock> = of_roots.chain(of_others).filter(|block| block.bytes > 0).collect();
    blocks.sort_by_key(|block| Reverse(block.bytes));
    let total = blocks.iter().map(|block| block.bytes).sum();
    let seen = shown(blocks.iter().map(|block| block.bytes), total);
    let small = blocks.split_off(seen);
    if !small.is_empty() {
        let names: Vec<&str> = small.iter().take(MOST).map(|block| block.name.as_str()).collect();
        blocks.push(MapBlock {
            name: format!("{} smaller ones", small.len()),
            what: names.join("\n") + if small.len() > MOST { "\n…" } else { "" },
            bytes: small.iter().map(|block| block.bytes).sum(),
            hue: None,
            parts: Vec::new(),
        });
    }
    blocks
}

/// Who made the objects of a block of so many bytes; nothing if nobody knows.
fn parts(functions: &[Function], bytes: u64) -> Vec<MapPart> {
    let count = shown(functions.iter().map(|function| function.size.bytes), bytes);
    let mut parts: Vec<MapPart> = functions[..count]
        .iter()
        .map(|function| MapPart {
            name: function.name.clone().unwrap_or_else(|| "unknown function".to_owned()),
            what: objects(function.size.objects),
            bytes: function.size.bytes,
        })
        .collect();
    let rest = bytes - parts.iter().map(|part| part.bytes).sum::<u64>().min(bytes);
    if !parts.is_empty() && rest > 0 {
        parts.push(MapPart { name: "other functions".to_owned(), what: String::new(), bytes: rest });
    }
    parts
}

/// How many of these sizes, which descend, are shown by themselves.
fn shown(sizes: impl Iterator<Item = u64>, total: u64) -> usize {
    sizes.take(MOST).take_while(|size| *size > total / TOO_SMALL).count()
}

fn objects(count: u64) -> String {
    format!("{} object{}", grouped(count), if count == 1 { "" } else { "s" })
}

fn percent(bytes: u64, total: u64) -> String {
    format!("{:.1} %", bytes as f64 * 100.0 / total.max(1) as f64)
}

fn show_block(block: &MapBlock, area: Rectangle, total: u64) -> Markup {
    let size = megabytes(block.bytes);
    let tip = format!("{}\n{size}, {}\n{}", block.name, percent(block.bytes, total), block.what);
    let titled = area.width > 5.0 * LETTER && area.height > TITLE + FRAME;
    let above = if titled { TITLE } else { FRAME };
    let inside = Rectangle {
        x: area.x + FRAME,
        y: area.y + above,
        width: area.width - 2.0 * FRAME,
        height: area.height - above - FRAME,
    };
    html! {
        g.group data-name=(block.name) {
            (rectangle(area, block.hue, 0, Some(&tip)))
            @if titled { (label(area, &block.name, &size, "title")) }
            @if inside.width > 2.0 * FRAME && inside.height > 2.0 * FRAME { (show_parts(block, inside)) }
        }
    }
}

fn show_parts(block: &MapBlock, inside: Rectangle) -> Markup {
    let sizes: Vec<u64> = block.parts.iter().map(|part| part.bytes).collect();
    html! {
        @for ((index, part), area) in block.parts.iter().enumerate().zip(treemap::layout(&sizes, inside)) {
            @let (size, share) = (megabytes(part.bytes), percent(part.bytes, block.bytes));
            @let tip = format!("{}\n{size}, {share} of {}\n{}", part.name, block.name, part.what);
            (rectangle(area, block.hue, 1 + index % SHADES, Some(tip.trim_end())))
            @if area.width > 5.0 * LETTER && area.height > TITLE { (label(area, &part.name, &size, "part")) }
        }
    }
}

/// A coloured rectangle, with what is shown when the pointer is over it.
fn rectangle(area: Rectangle, hue: Option<u32>, shade: usize, tip: Option<&str>) -> Markup {
    let [x, y, width, height] = position(area);
    html! {
        rect.block.plain[hue.is_none()] style={ "--hue:" (hue.unwrap_or(0)) ";--shade:" (shade) }
            x=(x) y=(y) width=(width) height=(height) data-tip=[tip] {}
    }
}

fn position(Rectangle { x, y, width, height }: Rectangle) -> [String; 4] {
    [x, y, width, height].map(|length| format!("{length:.3}"))
}

/// A name at the top of a rectangle, and a figure at its right if there is room for both. What is too long loses its
/// beginning: the end of a path says more.
fn label(area: Rectangle, name: &str, figure: &str, class: &str) -> Markup {
    let room = area.width - 12.0;
    let mut shown = name.to_owned();
    let mut end = name.chars();
    while text_width(&shown) > room && end.next().is_some() {
        shown = format!("…{}", end.as_str());
    }
    let [x, y, width, height] = position(area);
    html! {
        svg x=(x) y=(y) width=(width) height=(height) {
            text class=(class) x="6" y="14" { (shown) }
            @if text_width(&shown) + text_width(figure) + LETTER < room {
                text.figure text-anchor="end" x=(format!("{:.2}", area.width - 6.0)) y="14" { (figure) }
            }
        }
    }
}

fn text_width(text: &str) -> f64 {
    text.chars().map(|character| if character.is_uppercase() { CAPITAL } else { LETTER }).sum()
}
