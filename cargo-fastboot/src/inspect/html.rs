//! What was found, as a page for a browser: one file that needs no other.

use super::escape::Escaped;
use super::found::{Contents, Found, ImageFacts, without_paths};
use super::map;
use crate::say::shell::{grouped, megabytes};
use std::fmt::{self, Display, Write};

/// The whole page.
pub(crate) fn page(found: &Found, image: &ImageFacts) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut page, found, image);
    page
}

fn write_page(page: &mut String, found: &Found, image: &ImageFacts) -> fmt::Result {
    let file = Escaped(&found.file);
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{file} · fastboot image</title>\n<style>\n{}</style>\n</head>\n<body>\n",
        include_str!("page.css")
    )?;
    let identity = image.identity.get(..16).unwrap_or_default();
    let kind = found.describe();
    writeln!(page, "<h1>{file}</h1>\n<p class=\"quiet\">{kind} · identity <code>{identity}</code></p>")?;
    write_cards(page, image)?;
    match &image.contents {
        Some(contents) => {
            map::write(page, image, contents)?;
            write_roots(page, image, contents)?;
            write_largest(page, contents)?;
        }
        None => {
            let reason = if image.is_verbatim() {
                "This image is verbatim: it has everything that was ever allocated, one behind the other, and whose which \
                 object is, is not known. Freeze without <code>--verbatim</code> for a map."
            } else {
                "This image has no report, so there is no map."
            };
            writeln!(page, "<h2>Map</h2>\n<p class=\"notice\">{reason}</p>")?;
        }
    }
    write_statics(page, image)?;
    write_technical(page, image)?;
    writeln!(page, "<div id=\"tip\" hidden></div>\n<script>\n{}</script>\n</body>\n</html>", include_str!("page.js"))
}

fn card(page: &mut String, figure: impl Display, what: impl Display) -> fmt::Result {
    writeln!(page, "<div class=\"card\"><b>{figure}</b><span>{what}</span></div>")
}

fn write_cards(page: &mut String, image: &ImageFacts) -> fmt::Result {
    writeln!(page, "<div class=\"cards\">")?;
    card(page, megabytes(image.length), format_args!("image, at <code>{}</code>", image.home))?;
    if let (Some(density), Some(live)) = (image.density, image.live) {
        let percent = density * 100.0;
        let meter = format!("<div class=\"meter\"><i style=\"width:{percent:.2}%\"></i></div>");
        let of = format!("{meter}dense: {} of {} are alive", megabytes(live), megabytes(image.data_length));
        card(page, format_args!("{percent:.2} %"), of)?;
    }
    if let Some(objects) = image.objects {
        card(page, grouped(objects), format_args!("objects{}", image.fit()))?;
    }
    if let Some(pointers) = image.pointers {
        card(page, grouped(pointers), format_args!("pointers into the image; {}", image.relocations()))?;
    }
    writeln!(page, "</div>")
}

fn write_roots(page: &mut String, image: &ImageFacts, contents: &Contents) -> fmt::Result {
    writeln!(
        page,
        "<h2>Roots</h2>\n<div class=\"wide\"><table>\n<thead><tr><th class=\"number\">its own</th>\
         <th class=\"number\">objects</th><th class=\"number\">shared with others</th><th>root</th><th>type</th></tr>\
         </thead>\n<tbody>"
    )?;
    for root in image.roots_by_size() {
        let shares = match root.shares {
            Some(size) if size.objects == 0 => String::new(),
            Some(size) => megabytes(size.bytes),
            None => "not known".to_owned(),
        };
        writeln!(
            page,
            "<tr><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{shares}</td>\
             <td class=\"mono name\">{}</td><td class=\"mono quiet\" title=\"{}\">{}</td></tr>",
            megabytes(root.own_size().bytes),
            grouped(root.own_size().objects),
            Escaped(&root.name),
            Escaped(&root.type_name),
            Escaped(without_paths(&root.type_name))
        )?;
    }
    for other in contents.others() {
        let objects = if other.size.objects == 0 { String::new() } else { grouped(other.size.objects) };
        writeln!(
            page,
            "<tr><td class=\"number\">{}</td><td class=\"number\">{objects}</td><td></td><td>{}</td>\
             <td class=\"quiet\">{}</td></tr>",
            megabytes(other.size.bytes),
            other.name,
            other.what
        )?;
    }
    writeln!(page, "</tbody></table></div>")
}

fn write_largest(page: &mut String, contents: &Contents) -> fmt::Result {
    if contents.largest.is_empty() {
        return Ok(());
    }
    let maker = if contents.traced { "<th>made by</th>" } else { "" };
    writeln!(
        page,
        "<h2>Largest objects</h2>\n<div class=\"wide\"><table>\n<thead><tr><th class=\"number\">size</th>{maker}\
         <th>way to it</th></tr></thead>\n<tbody>"
    )?;
    for large in &contents.largest {
        let name = large.function.as_deref().unwrap_or_default();
        let maker =
            if contents.traced { format!("<td class=\"mono name\">{}</td>", Escaped(name)) } else { String::new() };
        let (size, way) = (megabytes(large.bytes), Escaped(&large.way));
        writeln!(page, "<tr><td class=\"number\">{size}</td>{maker}<td class=\"quiet\">{way}</td></tr>")?;
    }
    writeln!(page, "</tbody></table></div>")
}

fn write_statics(page: &mut String, image: &ImageFacts) -> fmt::Result {
    writeln!(page, "<h2>KnownStatics that changed while freezing</h2>")?;
    if image.statics.is_empty() {
        return writeln!(page, "<p class=\"quiet\">None.</p>");
    }
    writeln!(page, "<div class=\"wide\"><table>\n<thead><tr><th>static</th><th>decision</th></tr></thead>\n<tbody>")?;
    for changed in &image.statics {
        let (name, decision) = (Escaped(&changed.name), Escaped(&changed.decision));
        writeln!(page, "<tr><td class=\"mono\">{name}</td><td>{decision}</td></tr>")?;
    }
    writeln!(page, "</tbody></table></div>")
}

fn write_technical(page: &mut String, image: &ImageFacts) -> fmt::Result {
    let features = match image.cpu_features.as_slice() {
        [] => "none but those that the program itself needs".to_owned(),
        names => names.iter().map(|name| format!("<span>{name}</span>")).collect(),
    };
    writeln!(
        page,
        "<h2>Processor features that it needs</h2>\n<p class=\"features\">{features}</p>\n<h2>Tables</h2>\n\
         <div class=\"wide\"><table>\n<thead><tr><th class=\"number\">bytes</th><th class=\"number\">at offset</th>\
         <th class=\"number\">entries</th><th>table</th></tr></thead>\n<tbody>"
    )?;
    for table in &image.tables {
        writeln!(
            page,
            "<tr><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td>{}</td></tr>",
            grouped(table.length),
            grouped(table.offset),
            table.entries.map_or(String::new(), grouped),
            table.name
        )?;
    }
    writeln!(page, "</tbody></table></div>\n<p class=\"quiet\">SHA-256 <code>{}</code></p>", image.identity)
}
