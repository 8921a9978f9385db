//! bincode 2, into native values.

fn main() {
    peers::Native {
        name: "bincode",
        save_strings: |value| bincode::encode_to_vec(value, bincode::config::standard()).expect("it can be encoded"),
        load_strings: |bytes| {
            bincode::decode_from_slice(bytes, bincode::config::standard()).expect("it can be decoded").0
        },
        save_map: |value| bincode::encode_to_vec(value, bincode::config::standard()).expect("it can be encoded"),
        load_map: |bytes| bincode::decode_from_slice(bytes, bincode::config::standard()).expect("it can be decoded").0,
    }
    .main();
}
