//! `serde_json`: 50,000 objects.

use crates::{answer, digest, evaluated, word};
use serde_json::{Value, json};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static DOCUMENT: Value = evaluated("DOCUMENT", || {
        let objects = (0..50_000).map(|number| {
            json!({"name": word(number), "number": number, "tags": [word(number + 1), null, true], "half": number as f64 / 2.0})
        });
        serde_json::from_str(&Value::from_iter(objects).to_string()).expect("serde_json reads what it wrote")
    });
}

fn main() {
    answer("an object", &DOCUMENT[12_345]);
    answer("all", digest([DOCUMENT.to_string()]));
    crates::sources!(DOCUMENT);
}
