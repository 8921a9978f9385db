//! What was found, as a page for a browser: one file that needs no other.

use super::found::{Contents, Found, ImageFacts, without_paths};
use super::map;
use crate::say::shell::{grouped, megabytes};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The whole page.
pub(crate) fn page(found: &Found, image: &ImageFacts) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (found.file) " · fastboot image" }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                h1 { (found.file) }
                p.quiet {
                    (found.describe()) " · identity " code { (image.identity.get(..16).unwrap_or_default()) }
                }
                (cards(image))
                @match &image.contents {
                    Some(contents) => { (map::map(image, contents)) (roots(image, contents)) (largest(contents)) }
                    None => { h2 { "Map" } p.notice { (why_no_map(image)) } }
                }
                (statics(image))
                (technical(image))
                div #tip hidden {}
                script { (PreEscaped(include_str!("page.js"))) }
            }
        }
    };
    page.into_string()
}

fn why_no_map(image: &ImageFacts) -> Markup {
    html! {
        @if image.is_verbatim() {
            "This image is verbatim: it has everything that was ever allocated, one behind the other, and whose which object \
             is, is not known. Freeze without " code { "--verbatim" } " for a map."
        } @else {
            "This image has no report, so there is no map."
        }
    }
}

fn cards(image: &ImageFacts) -> Markup {
    let card = |figure: String, what: Markup| html! { div.card { b { (figure) } span { (what) } } };
    html! {
        div.cards {
            (card(megabytes(image.length), html! { "image, at " code { (image.home) } }))
            @if let (Some(density), Some(live)) = (image.density, image.live) {
                @let percent = format!("{:.2}", density * 100.0);
                (card(format!("{percent} %"), html! {
                    div.meter { i style={ "width:" (percent) "%" } {} }
                    "dense: " (megabytes(live)) " of " (megabytes(image.data_length)) " are alive"
                }))
            }
            @if let Some(objects) = image.objects {
                (card(grouped(objects), html! { "objects" (image.fit()) }))
            }
            @if let Some(pointers) = image.pointers {
                (card(grouped(pointers), html! { "pointers into the image; " (image.relocations()) }))
            }
        }
    }
}

fn roots(image: &ImageFacts, contents: &Contents) -> Markup {
    html! {
        h2 { "Roots" }
        div.wide { table {
            thead { tr {
                th.number { "its own" } th.number { "objects" } th.number { "shared with others" } th { "root" } th { "type" }
            } }
            tbody {
                @for root in image.roots_by_size() {
                    tr {
                        td.number { (megabytes(root.own_size().bytes)) }
                        td.number { (grouped(root.own_size().objects)) }
                        td.number {
                            @match root.shares {
                                Some(size) if size.objects == 0 => {}
                                Some(size) => { (megabytes(size.bytes)) }
                                None => { "not known" }
                            }
                        }
                        td.mono.name { (root.name) }
                        td.mono.quiet title=(root.type_name) { (without_paths(&root.type_name)) }
                    }
                }
                @for other in contents.others() {
                    tr {
                        td.number { (megabytes(other.size.bytes)) }
                        td.number { @if other.size.objects > 0 { (grouped(other.size.objects)) } }
                        td {}
                        td { (other.name) }
                        td.quiet { (other.what) }
                    }
                }
            }
        } }
    }
}

fn largest(contents: &Contents) -> Markup {
    html! {
        @if !contents.largest.is_empty() {
            h2 { "Largest objects" }
            div.wide { table {
                thead { tr { th.number { "size" } @if contents.traced { th { "made by" } } th { "way to it" } } }
                tbody {
                    @for large in &contents.largest {
                        tr {
                            td.number { (megabytes(large.bytes)) }
                            @if contents.traced { td.mono.name { (large.function.as_deref().unwrap_or_default()) } }
                            td.quiet { (large.way) }
                        }
                    }
                }
            } }
        }
    }
}

fn statics(image: &ImageFacts) -> Markup {
    html! {
        h2 { "Statics that changed while freezing" }
        @if image.statics.is_empty() {
            p.quiet { "None." }
        } @else {
            div.wide { table {
                thead { tr { th { "static" } th { "decision" } } }
                tbody {
                    @for changed in &image.statics {
                        tr { td.mono { (changed.name) } td { (changed.decision) } }
                    }
                }
            } }
        }
    }
}

fn technical(image: &ImageFacts) -> Markup {
    html! {
        h2 { "Processor features that it needs" }
        p.features {
            @if image.cpu_features.is_empty() { "none but those that the program itself needs" }
            @for name in &image.cpu_features { span { (name) } }
        }
        h2 { "Tables" }
        div.wide { table {
            thead { tr {
                th.number { "bytes" } th.number { "at offset" } th.number { "entries" } th { "table" }
            } }
            tbody {
                @for table in &image.tables {
                    tr {
                        td.number { (grouped(table.length)) }
                        td.number { (grouped(table.offset)) }
                        td.number { (table.entries.map_or_else(String::new, grouped)) }
                        td { (table.name) }
                    }
                }
            }
        } }
        p.quiet { "SHA-256 " code { (image.identity) } }
    }
}
