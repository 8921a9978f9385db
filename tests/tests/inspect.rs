//! What `inspect` says an image is made of, in words, as JSON, and as a page in a real browser; and what `--trace`
//! adds.

use anyhow::{Context, Result, ensure};
use fastboot_tests::places::freeze;
use fastboot_tests::programs::{Built, Link, Program, fastboot, succeed};
use fastboot_tests::tools;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A program, and a snapshot of it.
struct Frozen {
    built: Arc<Built>,
    folder: TempDir,
    snapshot: PathBuf,
}

impl Frozen {
    fn new(program: &Program, options: &[&str]) -> Result<Self> {
        let built = program.build()?;
        let folder = tempfile::tempdir()?;
        let snapshot = folder.path().join("frozen.snap");
        freeze(&built.cold, &snapshot, options)?;
        Ok(Self { built, folder, snapshot })
    }

    fn image(&self) -> Result<Value> {
        image(&self.snapshot)
    }
}

fn image(path: &Path) -> Result<Value> {
    let json = succeed(fastboot()?.arg("inspect").arg(path).arg("--json"))?;
    Ok(serde_json::from_slice::<Value>(&json.stdout).context("inspect --json is not JSON")?["image"].take())
}

/// The bytes of the image data of a snapshot.
fn data(path: &Path) -> Result<Vec<u8>> {
    let image = image(path)?;
    let field = |name: &str| image[name].as_u64().map(|number| number as usize).context("a field is missing");
    let (start, length) = (field("data_offset")?, field("data_length")?);
    Ok(fs::read(path)?.get(start..start + length).context("the snapshot is too short")?.to_vec())
}

fn root<'a>(image: &'a Value, name: &str) -> Result<&'a Value> {
    let mut roots = image["roots"].as_array().context("no roots")?.iter();
    roots.find(|root| root["name"] == name).with_context(|| format!("no root {name}: {image:#}"))
}

/// Objects and bytes.
fn size(value: &Value) -> Option<(u64, u64)> {
    Some((value["objects"].as_u64()?, value["bytes"].as_u64()?))
}

/// `small` has 10,000 words, which a vector and a map both refer to. `format!` gave each room for ten letters.
const WORDS_BYTES: u64 = 100_000;

