//! `rhai`: an engine with functions of ours, and a parsed script. Functions are found by hashes whose keys are in a static
//! of `ahash`.

use crates::{answer, evaluated};
use rhai::{AST, Engine, Scope};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static SCRIPT: (Engine, AST) = evaluated("SCRIPT", || {
        let mut engine = Engine::new();
        engine.register_fn("twice", |number: i64| number * 2).register_fn("word", |number: i64| crates::word(number as usize));
        let ast = engine.compile(SOURCE).expect("the script is valid");
        (engine, ast)
    }), check = |thawed, fresh| result(thawed) == result(fresh);
}

const SOURCE: &str = r#"
    fn fib(n) { if n < 2 { n } else { fib(n - 1) + fib(n - 2) } }
    let found = #{ numbers: [], words: "" };
    for n in 0..10 {
        found.numbers.push(twice(fib(n)) + offset);
        found.words += word(n).to_upper() + " ";
    }
    `${found.numbers} ${found.words.len()} ${found.words}`
"#;

fn result((engine, ast): &(Engine, AST)) -> String {
    let mut scope = Scope::new();
    scope.push("offset", 1_i64);
    engine.eval_ast_with_scope(&mut scope, ast).expect("the script runs")
}

fn main() {
    answer("result", result(&SCRIPT));
    let fresh: i64 = SCRIPT.0.eval("twice(20) + [1, 2, 3].len()").expect("the script is valid");
    answer("a script compiled by the frozen engine", fresh);
    let made = Engine::new().eval_ast::<i64>(&SCRIPT.0.compile("let x = 3; x * x").expect("the script is valid"));
    answer("a script of the frozen engine in another one", made.expect("the script runs"));
    crates::sources!(SCRIPT);
}
