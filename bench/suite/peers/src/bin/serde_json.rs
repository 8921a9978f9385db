//! serde_json, into native values.

fn main() {
    peers::Native {
        name: "json",
        save_strings: |value| serde_json::to_vec(value).expect("it can be encoded"),
        load_strings: |bytes| serde_json::from_slice(bytes).expect("it can be decoded"),
        save_map: |value| serde_json::to_vec(value).expect("it can be encoded"),
        load_map: |bytes| serde_json::from_slice(bytes).expect("it can be decoded"),
    }
    .main();
}