#[test]
fn bytes_belong_to_roots_or_are_shared() -> Result<()> {
    let frozen = Frozen::new(&Program::new("small"), &[])?;
    for path in [&frozen.snapshot, &frozen.built.embedded] {
        let image = image(path)?;
        // The vector, 24 bytes, and its buffer; what its words hold belongs to the map too.
        let words = root(&image, "small::WORDS")?;
        ensure!(size(&words["own"]) == Some((2, 24 + 24 * 10_000)), "{words:#}");
        ensure!(size(&words["shares"]) == Some((10_000, WORDS_BYTES)), "{words:#}");
        let index = root(&image, "small::INDEX")?;
        ensure!(size(&index["own"]).is_some_and(|(objects, bytes)| objects == 2 && bytes > 24 * 10_000), "{index:#}");
        ensure!(index["shares"] == words["shares"], "{index:#}");
        // Two counts and six letters, in whole words.
        for name in ["small::SHARED", "small::OWNER"] {
            ensure!(size(&root(&image, name)?["shares"]) == Some((1, 24)), "{name}: {image:#}");
        }
        let contents = &image["contents"];
        ensure!(size(&contents["shared"]) == Some((10_001, WORDS_BYTES + 24)), "{contents:#}");
        ensure!(contents["traced"] == false && contents["overflow"] == 0, "{contents:#}");

        // Nothing is left over and nothing counted twice.
        let bytes = |value: &Value| value.as_u64().context("no number");
        let mut sum = bytes(&contents["shared"]["bytes"])? + bytes(&contents["statics"]["bytes"])?;
        sum += bytes(&contents["carried"])? + bytes(&contents["gaps"])?;
        for root in image["roots"].as_array().context("no roots")? {
            sum += bytes(&root["own"]["bytes"])?;
        }
        ensure!(sum == bytes(&image["data_length"])?, "{sum}: {image:#}");
        ensure!(bytes(&contents["gaps"])? < 8192, "{contents:#}");

        let largest = contents["largest"].as_array().context("no largest objects")?;
        let sizes: Vec<_> = largest.iter().filter_map(|large| large["bytes"].as_u64()).collect();
        ensure!(sizes.len() == 10 && sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
        let ways: Vec<_> = largest.iter().filter_map(|large| large["way"].as_str()).collect();
        ensure!(ways.contains(&"root `small::WORDS`, +0x8 → 240000 bytes"), "{ways:#?}");
        // 10,000 words of the vector, 10,000 of the map, its table and the vector's buffer, and a few more.
        let pointers = bytes(&image["pointers"])?;
        ensure!((20_002..20_020).contains(&pointers), "{pointers}");
        ensure!(image["cpu_features"].as_array().is_some_and(Vec::is_empty), "{image:#}");
    }
    Ok(())
}

#[test]
fn people_are_told_the_same() -> Result<()> {
    let frozen = Frozen::new(&Program::new("small"), &[])?;
    let said = succeed(fastboot()?.arg("inspect").arg(&frozen.built.embedded))?.stdout;
    let said = String::from_utf8(said)?;
    for expected in [
        "objects       10,009 with",
        ", all placed as planned",
        "none is relocated at start",
        "240.0 kB            2  small::WORDS: Vec<String>; shares 100.0 kB in 10,000 with others",
        "100.0 kB       10,001  shared: reached from several roots",
        "largest objects (freeze with --trace to see which functions made them)",
        "240.0 kB  root `small::WORDS`, +0x8 → 240000 bytes",
        "std::thread::id::ThreadId::new::COUNTER: not carried: ",
    ] {
        ensure!(said.contains(expected), "`{expected}` is not in\n{said}");
    }
    Ok(())
}

#[test]
fn static_pointers_are_counted() -> Result<()> {
    let frozen = Frozen::new(&Program::new("small").link(Link::Pie), &[])?;
    let image = frozen.image()?;
    // The function in `SHARED`, if nothing else.
    ensure!(image["static_pointers"].as_u64() >= Some(1), "{image:#}");
    let said = succeed(fastboot()?.arg("inspect").arg(&frozen.snapshot))?.stdout;
    ensure!(String::from_utf8(said)?.contains("relocated at start"));
    Ok(())
}

#[test]
fn traces_say_who_made_what_and_change_nothing_else() -> Result<()> {
    let fat = Program { profile: "fat", ..Program::new("small") };
    for program in Link::ALL.map(|link| Program::new("small").link(link)).into_iter().chain([fat]) {
        let (plain, traced) = (Frozen::new(&program, &[])?, Frozen::new(&program, &["--trace"])?);
        ensure!(data(&plain.snapshot)? == data(&traced.snapshot)?, "{program}: another image");
        let image = traced.image()?;
        let functions = image["contents"]["shared"]["functions"].as_array().context("no functions")?;
        let words = functions.iter().find(|function| size(function) == Some((10_000, WORDS_BYTES)));
        let name =
            words.and_then(|words| words["name"].as_str()).with_context(|| format!("{program}: {functions:#?}"))?;
        // What is inlined counts as what it is inlined into.
        ensure!(
            ["small::WORDS::__fastboot_value", "witness::evaluated"].contains(&name),
            "{program}: {name} made the words"
        );
        let largest = &image["contents"]["largest"][0];
        ensure!(largest["function"].is_string(), "{program}: {largest:#}");
        let said = succeed(fastboot()?.arg("inspect").arg(&traced.snapshot))?.stdout;
        ensure!(String::from_utf8(said)?.contains(name), "{program}: {name} is not shown");
    }
    Ok(())
}

#[test]
#[ignore = "takes minutes: `cargo xtask test --full` runs it"]
fn traces_change_nothing_where_garbage_lies_about() -> Result<()> {
    let zoo = Program::new("zoo");
    let (plain, traced) = (Frozen::new(&zoo, &[])?, Frozen::new(&zoo, &["--trace"])?);
    ensure!(data(&plain.snapshot)? == data(&traced.snapshot)?, "another image");
    let image = traced.image()?;
    for (name, shares) in [("zoo::shared::FIRST", 2), ("zoo::shared::SECOND", 2), ("zoo::engines::SEGMENTER", 0)] {
        ensure!(root(&image, name)?["shares"]["objects"] == shares, "{name}: {:#}", root(&image, name)?);
    }
    Ok(())
}

#[test]
fn whose_objects_are_is_not_known_of_a_verbatim_image() -> Result<()> {
    let frozen = Frozen::new(&Program::new("small"), &["--verbatim"])?;
    let image = frozen.image()?;
    ensure!(image["contents"].is_null() && root(&image, "small::WORDS")?["own"].is_null(), "{image:#}");
    let said = String::from_utf8(succeed(fastboot()?.arg("inspect").arg(&frozen.snapshot))?.stdout)?;
    ensure!(said.contains("not planned") && said.contains("small::WORDS: Vec<String>"), "{said}");
    let page = frozen.folder.path().join("small.html");
    succeed(fastboot()?.arg("inspect").arg(&frozen.snapshot).arg("--html").arg(&page))?;
    let page = fs::read_to_string(page)?;
    ensure!(page.contains("This image is verbatim") && !page.contains("<svg class=\"map\""), "{page}");
    Ok(())
}

#[test]
fn a_cold_binary_has_nothing_to_show() -> Result<()> {
    let built = Program::new("small").build()?;
    let page = tempfile::tempdir()?.path().join("small.html");
    let output = fastboot()?.arg("inspect").arg(&built.cold).arg("--html").arg(&page).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        !output.status.success() && said.contains("cold binary") && said.contains("cargo fastboot build"),
        "{said}"
    );
    ensure!(!page.exists(), "a page was written");
    Ok(())
}

