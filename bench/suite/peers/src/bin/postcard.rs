//! postcard, into native values.

fn main() {
    peers::Native {
        name: "postcard",
        save_strings: |value| postcard::to_stdvec(value).expect("it can be encoded"),
        load_strings: |bytes| postcard::from_bytes(bytes).expect("it can be decoded"),
        save_map: |value| postcard::to_stdvec(value).expect("it can be encoded"),
        load_map: |bytes| postcard::from_bytes(bytes).expect("it can be decoded"),
    }
    .main();
}
