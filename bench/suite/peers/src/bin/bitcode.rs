//! bitcode, into native values.

fn main() {
    peers::Native {
        name: "bitcode",
        save_strings: |value| bitcode::encode(value),
        load_strings: |bytes| bitcode::decode(bytes).expect("it can be decoded"),
        save_map: |value| bitcode::encode(value),
        load_map: |bytes| bitcode::decode(bytes).expect("it can be decoded"),
    }
    .main();
}