/// Put into the head of a page: collects what goes wrong.
const LISTEN: &str =
    "<script>window.problems = []; addEventListener('error', (event) => problems.push(event.message));</script>";

/// Put at the end of a page: writes down what the browser made of it.
const PROBE: &str = r#"<pre id="probe"></pre><script>
addEventListener("load", () => {
  const box = (element) => {
    const { x, y, width, height } = element.getBoundingClientRect();
    return { x, y, width, height, fill: getComputedStyle(element).fill };
  };
  const map = document.querySelector(".map");
  const groups = [...map.querySelectorAll(".group")].map((group) => {
    const [block, ...parts] = [...group.querySelectorAll(":scope > rect")].map(box);
    return { name: group.dataset.name, block, parts };
  });
  const first = map.querySelector("[data-tip]");
  const { x, y } = first.getBoundingClientRect();
  first.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX: x + 5, clientY: y + 5 }));
  const tip = document.getElementById("tip");
  document.getElementById("probe").textContent = JSON.stringify({
    title: document.title,
    text: document.body.innerText,
    map: box(map),
    groups,
    tip: { text: tip.textContent, box: box(tip) },
    background: getComputedStyle(document.body).backgroundColor,
    resources: performance.getEntriesByType("resource").map((entry) => entry.name),
    problems,
  });
});
</script>"#;

