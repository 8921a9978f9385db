//! `tiktoken-rs`: the tokens of a language model.

use crates::{answer, evaluated};
use tiktoken_rs::{CoreBPE, cl100k_base};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static TOKENIZER: CoreBPE = evaluated("TOKENIZER", || cl100k_base().expect("the crate has its data")),
        check = |thawed, fresh| tokens(thawed) == tokens(fresh);
}

fn tokens(tokenizer: &CoreBPE) -> Vec<u32> {
    tokenizer.encode_with_special_tokens(include_str!("tokenizer.rs"))
}

fn main() {
    let tokens = tokens(&TOKENIZER);
    answer("tokens", format_args!("{} {:?}", tokens.len(), &tokens[..20]));
    answer("and back", TOKENIZER.decode(&tokens).is_ok_and(|text| text == include_str!("tokenizer.rs")));
    crates::sources!(TOKENIZER);
}
