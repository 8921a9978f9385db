//! `adblock`: 40,000 rules of our own making.

use adblock::Engine;
use adblock::lists::{FilterSet, ParseOptions};
use adblock::request::Request;
use crates::{answer, evaluated, word};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static BLOCKER: Engine = evaluated("BLOCKER", || {
        let mut rules = FilterSet::new(false);
        rules.add_filter_list((0..40_000).map(rule).collect(), ParseOptions::default());
        let engine = Engine::new_with_filter_set(rules);
        blocked(&engine);
        engine
    }), check = |thawed, fresh| blocked(thawed) == blocked(fresh);
}

fn rule(number: usize) -> String {
    let word = word(number);
    let rule = match number % 6 {
        0 => format!("||{word}.example^"),
        1 => format!("/{word}/*/banner.$image,third-party"),
        2 => format!("@@||{word}.test/ads.js$script,domain=site.example"),
        3 => format!("##.{word}-ad"),
        4 => format!("{word}.example##.{word} > div"),
        _ => format!("/ads?/{word}[0-9]+/"),
    };
    rule + "\n"
}

fn blocked(engine: &Engine) -> Vec<(bool, usize)> {
    let result = |number: usize| {
        let url = match number % 3 {
            0 => format!("https://cdn.{}.example/x.js", word(number)),
            1 => format!("https://images.example/{}/1/banner.png", word(number)),
            _ => format!("https://images.example/ad/{}17", word(number)),
        };
        let request = Request::new(&url, "https://site.example/", "image", "GET").expect("the address is valid");
        let cosmetic = engine.url_cosmetic_resources(&format!("https://{}.example/", word(number)));
        (engine.check_network_request(&request).should_block(), cosmetic.hide_selectors.len())
    };
    (0..300).map(result).collect()
}

fn main() {
    answer("blocked", format_args!("{:?}", blocked(&BLOCKER)));
    crates::sources!(BLOCKER);
}