/// What a browser makes of a page; `None` if there is no browser.
fn browse(page: &Path, dark: bool) -> Result<Option<Value>> {
    let Some(mut chromium) = tools::find("chromium") else { return Ok(None) };
    let folder = tempfile::tempdir()?;
    let probed = folder.path().join("page.html");
    let text = fs::read_to_string(page)?.replacen("<head>", &format!("<head>{LISTEN}"), 1);
    fs::write(&probed, text.replacen("</body>", &format!("{PROBE}</body>"), 1))?;
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900"]);
    chromium.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
    // Nothing is to be fetched; should the page want to, it finds nothing.
    chromium.args(["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=3000", "--dump-dom"]);
    chromium.args(dark.then_some("--blink-settings=preferredColorScheme=0"));
    let shown = succeed(chromium.arg(format!("file://{}", probed.display())))?.stdout;
    let shown = String::from_utf8(shown)?;
    let probe = shown.split_once("<pre id=\"probe\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (probe, _) = probe.with_context(|| format!("no probe in\n{shown}"))?;
    let probe = probe.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u{a0}").replace("&amp;", "&");
    Ok(Some(serde_json::from_str(&probe).with_context(|| probe)?))
}

fn area(value: &Value) -> f64 {
    value["width"].as_f64().unwrap_or_default() * value["height"].as_f64().unwrap_or_default()
}

fn inside(inner: &Value, outer: &Value) -> bool {
    let edges = |value: &Value| {
        let field = |name: &str| value[name].as_f64().unwrap_or(f64::NAN);
        [field("x"), field("y"), field("x") + field("width"), field("y") + field("height")]
    };
    let ([left, top, right, bottom], [l, t, r, b]) = (edges(inner), edges(outer));
    left >= l - 0.01 && top >= t - 0.01 && right <= r + 0.01 && bottom <= b + 0.01
}

#[test]
fn the_page_shows_the_image_in_a_browser() -> Result<()> {
    let frozen = Frozen::new(&Program::new("small"), &["--trace"])?;
    let page = frozen.folder.path().join("größe & <co>.html");
    succeed(fastboot()?.arg("inspect").arg(&frozen.snapshot).arg("--html").arg(&page))?;
    let source = fs::read_to_string(&page)?;
    for elsewhere in ["src=", "href=", "url(", "@import", "http"] {
        ensure!(!source.contains(elsewhere), "the page refers to something outside: `{elsewhere}`");
    }
    let Some(seen) = browse(&page, false)? else { return Ok(()) };
    ensure!(seen["problems"] == Value::Array(Vec::new()), "{:#}", seen["problems"]);
    ensure!(seen["resources"] == Value::Array(Vec::new()), "{:#}", seen["resources"]);
    ensure!(seen["title"].as_str().is_some_and(|title| title.contains("frozen.snap")), "{}", seen["title"]);

    let text = seen["text"].as_str().context("no text")?;
    for name in ["small::WORDS", "small::INDEX", "small::SHARED", "small::BUILT", "small::OWNER"] {
        ensure!(text.contains(name), "{name} is not on the page:\n{text}");
    }
    for expected in [
        "10,009",
        "99.",
        "small::WORDS::__fastboot_value",
        "HashMap<&str, usize>",
        "none but those that",
        "240.0 kB",
        "\nStatics that changed",
        "COUNTER",
    ] {
        ensure!(text.contains(expected), "`{expected}` is not on the page:\n{text}");
    }

    // The blocks fill the map, one beside the other, the larger ones by name.
    let map = &seen["map"];
    ensure!(area(map) > 300_000.0, "the map is small: {map}");
    let groups = seen["groups"].as_array().context("no blocks")?;
    let names: Vec<_> = groups.iter().filter_map(|group| group["name"].as_str()).collect();
    ensure!(names[..3] == ["small::INDEX", "small::WORDS", "shared"], "{names:?}");
    ensure!(names.last().is_some_and(|name| name.ends_with(" smaller ones")), "{names:?}");
    let mut sum = 0.0;
    for group in groups {
        let (name, block) = (&group["name"], &group["block"]);
        ensure!(area(block) > 0.0 && inside(block, map), "{name}: {block} in {map}");
        let fill = block["fill"].as_str().unwrap_or("none");
        ensure!(fill.starts_with("rgb") && fill != "rgb(0, 0, 0)", "{name} has no colour: {fill}");
        sum += area(block);
        for part in group["parts"].as_array().into_iter().flatten() {
            ensure!(area(part) > 0.0 && inside(part, block), "{name}: {part} in {block}");
        }
    }
    ensure!((sum / area(map) - 1.0).abs() < 0.001, "blocks of {sum} in {map}");
    let share = area(&groups[0]["block"]) / area(map);
    ensure!((share - 409_664.0 / 753_664.0).abs() < 0.01, "the largest takes {share} of the map");
    ensure!(groups[2]["parts"].as_array().is_some_and(|parts| !parts.is_empty()), "no functions: {:#}", groups[2]);

    // What is under the pointer is told, beside it.
    let tip = seen["tip"]["text"].as_str().unwrap_or_default();
    ensure!(tip.starts_with("small::INDEX\n409.7 kB, 5") && tip.contains("2 objects"), "{tip}");
    ensure!(area(&seen["tip"]["box"]) > 0.0, "{}", seen["tip"]);

    let dark = browse(&page, true)?.context("the browser is gone")?;
    ensure!(dark["background"] != seen["background"], "no dark mode: {}", dark["background"]);
    Ok(())
}
